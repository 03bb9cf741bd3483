import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';

import { CloneError, CloneJob, abandon, clone, executable, optionNames, plan, status, verify } from 'dbgraft';

import { FLAVORS, compare, exists, lasting, pair, shop, sql, table } from './setup.js';

for (const flavor of FLAVORS) {
  test(`a clone is exact, and its report is that of the command: ${flavor}`, async () => {
    const names = shop(flavor);
    const report = await clone(names.source, new URL(names.target), { verify: 'checksum' });
    compare(names);
    assert.deepEqual(report.verified.differences, []);
    await sql(names.target, `DROP DATABASE ${names.name}_copy`);
    const again = ['clone', names.source, names.target, '--verify', 'checksum', '--report', '-'];
    const ofCommand = JSON.parse(execFileSync(executable, again, { stdio: ['ignore', 'pipe', 'ignore'] }));
    assert.deepEqual(lasting(report), lasting(ofCommand));
  });
}

test('a clone that is killed is known to its target, and is undone', async () => {
  const names = shop('MYSQL');
  const running = spawn(executable, ['clone', names.source, names.target, '--max-rate', '200K', '--progress', 'none']);
  const ended = once(running, 'exit');
  while ((await status(names.target)).rows === 0) await setTimeout(50);
  running.kill('SIGKILL');
  await ended;
  while ((await status(names.target)).state === 'running') await setTimeout(50);
  const left = await status(new URL(names.target));
  assert.equal(left.state, 'dead');
  assert.ok(left.tables.length > 0 && left.message.includes('--resume'));
  await assert.rejects(clone(names.source, names.target), ({ code }) => code === 'PREFLIGHT');
  assert.equal((await abandon(names.target)).message, 'the clone was undone');
  assert.equal(await exists(names.target), false);
  assert.equal((await status(names.target)).state, 'none');
  await assert.rejects(status('mysql://nobody@127.0.0.1:1/d'), CloneError);
});

test('a partial clone goes through S3', async () => {
  const names = shop('MYSQL');
  const legs = new Set();
  const report = await clone(names.source, names.target, {
    via: names.via, include: ['orders', 'country'], where: { orders: "state = 'open'" }, memory: '32MiB', threads: 2,
    onEvent: (event) => legs.add(event.leg),
  });
  const [[open]] = await sql(names.source, "SELECT COUNT(*) FROM orders WHERE state = 'open'");
  assert.deepEqual(await sql(names.target, 'SELECT COUNT(*) FROM orders'), [[open]]);
  assert.ok(legs.has('export') && legs.has('import'));
  assert.ok(report.left_out.length > 0);
});

test('an agent runs on another host, with the executable of the package', async () => {
  const names = pair();
  await table(names.source, 1000);
  const report = await clone(names.source, names.target, {
    sourceTunnel: process.env.DBGRAFT_TEST_SSH_SOURCE, targetAgent: process.env.DBGRAFT_TEST_SSH_TARGET,
  });
  assert.equal(report.rows, 1000);
  compare(names);
});

test('a callback answers the questions of SSH', async () => {
  const names = pair();
  await table(names.source, 10);
  const tunnel = new URL(process.env.DBGRAFT_TEST_SSH_SOURCE);
  const folder = mkdtempSync(join(tmpdir(), 'dbgraft-node-'));
  const key = join(folder, 'key');
  copyFileSync(tunnel.searchParams.get('identity'), key);
  chmodSync(key, 0o600);
  execFileSync('ssh-keygen', ['-q', '-p', '-P', '', '-N', 'a passphrase', '-f', key]);
  tunnel.searchParams.set('identity', key);
  const questions = [];
  const onQuestion = async (question) => questions.push(question) && 'a passphrase';
  await clone(names.source, names.target, { sourceTunnel: tunnel, onQuestion });
  rmSync(folder, { recursive: true });
  compare(names);
  assert.equal(questions.length, 1);
  assert.match(questions[0], /passphrase/i);
});

test('a plan writes nothing, and a comparison finds what is different', async () => {
  const names = pair();
  await table(names.source, 500);
  const overview = await plan(names.source, names.target);
  assert.equal(overview.plan.tables[0].table.name, 't');
  assert.equal(await exists(names.target), false);
  await clone(names.source, names.target);
  assert.deepEqual((await verify(names.source, names.target)).differences, []);
  await sql(names.target, 'DELETE FROM t WHERE id = 7');
  const { differences } = await verify(names.source, names.target, { listRows: true });
  assert.deepEqual(differences[0].rows, [{ key: 'id = 7', place: 'source' }]);
});

