// What the tests share. They run in a project of their own, in which the package is installed: see `run.sh`.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

import mysql from 'mysql2/promise';

const { env } = process;
export const TESTKIT = env.DBGRAFT_TESTKIT_BIN;
export const FLAVORS = ['MYSQL', 'MARIADB'];

/** Milliseconds after which a test counts as hanging. Many, because they say nothing about how fast anything is. */
const HANG_GUARD = 300_000;

/** Polls `done` until it holds; fails if it does not within HANG_GUARD. */
export async function waitUntil(done, what = 'it') {
  for (const begun = performance.now(); !(await done()); await sleep(20)) {
    if (performance.now() - begun > HANG_GUARD) throw new Error(`${what} hangs`);
  }
}

let last = 0;

/** The names of two databases of their own, on a source and on a target server. */
export function pair(flavor = 'MYSQL') {
  const name = `node_${process.pid}_${(last += 1)}`;
  return {
    name,
    server: env[`DBGRAFT_TEST_${flavor}_SOURCE`],
    source: `${env[`DBGRAFT_TEST_${flavor}_SOURCE`]}/${name}`,
    target: `${env[`DBGRAFT_TEST_${flavor}_TARGET`]}/${name}_copy`,
    via: `s3://${env.DBGRAFT_TEST_S3_BUCKET}/${name}`,
  };
}

const shops = new Map();

/** Two such databases, of which the source has the test kit's shop: the same one for all tests of a file. */
export function shop(flavor) {
  const names = pair(flavor);
  if (!shops.has(flavor)) {
    execFileSync(TESTKIT, ['sample', names.server, names.name]);
    shops.set(flavor, names.source);
  }
  return { ...names, source: shops.get(flavor) };
}

/** Runs a statement in the database of a URL, or without one where that is not there. */
export async function sql(url, text) {
  const { hostname: host, port, username: user, password, pathname } = new URL(url);
  const connection = await mysql.createConnection({
    host, port, user, password, supportBigNumbers: true, multipleStatements: true, dateStrings: true,
    database: pathname.slice(1) || undefined,
  });
  try {
    return (await connection.query({ sql: text, rowsAsArray: true }))[0];
  } finally {
    await connection.end();
  }
}

/** Whether the database of a URL is there. */
export async function exists(url) {
  const { pathname } = new URL(url);
  const found = await sql(url.slice(0, -pathname.length), `SHOW DATABASES LIKE '${pathname.slice(1)}'`);
  return found.length > 0;
}

/** A database with a table of so many rows of about 200 bytes. */
export async function table(url, rows, columns = '') {
  const { pathname } = new URL(url);
  await sql(url.slice(0, -pathname.length), `CREATE DATABASE ${pathname.slice(1)}`);
  await sql(url, `CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(200) NOT NULL ${columns});
    INSERT INTO t (id, v) SELECT a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n, REPEAT('x', 200) FROM ${
      ['a', 'b', 'c', 'd', 'e'].map((name) => `(${[...Array(10).keys()].map((n) => `SELECT ${n} n`).join(' UNION ')}) ${name}`)
    } WHERE a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n < ${rows};
    ANALYZE TABLE t`);
}

/** Fails unless both databases are equal, by the test kit, which shares no code with dbgraft. */
export function compare({ source, target }) {
  execFileSync(TESTKIT, ['compare', source, target]);
}

/** Runs a script in a process of its own. */
export function script(code, { type = 'module', flags = [], variables = {} } = {}) {
  const child = spawn(process.execPath, [...flags, `--input-type=${type}`, '--eval', code], {
    env: { ...env, ...variables }, stdio: ['ignore', 'pipe', 'inherit'],
  });
  return { child, ...ending(child) };
}

/** The output and the end of a child process. */
export function ending(child) {
  const said = { text: '' };
  child.stdout.setEncoding('utf8').on('data', (data) => (said.text += data));
  const end = once(child, 'close').then(([code, signal]) => ({ code, signal, said: said.text }));
  /** Waits until its output contains `wanted`. */
  const says = async (wanted) => {
    while (!said.text.includes(wanted)) {
      const ended = await Promise.race([once(child.stdout, 'data'), end]);
      if ('code' in ended && !said.text.includes(wanted)) throw new Error(`it ended before it printed ${wanted}: ${said.text}`);
    }
  };
  return { end, says, said: () => said.text };
}

/** A report without what differs from run to run: other tests write to the servers at the same time. */
export function lasting(report) {
  const passing = ['seconds', 'binlog_position', 'gtid', 'writers_waited_ms'];
  return JSON.parse(JSON.stringify(report, (name, value) => (passing.includes(name) ? undefined : value)));
}
