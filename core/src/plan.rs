//! The plan of a clone as plain data: the selection, the position of the snapshot, the tables and their chunks.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::batch::BatchId;
use crate::catalog::{Catalog, Database, Definition, ObjectKind, ObjectRef, Server, Table};
use crate::change::LogPosition;
use crate::codec::Digest;
use crate::fidelity::FidelityIssue;

/// The objects that a selector chose from a catalog.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// The chosen tables.
    pub tables: Vec<SelectedTable>,
    /// The chosen objects that are not tables.
    pub objects: Vec<ObjectRef>,
    /// The objects that are left out, and why.
    pub left_out: Vec<OmittedObject>,
    /// Whether rows are cloned (not with `--schema-only`).
    pub rows: bool,
    /// Whether definitions are cloned (not with `--data-only`).
    pub schema: bool,
    /// Whether the selection holds every object of the database.
    pub whole: bool,
}

impl Selection {
    /// Leaves out `objects`, and the triggers of the tables among them.
    pub(crate) fn omit(&mut self, objects: &[ObjectRef], reason: &str) {
        let table = |name: &str| ObjectRef::new(ObjectKind::Table, name);
        let is_omitted = |object: &ObjectRef| {
            objects.contains(object) || object.table.as_deref().is_some_and(|name| objects.contains(&table(name)))
        };
        let tables =
            self.tables.extract_if(.., |chosen| is_omitted(&table(&chosen.name))).map(|chosen| table(&chosen.name));
        let mut omitted: Vec<ObjectRef> = tables.collect();
        omitted.extend(self.objects.extract_if(.., |object| is_omitted(object)));
        self.whole &= omitted.is_empty();
        self.left_out.extend(omitted.into_iter().map(|object| OmittedObject { object, reason: reason.to_owned() }));
    }
}

/// A table of a selection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelectedTable {
    /// Its name.
    pub name: String,
    /// The SQL condition of its rows; `None` for all rows.
    pub filter: Option<String>,
}

/// An object that a clone leaves out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OmittedObject {
    /// The object.
    pub object: ObjectRef,
    /// The reason, as the end of a sentence: "excluded by a pattern".
    pub reason: String,
}

/// The method by which all connections of a source see the rows of one moment, in order of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotMethod {
    /// `FLUSH TABLES WITH READ LOCK` while all transactions start.
    GlobalReadLock,
    /// MariaDB's `BACKUP STAGE BLOCK_COMMIT` while all transactions start.
    BackupStage,
    /// `LOCK TABLES … READ` of the selected tables while all transactions start.
    TableLocks,
    /// All transactions start, and the binary log shows that the selected tables did not change meanwhile: no lock.
    UnchangedLog,
    /// One transaction on one connection: no lock, and no parallel reading.
    SingleTransaction,
    /// No consistency, with `--no-consistency`.
    None,
    /// An archive or a custom source, which is responsible for the consistency of its rows.
    #[serde(rename = "given")]
    External,
}

impl SnapshotMethod {
    /// Describes the method in words, for reports.
    pub fn describe(self) -> &'static str {
        match self {
            Self::GlobalReadLock => "global read lock while the transactions started",
            Self::BackupStage => "BACKUP STAGE BLOCK_COMMIT while the transactions started",
            Self::TableLocks => "read locks on the selected tables while the transactions started",
            Self::UnchangedLog => {
                "no lock: by the binary log the selected tables did not change while the transactions started"
            }
            Self::SingleTransaction => "one transaction on one connection, without any lock",
            Self::None => "no consistency, as asked",
            Self::External => "as the archive or the source provides it",
        }
    }
}

/// The position of the snapshot in the source's binary log, as far as the source knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The snapshot method.
    pub rung: SnapshotMethod,
    /// The reasons why no preferred method was taken, one line for each method that was tried.
    #[serde(default)]
    pub refused: Vec<String>,
    /// The binary log file.
    pub binlog_file: Option<String>,
    /// The position in that file, in bytes.
    pub binlog_position: Option<u64>,
    /// The set of executed GTIDs (MySQL) or the GTID position (MariaDB).
    pub gtid: Option<String>,
    /// The milliseconds that writing statements may have waited for the snapshot's lock: from the request of the lock
    /// to its release, failed attempts included. `None` if no lock was requested.
    #[serde(default)]
    pub writers_waited_ms: Option<u64>,
    /// The identity of the server that wrote the binary log, as in [`LogPosition::server`].
    #[serde(default)]
    pub log_server: Option<String>,
    /// Whether the position was read before the snapshot began, because no lock could hold both together: the snapshot may
    /// contain some transactions that follow in the log.
    #[serde(default)]
    pub before_snapshot: bool,
    /// An earlier place in the log, if the source is followed: XA transactions that were prepared since may be open in the
    /// snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepared_since: Option<LogPosition>,
}

