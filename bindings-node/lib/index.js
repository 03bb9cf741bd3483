'use strict';

const { native, executable } = require('./addon.js');
const { readBatches } = require('./batches.js');
const { CloneError } = require('./error.js');
const { fromRows } = require('./custom.js');
const { CloneJob, runOnce } = require('./job.js');
const { runTargetJob } = require('./target.js');
const { version } = require('../package.json');

exports.clone = (source, target, options) => runOnce('run', source, target, options);
exports.plan = (source, target, options) => runOnce('plan', source, target, options);
exports.verify = (source, target, options) => runOnce('verify', source, target, options);
exports.status = (target, options) => runTargetJob('status', target, options);
exports.abandon = (target, options) => runTargetJob('abandon', target, options);
exports.CloneJob = CloneJob;
exports.CloneError = CloneError;
exports.fromRows = fromRows;
exports.readBatches = readBatches;
exports.optionNames = native.optionNames();
exports.executable = executable;
exports.version = version;
