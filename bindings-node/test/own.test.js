import assert from 'node:assert/strict';
import { pipeline } from 'node:stream/promises';
import { Writable } from 'node:stream';
import { test } from 'node:test';

import { CloneError, clone, fromRows, plan, readBatches, verify } from 'dbgraft';

import { FLAVORS, pair, script, sql, table, waitUntil } from './setup.js';

const rows = (columns, list, primaryKey = 'id') => fromRows({ name: 't', columns, primaryKey, rows: list });

for (const flavor of FLAVORS) {
  test(`values of every type arrive, and come back: ${flavor}`, async () => {
    const names = pair(flavor);
    const columns = {
      id: 'bigint unsigned not null', i: 'int', d: 'decimal(20,5)', f: 'double', s: 'varchar(50)', b: 'varbinary(20)',
      day: 'date', at: 'datetime(3)', j: 'json', e: "enum('a','it''s','c')", many: "set('x','y','z')", bits: 'bit(10)', yes: 'bool',
    };
    const first = {
      id: 18446744073709551615n, i: -5, d: '123456789012345.67891', f: 1e-300, s: 'tab\t nl\n bs\\ \\N 🙂 \0',
      b: Buffer.from([0, 9, 10, 92, 255]), day: new Date('2024-02-29T00:00:00Z'), at: new Date('2024-02-29T12:34:56.789Z'),
      j: { a: [1, 'ü', null] }, e: "it's", many: ['x', 'z'], bits: 0x30a, yes: true,
    };
    const report = await clone(rows(columns, [first, { id: 2 }, [3, ...Array(11).fill(null), false]]), names.target);
    assert.equal(report.rows, 3);
    const found = await sql(names.target, `SELECT id = 18446744073709551615, i, d, f, s, HEX(b), day, at,
      JSON_EXTRACT(j, '$.a[1]'), e, many, bits + 0, yes FROM t ORDER BY id`);
    const none = Array(11).fill(null);
    assert.deepEqual(found, [
      [0, ...none, null],
      [0, ...none, 0],
      [1, -5, '123456789012345.67891', 1e-300, first.s, '00090A5CFF', '2024-02-29', '2024-02-29 12:34:56.789', 'ü', "it's", 'x,z', 0x30a, 1],
    ]);
    const back = [];
    for await (const batch of readBatches(names.target)) back.push(...batch);
    back.sort((one, other) => (one.id < other.id ? -1 : 1));
    assert.deepEqual({ ...back[2], j: JSON.parse(back[2].j), bits: back[2].bits.readUInt16BE() }, {
      ...first, day: '2024-02-29', at: '2024-02-29 12:34:56.789000', many: 'x,z', yes: 1,
    });
    assert.deepEqual(Object.values(back[0]).slice(1), [...none, null]);
  });
}

test('values that no column takes are refused by row and column, and nothing is left', async () => {
  const columns = { id: 'int not null', v: 'varchar(5)', e: "enum('a')" };
  const refuses = async (row, message, code = 'DATA') => {
    const names = pair();
    await assert.rejects(clone(rows(columns, [[1, 'a', 'a'], row]), names.target), (error) => {
      assert.match(error.message, message);
      assert.equal(error.code, code);
      return true;
    });
    assert.deepEqual(await sql(names.target.replace(/\/[^/]*$/, ''), `SHOW DATABASES LIKE '${names.name}_copy'`), []);
  };
  await refuses([2, 'a', 'b'], /column e: `b`.*row 2, table t/);
  await refuses({ id: 2, w: 1 }, /column w/);
  await refuses([2, 'a'], /2 values.*3 columns/);
  await refuses([2, NaN, 'a'], /column v: NaN/);
  await refuses([2, { a: 1 }, 'a'], /column v/);
  await refuses([2, '\ud800', 'a'], /surrogate/);
  await refuses([2, 'too long', 'a'], /too long/, 'SERVER');
  assert.throws(() => fromRows({ name: 't', columns: { id: 'int' } }), { code: 'USAGE', message: /rows of table t/ });
  assert.throws(() => fromRows({ name: 't', columns: { id: 4 }, rows: [] }), { code: 'USAGE', message: /columns/ });
  await refuses(5, /a row is a list or an object/, 'USAGE');
});

test('a million rows of an asynchronous generator need no memory', async () => {
  const names = pair();
  const { end } = script(`
    import { clone, fromRows } from 'dbgraft';
    async function* rows() { for (let id = 0; id < 1_000_000; id += 1) yield { id, name: 'the name of ' + id }; }
    const columns = { id: 'int not null', name: 'varchar(50)' };
    const source = fromRows({ name: 't', columns, primaryKey: 'id', rows });
    let most = 0;
    const onEvent = () => (most = Math.max(most, process.memoryUsage().rss));
    const before = process.memoryUsage().rss;
    const report = await clone(source, ${JSON.stringify(names.target)}, { memory: '16MiB', onEvent });
    console.log(JSON.stringify({ rows: report.rows, grown: most - before }));
  `, { flags: ['--max-old-space-size=48'] });
  const { rows: count, grown } = JSON.parse((await end).said);
  assert.equal(count, 1_000_000);
  assert.ok(grown < 150 * 2 ** 20, `${grown >> 20} MiB`);
  assert.deepEqual(await sql(names.target, 'SELECT COUNT(*), SUM(id) FROM t'), [[1_000_000, '499999500000']]);
});

