import dbgraft from './index.js';

export const {
  clone, plan, verify, status, abandon, CloneJob, CloneError, fromRows, readBatches, optionNames, executable, version,
} = dbgraft;
