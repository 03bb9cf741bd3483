//! What a leg will do, as plain data: the selection, the position of the snapshot, the tables and their chunks.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::batch::BatchId;
use crate::catalog::{Catalog, Database, Definition, ObjectKind, ObjectRef, Server, Table};
use crate::fidelity::Fidelity;

/// What the selector chose from a catalog. Pure data: it travels to the site that does the work.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// The tables.
    pub tables: Vec<SelectedTable>,
    /// The other objects.
    pub objects: Vec<ObjectRef>,
    /// What is not taken, and why.
    pub left_out: Vec<LeftOut>,
    /// Whether rows are taken (not with `--schema-only`).
    pub rows: bool,
    /// Whether definitions are taken (not with `--data-only`).
    pub schema: bool,
    /// Whether everything that the database holds was chosen.
    pub whole: bool,
}

impl Selection {
    /// Leaves out these objects, and the triggers of these tables.
    pub(crate) fn leave(&mut self, these: &[ObjectRef], reason: &str) {
        let table = |name: &str| ObjectRef::new(ObjectKind::Table, name);
        let hit = |object: &ObjectRef| {
            these.contains(object) || object.table.as_deref().is_some_and(|name| these.contains(&table(name)))
        };
        let tables = self.tables.extract_if(.., |chosen| hit(&table(&chosen.name))).map(|chosen| table(&chosen.name));
        let mut left: Vec<ObjectRef> = tables.collect();
        left.extend(self.objects.extract_if(.., |object| hit(object)));
        self.whole &= left.is_empty();
        self.left_out.extend(left.into_iter().map(|object| LeftOut { object, reason: reason.to_owned() }));
    }
}

/// A table that was chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelectedTable {
    /// Its name.
    pub name: String,
    /// A condition in SQL that its rows must meet.
    pub filter: Option<String>,
}

/// Something that is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// What.
    pub object: ObjectRef,
    /// Why, as the end of a sentence: "excluded by a pattern".
    pub reason: String,
}

/// How the rows of all tables come to be of one moment: the rungs of a ladder, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// `FLUSH TABLES WITH READ LOCK` for the moment in which all transactions start.
    GlobalReadLock,
    /// MariaDB's `BACKUP STAGE BLOCK_COMMIT` for that moment.
    BackupStage,
    /// `LOCK TABLES … READ` of the selected tables for that moment.
    TableLocks,
    /// One connection and one transaction: no lock at all, and no parallel reading.
    SingleTransaction,
    /// No guarantee, as the user asked.
    None,
    /// The rows come from an archive or a source of the user's own, which answers for their consistency.
    Given,
}

impl Rung {
    /// In words, for reports.
    pub fn describe(self) -> &'static str {
        match self {
            Self::GlobalReadLock => "global read lock while the transactions started",
            Self::BackupStage => "BACKUP STAGE BLOCK_COMMIT while the transactions started",
            Self::TableLocks => "read locks on the selected tables while the transactions started",
            Self::SingleTransaction => "one transaction on one connection, without any lock",
            Self::None => "no consistency, as asked",
            Self::Given => "as the archive or the source gives it",
        }
    }
}

/// The moment of the rows, as far as the source could tell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// How the moment was held.
    pub rung: Rung,
    /// Why no better rung was taken, one line for each that was tried.
    #[serde(default)]
    pub refused: Vec<String>,
    /// The binary log file.
    pub binlog_file: Option<String>,
    /// The position in that file, in bytes.
    pub binlog_position: Option<u64>,
    /// The set of executed GTIDs (MySQL) or the GTID position (MariaDB).
    pub gtid: Option<String>,
    /// How long statements that write may have waited for our lock, in milliseconds: from the asking to the unlocking,
    /// tries that failed included. `None` when no lock was asked for.
    #[serde(default)]
    pub writers_waited_ms: Option<u64>,
}

impl Position {
    /// A position that says nothing but the rung.
    pub fn unknown(rung: Rung) -> Self {
        Self {
            rung,
            refused: Vec::new(),
            binlog_file: None,
            binlog_position: None,
            gtid: None,
            writers_waited_ms: None,
        }
    }
}

/// A key range of one table, the unit of reading. Chunks of a table never overlap and together hold every row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Its number in its table, from 0, in key order.
    pub number: u32,
    /// The rows whose key is greater than this: SQL literals for the columns of the chunk key, or for its first ones.
    pub after: Option<Vec<String>>,
    /// The rows whose key is at most this.
    pub until: Option<Vec<String>>,
}

impl Chunk {
    /// The only chunk of a table that is read in one stream.
    pub fn whole() -> Self {
        Self { number: 0, after: None, until: None }
    }
}

/// What will be done for one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TablePlan {
    /// Its number in the plan, from 0.
    pub number: u32,
    /// The table as the catalog holds it.
    pub table: Table,
    /// A condition in SQL that its rows must meet.
    pub filter: Option<String>,
    /// The columns whose ranges the chunks are; empty when the table is read in one stream.
    pub chunk_key: Vec<String>,
    /// Its chunks, in key order; empty when no rows are taken.
    pub chunks: Vec<Chunk>,
}

/// Everything that a sink needs to know before the first row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The source's server.
    pub server: Server,
    /// The source's database.
    pub database: Database,
    /// The moment of the rows.
    pub position: Position,
    /// Whether definitions are carried; else the tables must be there.
    pub schema: bool,
    /// The tables, with their numbers as indexes.
    pub tables: Vec<TablePlan>,
    /// The other objects, in the order of the catalog.
    pub definitions: Vec<Definition>,
    /// What is not taken, and why.
    pub left_out: Vec<LeftOut>,
    /// The views that the source's own server cannot run.
    #[serde(default)]
    pub invalid: Vec<ObjectRef>,
    /// What the source already knows to be lost on the way.
    #[serde(default)]
    pub fidelity: Vec<Fidelity>,
    /// What the user should know.
    #[serde(default)]
    pub warnings: Vec<String>,
}

impl Plan {
    /// The plan for a selection from a catalog in which each table is one chunk. The plain case for sources of the
    /// user's own; others replace the chunks.
    pub fn of(catalog: &Catalog, selection: &Selection, position: Position) -> Self {
        let chosen = selection.tables.iter().filter_map(|chosen| Some((chosen, catalog.table(&chosen.name)?)));
        let tables = (0..).zip(chosen).map(|(number, (chosen, table))| TablePlan {
            number,
            table: table.clone(),
            filter: chosen.filter.clone(),
            chunk_key: Vec::new(),
            chunks: if selection.rows { vec![Chunk::whole()] } else { Vec::new() },
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
        }
    }

    /// About how many rows will be read.
    pub fn rows_estimate(&self) -> u64 {
        self.tables.iter().filter(|table| !table.chunks.is_empty()).map(|table| table.table.rows_estimate).sum()
    }

    /// About how many bytes the rows take on the source.
    pub fn bytes_estimate(&self) -> u64 {
        self.tables.iter().filter(|table| !table.chunks.is_empty()).map(|table| table.table.data_bytes).sum()
    }
}

/// What a sink already holds of a plan when it begins: the batches that need not be written again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The batches that are durable.
    pub loaded: BTreeSet<BatchId>,
}
