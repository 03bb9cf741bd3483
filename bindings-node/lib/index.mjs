import dbgraft from './index.js';

export const {
  clone, plan, verify, CloneJob, CloneError, fromRows, readBatches, optionNames, executable, version,
} = dbgraft;
