/// <reference types="node" />
import { Readable } from 'node:stream';

/** Where rows come from: `mysql://…`, `s3://…`, `file:///…`, or a source of your own. */
export type SourceLike = string | URL | Source;
/** Where rows go: `mysql://…`, `s3://…`, `file:///…`, or a sink of your own. */
export type TargetLike = string | URL | Sink;
/** Bytes, or a text like `256MiB` or `10M`. */
export type Size = number | bigint | string;

/** What can be asked of a clone: the options of the command and of every other language. */
export interface EngineOptions {
  /** Stage the rows through this archive location: `s3://bucket/prefix` or `file:///dir`. */
  via?: string | URL | null;
  /** Keep the staged archive, after success and after failure. */
  keepArchive?: boolean;
  /** Reach the source's server through the host of this `ssh://` URL. */
  sourceTunnel?: string | URL | null;
  /** Reach the target's server through the host of this `ssh://` URL. */
  targetTunnel?: string | URL | null;
  /** Let the source's work run on the host of this `ssh://` URL. */
  sourceAgent?: string | URL | null;
  /** Let the target's work run on the host of this `ssh://` URL. */
  targetAgent?: string | URL | null;
  /** The executable that such a host gets; default: the one in this package. */
  agentBinary?: string | null;
  /** How such a host gets at S3: by presigned URLs (the default), or by its own role. */
  agentCredentials?: 'presigned' | 'inherit';
  /** Trust any key that a host shows: whoever is on the line can then read and change everything. */
  insecureAcceptAnyHostKey?: boolean;
  /** Objects to take: globs of names, or `kind:glob`. With one, the clone is partial. */
  include?: string | string[];
  /** Objects to leave out: globs of names, or `kind:glob`. */
  exclude?: string | string[];
  /** A condition in SQL for the rows of a table, by the table's name. */
  where?: Record<string, string>;
  /** Whether triggers are taken; by default in a full clone only. */
  triggers?: boolean | null;
  /** Whether functions, procedures and packages are taken; by default in a full clone only. */
  routines?: boolean | null;
  /** Whether events are taken; by default in a full clone only. */
  events?: boolean | null;
  /** Take definitions, no rows. */
  schemaOnly?: boolean;
  /** Take rows only, into tables that are there. */
  dataOnly?: boolean;
  /** What to do with a table that is already there; default: `fail`, before anything is changed. */
  ifExists?: 'fail' | 'drop' | 'truncate' | 'skip';
  /** Drop the target database and create it anew. */
  recreateDatabase?: boolean;
  /** Who will be the definer of views, routines, triggers and events; default: `strip`, the account that makes the clone. */
  definer?: 'strip' | 'keep' | `${string}@${string}`;
  /** What to do with an object that the target cannot carry as it is; default: `refuse`. */
  onUnsupported?: 'refuse' | 'skip' | 'degrade';
  /** How the clone is compared with what was read; default: `none`, and `checksum` for `verify()`. */
  verify?: 'none' | 'counts' | 'checksum';
  /** Name the keys of the rows that a comparison finds different, the first hundred of each table. */
  listRows?: boolean;
  /** How many connections read, and how many load, at once; default: 4. */
  threads?: number;
  /** At most this many bytes of rows are in flight; default: 256 MiB. */
  memory?: Size;
  /** At most this many bytes of rows are read a second. */
  maxRate?: Size | null;
  /** Keep the target's changes out of its binary log. Its replicas will not have the clone. */
  skipBinlog?: boolean;
  /** Remove everything again when the target refuses an object after the rows are in; by default the rest stays, and the job fails with the code `INCOMPLETE`. */
  allOrNothing?: boolean;
  /** So many seconds to wait for a lock that another session holds; default: 60. A number, or `'5m'`. */
  lockWait?: number | string;
  /** Do not ask the source for its global read lock while a statement runs there for so many seconds; default: 2; 0: do not look. */
  lockGuard?: number | string;
  /** Read without any guarantee that the tables are of one moment. */
  noConsistency?: boolean;
}

