'use strict';

// Custom sources and sinks: answers the calls of the native module.

const { setImmediate: immediate } = require('node:timers/promises');

const { native: addon } = require('./addon.js');
const { CloneError, callNative } = require('./error.js');
const { rowEncoder, weight, decodeRows } = require('./values.js');

const SOURCE = ['catalog', 'check', 'plan', 'snapshot', 'read', 'notes', 'close'];
const SINK = ['check', 'unsupported', 'existing', 'begin', 'write', 'complete', 'counterparts', 'readBack', 'finish', 'abort'];

/** The maximum numbers of rows and of bytes that are encoded without a pause. */
const BLOCK_ROWS = 256;
const BLOCK_BYTES = 1 << 20;

/** A batch for a sink: whole rows of one table as LOAD DATA text. */
class Batch {
  #table;

  constructor(table, { id, rows, digest }, data) {
    this.#table = table;
    this.id = id;
    this.rows = rows;
    this.digest = digest;
    this.data = data;
  }

  /** The plan of the table. */
  get table() {
    return this.#table;
  }

  /** Iterates over the rows as objects by column name. */
  [Symbol.iterator]() {
    return decodeRows(this.#table.table, this.data);
  }
}

/** Checks an end of a job: a URL, or an object with the required methods. */
function parseEnd(given, side) {
  if (typeof given === 'string') return { url: given, methods: [] };
  if (given instanceof URL) return { url: given.href, methods: [] };
  const [all, needed] = side === 'source' ? [SOURCE, ['catalog', 'read']] : [SINK, ['write']];
  const missing = needed.find((name) => typeof given?.[name] !== 'function');
  if (missing !== undefined) {
    throw new CloneError(`the ${side} is a URL, or an object with the method \`${missing}\``, { code: 'USAGE' });
  }
  const methods = all.filter((name) => typeof given[name] === 'function');
  if (given.readsAnyRange) methods.push('readsAnyRange');
  return { object: given, methods };
}

/** Returns an iterator of rows. */
function iterable(rows, what) {
  const make = rows?.[Symbol.asyncIterator] ?? rows?.[Symbol.iterator];
  if (typeof make !== 'function' || typeof rows === 'string') {
    throw new CloneError(`${what}: they cannot be iterated over`, { code: 'USAGE' });
  }
  return () => make.call(rows);
}

/** Handles the calls of one job to one custom end. */
class CustomEnd {
  #job;
  #object;
  #tables = new Map();
  #readings = new Map();

  constructor(job, object) {
    this.#job = job;
    this.#object = object;
  }

  async call(method, body, data) {
    switch (method) {
      case 'read':
      case 'readBack':
        return this.#read(method, body);
      case 'write': {
        const table = this.#table(body);
        return this.#object.write(table, new Batch(table, body.body, data));
      }
      case 'complete':
        return this.#object.complete(this.#table(body));
      case 'unsupported':
        return this.#object.unsupported(...body);
      case 'check':
        return Array.isArray(body) ? this.#object.check(...body) : this.#object.check(body);
      default:
        return body === null ? this.#object[method]() : this.#object[method](body);
    }
  }

  /** Closes a reader before its last row. */
  async release(number) {
    const reading = this.#readings.get(number);
    this.#readings.delete(number);
    await reading?.rows.return?.();
  }

  #table({ number, table }) {
    if (table) this.#tables.set(number, table);
    return this.#tables.get(number);
  }

  /** Adds the rows of a batch. Returns whether they were the last ones. */
  async #read(method, { reading: number, bytes, begin }) {
    if (begin) {
      const table = this.#table(begin);
      const rows = iterable(await this.#object[method](table, begin.body), `the rows of \`${method}\``)();
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
      full = callNative(() => this.#job.addRows(number, block));
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
        full = callNative(() => this.#job.addText(number, value));
      } else {
        const values = encode(value);
        size += weight(values);
        block.push(values);
      }
      if (block.length === BLOCK_ROWS || size >= BLOCK_BYTES) {
        flush();
        // Yields to the event loop, since synchronous rows never wait.
        await immediate();
      }
      if (full >= bytes) {
        flush();
        return false;
      }
    }
  }
}

/** Creates a source of tables from rows. */
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

module.exports = { Batch, CustomEnd, parseEnd, fromRows };
