//! What a target knows of a clone into it.

use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::change::LogPosition;
use crate::checkpoint::{CutOver, FollowRecord};
use crate::plan::Plan;

/// The state of a clone, as its target knows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloneState {
    /// No clone is known. A finished clone leaves no trace in a server.
    #[default]
    None,
    /// It runs.
    Running,
    /// It was killed.
    Dead,
    /// It is complete, and a process applies the changes of its source.
    Following,
    /// It is complete, and no process applies the changes of its source now.
    NotFollowing,
    /// It runs or was killed: an archive does not know which.
    Unfinished,
    /// The target's record of it cannot be used: it was edited, or is of another version.
    Damaged,
    /// It is complete.
    Finished,
}

impl fmt::Display for CloneState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Running => "running",
            Self::Dead => "dead",
            Self::Following => "following",
            Self::NotFollowing => "not following",
            Self::Unfinished => "unfinished",
            Self::Damaged => "damaged",
            Self::Finished => "finished",
        })
    }
}

/// A sink's record of a clone into it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CloneRecord {
    /// The state of the clone.
    pub state: CloneState,
    /// The random name of the job.
    pub job: String,
    /// The version of dbgraft that began it.
    pub dbgraft: String,
    /// When it began, by the target's clock: `2026-11-26 16:00:00`, in UTC.
    pub started: String,
    /// The connection of the target's server that a running clone holds.
    pub holder: Option<String>,
    /// When the newest object of an unfinished archive was stored, by the store's clock.
    pub last_write: Option<SystemTime>,
    /// Why the record is damaged.
    pub damage: Option<String>,
    /// The plan; `None` if the clone was killed before it recorded one.
    pub plan: Option<Plan>,
    /// The options that decide what is cloned, by name.
    pub options: Value,
    /// The tables of the plan, in its order.
    pub tables: Vec<TableProgress>,
    /// The undo records of what the clone has created.
    pub undo_records: Vec<Value>,
    /// What is applied of the source's changes, if the clone follows them.
    pub following: Option<FollowRecord>,
}

/// How far a clone has come with one table.
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

impl CloneRecord {
    /// Whether every table has all its rows and indexes.
    pub fn has_all_rows(&self) -> bool {
        self.plan.is_some() && self.tables.iter().all(|table| table.complete)
    }
}

/// The result of `dbgraft status`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TargetStatus {
    /// The target's URL, without secrets.
    pub target: String,
    /// The state of the clone.
    pub state: CloneState,
    /// The state in one line, with what can be done.
    pub message: String,
    /// The source's URL, without secrets.
    pub source: Option<String>,
    /// When the clone began, by the target's clock, in UTC.
    pub started: Option<String>,
    /// The version of dbgraft that began it.
    pub dbgraft: Option<String>,
    /// The URL of its staging archive.
    pub staging: Option<String>,
    /// How long ago the newest object of an unfinished archive was stored, in seconds; by the clocks of its store and of
    /// this host.
    pub last_write_age: Option<u64>,
    /// The number of tables that are complete.
    pub complete: u64,
    /// The rows that are durable.
    pub rows: u64,
    /// The bytes of row text that are durable.
    pub bytes: u64,
    /// The estimated number of all rows.
    pub rows_total: u64,
    /// The estimated bytes of all rows.
    pub bytes_total: u64,
    /// The tables.
    pub tables: Vec<TableProgress>,
    /// What is applied of the source's changes, if the clone follows them.
    pub following: Option<FollowRecord>,
}

/// The result of `dbgraft cutover`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CutOverReport {
    /// The target's URL, without secrets.
    pub target: String,
    /// The source's URL, without secrets.
    pub source: String,
    /// The position in the source's log up to which the target has its changes.
    pub position: LogPosition,
    /// The duration in seconds.
    pub seconds: f64,
    /// Why the target's changes cannot be carried back later; `None` if they can.
    #[serde(default)]
    pub no_way_back: Option<String>,
}

/// A cut-over that has ended, as the log of its target tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutOverRecord {
    /// The cut-over.
    pub cut_over: CutOver,
    /// The tables that had followed, as they were then, with the target of the cut-over as their source. Its job is the one
    /// that was cut over.
    pub plan: Plan,
}

/// The result of `dbgraft abandon`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abandoned {
    /// The target's URL, without secrets.
    pub target: String,
    /// The source's URL, without secrets; `None` if there was no clone to abandon.
    pub source: Option<String>,
    /// The URL of the staging archive that was removed.
    pub staging: Option<String>,
    /// What was done, in one line.
    pub message: String,
}