/** The engine's options, and those of this language alone. */
export interface CloneOptions extends EngineOptions {
  /** The source's password, unless its URL has one. */
  sourcePassword?: string;
  /** The target's password, unless its URL has one. */
  targetPassword?: string;
  /** Chooses objects by code, in the place of `include`, `exclude`, `triggers`, `routines` and `events`. */
  selector?: (object: ObjectRef) => boolean | Promise<boolean>;
  /** Hears of what happens. While it works on one event (a promise is waited for), older news of progress give way to newer ones. */
  onEvent?: (event: Event) => unknown;
  /** Answers what SSH wants to know and nothing else says, a password or a passphrase; null is no answer. */
  onQuestion?: (question: string) => string | null | undefined | Promise<string | null | undefined>;
  /** Stops the job, which cleans up and then rejects with the signal's reason. */
  signal?: AbortSignal;
}

/**
 * Clones `source` into `target`.
 * @throws {CloneError} After it nothing that the clone made is left; but with the codes `DIFFERENT` and `INCOMPLETE` the clone is there.
 */
export function clone(source: SourceLike, target: TargetLike, options?: CloneOptions): Promise<Report>;

/** What `clone` would do, and what stands against it: everything but the writing. */
export function plan(source: SourceLike, target: TargetLike, options?: CloneOptions): Promise<Overview>;

/** Compares the rows of both ends, and changes neither. Differences are no errors: they are in the comparison. */
export function verify(source: SourceLike, target: TargetLike, options?: CloneOptions): Promise<Comparison>;

