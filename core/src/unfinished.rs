//! A clone that has begun and not ended, as its target knows it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::plan::Plan;

/// A clone that has begun and not ended: it runs, or it was killed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct UnfinishedClone {
    /// The random name of the job.
    pub job: String,
    /// The version of dbgraft that began it.
    pub dbgraft: String,
    /// When it began, by the target's clock: `2026-11-26 16:00:00`, in UTC.
    pub started: String,
    /// The target's connection that a running clone holds; `None` if none runs.
    pub holder: Option<String>,
    /// Why the target's record of the clone cannot be used: it was edited, or is of another version.
    pub damage: Option<String>,
    /// Whether it is unknown if the clone runs: an archive has no lock.
    pub may_run: bool,
    /// The plan; `None` if the clone was killed before it recorded one.
    pub plan: Option<Plan>,
    /// The options that decide what is cloned, by name.
    pub options: Value,
    /// The tables of the plan, in its order.
    pub tables: Vec<TableProgress>,
    /// The undo records of what the clone has created.
    pub undo_records: Vec<Value>,
}

/// How far an unfinished clone has come with one table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableProgress {
    /// The number of the table in the plan.
    pub table: u32,
    /// The name of the table.
    pub name: String,
    /// The rows that are durable.
    pub rows: u64,
    /// The bytes of row text that are durable.
    pub bytes: u64,
    /// Whether the table has all rows and indexes.
    pub complete: bool,
}

impl UnfinishedClone {
    /// Whether every table has all its rows and indexes.
    pub fn has_all_rows(&self) -> bool {
        self.plan.is_some() && self.tables.iter().all(|table| table.complete)
    }

    /// Whether any row or table is complete.
    pub fn has_rows(&self) -> bool {
        self.tables.iter().any(|table| table.complete || table.rows > 0)
    }
}
