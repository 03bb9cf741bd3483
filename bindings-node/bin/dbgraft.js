#!/usr/bin/env node
'use strict';

// Becomes the command: signals, the terminal and the exit code are its own from here on.
const { native, executable } = require('../lib/addon.js');

console.error(`dbgraft: ${native.becomeCommand(executable, process.argv.slice(2))}`);
process.exitCode = 1;
