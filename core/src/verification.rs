//! What a comparison found. Plain data.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::catalog::{ObjectRef, Printable};
use crate::options::Verify;
use crate::plan::{Chunk, LeftOut, Position};

/// How the target was compared with what was read, and what is different.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// By what.
    pub how: Verify,
    /// How many tables were compared.
    pub tables: u64,
    /// How many key ranges.
    pub chunks: u64,
    /// How many rows were found at the target.
    pub rows: u64,
    /// What could not be compared, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<LeftOut>,
    /// What is different, by table and key range; empty when all is equal.
    pub differences: Vec<Difference>,
}

/// Something of a table, or of a key range of it, that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The table.
    pub object: ObjectRef,
    /// The key range as a condition, `id > 5 and id <= 9`; `None` for the whole table.
    pub range: Option<String>,
    /// What is different, in one line.
    pub what: String,
    /// The first rows that differ, when they were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<DifferingRow>,
    /// At least so many further rows differ.
    #[serde(default)]
    pub more: u64,
}

impl Difference {
    /// A difference of a whole table.
    pub(crate) fn of(object: ObjectRef, what: impl Into<String>) -> Self {
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

/// A row that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DifferingRow {
    /// Its primary key, or the whole row where there is none: `id = 7, name = 'x'`. Long values are cut off.
    pub key: String,
    /// Where it is.
    pub place: Place,
}

/// Where a differing row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
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
            Place::Source => "only at the source",
            Place::Target => "only at the target",
            Place::Both => "different",
        };
        write!(f, "{place}: {}", Printable(&self.key))
    }
}

/// What `dbgraft verify` reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Compared what; without secrets.
    pub source: String,
    /// With what; without secrets.
    pub target: String,
    /// The moment of the source's rows. The target is read as it is meanwhile.
    pub position: Position,
    /// What was found.
    #[serde(flatten)]
    pub verification: Verification,
    /// What was not compared, and why.
    pub left_out: Vec<LeftOut>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// How many differences an error names.
const NAMED: usize = 20;

/// The end of the message of a comparison that found differences: a line for each.
pub(crate) fn lines(differences: impl Iterator<Item = impl fmt::Display>) -> String {
    let mut lines: Vec<String> = differences.map(|difference| format!("\n  - {difference}")).collect();
    if let Some(more) = lines.len().checked_sub(NAMED).filter(|more| *more > 0) {
        lines.truncate(NAMED);
        lines.push(format!("\n  - and {more} more, which the report has"));
    }
    lines.concat()
}

/// The keys of a chunk, as a condition that people can read; `None` for all.
pub(crate) fn range(key: &[String], chunk: &Chunk) -> Option<String> {
    let side = |operator: &str, border: &Option<Vec<String>>| {
        let border = border.as_ref()?;
        Some(match (key, border.as_slice()) {
            ([name, ..], [value]) => format!("{name} {operator} {value}"),
            _ => {
                let names: Vec<&str> = key.iter().take(border.len()).map(String::as_str).collect();
                format!("({}) {operator} ({})", names.join(", "), border.join(", "))
            }
        })
    };
    match (side(">", &chunk.after), side("<=", &chunk.until)) {
        (Some(after), Some(until)) => Some(format!("{after} and {until}")),
        (one, other) => one.or(other),
    }
}