impl Position {
    /// A position without binary log coordinates.
    pub fn unknown(rung: SnapshotMethod) -> Self {
        Self {
            rung,
            refused: Vec::new(),
            binlog_file: None,
            binlog_position: None,
            gtid: None,
            writers_waited_ms: None,
            log_server: None,
            before_snapshot: false,
            prepared_since: None,
        }
    }

    /// The place in the binary log from which the changes after the snapshot can be read; `None` if it is not known.
    pub fn log_position(&self) -> Option<LogPosition> {
        Some(LogPosition {
            server: self.log_server.clone()?,
            file: self.binlog_file.clone()?,
            offset: self.binlog_position?,
            gtids: self.gtid.clone(),
            prepared_since: self.prepared_since.clone().map(Box::new),
            prepared_changes_since: self.prepared_since.clone().map(Box::new),
        })
    }

    /// The same position with another place in the log.
    pub(crate) fn at(&self, place: &LogPosition) -> Self {
        Self {
            log_server: Some(place.server.clone()),
            binlog_file: Some(place.file.clone()),
            binlog_position: Some(place.offset),
            gtid: place.gtids.clone(),
            prepared_since: place.prepared_since.as_deref().cloned(),
            ..self.clone()
        }
    }
}

/// A key range of one table, the unit of reading. The chunks of a table do not overlap and together hold every row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// The number of the chunk in its table, from 0, in key order.
    pub number: u32,
    /// The exclusive lower bound: SQL literals for the columns of the chunk key, or for its first columns.
    pub after: Option<Vec<String>>,
    /// The inclusive upper bound.
    pub until: Option<Vec<String>>,
}

impl Chunk {
    /// The only chunk of a table that is read in one stream.
    pub fn whole() -> Self {
        Self { number: 0, after: None, until: None }
    }
}

/// The plan of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TablePlan {
    /// The number of the table in the plan, from 0.
    pub number: u32,
    /// The table's entry in the catalog.
    pub table: Table,
    /// The SQL condition of its rows; `None` for all rows.
    pub filter: Option<String>,
    /// The columns that the chunks are ranges of; empty if the table is one chunk.
    pub chunk_key: Vec<String>,
    /// The chunks in key order; empty if no rows are cloned.
    pub chunks: Vec<Chunk>,
    /// The position of the snapshot that its rows are of, if it is not that of the plan: an earlier run of a resumed
    /// clone read them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
}

/// The plan of a clone: everything that a sink needs before the first row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The source's server.
    pub server: Server,
    /// The source's database.
    pub database: Database,
    /// The position of the snapshot.
    pub position: Position,
    /// Whether definitions are cloned. Otherwise the tables must exist at the target.
    pub schema: bool,
    /// The tables, with their numbers as indexes.
    pub tables: Vec<TablePlan>,
    /// The definitions of the other objects, in the order of the catalog.
    pub definitions: Vec<Definition>,
    /// The objects that are left out, and why.
    pub left_out: Vec<OmittedObject>,
    /// The views that are invalid at the source.
    #[serde(default)]
    pub invalid: Vec<ObjectRef>,
    /// The differences between source and target that the source already knows.
    #[serde(default)]
    pub fidelity: Vec<FidelityIssue>,
    /// Warnings of the source.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// The job that the plan belongs to; empty before its snapshot.
    #[serde(default, skip_serializing_if = "JobDescription::is_empty")]
    pub job: JobDescription,
}

