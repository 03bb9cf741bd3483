// Moves a live database: copies it, applies every change of the source, and cuts over when the target is up to date.
//
//   node follow.js mysql://admin@old.example/shop mysql://admin@new.example/shop
//
// Before the cut-over you stop what writes at the source.
import { CloneError, CloneJob } from 'dbgraft';

const [source, target] = process.argv.slice(2);
const job = new CloneJob(source, target, { follow: true });

try {
  for await (const event of job) {
    if (event.event !== 'following') continue;
    console.log(`${event.lag_seconds.toFixed(1)} s behind at ${event.position}`);
    // Here the program stops the writers. What the source has committed until now is applied; then the job ends.
    if (event.lag_seconds < 1) job.cutOver();
  }
  const { followed } = await job.wait();
  console.log(`${followed.target} has every change up to ${followed.position.file}:${followed.position.offset}`);
} catch (error) {
  if (!(error instanceof CloneError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
