'use strict';

// A source and a sink of the user's own: answers what the native half calls for.

const { setImmediate: immediate } = require('node:timers/promises');

const { native: addon } = require('./addon.js');
const { CloneError, native } = require('./error.js');
const { rowEncoder, weight, decodeRows } = require('./values.js');

const SOURCE = ['catalog', 'check', 'plan', 'snapshot', 'read', 'notes', 'close'];
const SINK = ['check', 'unsupported', 'existing', 'begin', 'write', 'complete', 'counterparts', 'readBack', 'finish', 'abort'];

/** So many rows are encoded without a pause, or so many bytes. */
const BLOCK_ROWS = 256;
const BLOCK_BYTES = 1 << 20;

/** A sink's batch: whole rows of one table as the text that LOAD DATA takes. */
class Batch {
  #table;

  constructor(table, { id, rows, digest }, data) {
    this.#table = table;
    this.id = id;
    this.rows = rows;
    this.digest = digest;
    this.data = data;
  }

  /** The table's plan. */
  get table() {
    return this.#table;
  }

  /** The rows as objects by column names. */
  [Symbol.iterator]() {
    return decodeRows(this.#table.table, this.data);
  }
}

/** An end of a job as it was given: a URL, or an object with the methods that are needed. */
function end(given, side) {
  if (typeof given === 'string') return { url: given, methods: [] };
  if (given instanceof URL) return { url: given.href, methods: [] };
  const [all, needed] = side === 'source' ? [SOURCE, ['catalog', 'read']] : [SINK, ['write']];
  const missing = needed.find((name) => typeof given?.[name] !== 'function');
  if (missing !== undefined) {
    throw new CloneError(`the ${side} is a URL, or an object with the method \`${missing}\``, { code: 'USAGE' });
  }
  const methods = all.filter((name) => typeof given[name] === 'function');
  if (given.readsAnyRange) methods.push('readsAnyRange');
  return { own: given, methods };
}

/** What makes an iterator of rows. */
function iterable(rows, what) {
  const make = rows?.[Symbol.asyncIterator] ?? rows?.[Symbol.iterator];
  if (typeof make !== 'function' || typeof rows === 'string') {
    throw new CloneError(`${what}: they cannot be iterated over`, { code: 'USAGE' });
  }
  return () => make.call(rows);
}

/** The calls of one job to one of its ends. */
class Own {
  #job;
  #own;
  #tables = new Map();
  #readings = new Map();

  constructor(job, own) {
    this.#job = job;
    this.#own = own;
  }

  async call(method, body, data) {
    switch (method) {
      case 'read':
      case 'readBack':
        return this.#read(method, body);
      case 'write': {
        const table = this.#table(body);
        return this.#own.write(table, new Batch(table, body.body, data));
      }
      case 'complete':
        return this.#own.complete(this.#table(body));
      case 'unsupported':
        return this.#own.unsupported(...body);
      case 'check':
        return Array.isArray(body) ? this.#own.check(...body) : this.#own.check(body);
      default:
        return body === null ? this.#own[method]() : this.#own[method](body);
    }
  }

  /** Ends a reading whose rows nobody wants any more. */
  async release(number) {
    const reading = this.#readings.get(number);
    this.#readings.delete(number);
    await reading?.rows.return?.();
  }

  #table({ number, table }) {
    if (table) this.#tables.set(number, table);
    return this.#tables.get(number);
  }

  /** Adds rows for a batch; whether they were the last ones. */
  async #read(method, { reading: number, bytes, begin }) {
    if (begin) {
      const table = this.#table(begin);
      const rows = iterable(await this.#own[method](table, begin.body), `the rows of \`${method}\``)();
      this.#readings.set(number, { rows, encode: rowEncoder(table.table) });
    }
    const reading = this.#readings.get(number);
    if (reading === undefined) return true;
    const ended = await this.#fill(number, reading, bytes);
    if (ended) this.#readings.delete(number);
    return ended;
  }

  async #fill(number, { rows, encode }, bytes) {
    let block = [];
    let size = 0;
    let full = 0;
    const flush = () => {
      full = native(() => this.#job.addRows(number, block));
      block = [];
      size = 0;
    };
    for (;;) {
      const next = rows.next();
      const { done, value } = typeof next.then === 'function' ? await next : next;
      if (done) {
        flush();
        return true;
      }
      if (value instanceof Uint8Array) {
        full = native(() => this.#job.addText(number, value));
      } else {
        const values = encode(value);
        size += weight(values);
        block.push(values);
      }
      if (block.length === BLOCK_ROWS || size >= BLOCK_BYTES) {
        flush();
        // Others want to run too, also where rows come without a wait.
        await immediate();
      }
      if (full >= bytes) {
        flush();
        return false;
      }
    }
  }
}

/** A source of tables that are made of rows. */
function fromRows(...tables) {
  for (const table of tables) {
    const { name, columns, rows } = table ?? {};
    const wrong = (what) => new CloneError(`a table of rows has ${what}`, { code: 'USAGE' });
    if (typeof name !== 'string' || name === '') throw wrong('a `name`');
    if (columns === null || typeof columns !== 'object' || Object.values(columns).some((text) => typeof text !== 'string')) {
      throw wrong(`\`columns\` by their definitions: { id: 'bigint not null' } (table ${name})`);
    }
    if (typeof rows !== 'function') iterable(rows, `the rows of table ${name}`);
  }
  const known = new Map(tables.map((table) => [table.name, table]));
  const define = ({ name, columns, primaryKey = [] }) =>
    JSON.parse(addon.defineTable(name, Object.entries(columns).flat(), [primaryKey].flat()));
  const catalog = JSON.parse(addon.defineCatalog(JSON.stringify(tables.map(define))));
  return {
    catalog: () => catalog,
    read({ table }) {
      const { rows } = known.get(table.name);
      return typeof rows === 'function' ? rows() : rows;
    },
  };
}

module.exports = { Batch, Own, end, fromRows };
