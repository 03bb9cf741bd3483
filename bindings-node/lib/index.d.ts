/// <reference types="node" />
import { Readable } from 'node:stream';

/** A source: the URL `mysql://…`, `s3://…` or `file:///…`, or a custom source. */
export type SourceLike = string | URL | Source;
/** A target: the URL `mysql://…`, `s3://…` or `file:///…`, or a custom sink. */
export type TargetLike = string | URL | Sink;
/** Bytes, or a text like `256MiB` or `10M`. */
export type Size = number | bigint | string;

/** The options of a clone, as in the command and in every other language. */
export interface EngineOptions {
  /** Stage the rows through this archive location: `s3://bucket/prefix` or `file:///dir`. */
  via?: string | URL | null;
  /** Keep the archive of `via`, after success and after failure. */
  keepArchive?: boolean;
  /** Encrypt and decrypt every archive of the job on the machine that writes or reads it, by `archivePassphrase` or the key in a file. */
  encrypt?: 'passphrase' | `key-file=${string}` | null;
  /** Connect to the source through the host of this `ssh://` URL. */
  sourceTunnel?: string | URL | null;
  /** Connect to the target through the host of this `ssh://` URL. */
  targetTunnel?: string | URL | null;
  /** Run the source's work on the host of this `ssh://` URL. */
  sourceAgent?: string | URL | null;
  /** Run the target's work on the host of this `ssh://` URL. */
  targetAgent?: string | URL | null;
  /** The executable that is copied to an agent's host; default: the one in this package. */
  agentBinary?: string | null;
  /** How an agent gets access to S3: by presigned URLs (the default), or by its own role. */
  agentCredentials?: 'presigned' | 'inherit';
  /** Accept any SSH host key. An attacker between the two hosts can then read and change everything. */
  insecureAcceptAnyHostKey?: boolean;
  /** Objects to clone: globs of names, or `kind:glob`. With a pattern, the clone is partial. */
  include?: string | string[];
  /** Objects to leave out: globs of names, or `kind:glob`. */
  exclude?: string | string[];
  /** SQL conditions for the rows of tables, by table name. */
  where?: Record<string, string>;
  /** Whether triggers are cloned; by default in a full clone only. */
  triggers?: boolean | null;
  /** Whether functions, procedures and packages are cloned; by default in a full clone only. */
  routines?: boolean | null;
  /** Whether events are cloned; by default in a full clone only. */
  events?: boolean | null;
  /** Clone definitions only. */
  schemaOnly?: boolean;
  /** Clone rows only, into existing tables. */
  dataOnly?: boolean;
  /** What to do with a table that already exists; default: `fail`, before anything is changed. */
  ifExists?: 'fail' | 'drop' | 'truncate' | 'skip';
  /** Drop the target database and create it again. */
  recreateDatabase?: boolean;
  /** The definer of views, routines, triggers and events; default: `strip`, the account that the clone runs as. */
  definer?: 'strip' | 'keep' | `${string}@${string}`;
  /** What to do with an object that the target does not support; default: `refuse`. */
  onUnsupported?: 'refuse' | 'skip' | 'degrade';
  /** How the clone is compared with what was read; default: `none`, and `checksum` for `verify()`. */
  verify?: 'none' | 'counts' | 'checksum';
  /** List the keys of differing rows, the first hundred of each table. */
  listRows?: boolean;
  /** The number of reading connections, and of loading connections; default: 4. */
  threads?: number;
  /** The maximum bytes of rows in flight; default: 256 MiB. */
  memory?: Size;
  /** The maximum bytes of rows read per second. */
  maxRate?: Size | null;
  /** Pause while more threads run statements at the source or at the target; the threads of this clone at that end do not count. */
  maxLoad?: number | null;
  /** Pause while `replica` is more than this many seconds behind the target, or does not replicate. A number, or `'5m'`. */
  maxLag?: number | string | null;
  /** The `mysql://` URL of the target's replica that `maxLag` is about. */
  replica?: string | URL | null;
  /** Do not write the target's binary log. The target's replicas do not get the clone. */
  skipBinlog?: boolean;
  /** Remove the whole clone when the target refuses an object after the rows are loaded; by default the rest is kept, and the job fails with the code `INCOMPLETE`. */
  allOrNothing?: boolean;
  /** The seconds to wait for a lock of another session; default: 60. A number, or `'5m'`. */
  lockWait?: number | string;
  /** Do not request the global read lock while a statement has been running at the source for this many seconds; default: 2; 0 disables the check. */
  lockGuard?: number | string;
  /** Read without a consistent snapshot. With `resume`, tables may be of several moments. */
  noConsistency?: boolean;
  /** Go on with a clone that was killed, by the same source, target and options. */
  resume?: boolean;
  /** After the copy, apply every change of the source until the cut-over. */
  follow?: boolean;
  /** What to do with a statement of the source that changes a definition, with `follow`; default: `stop`. */
  onDdl?: 'stop' | 'apply';
}

