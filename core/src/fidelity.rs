//! What does not arrive as it was, and how much that matters.

use serde::{Deserialize, Serialize};

use crate::catalog::ObjectRef;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know before the start; nothing is lost, and the report does not repeat it.
    Note,
    /// The clone works, but not in every respect as one might expect.
    Warning,
    /// The clone cannot be made.
    Error,
}

/// Something that is not at the target as it is at the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fidelity {
    /// Of which object.
    pub object: ObjectRef,
    /// What of it, in a few words: `column price`, `index by_name`, `collation`, `definition`.
    pub what: String,
    /// `Note`: another form of the same meaning. `Warning`: something is lost or changed, the object is carried.
    /// `Error`: the object is not carried.
    pub severity: Severity,
    /// What it is at the source.
    pub source: String,
    /// What it is at the target; empty when it is not there.
    pub target: String,
}

impl Fidelity {
    /// `column price: uuid became char(36)`, or `index by_price is not carried: …`.
    pub(crate) fn describe(&self) -> String {
        match self.target.as_str() {
            "" => format!("{} of {} is not carried: {}", self.what, self.object, self.source),
            target => format!("{} of {}: {} becomes {target}", self.what, self.object, self.source),
        }
    }
}
