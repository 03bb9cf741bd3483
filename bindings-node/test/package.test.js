import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';

import * as module from 'dbgraft';

import { ending, exists, pair, table } from './setup.js';

test('both kinds of modules are one', () => {
  const required = createRequire(import.meta.url)('dbgraft');
  assert.deepEqual(Object.keys(module).sort(), Object.keys(required).sort());
  for (const name of Object.keys(required)) assert.equal(module[name], required[name]);
});

test('the types hold, in strict mode, for both kinds of modules', () => {
  const options = ['--strict', '--noEmit', '--exactOptionalPropertyTypes', '--module', 'nodenext', '--target', 'es2022'];
  const { status, stdout } = spawnSync('npx', ['tsc', ...options, 'types.mts', 'types.cts'], { encoding: 'utf8' });
  assert.equal(status, 0, stdout);
});

test('every option has a type, and every type an option', () => {
  // That they are those of the types is checked by the compiler.
  const [, typed] = /const all: .*? = \{(.*?)\};/s.exec(readFileSync('types.mts', 'utf8'));
  assert.deepEqual([...typed.matchAll(/(\w+): true/g)].map(([, name]) => name).sort(), [...module.optionNames].sort());
});

test('npx dbgraft is the command, with its exit codes', () => {
  const run = (...words) => spawnSync('npx', ['dbgraft', ...words], { encoding: 'utf8' });
  assert.equal(run('--version').stdout.trim(), `dbgraft ${module.version}`);
  assert.equal(run('clone', 'a').status, 2);
  assert.equal(run('clone', 'mysql://a@127.0.0.1:1/b', 'mysql://a@127.0.0.1:1/c').status, 1);
});

test('Ctrl-C reaches the command, which cleans up', async () => {
  const names = pair();
  await table(names.source, 30_000);
  const words = ['node_modules/.bin/dbgraft', 'clone', names.source, names.target, '--max-rate', '300K', '--progress', 'json'];
  const child = spawn(words[0], words.slice(1), { stdio: ['ignore', 'pipe', 'ignore'] });
  const running = ending(child);
  await running.says('"event":"started"');
  child.kill('SIGINT');
  assert.equal((await running.end).code, 130);
  assert.equal(await exists(names.target), false);
});

test('the package needs no other', () => {
  const list = execFileSync('npm', ['ls', '--omit=dev', '--all', '--json'], { encoding: 'utf8' });
  assert.deepEqual(Object.keys(JSON.parse(list).dependencies?.dbgraft?.dependencies ?? {}), []);
});
