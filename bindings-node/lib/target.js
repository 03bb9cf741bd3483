'use strict';

const { native: addon } = require('./addon.js');
const { errorFromJson } = require('./error.js');
const { splitOptions } = require('./job.js');

/** Runs `status` or `abandon` on a target. */
async function runTargetJob(verb, target, options = {}) {
  const { engine, local } = splitOptions(options);
  const url = target instanceof URL ? target.href : String(target);
  const secrets = [local.targetPassword, local.archivePassphrase];
  const outcome = JSON.parse(await addon.runTargetJob(verb, url, JSON.stringify(engine), ...secrets));
  if ('done' in outcome) return outcome.done;
  throw errorFromJson(outcome.failed);
}

module.exports = { runTargetJob };
