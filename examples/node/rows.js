// Loads a CSV file of any size into a table: rows are read from the file as fast as the server stores them.
//
//   node rows.js people.csv mysql://root@db.example/people
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';

import { clone, fromRows } from 'dbgraft';

const [file, target] = process.argv.slice(2);

async function* people() {
  for await (const line of createInterface({ input: createReadStream(file) })) {
    const [id, name, born] = line.split(',');
    yield { id: BigInt(id), name, born: born === '' ? null : born };
  }
}

const columns = { id: 'bigint not null', name: 'varchar(100) not null', born: 'date' };
const report = await clone(fromRows({ name: 'people', columns, primaryKey: 'id', rows: people }), target);
console.log(`${report.rows} rows in ${report.seconds.toFixed(1)} s`);
