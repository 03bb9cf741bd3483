'use strict';

// Converts values of JavaScript for the native module, and the text of a batch to values.

const { native } = require('./addon.js');
const { CloneError } = require('./error.js');

const wellFormed = String.prototype.isWellFormed ?? function () { return !/\p{Surrogate}/u.test(this); };

/** The stored columns of a table. */
function stored(table) {
  return table.columns.filter((column) => !column.generated || column.stored);
}

function wrong(column, what) {
  return new CloneError(`column ${column.name}: ${what}`, { code: 'DATA' });
}

function fromDate(date, column) {
  if (Number.isNaN(date.getTime())) throw wrong(column, 'an invalid Date');
  const [day, time] = date.toISOString().slice(0, -1).split('T');
  if (column.data_type === 'date') return day;
  const short = time.endsWith('.000') ? time.slice(0, -4) : time;
  return column.data_type === 'time' ? short : `${day} ${short}`;
}

function encode(value, column) {
  switch (typeof value) {
    case 'string':
      // A lone surrogate would silently become another character.
      if (!wellFormed.call(value)) throw wrong(column, 'a text with half a surrogate pair');
      return value;
    case 'number':
      if (!Number.isFinite(value)) throw wrong(column, `${value} is no number in SQL`);
      return Number.isSafeInteger(value) && !Object.is(value, -0) ? value : Object.is(value, -0) ? '-0' : String(value);
    case 'bigint':
      return value;
    case 'boolean':
      return value ? 1 : 0;
    case 'undefined':
      return null;
    case 'object':
      if (value === null || value instanceof Uint8Array) return value;
      if (column.data_type === 'json') return JSON.stringify(value);
      if (value instanceof Date) return fromDate(value, column);
      if (Array.isArray(value) && column.data_type === 'set') return value.join(',');
  }
  throw wrong(column, `a value of type ${typeof value} is for JSON columns alone`);
}

/** Converts a row, a list or an object by column name, to a list of values for the native module. */
function rowEncoder(table) {
  const columns = stored(table);
  const names = new Set(columns.map((column) => column.name));
  return (row) => {
    if (row === null || typeof row !== 'object') {
      throw new CloneError(`table ${table.name}: a row is a list or an object, not ${row === null ? 'null' : typeof row}`, { code: 'USAGE' });
    }
    if (Array.isArray(row)) {
      if (row.length !== columns.length) {
        const counts = `a row has ${row.length} values, and there are ${columns.length} columns`;
        throw new CloneError(`table ${table.name}: ${counts}`, { code: 'DATA' });
      }
      return columns.map((column, index) => encode(row[index], column));
    }
    for (const name of Object.keys(row)) {
      if (!names.has(name)) throw new CloneError(`table ${table.name}: it has no column ${name}`, { code: 'DATA' });
    }
    return columns.map((column) => encode(row[column.name], column));
  };
}

/** Estimates the bytes of the values. */
function weight(values) {
  let sum = 0;
  for (const value of values) sum += value === null ? 2 : value.length ?? 8;
  return sum;
}

const [TAB, NEWLINE, BACKSLASH, LETTER_N, LETTER_T, LETTER_n] = Buffer.from('\t\n\\Ntn');

function unescape(bytes) {
  if (!bytes.includes(BACKSLASH)) return bytes;
  const out = Buffer.allocUnsafe(bytes.length);
  let length = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    let byte = bytes[at];
    if (byte === BACKSLASH) {
      at += 1;
      byte = bytes[at] === LETTER_T ? TAB : bytes[at] === LETTER_n ? NEWLINE : bytes[at];
    }
    out[length] = byte;
    length += 1;
  }
  return out.subarray(0, length);
}

function integer(bytes) {
  const text = bytes.latin1Slice();
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : BigInt(text);
}

const INTEGERS = new Set(['tinyint', 'smallint', 'mediumint', 'int', 'bigint', 'year']);
const BINARY = new Set(['binary', 'varbinary', 'tinyblob', 'blob', 'mediumblob', 'longblob', 'bit', 'vector', 'geometry',
  'point', 'linestring', 'polygon', 'multipoint', 'multilinestring', 'multipolygon', 'geomcollection', 'geometrycollection']);
const UNICODE = new Set([null, undefined, 'utf8mb4', 'utf8mb3', 'utf8', 'ascii']);

/** Returns the function that converts the fields of a column to values. */
function fieldDecoder(column) {
  if (INTEGERS.has(column.data_type)) return integer;
  if (column.data_type === 'float' || column.data_type === 'double') return (bytes) => Number(bytes.latin1Slice());
  if (column.data_type === 'enum') {
    const members = native.members(JSON.stringify(column));
    return (bytes) => members[Number(bytes.latin1Slice()) - 1] ?? '';
  }
  if (column.data_type === 'set') {
    const members = native.members(JSON.stringify(column));
    return (bytes) => {
      const bits = BigInt(bytes.latin1Slice());
      return members.filter((_, index) => (bits >> BigInt(index)) & 1n).join(',');
    };
  }
  if (BINARY.has(column.data_type) || !UNICODE.has(column.charset)) return (bytes) => Buffer.from(bytes);
  return (bytes) => bytes.utf8Slice();
}

/** Converts the text of a batch to row objects. */
function* decodeRows(table, data) {
  const columns = stored(table).map((column) => ({ name: column.name, decode: fieldDecoder(column) }));
  let start = 0;
  while (start < data.length) {
    const row = {};
    const end = data.indexOf(NEWLINE, start);
    for (const { name, decode } of columns) {
      const tab = data.indexOf(TAB, start);
      const stop = tab === -1 || tab > end ? end : tab;
      const isNull = stop - start === 2 && data[start] === BACKSLASH && data[start + 1] === LETTER_N;
      // `__proto__` is a valid column name.
      Object.defineProperty(row, name, {
        value: isNull ? null : decode(unescape(data.subarray(start, stop))),
        enumerable: true, configurable: true, writable: true,
      });
      start = stop + 1;
    }
    start = end + 1;
    yield row;
  }
}

module.exports = { rowEncoder, weight, decodeRows };