/** The engine's options, and those of this package. */
export interface CloneOptions extends EngineOptions {
  /** The source's password. A password in the URL takes precedence. */
  sourcePassword?: string;
  /** The target's password. A password in the URL takes precedence. */
  targetPassword?: string;
  /** The passphrase of encrypted archives; default: the variable `DBGRAFT_ARCHIVE_PASSPHRASE` of the environment, then `onQuestion`. */
  archivePassphrase?: string;
  /** A custom selector. It replaces `include`, `exclude`, `triggers`, `routines` and `events`. */
  selector?: (object: ObjectRef) => boolean | Promise<boolean>;
  /** The listener of events. While it handles one event (a promise is awaited), newer progress events replace older ones. */
  onEvent?: (event: Event) => unknown;
  /** Asks the user for an SSH password, passphrase or one-time code; null means no answer. */
  onQuestion?: (question: string) => string | null | undefined | Promise<string | null | undefined>;
  /** Cancels the job, which cleans up and then rejects with the signal's reason. */
  signal?: AbortSignal;
}

/**
 * Clones `source` into `target`.
 * @throws {CloneError} After an error the clone is removed; with the codes `DIFFERENT` and `INCOMPLETE` it is kept.
 */
export function clone(source: SourceLike, target: TargetLike, options?: CloneOptions): Promise<Report>;

/** Plans a clone: what it would do and the problems that prevent it. Writes nothing. */
export function plan(source: SourceLike, target: TargetLike, options?: CloneOptions): Promise<PlanReport>;

/** Compares the rows of both ends without changing either. Differences are not errors: they are in the comparison. */
export function verify(source: SourceLike, target: TargetLike, options?: CloneOptions): Promise<Comparison>;

/** Returns what the target knows of a clone into it: how far it is, or that it was killed. Changes nothing. */
export function status(target: string | URL, options?: CloneOptions): Promise<TargetStatus>;

/** Removes what a killed clone has left in the target, its staging archive too. What was there before stays. */
export function abandon(target: string | URL, options?: CloneOptions): Promise<Abandoned>;

