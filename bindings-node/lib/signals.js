'use strict';

// Ctrl-C in a script without a handler: the jobs clean up, then the signal ends the script.

const { isMainThread } = require('node:worker_threads');

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];
const running = new Set();
const handlers = new Map();
let ending = false;

function addHandler(signal) {
  const handler = () => {
    // The script has added a handler since.
    if (process.listenerCount(signal) > 1) return;
    // A second signal ends the script at once.
    process.removeListener(signal, handler);
    handlers.delete(signal);
    ending = true;
    const jobs = [...running];
    // Handlers of the script run first.
    Promise.all(jobs.map((job) => job.cancel())).then(() => setImmediate(() => process.kill(process.pid, signal)));
  };
  handlers.set(signal, handler);
  process.on(signal, handler);
}

function register(job) {
  running.add(job);
  // The process would be killed during the clean-up.
  if (ending) job.cancel();
  if (ending || !isMainThread || running.size > 1) return;
  // Handlers of the script take precedence.
  SIGNALS.filter((signal) => process.listenerCount(signal) === 0).forEach(addHandler);
}

function unregister(job) {
  running.delete(job);
  if (running.size > 0) return;
  for (const [signal, handler] of handlers) process.removeListener(signal, handler);
  handlers.clear();
}

module.exports = { register, unregister };
