import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';

import { CloneError, CloneJob, clone, fromRows } from 'dbgraft';

import { exists, pair, script, shop, sql, table, waitUntil } from './setup.js';

/** Rows without end. */
const endless = {
  name: 't', columns: { id: 'bigint not null', v: 'varchar(50)' }, primaryKey: 'id',
  rows: (function* () { for (let id = 0; ; id += 1) yield { id, v: 'x'.repeat(50) }; }),
};

async function assertGone(names) {
  assert.equal(await exists(names.target), false, 'the target database is still there');
  // A statement that still runs would be listed here.
  const list = await sql(names.target.replace(/\/[^/]*$/, ''), 'SHOW PROCESSLIST');
  assert.deepEqual(list.filter((line) => line[3] === `${names.name}_copy`), []);
}

test('a signal that is aborted already keeps a clone from being started', async () => {
  let connections = 0;
  const server = createServer((socket) => { connections += 1; socket.destroy(); }).listen(0, '127.0.0.1');
  await new Promise((listening) => server.on('listening', listening));
  const url = `mysql://a@127.0.0.1:${server.address().port}/b`;
  await assert.rejects(clone(url, url, { signal: AbortSignal.abort() }), { name: 'AbortError' });
  const reason = new Error('never mind');
  await assert.rejects(clone(url, url, { signal: AbortSignal.abort(reason) }), (error) => error === reason);
  server.close();
  assert.equal(connections, 0);
});

test('an aborted clone rejects with the reason, and leaves nothing', async () => {
  for (const make of [() => undefined, () => new Error('enough')]) {
    const names = pair();
    const controller = new AbortController();
    const reason = make();
    const onEvent = ({ event, rows }) => {
      if (event === 'progress' && rows > 0 && !controller.signal.aborted) {
        controller.abort(reason);
      }
    };
    const cloning = clone(fromRows(endless), names.target, { signal: controller.signal, memory: '8MiB', onEvent });
    await assert.rejects(cloning, (error) => error === controller.signal.reason);
    await assertGone(names);
  }
});

test('AbortSignal.timeout works as it does for fetch', async () => {
  const names = pair();
  const cloning = clone(fromRows(endless), names.target, { signal: AbortSignal.timeout(500) });
  await assert.rejects(cloning, { name: 'TimeoutError' });
  await assertGone(names);
});

test('a cancelled job fails with CANCELLED and has cleaned up by then', async () => {
  const names = pair();
  let rows = 0;
  const job = new CloneJob(fromRows(endless), names.target, { onEvent: (event) => (rows = event.rows ?? rows) }).start();
  await waitUntil(() => rows > 0);
  await job.cancel();
  await assertGone(names);
  await assert.rejects(job.wait(), (error) => error instanceof CloneError && error.code === 'CANCELLED');
  await job.cancel();
});

test('a job that is cancelled before its start does nothing', async () => {
  const job = new CloneJob('mysql://a@127.0.0.1:1/b', 'mysql://a@127.0.0.1:1/c');
  await job.cancel();
  await assert.rejects(job.wait(), { code: 'CANCELLED' });
});

test('leaving the scope of a job cancels it', async () => {
  const names = pair();
  const job = new CloneJob(fromRows(endless), names.target, { memory: '8MiB' });
  for await (const { event, rows } of job) if (event === 'progress' && rows > 0) break;
  await job[Symbol.asyncDispose]();
  await assertGone(names);
});

test('Ctrl-C ends a script by its signal, and leaves nothing', async () => {
  for (const signal of ['SIGINT', 'SIGTERM']) {
    const names = pair();
    await table(names.source, 100_000);
    const running = script(`
      import { clone } from 'dbgraft';
      const onEvent = (event) => { if (event.event === 'progress' && event.rows > 0) console.log('rows'); };
      const options = { memory: '8MiB', maxRate: '1MiB', onEvent };
      await clone(${JSON.stringify(names.source)}, ${JSON.stringify(names.target)}, options).catch((error) => console.log(error.code));
      await new Promise((never) => setTimeout(never, 600_000));
    `);
    await running.says('rows');
    running.child.kill(signal);
    const ended = await running.end;
    assert.deepEqual([ended.code, ended.signal], [null, signal]);
    assert.match(ended.said, /CANCELLED/);
    await assertGone(names);
  }
});

test('Ctrl-C ends a script that would go on with the next clone, too', async () => {
  const all = [pair(), pair(), pair()];
  await Promise.all(all.map((names) => table(names.source, 20_000)));
  const running = script(`
    import { clone } from 'dbgraft';
    const onEvent = (event) => { if (event.event === 'started') console.log('rows'); };
    for (const [source, target] of ${JSON.stringify(all.map(({ source, target }) => [source, target]))}) {
      await clone(source, target, { maxRate: '100K', onEvent }).catch((error) => console.log(error.code));
    }
  `);
  await running.says('rows');
  running.child.kill('SIGINT');
  assert.equal((await running.end).signal, 'SIGINT');
  for (const names of all) await assertGone(names);
});

test('a script that listens for signals decides itself', async () => {
  const names = pair();
  await table(names.source, 3000);
  const running = script(`
    import { clone } from 'dbgraft';
    const onEvent = (event) => {
      if (event.event === 'started') process.on('SIGINT', () => console.log('heard')) && console.log('rows');
    };
    console.log((await clone(${JSON.stringify(names.source)}, ${JSON.stringify(names.target)}, { maxRate: '300K', onEvent })).rows);
    console.log(process.listenerCount('SIGTERM'));
  `);
  await running.says('rows');
  running.child.kill('SIGINT');
  const { code, said } = await running.end;
  assert.deepEqual([code, said.split('\n').slice(-4)], [0, ['heard', '3000', '0', '']]);
});

test('several jobs run at once, and one that is cancelled does not disturb the others', async () => {
  const all = [pair(), pair(), pair()];
  await Promise.all(all.map((names) => table(names.source, 2000)));
  const jobs = all.map((names) => new CloneJob(names.source, names.target, { threads: 1, maxRate: '1M' }).start());
  await jobs[1].cancel();
  assert.equal((await jobs[0].wait()).rows, 2000);
  assert.equal((await jobs[2].wait()).rows, 2000);
  await assert.rejects(jobs[1].wait(), { code: 'CANCELLED' });
  await assertGone(all[1]);
});

test('a paused job reads nothing until it goes on', async () => {
  const names = shop('MYSQL');
  const seen = [];
  const onEvent = ({ event, phase, rows }) => event === 'progress' && phase === 'rows' && seen.push(rows);
  const job = new CloneJob(names.source, names.target, { onEvent });
  job.pause();
  job.start();
  await waitUntil(() => seen.length > 5, 'a paused job');
  assert.ok(job.isPaused && seen.every((rows) => rows === 0), `${seen}`);
  job.unpause();
  assert.ok((await job.wait()).rows > 0);
  assert.equal(job.isPaused, false);
});