/** A clone as a job. Each method but `cancel`, `pause`, `cutOver` and `unpause` starts it. */
export class CloneJob implements AsyncIterable<Event> {
  /** @throws {CloneError} `USAGE` for invalid arguments. */
  constructor(source: SourceLike, target: TargetLike, options?: CloneOptions);
  /** Starts the job, unless it was started. */
  start(): this;
  /** Waits for the report. Starts the job, unless it was started. */
  wait(): Promise<Report>;
  /** Cancels the job, which fails with the code `CANCELLED`. Resolves after the clean-up. */
  cancel(): Promise<void>;
  /** Pauses the job: it reads nothing more, writes what it has read, and keeps its connections. */
  pause(): void;
  /**
   * Cuts over a job that follows: everything that the source has committed until now is applied, and the job ends. With
   * `verify` the target is compared before; if something differs, the event `cut_over_refused` says what, and the job goes on.
   */
  cutOver(options?: { verify?: 'none' | 'counts' | 'checksum' }): void;
  /** Lets the job go on, unless `maxLoad` or `maxLag` pauses it too. */
  unpause(): void;
  /** Whether `pause` pauses the job. */
  readonly isPaused: boolean;
  /** The number of events that a slow loop over the job has lost; the newest progress is never lost. */
  readonly droppedEvents: number;
  /** Iterates over the events, for one loop at a time; the first loop gets all. Throws the error of the job after the last event. Leaving the loop does not cancel the job. */
  [Symbol.asyncIterator](): AsyncGenerator<Event, void, undefined>;
  /** `await using job = …`: cancels the job if it still runs. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** The kind of an error. */
export type ErrorCode =
  /** The request itself is wrong. */
  | 'USAGE'
  /** The preflight found a problem; nothing has been written. */
  | 'PREFLIGHT'
  /** A server or a store cannot be reached, or the connection broke. */
  | 'CONNECTION'
  /** The server or the store rejects the credentials. */
  | 'AUTHENTICATION'
  /** The account lacks a right. */
  | 'PERMISSION'
  /** A server refused a statement. */
  | 'SERVER'
  /** An object store or a directory failed. */
  | 'STORAGE'
  /** A value would be lost or changed, so the job was stopped. */
  | 'DATA'
  /** The clone was made and differs from what was read; see `report`. It is kept. */
  | 'DIFFERENT'
  /** The clone was made without some objects that the target refused; see `report`. It is kept. */
  | 'INCOMPLETE'
  /** The source changed: a table was altered while the clone started. */
  | 'CHANGED'
  /** The source has an object that cannot be cloned. */
  | 'UNSUPPORTED'
  /** A custom function has thrown; `cause` is the thrown value. */
  | 'CALLBACK'
  /** The job was cancelled and has cleaned up. */
  | 'CANCELLED'
  /** A bug of this library. */
  | 'INTERNAL';

export interface CloneErrorDetails {
  code?: ErrorCode;
  retryable?: boolean;
  context?: Record<string, string>;
  serverCode?: number;
  report?: Report;
  cause?: unknown;
}

/** The error of a job. A custom source or sink may throw one too, with a code and `retryable`. */
export class CloneError extends Error {
  constructor(message: string, details?: CloneErrorDetails);
  readonly name: 'CloneError';
  /** The kind of the error. */
  code: ErrorCode;
  /** Whether a retry may succeed. */
  retryable: boolean;
  /** The context: `{ table: 'orders' }`. */
  context: Record<string, string>;
  /** The server's error number (1045: access denied), if a server caused the error. */
  serverCode?: number;
  /** The report of a clone with the code `DIFFERENT` or `INCOMPLETE`. */
  report?: Report;
  cause?: unknown;
}

/** A value of a row. Dates are UTC; objects and lists are for JSON columns, a list also for a SET. */
export type Value = string | number | bigint | boolean | Date | Uint8Array | object | null | undefined;
/** A row: values by the names of the columns (one that is missing is NULL), or all of them in order. */
export type Row = Record<string, Value> | readonly Value[];
/** Rows, pulled as the target accepts them. A Uint8Array holds whole rows as LOAD DATA text. */
export type Rows = Iterable<Row | Uint8Array> | AsyncIterable<Row | Uint8Array>;

/** A table of rows. */
export interface RowsTable {
  name: string;
  /** The columns by their definitions, as CREATE TABLE takes them: `{ id: 'bigint not null', name: 'varchar(50)' }`. Text is utf8mb4. */
  columns: Record<string, string>;
  primaryKey?: string | string[];
  /** The rows, or a function that returns them. */
  rows: Rows | (() => Rows);
}

/** Creates a source of tables from rows: `clone(fromRows({ name, columns, primaryKey, rows }), target)`. */
export function fromRows(...tables: RowsTable[]): Source;

/** Reads the batches of a source as a stream of `Batch` objects. Unread batches make the source wait. */
export function readBatches(source: SourceLike, options?: CloneOptions): Readable;

/** Whole rows of one table. */
export interface Batch extends Iterable<Record<string, string | number | bigint | Buffer | null>> {
  /** The table, and the column definitions in it. */
  readonly table: TablePlan;
  readonly id: BatchId;
  /** The number of rows. */
  readonly rows: number;
  /** The rows as LOAD DATA text: tabs, newlines, `\N` for NULL. */
  readonly data: Buffer;
  /** The digest of the rows. */
  readonly digest: string;
}

type Maybe<T> = T | null | undefined | void | Promise<T | null | undefined | void>;

/** A custom source. `catalog` is called first, `close` last, also after an error; each chunk of the plan is read once. */
export interface Source {
  /** Returns the catalog. */
  catalog(): Catalog | Promise<Catalog>;
  /** Returns the problems that prevent reading the selection. */
  check?(selection: Selection): Maybe<Finding[]>;
  /** Returns the plan that a snapshot would return now; by default each table is one chunk. */
  plan?(selection: Selection): Plan | Promise<Plan>;
  /** Takes the snapshot and holds it until `close`; by default the same as `plan`. */
  snapshot?(selection: Selection): Plan | Promise<Plan>;
  /** Returns the rows of a chunk. They are pulled on demand; `return()` of the iterator is called at an early end. */
  read(table: TablePlan, chunk: Chunk): Rows | Promise<Rows>;
  /** Whether it reads any range of keys, not only the chunks of its own plan. */
  readsAnyRange?: boolean;
  /** Returns warnings about the rows that were read. */
  notes?(): Maybe<Note[]>;
  close?(): unknown;
}

/** A custom sink: `begin`, then `write` for each batch, concurrently, `complete` for each table, finally `finish` or `abort`. */
export interface Sink {
  /** Returns the problems that prevent writing the selection. */
  check?(catalog: Catalog, selection: Selection): Maybe<Finding[]>;
  /** Returns the parts of the selection that the sink does not support. */
  unsupported?(catalog: Catalog, selection: Selection): Maybe<FidelityIssue[]>;
  /** Returns the existing objects. */
  existing?(): Maybe<ObjectRef[]>;
  /** Prepares for the rows, and returns the batches that are already durable. */
  begin?(plan: Plan): Maybe<{ loaded: BatchId[] }>;
  /** Writes one batch atomically and durably. It is called again with the same batch after a retryable error. */
  write(table: TablePlan, batch: Batch): Maybe<Receipt>;
  /** Completes a table after its last batch. */
  complete?(table: TablePlan): unknown;
  /** Returns the sink's table for each table of the plan, with the chunks to read it back by. */
  counterparts?(plan: Plan): (TablePlan | null)[] | Promise<(TablePlan | null)[]>;
  /** Returns the stored rows of a chunk, for `verify`. */
  readBack?(table: TablePlan, chunk: Chunk): Rows | Promise<Rows>;
  /** Completes the clone after the last table. */
  finish?(plan: Plan): Maybe<Note[]>;
  /** Removes everything that was created. */
  abort?(): unknown;
}

/** The names of the engine's options. */
export const optionNames: readonly (keyof EngineOptions)[];
/** The executable of the command, for hosts on which work runs. */
export const executable: string;
export const version: string;

// The following types are the JSON that the command writes. They are the same in every language.

export type ObjectKind =
  | 'sequence' | 'table' | 'library' | 'function' | 'procedure' | 'package' | 'package_body' | 'view' | 'trigger' | 'event';

/** The kind and the name of an object. */
export interface ObjectRef {
  kind: ObjectKind;
  name: string;
  /** The table of a trigger. */
  table?: string;
}

export interface Server {
  flavor: 'mysql' | 'mariadb';
  version: string;
  identity: string;
  max_allowed_packet: number;
  folds_names: boolean;
}

export interface Database {
  name: string;
  charset: string;
  collation: string;
  comment: string;
}

export interface Column {
  name: string;
  /** The bare type, lower case: `varchar`. */
  data_type: string;
  /** The full type: `varchar(20)`. */
  column_type: string;
  charset: string | null;
  collation: string | null;
  nullable: boolean;
  /** Whether it is a generated column. Generated columns are never loaded. */
  generated: boolean;
  /** Whether a generated column is stored. Batches hold its values, for comparison. */
  stored: boolean;
}

export interface Table {
  name: string;
  engine: string;
  columns: Column[];
  history: boolean;
  /** The columns that are known to hold a TIMESTAMP after 2038-01-19 03:14:07 UTC; absent without one. */
  late_timestamps?: string[];
  primary_key: string[];
  rows_estimate: number;
  data_bytes: number;
  index_bytes: number;
  /** Its definition, as printed by SHOW CREATE TABLE. */
  create: string;
}

export interface Definition {
  object: ObjectRef;
  create: string;
  sql_mode: string;
  character_set_client: string;
  collation_connection: string;
  database_collation: string;
  time_zone: string;
  state?: string;
}

/** The objects of one database. */
export interface Catalog {
  server: Server;
  database: Database;
  tables: Table[];
  definitions: Definition[];
}

/** An object that a clone leaves out, and the reason. */
export interface OmittedObject {
  object: ObjectRef;
  reason: string;
}

export interface Selection {
  tables: { name: string; filter: string | null }[];
  objects: ObjectRef[];
  left_out: OmittedObject[];
  rows: boolean;
  schema: boolean;
  whole: boolean;
}

/** The position of the snapshot in the source's binary log, as far as the source knows it. */
export interface Position {
  rung: 'global_read_lock' | 'backup_stage' | 'table_locks' | 'unchanged_log' | 'single_transaction' | 'none' | 'given';
  refused: string[];
  binlog_file: string | null;
  binlog_position: number | null;
  gtid: string | null;
  /** The milliseconds that writing statements may have waited for the snapshot's lock; null without a lock. */
  writers_waited_ms: number | null;
  /** The identity of the server that wrote the binary log. */
  log_server: string | null;
  /** Whether the position was read before the snapshot began, because no lock could hold both together. */
  before_snapshot: boolean;
  /** An earlier place in the log, if the source is followed: XA transactions that were prepared since may be open in the snapshot. */
  prepared_since?: LogPosition;
}

/** A key range of one table. */
export interface Chunk {
  number: number;
  after: string[] | null;
  until: string[] | null;
}

export interface TablePlan {
  number: number;
  table: Table;
  filter: string | null;
  chunk_key: string[];
  chunks: Chunk[];
  /** The position that its rows are of, if an earlier run of a resumed clone read them. */
  position?: Position;
}

/** What a target records of the job that writes into it. */
export interface JobDescription {
  /** A random name. */
  id: string;
  source: string;
  /** The URL of the staging archive. */
  staging: string | null;
  keeps_staging: boolean;
  fidelity: FidelityIssue[];
  warnings: string[];
  /** Whether a resume reads all tables again that are not complete. */
  reads_again: boolean;
  /** Whether a resume brings the tables to one moment, by the source's binary log. */
  catch_up: 'none' | 'pending' | 'ended';
}

export interface Plan {
  server: Server;
  database: Database;
  position: Position;
  schema: boolean;
  tables: TablePlan[];
  definitions: Definition[];
  left_out: OmittedObject[];
  fidelity: FidelityIssue[];
  warnings: string[];
  /** The views that are invalid at the source. */
  invalid: ObjectRef[];
  /** The job; none before the snapshot. */
  job?: JobDescription;
}

export type Severity = 'note' | 'warning' | 'error';

export interface Finding {
  severity: Severity;
  message: string;
}

/** A part of an object that is not the same at the target as at the source. */
export interface FidelityIssue {
  object: ObjectRef;
  what: string;
  severity: Severity;
  source: string;
  target: string;
}

export type Note = { message: { object: ObjectRef | null; message: string } } | { fidelity: FidelityIssue };

export interface BatchId {
  table: number;
  chunk: number;
  batch: number;
}

export interface Receipt {
  id: BatchId;
  rows: number;
  bytes: number;
  stored: number;
  digest: string;
}

/** The result of `plan`. */
export interface PlanReport {
  source: string;
  target: string;
  plan: Plan;
  fidelity: FidelityIssue[];
  findings: Finding[];
}

export interface ObjectReport {
  object: ObjectRef;
  rows: number;
  bytes: number;
  seconds: number;
  warnings: string[];
  /** The position that the rows of this table are of, if it is not that of the report. */
  position: Position | null;
}

/** How a clone was resumed. */
export type ResumeCase = 'finished' | 'no_row_missing' | 'one_moment' | 'read_again' | 'several_moments' | 'caught_up';

/** How far a clone has come with one table. */
export interface TableProgress {
  table: number;
  name: string;
  rows: number;
  bytes: number;
  /** Whether the table has all rows and indexes. */
  complete: boolean;
}

/** What a target knows of a clone into it. */
export interface TargetStatus {
  target: string;
  state: 'none' | 'running' | 'dead' | 'following' | 'not_following' | 'unfinished' | 'damaged' | 'finished';
  /** The state in one line, with what can be done. */
  message: string;
  source: string | null;
  /** When the clone began, by the target's clock in UTC. */
  started: string | null;
  dbgraft: string | null;
  /** The URL of the staging archive. */
  staging: string | null;
  /** How many seconds ago the newest object of an unfinished archive was stored. */
  last_write_age: number | null;
  /** The number of tables that are complete. */
  complete: number;
  rows: number;
  bytes: number;
  /** The estimated number of all rows. */
  rows_total: number;
  bytes_total: number;
  tables: TableProgress[];
  /** What is applied of the source's changes, if the clone follows them. */
  following: FollowRecord | null;
}

/** What a target records of following. */
export interface FollowRecord {
  checkpoint: {
    /** Every transaction that was committed up to here is applied. */
    applied: LogPosition;
    /** The number of transactions up to there, from the snapshot on. */
    transactions: number;
    /** The ends of transactions after it that are applied too. */
    ahead: [string, number][];
    committed_at_ms: number;
    /** How far the target was behind when this was written. */
    lag_ms: number;
    /** The bytes of log that the source had written after `applied` when it was last looked at; null if unknown. */
    lag_bytes: number | null;
    written_at_ms: number;
  };
  is_cutting_over: boolean;
}

/** What `abandon` has removed. */
export interface Abandoned {
  target: string;
  /** The source's URL; null if there was no clone to abandon. */
  source: string | null;
  /** The URL of the staging archive that was removed. */
  staging: string | null;
  message: string;
}

/** What a resumed clone took over, and what it read again. */
export interface Resumption {
  case: ResumeCase;
  /** When the clone began, by the target's clock in UTC. */
  started: string;
  /** The tables that were complete. */
  taken_over: string[];
  /** The tables of which some batches were there. */
  continued: string[];
  /** The tables that were read as a whole in this run. */
  read_again: string[];
  /** What brought all tables to one moment, in the case `caught_up`. */
  caught_up: CaughtUp | null;
}

/** The changes that brought tables of several moments to one. */
export interface CaughtUp {
  /** The earliest of the moments. */
  start: LogPosition;
  /** The moment that all tables are of. */
  end: LogPosition;
  /** The number of transactions that were applied, by this run and by earlier ones. */
  transactions: number;
  /** The number of rows that this run has applied. */
  rows: number;
}

/** The result of `clone`. */
export interface Report {
  source: string;
  target: string;
  /** The URL of the archive, if the clone kept one. */
  archive: string | null;
  server: Server;
  database: Database;
  position: Position;
  objects: ObjectReport[];
  left_out: OmittedObject[];
  fidelity: FidelityIssue[];
  verified: Verification | null;
  warnings: string[];
  rows: number;
  bytes: number;
  seconds: number;
  /** What a resumed clone took over from an earlier run. */
  resumed: Resumption | null;
  /** What was applied after the copy, with the option `follow`. */
  followed: Followed | null;
  /** How many of these seconds the job was paused. */
  paused_seconds: number;
}

/** A place in a source's binary log. */
export interface LogPosition {
  server: string;
  file: string;
  offset: number;
  gtids: string | null;
  /** The place before the first XA transaction that is prepared here, and neither committed nor rolled back. */
  prepared_since?: LogPosition;
  /** The same for the first of those that changed followed tables, or may have. */
  prepared_changes_since?: LogPosition;
}

/** What was applied of a source's changes until the cut-over. */
export interface Followed {
  source: string;
  target: string;
  /** The position up to which the target has the source's changes. */
  position: LogPosition;
  /** The number of transactions that were applied, from the snapshot on. */
  transactions: number;
  rows: number;
  fidelity: FidelityIssue[];
  warnings: string[];
  seconds: number;
}

export interface Verification {
  how: 'none' | 'counts' | 'checksum';
  tables: number;
  chunks: number;
  rows: number;
  skipped?: OmittedObject[];
  differences: Difference[];
}

export interface Difference {
  object: ObjectRef;
  range: string | null;
  what: string;
  rows?: { key: string; place: 'source' | 'target' | 'both' }[];
  more: number;
}

/** The result of `verify`. */
export interface Comparison extends Verification {
  source: string;
  target: string;
  position: Position;
  left_out: OmittedObject[];
  warnings: string[];
  seconds: number;
}

export type LegName = 'clone' | 'export' | 'import' | 'verify';
export type Phase = 'preflight' | 'snapshot' | 'tables' | 'rows' | 'indexes' | 'verify' | 'catching_up' | 'objects' | 'done' | 'following' | 'cleanup';

/** An event of a running job. */
export type Event =
  | { event: 'phase'; leg: LegName; phase: Phase }
  | { event: 'started'; leg: LegName; object: ObjectRef }
  | { event: 'finished'; leg: LegName; object: ObjectRef; rows: number; bytes: number; seconds: number }
  | {
      event: 'progress'; leg: LegName; phase: Phase; rows: number; bytes: number;
      /** Estimates until all rows are read. */
      rows_total: number; bytes_total: number;
      /** The bytes per second over the last five seconds. */
      rate: number;
      /** Seconds. */
      elapsed: number; eta: number | null;
    }
  | {
      event: 'following'; position: string; lag_seconds: number;
      /** The bytes of log that the source has written after `position`, as of the last seconds; null if unknown. */
      lag_bytes: number | null;
      transactions: number; rows: number; rows_per_second: number;
    }
  | {
      event: 'cut_over_refused';
      /** What differs, each in one line; following goes on. */
      differences: string[];
    }
  | { event: 'resumed'; message: string }
  | {
      event: 'paused';
      /** `user`, or which server is too busy: `load of the source 130 > 100`, `replica is 12 s behind`. */
      reason: string;
    }
  | { event: 'unpaused'; reason: string; seconds: number }
  | { event: 'warning'; message: string };
