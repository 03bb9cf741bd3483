// Compiled in strict mode by the tests: what users write has these types.
import { abandon, clone, CloneError, CloneJob, fromRows, optionNames, plan, readBatches, status, verify } from 'dbgraft';
import type { Batch, CloneOptions, EngineOptions, Event, Report, Sink, Source } from 'dbgraft';

// Each option, and nothing else.
const all: { [Name in keyof Required<EngineOptions>]: true } = {
  via: true, keepArchive: true, sourceTunnel: true, targetTunnel: true, sourceAgent: true, targetAgent: true, agentBinary: true,
  agentCredentials: true, insecureAcceptAnyHostKey: true, include: true, exclude: true, where: true, triggers: true,
  routines: true, events: true, schemaOnly: true, dataOnly: true, ifExists: true, recreateDatabase: true, definer: true,
  onUnsupported: true, verify: true, listRows: true, threads: true, memory: true, maxRate: true, maxLoad: true, maxLag: true, replica: true, skipBinlog: true,
  noConsistency: true, encrypt: true, allOrNothing: true, lockWait: true, lockGuard: true, resume: true, follow: true, onDdl: true,
};
export const typed: boolean = optionNames.every((name) => all[name]);

const options: CloneOptions = {
  via: 's3://bucket/staging', include: ['order*'], where: { orders: 'id > 3' }, ifExists: 'drop', definer: 'app@%',
  memory: '256MiB', maxRate: 10_000_000, signal: AbortSignal.timeout(1000), selector: ({ kind, name }) => kind === 'table' && name !== 'log',
  onEvent(event: Event) {
    if (event.event === 'progress') console.log(event.leg, event.bytes / event.bytes_total, event.eta ?? 'unknown');
    if (event.event === 'finished') console.log(event.object.name, event.rows);
  },
};

export async function use(): Promise<number> {
  const report: Report = await clone('mysql://a/b', new URL('mysql://c/d'), options);
  const overview = await plan('mysql://a/b', 'mysql://c/d');
  const comparison = await verify('mysql://a/b', 'mysql://c/d', { listRows: true });
  const { state, tables } = await status('mysql://c/d', { targetPassword: 'x' });
  if (state === 'dead' && tables.some(({ complete }) => !complete)) console.log((await abandon('mysql://c/d')).message);
  const job = new CloneJob('mysql://a/b', 'mysql://c/d').start();
  for await (const event of job) if (event.event === 'warning') console.log(event.message.length);
  try {
    await job.wait();
  } catch (error) {
    if (error instanceof CloneError && error.code === 'CONNECTION' && error.retryable) console.log(error.context['server']);
  }
  const source: Source = fromRows({
    name: 't', columns: { id: 'int not null', v: 'text' }, primaryKey: 'id',
    rows: async function* () { yield { id: 1, v: null }; yield [2, 'b']; yield Buffer.from('3\tc\n'); },
  });
  const sink: Sink = { async write(table, batch: Batch) { for (const row of batch) console.log(table.table.name, row['id']); } };
  await clone(source, sink);
  for await (const batch of readBatches('mysql://a/b')) console.log((batch as Batch).rows);
  return report.rows + overview.plan.tables.length + comparison.differences.length;
}

// @ts-expect-error: there is no such option
void clone('a', 'b', { thread: 4 });
// @ts-expect-error: nor such a value
void clone('a', 'b', { ifExists: 'maybe' });
// @ts-expect-error: a source has a catalog
void clone({ read: () => [] }, 'b');
