//! The results of a comparison, as plain data.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::catalog::{ObjectRef, Printable};
use crate::options::Verify;
use crate::plan::{Chunk, OmittedObject, Position};

/// The result of comparing the target with what was read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// The method of comparison.
    pub how: Verify,
    /// The number of tables compared.
    pub tables: u64,
    /// The number of chunks compared.
    pub chunks: u64,
    /// The number of rows at the target.
    pub rows: u64,
    /// The objects that could not be compared, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<OmittedObject>,
    /// The differences by table and key range; empty if all rows are equal.
    pub differences: Vec<Difference>,
}

/// A table, or a key range of a table, that differs between source and target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The table.
    pub object: ObjectRef,
    /// The key range as a condition, `id > 5 and id <= 9`; `None` for the whole table.
    pub range: Option<String>,
    /// The difference, in one line.
    pub what: String,
    /// The first differing rows, with `--list-rows`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<DifferingRow>,
    /// The number of further differing rows, at least.
    #[serde(default)]
    pub more: u64,
}

impl Difference {
    /// A difference of a whole table.
    pub(crate) fn new(object: ObjectRef, what: impl Into<String>) -> Self {
        Self { object, range: None, what: what.into(), rows: Vec::new(), more: 0 }
    }
}

impl fmt::Display for Difference {
    /// `table orders, id > 5 and id <= 9: 4 rows at the source, 3 at the target`, in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.object)?;
        if let Some(range) = &self.range {
            write!(f, ", {}", Printable(range))?;
        }
        write!(f, ": {}", Printable(&self.what))
    }
}

/// A row that differs between source and target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DifferingRow {
    /// The primary key, or the whole row of a table without one: `id = 7, name = 'x'`. Long values are truncated.
    pub key: String,
    /// The side or sides that hold the row.
    pub place: RowLocation,
}

/// The side or sides that hold a differing row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowLocation {
    /// Only at the source.
    Source,
    /// Only at the target.
    Target,
    /// On both sides, with different values.
    Both,
}

impl fmt::Display for DifferingRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.place {
            RowLocation::Source => "only at the source",
            RowLocation::Target => "only at the target",
            RowLocation::Both => "different",
        };
        write!(f, "{place}: {}", Printable(&self.key))
    }
}

/// The result of `dbgraft verify`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The source's URL, without secrets.
    pub source: String,
    /// The target's URL, without secrets.
    pub target: String,
    /// The position of the source's snapshot. The target is read without a snapshot.
    pub position: Position,
    /// The result.
    #[serde(flatten)]
    pub verification: Verification,
    /// The tables that were left out, and why.
    pub left_out: Vec<OmittedObject>,
    /// Warnings.
    pub warnings: Vec<String>,
    /// The duration in seconds.
    pub seconds: f64,
}

/// The number of differences that an error message lists.
const MAX_LISTED: usize = 20;

/// Formats differences for an error message, one line each.
pub(crate) fn format_differences(differences: impl Iterator<Item = impl fmt::Display>) -> String {
    let mut lines: Vec<String> = differences.map(|difference| format!("\n  - {difference}")).collect();
    if let Some(more) = lines.len().checked_sub(MAX_LISTED).filter(|more| *more > 0) {
        lines.truncate(MAX_LISTED);
        lines.push(format!("\n  - and {more} more, listed in the report"));
    }
    lines.concat()
}

/// The key range of a chunk as an SQL condition; `None` for a whole table.
pub(crate) fn chunk_condition(key: &[String], chunk: &Chunk) -> Option<String> {
    let bound = |operator: &str, values: &Option<Vec<String>>| {
        let values = values.as_ref()?;
        Some(match (key, values.as_slice()) {
            ([name, ..], [value]) => format!("{name} {operator} {value}"),
            _ => {
                let names: Vec<&str> = key.iter().take(values.len()).map(String::as_str).collect();
                format!("({}) {operator} ({})", names.join(", "), values.join(", "))
            }
        })
    };
    match (bound(">", &chunk.after), bound("<=", &chunk.until)) {
        (Some(after), Some(until)) => Some(format!("{after} and {until}")),
        (one, other) => one.or(other),
    }
}