test('an aborted clone closes the iterator of its rows', async () => {
  const names = pair();
  const controller = new AbortController();
  let returned = false;
  async function* endless() {
    try {
      for (let id = 0; ; id += 1) {
        yield [id];
        if (id === 1000) controller.abort();
      }
    } finally {
      returned = true;
    }
  }
  const source = rows({ id: 'int not null' }, endless());
  await assert.rejects(clone(source, names.target, { signal: controller.signal }), { name: 'AbortError' });
  await waitUntil(() => returned);
});

test('an error that a source throws stops the clone, and is the cause', async () => {
  const names = pair();
  const thrown = new Error('the file is broken');
  async function* broken() {
    yield [1];
    throw thrown;
  }
  await assert.rejects(clone(rows({ id: 'int not null' }, broken()), names.target), { code: 'CALLBACK', cause: thrown });
});

test('the methods of a custom source are called in order', async () => {
  const names = pair();
  const inner = rows({ id: 'int not null' }, []);
  const calls = [];
  const source = {
    catalog: async () => calls.push('catalog') && inner.catalog(),
    check: (selection) => calls.push('check') && [{ severity: 'warning', message: `beware of ${selection.tables[0].name}` }],
    async *read(table, chunk) {
      calls.push(`read ${table.table.name} ${chunk.number}`);
      yield Buffer.from('1\n2\n');
      yield [3];
    },
    notes: () => [{ message: { object: null, message: 'that was it' } }],
    close: () => calls.push('close'),
  };
  const overview = await plan(source, names.target);
  assert.equal(overview.findings[0].message, 'beware of t');
  calls.length = 0;
  const report = await clone(source, names.target);
  assert.deepEqual([report.rows, report.warnings], [3, ['beware of t', 'that was it']]);
  assert.deepEqual([calls[0], calls.at(-1)], ['catalog', 'close']);
  assert.deepEqual(calls.filter((call) => call.startsWith('read')), ['read t 0']);
});

test('a custom sink gets every row once, is retried, and finishes', async () => {
  const names = pair();
  await table(names.source, 5000, ', at DATETIME NULL');
  const calls = [];
  const ids = new Set();
  let failures = 0;
  const sink = {
    begin: (it) => void calls.push(`begin ${it.tables.length}`),
    async write(it, batch) {
      if ((failures += 1) === 1) throw new CloneError('not now', { code: 'CONNECTION', retryable: true });
      for (const row of batch) ids.add(row.id);
      assert.equal(it.table.name, batch.table.table.name);
    },
    complete: (it) => calls.push(`complete ${it.table.name}`),
    finish: () => void calls.push('finish'),
    abort: () => calls.push('abort'),
  };
  const report = await clone(names.source, sink, { memory: '8MiB' });
  assert.deepEqual(calls, ['begin 1', 'complete t', 'finish']);
  assert.deepEqual([ids.size, report.rows], [5000, 5000]);
  const fails = { ...sink, write: () => { throw new Error('disk full'); } };
  calls.length = 0;
  await assert.rejects(clone(names.source, fails), { code: 'CALLBACK', message: /disk full/ });
  assert.deepEqual(calls, ['begin 1', 'abort']);
});

test('an aborted clone rejects with the reason also where a sink has failed before', async () => {
  const names = pair();
  await table(names.source, 5000);
  const controller = new AbortController();
  let calls = 0;
  const write = () => {
    if ((calls += 1) === 1) throw new CloneError('not now', { code: 'CONNECTION', retryable: true });
    controller.abort();
  };
  await assert.rejects(clone(names.source, { write }, { memory: '8MiB', signal: controller.signal }), { name: 'AbortError' });
});

test('a sink with readBack can be verified', async () => {
  const names = pair();
  await table(names.source, 100);
  const held = [];
  const sink = {
    write: (_, batch) => void held.push(Buffer.from(batch.data)),
    readBack: () => held,
  };
  assert.deepEqual((await clone(names.source, sink, { verify: 'checksum' })).verified.differences, []);
  assert.deepEqual((await verify(names.source, sink)).differences, []);
  held[0] = Buffer.from(String(held[0]).replace('x', 'y'));
  assert.equal((await verify(names.source, sink)).differences.length, 1);
  const forgetful = { write: () => {}, readBack: () => [held[0]] };
  await assert.rejects(clone(names.source, forgetful, { verify: 'checksum' }), (error) => {
    assert.deepEqual([error.code, error.report.rows, error.report.verified.differences.length], ['DIFFERENT', 100, 1]);
    return true;
  });
});

test('batches are a stream with backpressure, which ends with the job', async () => {
  const names = pair();
  await table(names.source, 20_000);
  let count = 0;
  let most = 0;
  let open = 0;
  await pipeline(readBatches(names.source, { memory: '8MiB' }), new Writable({
    objectMode: true,
    async write(batch, _, done) {
      most = Math.max(most, (open += 1));
      count += [...batch].length;
      await new Promise(setImmediate);
      open -= 1;
      done();
    },
  }));
  assert.deepEqual([count, most], [20_000, 1]);
  let seen = 0;
  for await (const batch of readBatches(names.source, { memory: '8MiB' })) {
    seen += batch.rows;
    break;
  }
  assert.ok(seen > 0 && seen < 20_000);
  await assert.rejects(async () => { for await (const _ of readBatches('mysql://a@127.0.0.1:1/b')); }, { code: 'CONNECTION' });
});
