'use strict';

const { native, executable } = require('./addon.js');
const { readBatches } = require('./batches.js');
const { CloneError } = require('./error.js');
const { CloneJob, once } = require('./job.js');
const { fromRows } = require('./own.js');
const { version } = require('../package.json');

exports.clone = (source, target, options) => once('run', source, target, options);
exports.plan = (source, target, options) => once('plan', source, target, options);
exports.verify = (source, target, options) => once('verify', source, target, options);
exports.CloneJob = CloneJob;
exports.CloneError = CloneError;
exports.fromRows = fromRows;
exports.readBatches = readBatches;
exports.optionNames = native.optionNames();
exports.executable = executable;
exports.version = version;
