'use strict';

const { Readable } = require('node:stream');

const { CloneJob } = require('./job.js');

/** Reads the batches of a source as a stream of objects. Unread batches make the source wait. */
function readBatches(source, options = {}) {
  const waiting = [];
  let wanted = false;
  let job;
  let started = false;
  const pass = () => {
    if (!wanted || waiting.length === 0) return;
    const { batch, passed } = waiting.shift();
    wanted = stream.push(batch);
    passed();
  };
  const sink = {
    write: (_table, batch) => new Promise((passed) => {
      waiting.push({ batch, passed });
      pass();
    }),
  };
  const stream = new Readable({
    objectMode: true,
    highWaterMark: 1,
    read() {
      wanted = true;
      if (!started) job.wait().then(() => stream.push(null), (error) => stream.destroy(error));
      started = true;
      pass();
    },
    destroy(error, done) {
      waiting.splice(0).forEach(({ passed }) => passed());
      job.cancel().then(() => done(error));
    },
  });
  job = new CloneJob(source, sink, options);
  return stream;
}

module.exports = { readBatches };
