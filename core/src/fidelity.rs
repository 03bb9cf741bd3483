//! Known differences between the source and the clone.

use serde::{Deserialize, Serialize};

use crate::catalog::ObjectRef;

/// How serious a finding or a fidelity issue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Information: nothing is lost.
    Note,
    /// The clone is made, with a difference.
    Warning,
    /// The clone, or the object, cannot be made.
    Error,
}

/// A part of an object that is not the same at the target as at the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FidelityIssue {
    /// The object.
    pub object: ObjectRef,
    /// The part of the object: `column price`, `index by_name`, `collation`, `definition`.
    pub what: String,
    /// `Note`: the meaning is the same. `Warning`: the object is carried, and something is lost or changed. `Error`:
    /// the object is not carried.
    pub severity: Severity,
    /// The part at the source.
    pub source: String,
    /// The part at the target; empty if it is missing there.
    pub target: String,
}

impl FidelityIssue {
    /// `column price of table goods: uuid becomes char(36)`, or `index by_price of table goods is not carried: …`.
    pub(crate) fn describe(&self) -> String {
        match self.target.as_str() {
            "" => format!("{} of {} is not carried: {}", self.what, self.object, self.source),
            target => format!("{} of {}: {} becomes {target}", self.what, self.object, self.source),
        }
    }
}
