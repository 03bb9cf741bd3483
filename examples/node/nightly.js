// Refreshes a staging database every night with the part of production that developers need, through S3, with a progress
// bar. For cron or a systemd timer: the exit code is 0, 1, or 75 for a failure that a retry may help.
//
//   node nightly.js mysql://reader@prod.example/shop mysql://admin@staging.example/shop s3://bucket/staging
//
// The passwords are in DBGRAFT_SOURCE_PASSWORD and DBGRAFT_TARGET_PASSWORD.
import { CloneError, CloneJob } from 'dbgraft';

const [source, target, via] = process.argv.slice(2);
const job = new CloneJob(source, target, {
  via,
  include: ['country', 'customer', 'orders'],
  where: { orders: "state IN ('open', 'paid')" },
  ifExists: 'drop',
  verify: 'checksum',
  maxRate: '50MiB',
});

try {
  for await (const event of job) {
    if (event.event === 'progress' && event.leg === 'import') draw(event);
    if (event.event === 'warning') console.error(`\n${event.message}`);
  }
  const report = await job.wait();
  console.log(`\n${report.rows} rows of ${report.objects.length} objects in ${report.seconds.toFixed(1)} s`);
} catch (error) {
  if (!(error instanceof CloneError)) throw error;
  console.error(`\n${error.message}`);
  process.exitCode = error.retryable ? 75 : 1; // EX_TEMPFAIL
}

function draw({ bytes, bytes_total, rate, eta }) {
  const part = bytes_total > 0 ? Math.min(bytes / bytes_total, 1) : 0;
  const bar = '█'.repeat(Math.round(part * 30)).padEnd(30, '░');
  const left = eta === null ? '' : `, ${Math.round(eta)} s to go`;
  process.stdout.write(`\r${bar} ${(part * 100).toFixed(0)} %, ${(rate / 2 ** 20).toFixed(1)} MiB/s${left}   `);
}