/// What a sink records of the job that writes into it, so that a later process can resume or abandon it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobDescription {
    /// A random name.
    pub id: String,
    /// The source's URL, without secrets.
    pub source: String,
    /// The [`id`](Self::id) of the export that wrote the archive from which the rows come; empty for other sources.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub export: String,
    /// The URL of the staging archive of a clone `--via` an archive.
    pub staging: Option<String>,
    /// Whether the staging archive is kept after the clone.
    pub keeps_staging: bool,
    /// The differences between source and target that the preflight found.
    pub fidelity: Vec<FidelityIssue>,
    /// The warnings of the preflight.
    pub warnings: Vec<String>,
    /// Whether a resume reads all tables again that are not complete, at another moment than the complete ones, each of
    /// which has its [position](TablePlan::position).
    pub reads_again: bool,
    /// Whether a resume brings the tables to one moment.
    pub catch_up: CatchUp,
    /// What the job knows of the cut-over after which it carries changes back; `None` for a clone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub way_back: Option<WayBack>,
}

/// What a job that carries changes back knows of the cut-over. The definitions of its plan are the triggers and events that
/// it has removed at its target, and makes again at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WayBack {
    /// The place in the source's log up to which the cut-over made triggers and events there.
    pub completed: LogPosition,
}

/// Whether a resume brings the tables of a clone to one moment, by the changes in the source's log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// It does not: each table has the rows of the moment that the plan names.
    #[default]
    None,
    /// It does, from when all rows are there. Until its end, tables may be between two moments.
    Pending,
    /// It has ended: the rows are not those of the recorded batches any more.
    Ended,
}

impl JobDescription {
    fn is_empty(&self) -> bool {
        self.id.is_empty()
    }
}

impl Plan {
    /// Plans a selection with one chunk for each table. A source that reads in parallel replaces the chunks.
    pub fn from_selection(catalog: &Catalog, selection: &Selection, position: Position) -> Self {
        let chosen = selection.tables.iter().filter_map(|chosen| Some((chosen, catalog.table(&chosen.name)?)));
        let tables = (0..).zip(chosen).map(|(number, (chosen, table))| TablePlan {
            number,
            table: table.clone(),
            filter: chosen.filter.clone(),
            chunk_key: Vec::new(),
            chunks: if selection.rows { vec![Chunk::whole()] } else { Vec::new() },
            position: None,
        });
        let objects: BTreeSet<&ObjectRef> = selection.objects.iter().collect();
        let definitions = catalog.definitions.iter().filter(|definition| objects.contains(&definition.object));
        Self {
            server: catalog.server.clone(),
            database: catalog.database.clone(),
            position,
            schema: selection.schema,
            tables: tables.collect(),
            definitions: definitions.cloned().collect(),
            left_out: selection.left_out.clone(),
            invalid: Vec::new(),
            fidelity: Vec::new(),
            warnings: Vec::new(),
            job: JobDescription::default(),
        }
    }

    /// The earliest place in the log from which the changes of a table are missing; `None` if one of them is not known.
    pub(crate) fn earliest_position(&self) -> Option<LogPosition> {
        let of_table = |table: &TablePlan| table.position.as_ref().unwrap_or(&self.position).log_position();
        let all: Option<Vec<LogPosition>> =
            self.tables.iter().map(of_table).chain([self.position.log_position()]).collect();
        all?.into_iter().min_by_key(LogPosition::order)
    }

    /// The tables and all other objects of the plan.
    pub fn objects(&self) -> Vec<ObjectRef> {
        let tables = self.tables.iter().map(|table| table.table.object());
        tables.chain(self.definitions.iter().map(|definition| definition.object.clone())).collect()
    }

    /// The estimated number of rows to read.
    pub fn rows_estimate(&self) -> u64 {
        self.tables.iter().filter(|table| !table.chunks.is_empty()).map(|table| table.table.rows_estimate).sum()
    }

    /// The estimated bytes that the rows take on the source.
    pub fn bytes_estimate(&self) -> u64 {
        self.tables.iter().filter(|table| !table.chunks.is_empty()).map(|table| table.table.data_bytes).sum()
    }
}

/// What a sink already holds when it begins. The engine does not write it again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeState {
    /// The durable batches of tables that are not complete.
    pub loaded: BTreeSet<BatchId>,
    /// The tables that are complete.
    #[serde(default)]
    pub complete: Vec<CompleteTable>,
    /// Whether changes of the source were applied to these tables, so that their rows are not those of their digests.
    #[serde(default)]
    pub is_changed: bool,
}

/// A table that a sink holds completely: all its rows and indexes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompleteTable {
    /// The number of the table in the plan.
    pub table: u32,
    /// The number of rows.
    pub rows: u64,
    /// The bytes of row text.
    pub bytes: u64,
    /// The digest of each chunk of the plan, in their order.
    pub chunks: Vec<Digest>,
}
