import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { CloneJob, clone, fromRows } from 'dbgraft';

import { compare, pair, script, sql, table } from './setup.js';

/** So many tables of one row. */
const tables = (count) => fromRows(...Array.from({ length: count }, (_, index) => (
  { name: `t${index}`, columns: { id: 'int not null' }, primaryKey: 'id', rows: [[index]] }
)));

async function intoFolder(work) {
  const folder = mkdtempSync(join(tmpdir(), 'dbgraft-node-'));
  try {
    return await work(`file://${folder}/archive`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('the events of a job come in order, by a loop and to a listener', async () => {
  const names = pair();
  await table(names.source, 2000);
  const heard = [];
  const job = new CloneJob(names.source, names.target, { onEvent: (event) => heard.push(event) });
  const looped = [];
  for await (const event of job) looped.push(event);
  // Whether progress, and the phase in which the last indexes are built, are told depends on time.
  const isTold = ({ event, phase }) => event !== 'progress' && phase !== 'indexes';
  const kinds = (events) => events.filter(isTold).map(({ event, phase }) => phase ?? event);
  assert.deepEqual(kinds(heard), ['preflight', 'snapshot', 'tables', 'rows', 'started', 'finished', 'objects', 'done']);
  assert.deepEqual(kinds(looped), kinds(heard));
  assert.equal((await job.wait()).rows, 2000);
  assert.equal(job.droppedEvents, 0);
});

test('a loop throws what its job failed with', async () => {
  const job = new CloneJob('mysql://a@127.0.0.1:1/b', 'mysql://a@127.0.0.1:1/c');
  await assert.rejects(async () => {
    // A server that cannot be reached is tried again, which is a warning.
    for await (const event of job) assert.ok(['phase', 'warning'].includes(event.event));
  }, { code: 'CONNECTION' });
});

test('a slow listener gets an event for every object, and does not slow the clone', async () => {
  await intoFolder(async (target) => {
    const finished = new Set();
    const onEvent = async (event) => {
      if (event.event === 'finished') finished.add(event.object.name);
      if (finished.size < 20) await sleep(20);
    };
    await clone(tables(300), target, { onEvent });
    assert.equal(finished.size, 300);
  });
});

test('an error that a listener throws stops the clone, and is the cause', async () => {
  await intoFolder(async (target) => {
    const thrown = new Error('no more');
    const onEvent = () => { throw thrown; };
    await assert.rejects(clone(tables(500), target, { onEvent }), { code: 'CANCELLED', cause: thrown });
  });
});

test('thousands of events that nobody reads need bounded memory', async () => {
  await intoFolder(async (target) => {
    const { end } = script(`
      import { CloneJob, fromRows } from 'dbgraft';
      const table = (index) => ({ name: 't' + index, columns: { id: 'int not null' }, primaryKey: 'id', rows: [[index]] });
      const source = fromRows(...Array.from({ length: 8000 }, (_, index) => table(index)));
      const job = new CloneJob(source, ${JSON.stringify(target)});
      await job.wait();
      let heard = 0;
      for await (const event of job) heard += 1;
      console.log(JSON.stringify({ heard, dropped: job.droppedEvents }));
    `);
    const { said } = await end;
    const { heard, dropped } = JSON.parse(said);
    assert.ok(heard <= 10_000, `${heard}`);
    assert.ok(dropped > 5000 && heard + dropped > 16_000, said);
  });
});

test('a process ends when its job is done, and its event loop is never blocked', async () => {
  const names = pair();
  await table(names.source, 50_000);
  const { end } = script(`
    const { clone } = require('dbgraft');
    let turns = 0;
    const tick = setInterval(() => turns++, 5);
    clone(${JSON.stringify(names.source)}, ${JSON.stringify(names.target)}, { verify: 'checksum' }).then((report) => {
      clearInterval(tick);
      console.log(JSON.stringify({ rows: report.rows, turns }));
    });
  `, { type: 'commonjs' });
  const { code, said } = await end;
  const { rows, turns } = JSON.parse(said);
  assert.deepEqual([code, rows], [0, 50_000]);
  // A blocked loop would not turn.
  assert.ok(turns > 5, `${turns}`);
});

test('a cut-over is refused while the target differs', async () => {
  const names = pair();
  await table(names.source, 20);
  const job = new CloneJob(names.source, names.target, { follow: true });
  const differences = [];
  let isDamaged = false;
  for await (const event of job) {
    if (event.event === 'following' && !isDamaged) {
      isDamaged = true;
      await sql(names.target, "UPDATE t SET v = 'other' WHERE id = 7");
      job.cutOver({ verify: 'checksum' });
    } else if (event.event === 'cut_over_refused') {
      differences.push(...event.differences);
      await sql(names.target, "UPDATE t SET v = REPEAT('x', 200) WHERE id = 7");
      job.cutOver({ verify: 'counts' });
    }
  }
  assert.match(differences[0], /table t/);
  assert.ok((await job.wait()).followed);
  compare(names);
});