/** A clone that can be watched and stopped. Nothing happens before it is started, which each of its methods but `cancel` does. */
export class CloneJob implements AsyncIterable<Event> {
  /** @throws {CloneError} `USAGE` for what can be seen to be wrong at once. */
  constructor(source: SourceLike, target: TargetLike, options?: CloneOptions);
  /** Starts the clone, unless it was started. */
  start(): this;
  /** The report, when the clone is made. Starts it where that was not done. */
  wait(): Promise<Report>;
  /** Stops the job, which fails with the code `CANCELLED`; resolves when it has cleaned up. */
  cancel(): Promise<void>;
  /** How many events a loop over the job has lost because it was too slow; never one of progress that is still true. */
  readonly droppedEvents: number;
  /** The events, for one loop at a time; the first loop hears of all. After the last event a failure of the job is thrown. Leaving the loop does not stop the job. */
  [Symbol.asyncIterator](): AsyncGenerator<Event, void, undefined>;
  /** `await using job = …`: stops the job where it still runs. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** What went wrong, coarsely: the thing to branch on. */
export type ErrorCode =
  /** The request itself is wrong. */
  | 'USAGE'
  /** The preflight found a problem; nothing has been written. */
  | 'PREFLIGHT'
  /** A server or a store cannot be reached, or the connection broke. */
  | 'CONNECTION'
  /** The server or the store does not accept who we are. */
  | 'AUTHENTICATION'
  /** The account lacks a right. */
  | 'PERMISSION'
  /** A server refused a statement. */
  | 'SERVER'
  /** An object store or a directory failed. */
  | 'STORAGE'
  /** A value would have been lost or changed, so the work was stopped. */
  | 'DATA'
  /** The clone was made, and a comparison then found it different; `report` says where. Nothing was removed. */
  | 'DIFFERENT'
  /** The clone was made, and the target refused some of its objects; `report` says which. Nothing was removed. */
  | 'INCOMPLETE'
  /** Something changed underneath: a table was altered while the clone started. */
  | 'CHANGED'
  /** The source holds something that cannot be carried. */
  | 'UNSUPPORTED'
  /** A function of your own has thrown, and `cause` is what. */
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

/** What a job fails with. A source or a sink of your own may throw one too, with a code and whether to try again. */
export class CloneError extends Error {
  constructor(message: string, details?: CloneErrorDetails);
  readonly name: 'CloneError';
  /** What kind of error this is. */
  code: ErrorCode;
  /** Whether trying the same again may succeed. */
  retryable: boolean;
  /** Where it happened: `{ table: 'orders' }`. */
  context: Record<string, string>;
  /** The server's number of the error, where it came from a server (1045: access denied). */
  serverCode?: number;
  /** The report of a clone that was found different, or is incomplete. */
  report?: Report;
  cause?: unknown;
}

/** A value of a row. Dates are UTC; objects and lists are for JSON columns, a list also for a SET. */
export type Value = string | number | bigint | boolean | Date | Uint8Array | object | null | undefined;
/** A row: values by the names of the columns (one that is missing is NULL), or all of them in order. */
export type Row = Record<string, Value> | readonly Value[];
/** Rows, pulled as the target takes them. A Uint8Array is whole rows as the text that LOAD DATA takes. */
export type Rows = Iterable<Row | Uint8Array> | AsyncIterable<Row | Uint8Array>;

/** A table made of rows. */
export interface RowsTable {
  name: string;
  /** The columns by their definitions, as CREATE TABLE takes them: `{ id: 'bigint not null', name: 'varchar(50)' }`. Text is utf8mb4. */
  columns: Record<string, string>;
  primaryKey?: string | string[];
  /** The rows, or what gives them. */
  rows: Rows | (() => Rows);
}

/** A source of tables that are made of rows: `clone(fromRows({ name, columns, primaryKey, rows }), target)`. */
export function fromRows(...tables: RowsTable[]): Source;

/** The batches of a clone as a stream of `Batch` objects: what is not read yet holds up the source. */
export function readBatches(source: SourceLike, options?: CloneOptions): Readable;

/** Whole rows of one table. */
export interface Batch extends Iterable<Record<string, string | number | bigint | Buffer | null>> {
  /** The table, and the column definitions in it. */
  readonly table: TablePlan;
  readonly id: BatchId;
  /** How many rows. */
  readonly rows: number;
  /** The rows as the text that LOAD DATA takes: tabs, newlines, `\N` for NULL. */
  readonly data: Buffer;
  /** The digest of the rows. */
  readonly digest: string;
}

type Maybe<T> = T | null | undefined | void | Promise<T | null | undefined | void>;

/** A source of your own. `catalog` comes first, `close` last, whatever happened; each chunk of the plan is read once. */
export interface Source {
  /** What the source holds. */
  catalog(): Catalog | Promise<Catalog>;
  /** Problems that would keep this selection from being read. */
  check?(selection: Selection): Maybe<Finding[]>;
  /** What a snapshot would give now; by default each table is one chunk. */
  plan?(selection: Selection): Plan | Promise<Plan>;
  /** Fixes the moment of the rows until `close`; by default the same as `plan`. */
  snapshot?(selection: Selection): Plan | Promise<Plan>;
  /** The rows of a chunk. They are pulled by need, and `return()` of their iterator is called when no more are wanted. */
  read(table: TablePlan, chunk: Chunk): Rows | Promise<Rows>;
  /** Whether it reads any range of keys, not only the chunks of its own plan. */
  readsAnyRange?: boolean;
  /** What the reading brought to light. */
  notes?(): Maybe<Note[]>;
  close?(): unknown;
}

/** A sink of your own: `begin`, then `write` for each batch, several at a time, `complete` for each table, in the end `finish` or `abort`. */
export interface Sink {
  /** Problems that would keep this selection from being written. */
  check?(catalog: Catalog, selection: Selection): Maybe<Finding[]>;
  /** What of this selection the sink cannot carry as it is. */
  unsupported?(catalog: Catalog, selection: Selection): Maybe<Fidelity[]>;
  /** The objects that are there already. */
  existing?(): Maybe<ObjectRef[]>;
  /** Makes ready for the rows, and says which batches are already there. */
  begin?(plan: Plan): Maybe<{ loaded: BatchId[] }>;
  /** Takes one batch, whole or not at all. It may be called again with the same one after an error that is retryable. */
  write(table: TablePlan, batch: Batch): Maybe<Receipt>;
  /** Every batch of the table is there. */
  complete?(table: TablePlan): unknown;
  /** The tables of the plan as they are here, each with chunks to read it back by. */
  counterparts?(plan: Plan): (TablePlan | null)[] | Promise<(TablePlan | null)[]>;
  /** The rows that are really there, for `verify`. */
  readBack?(table: TablePlan, chunk: Chunk): Rows | Promise<Rows>;
  /** Everything is written. */
  finish?(plan: Plan): Maybe<Note[]>;
  /** Removes what was made. */
  abort?(): unknown;
}

/** The names of the engine's options. */
export const optionNames: readonly (keyof EngineOptions)[];
/** The executable of the command, for hosts on which work runs. */
export const executable: string;
export const version: string;

// What follows is data, the same in every language: its names are those of the JSON that the command writes.

export type ObjectKind =
  | 'sequence' | 'table' | 'library' | 'function' | 'procedure' | 'package' | 'package_body' | 'view' | 'trigger' | 'event';

/** Names one object of a database. */
export interface ObjectRef {
  kind: ObjectKind;
  name: string;
  /** The table that a trigger belongs to. */
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
  /** The whole type: `varchar(20)`. */
  column_type: string;
  charset: string | null;
  collation: string | null;
  nullable: boolean;
  /** Whether its value is computed: such a column is never loaded. */
  generated: boolean;
  /** Whether a computed value is stored with the row: then a row that was read has it. */
  stored: boolean;
}

export interface Table {
  name: string;
  engine: string;
  columns: Column[];
  history: boolean;
  primary_key: string[];
  rows_estimate: number;
  data_bytes: number;
  index_bytes: number;
  /** Its definition, as SHOW CREATE TABLE prints it. */
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

/** Everything that a source holds. */
export interface Catalog {
  server: Server;
  database: Database;
  tables: Table[];
  definitions: Definition[];
}

export interface LeftOut {
  object: ObjectRef;
  reason: string;
}

export interface Selection {
  tables: { name: string; filter: string | null }[];
  objects: ObjectRef[];
  left_out: LeftOut[];
  rows: boolean;
  schema: boolean;
  whole: boolean;
}

/** The moment of the rows, as far as the source could tell it. */
export interface Position {
  rung: 'global_read_lock' | 'backup_stage' | 'table_locks' | 'single_transaction' | 'none' | 'given';
  refused: string[];
  binlog_file: string | null;
  binlog_position: number | null;
  gtid: string | null;
  /** How long statements that write may have waited for our lock, in milliseconds; null when none was taken. */
  writers_waited_ms: number | null;
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
}

export interface Plan {
  server: Server;
  database: Database;
  position: Position;
  schema: boolean;
  tables: TablePlan[];
  definitions: Definition[];
  left_out: LeftOut[];
  fidelity: Fidelity[];
  warnings: string[];
  /** The views that the source's own server cannot run. */
  invalid: ObjectRef[];
}

export type Severity = 'note' | 'warning' | 'error';

export interface Finding {
  severity: Severity;
  message: string;
}

/** Something that is not at the target as it is at the source. */
export interface Fidelity {
  object: ObjectRef;
  what: string;
  severity: Severity;
  source: string;
  target: string;
}

export type Note = { message: { object: ObjectRef | null; message: string } } | { fidelity: Fidelity };

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

/** What `plan` gives. */
export interface Overview {
  source: string;
  target: string;
  plan: Plan;
  fidelity: Fidelity[];
  findings: Finding[];
}

export interface ObjectReport {
  object: ObjectRef;
  rows: number;
  bytes: number;
  seconds: number;
  warnings: string[];
}

/** What `clone` gives. */
export interface Report {
  source: string;
  target: string;
  /** The archive that was kept, if any. */
  archive: string | null;
  server: Server;
  database: Database;
  position: Position;
  objects: ObjectReport[];
  left_out: LeftOut[];
  fidelity: Fidelity[];
  verified: Verification | null;
  warnings: string[];
  rows: number;
  bytes: number;
  seconds: number;
}

export interface Verification {
  how: 'none' | 'counts' | 'checksum';
  tables: number;
  chunks: number;
  rows: number;
  skipped?: LeftOut[];
  differences: Difference[];
}

export interface Difference {
  object: ObjectRef;
  range: string | null;
  what: string;
  rows?: { key: string; place: 'source' | 'target' | 'both' }[];
  more: number;
}

/** What `verify` gives. */
export interface Comparison extends Verification {
  source: string;
  target: string;
  position: Position;
  left_out: LeftOut[];
  warnings: string[];
  seconds: number;
}

export type LegName = 'clone' | 'export' | 'import' | 'verify';
export type Phase = 'preflight' | 'snapshot' | 'tables' | 'rows' | 'indexes' | 'verify' | 'objects' | 'done' | 'cleanup';

/** What a job tells while it runs. */
export type Event =
  | { event: 'phase'; leg: LegName; phase: Phase }
  | { event: 'started'; leg: LegName; object: ObjectRef }
  | { event: 'finished'; leg: LegName; object: ObjectRef; rows: number; bytes: number; seconds: number }
  | {
      event: 'progress'; leg: LegName; phase: Phase; rows: number; bytes: number;
      /** Estimates until all is read. */
      rows_total: number; bytes_total: number;
      /** Bytes a second over the last seconds. */
      rate: number;
      /** Seconds. */
      elapsed: number; eta: number | null;
    }
  | { event: 'warning'; message: string };
