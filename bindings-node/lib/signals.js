'use strict';

// Ctrl-C in a script that does not care for it: the jobs clean up, and then the script ends by the signal as it would have.

const { isMainThread } = require('node:worker_threads');

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];
const running = new Set();
const handlers = new Map();
let ending = false;

function on(signal) {
  const handler = () => {
    // Somebody has begun to listen since.
    if (process.listenerCount(signal) > 1) return;
    // The second one is not waited for.
    process.removeListener(signal, handler);
    handlers.delete(signal);
    ending = true;
    const jobs = [...running];
    // What the script does about it comes first.
    Promise.all(jobs.map((job) => job.cancel())).then(() => setImmediate(() => process.kill(process.pid, signal)));
  };
  handlers.set(signal, handler);
  process.on(signal, handler);
}

function begin(job) {
  running.add(job);
  // It would be killed in the middle.
  if (ending) job.cancel();
  if (ending || !isMainThread || running.size > 1) return;
  // Whoever listens for a signal decides what it means.
  SIGNALS.filter((signal) => process.listenerCount(signal) === 0).forEach(on);
}

function end(job) {
  running.delete(job);
  if (running.size > 0) return;
  for (const [signal, handler] of handlers) process.removeListener(signal, handler);
  handlers.clear();
}

module.exports = { begin, end };
