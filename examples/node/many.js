// Clones many databases from one server to another, three at a time. A failed clone does not stop the others; Ctrl-C
// cancels all of them, and each cleans up.
//
//   node many.js mysql://root@db1.example mysql://root@db2.example shop blog wiki
import { clone } from 'dbgraft';

const AT_ONCE = 3;
const [source, target, ...names] = process.argv.slice(2);
const queue = names.values();
const failed = [];

async function worker() {
  // All workers share one iterator, so each name is taken once.
  for (const name of queue) {
    try {
      const report = await clone(`${source}/${name}`, `${target}/${name}`, { threads: 2, memory: '64MiB' });
      console.log(`${name}: ${report.rows} rows in ${report.seconds.toFixed(1)} s`);
    } catch (error) {
      console.error(`${name}: ${error.message}`);
      failed.push(name);
    }
  }
}

await Promise.all(Array.from({ length: AT_ONCE }, worker));
console.log(`${names.length - failed.length} of ${names.length} databases are cloned`);
process.exitCode = failed.length > 0 ? 1 : 0;