test('a function chooses objects, and conditions hold beside it', async () => {
  const names = shop('MYSQL');
  const asked = [];
  await clone(names.source, names.target, {
    selector: async (object) => asked.push(object.kind) > 0 && object.kind === 'table' && object.name.startsWith('or'),
    where: { orders: 'id <= 5' },
  });
  assert.ok(asked.includes('trigger') && asked.includes('view'));
  assert.deepEqual(await sql(names.target, 'SHOW TABLES'), [['order_item'], ['orders']]);
  assert.deepEqual(await sql(names.target, 'SELECT COUNT(*) FROM orders'), [[5]]);
});

test('an error that a selector throws refuses the clone, and is the cause', async () => {
  const names = pair();
  await table(names.source, 1);
  const thrown = new TypeError('no such field');
  const selector = () => { throw thrown; };
  await assert.rejects(clone(names.source, names.target, { selector }), (error) => {
    assert.ok(error instanceof CloneError);
    assert.deepEqual([error.code, error.cause, error.context.in], ['CALLBACK', thrown, '`selector`']);
    return true;
  });
  await assert.rejects(clone(names.source, names.target, { selector: () => {} }), { code: 'CALLBACK', message: /undefined for t/ });
  assert.equal(await exists(names.target), false);
});

test('a conflict is reported before anything is changed', async () => {
  const names = pair();
  await table(names.source, 3);
  await table(names.target, 2);
  await assert.rejects(clone(names.source, names.target), { code: 'PREFLIGHT', retryable: false, message: /t/ });
  assert.deepEqual(await sql(names.target, 'SELECT COUNT(*) FROM t'), [[2]]);
});

test('a wrong option is named, with the right one', async () => {
  const refuses = async (options, names) => {
    await assert.rejects(clone('mysql://a@127.0.0.1:1/b', 'mysql://a@127.0.0.1:1/c', options), (error) => {
      assert.ok(error instanceof CloneError && error instanceof Error && error.name === 'CloneError');
      assert.equal(error.code, 'USAGE');
      assert.match(error.message, names);
      return true;
    });
  };
  await refuses({ thread: 4 }, /`thread`.*`threads`/);
  await refuses({ if_exists: 'drop' }, /`ifExists`/);
  await refuses({ threads: '4' }, /`threads`/);
  await refuses({ threads: 0 }, /threads/);
  await refuses({ memory: 'lots' }, /`memory`.*`lots`/);
  await refuses({ ifExists: 'maybe' }, /`ifExists`.*`maybe`/);
  await refuses({ schemaOnly: true, dataOnly: true }, /data-only/);
  await refuses({ selector: () => true, include: 'a' }, /include/);
  await refuses({ onEvent: 'x' }, /`onEvent`/);
  await refuses({ signal: 'x' }, /`signal`/);
  // None of these may mean a full clone.
  await refuses({ include: () => true }, /`include`.*`selector`/);
  await refuses({ include: new Set(['a']) }, /`include`.*Set/);
  await refuses({ where: { orders: undefined } }, /`where`.*undefined/);
  await refuses({ where: new Map([['orders', 'id > 3']]) }, /`where`.*Map/);
  await refuses({ maxRate: NaN }, /`maxRate`.*NaN/);
  assert.throws(() => new CloneJob('mysql://a@127.0.0.1:1/b', 'mysql://a@127.0.0.1:1/c', { thread: 1 }), CloneError);
  assert.throws(() => new CloneJob({}, 'mysql://a@127.0.0.1:1/c'), /`catalog`/);
  assert.throws(() => new CloneJob('mysql://a@127.0.0.1:1/c'), /`write`/);
});

test('an error says what kind it is, whether to try again, and where it happened', async () => {
  const names = pair();
  await table(names.source, 1);
  const wrong = new URL(names.target);
  wrong.password = 'wrong-Pa55word';
  await assert.rejects(clone(names.source, wrong), (error) => {
    assert.deepEqual([error.code, error.serverCode, error.retryable], ['AUTHENTICATION', 1045, false]);
    assert.ok(!error.message.includes('wrong-Pa55word') && !error.stack.includes('wrong-Pa55word'));
    return true;
  });
  await assert.rejects(clone(names.source, 'mysql://a@127.0.0.1:1/b'), (error) => {
    assert.deepEqual([error.code, error.retryable], ['CONNECTION', true]);
    assert.ok(error.cause instanceof Error);
    assert.match(error.context.target, /127\.0\.0\.1:1/);
    return true;
  });
});

test('passwords come as options', async () => {
  const names = pair();
  await table(names.source, 3);
  const [source, target] = [names.source, names.target].map((url) => new URL(url));
  const passwords = { sourcePassword: source.password, targetPassword: target.password };
  source.password = target.password = '';
  assert.equal((await clone(source, target, passwords)).rows, 3);
});

test('every option has a flag of the command', () => {
  const help = execFileSync(executable, ['clone', '--help'], { encoding: 'utf8' });
  const kebab = (name) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  assert.deepEqual(optionNames.filter((name) => !help.includes(`--${kebab(name)}`)), []);
});
