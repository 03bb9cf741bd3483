// The examples run as written.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { page } from './chromium.js';
import { FLAVORS, ending, exists, pair, shop, sql, table, waitUntil } from './setup.js';

function run(...words) {
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  return { child, ...ending(child) };
}

test('a nightly refresh of a part, through S3, with a progress bar', async () => {
  const names = shop('MARIADB');
  for (const _night of ['first', 'second']) {
    const { code, said } = await run('examples/nightly.js', names.source, names.target, names.via).end;
    assert.equal(code, 0, said);
    assert.match(said, /█.*100 %/s);
  }
  const open = "SELECT COUNT(*) FROM orders WHERE state IN ('open', 'paid')";
  assert.deepEqual(await sql(names.target, 'SELECT COUNT(*) FROM orders'), await sql(names.source, open));
});

test('many databases, three at a time, of which one fails', async () => {
  const all = Array.from({ length: 5 }, () => pair());
  await Promise.all(all.map((names) => table(names.source, 10)));
  const target = all[0].target.replace(/\/[^/]*$/, '');
  const { code, said } = await run('examples/many.js', all[0].server, target, ...all.map(({ name }) => name), 'is_not_there').end;
  assert.equal(code, 1);
  assert.match(said, /5 of 6 databases are cloned/);
  assert.deepEqual(await sql(`${target}/${all[4].name}`, 'SELECT COUNT(*) FROM t'), [[10]]);
});

test('a file of rows becomes a table', async () => {
  const names = pair();
  const folder = mkdtempSync(join(tmpdir(), 'dbgraft-node-'));
  const file = join(folder, 'people.csv');
  writeFileSync(file, '1,Ann,1990-01-31\n2,Bob,\n');
  const { code, said } = await run('examples/rows.js', file, names.target).end;
  rmSync(folder, { recursive: true });
  assert.equal(code, 0, said);
  assert.deepEqual(await sql(names.target, 'SELECT * FROM people'), [[1, 'Ann', '1990-01-31'], [2, 'Bob', null]]);
});

for (const flavor of FLAVORS) {
  test(`a move of a live database of ${flavor}`, async () => {
    const names = pair(flavor);
    await table(names.source, 10);
    const { code, said } = await run('examples/follow.js', names.source, names.target).end;
    assert.equal(code, 0, said);
    assert.match(said, /has every change up to/);
    assert.deepEqual(await sql(names.target, 'SELECT COUNT(*) FROM t'), [[10]]);
  });
}

test('a page shows the progress of a clone, and its button cancels it', async () => {
  const names = pair();
  await table(names.source, 60_000);
  process.env.MAX_RATE = '2MiB';
  const server = run('examples/web/server.js', names.source, names.target, '0');
  try {
    await server.says('http://');
    await page(server.said().trim(), async (evaluate) => {
      const state = () => evaluate("document.getElementById('state')?.textContent");
      const bar = () => evaluate("document.getElementById('bar').value");
      await waitUntil(async () => (await state()) === 'Not started', 'loaded');
      await evaluate("document.getElementById('start').click()");
      await waitUntil(async () => (await bar()) > 0, 'progress');
      const before = await bar();
      await waitUntil(async () => (await bar()) > before, 'more progress');
      assert.ok((await bar()) < 1);
      await evaluate("document.getElementById('cancel').click()");
      await waitUntil(async () => (await state()).startsWith('Cancelled'), 'cancelled');
      assert.equal(await exists(names.target), false);
      // And once more, to the end.
      await evaluate("document.getElementById('start').click()");
      await waitUntil(async () => (await state()).startsWith('Done: 60000 rows'), 'done');
      assert.equal(await bar(), 1);
    });
  } finally {
    server.child.kill();
    await server.end;
  }
});
