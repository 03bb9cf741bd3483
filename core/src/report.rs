//! What a job found and did: the same structure as a Rust value, a JSON file and the summary on a terminal.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::catalog::{Database, ObjectRef, Server};
use crate::error::{Error, ErrorKind};
use crate::fidelity::{Fidelity, Severity};
use crate::plan::{LeftOut, Plan, Position};
use crate::verification::{self, Difference, Verification};

/// Something that the preflight found: one line that says what is wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What was found and what to do, in one line.
    pub message: String,
}

impl Finding {
    /// A problem that keeps the clone from being made.
    pub fn error(message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, message: message.into() }
    }

    /// Something to be aware of.
    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, message: message.into() }
    }

    /// Good to know.
    pub fn note(message: impl Into<String>) -> Self {
        Self { severity: Severity::Note, message: message.into() }
    }
}

/// The error that stands for the preflight's problems, one line each; `None` when there is none.
pub(crate) fn refusal(findings: &[Finding]) -> Option<Error> {
    let problems: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .map(|finding| finding.message.as_str())
        .collect();
    let message = match problems.as_slice() {
        [] => return None,
        [only] => (*only).to_owned(),
        several => format!("{} problems, nothing has been written:\n  - {}", several.len(), several.join("\n  - ")),
    };
    Some(Error::new(ErrorKind::Preflight, message))
}

/// Something that the user should know of one object, or of the whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// In one line.
    Message {
        /// The object; `None` for the whole clone.
        object: Option<ObjectRef>,
        /// What.
        message: String,
    },
    /// Something is not as it is at the source.
    Fidelity(Fidelity),
    /// Something is not what was read, and nobody foresaw it: the clone is different.
    Difference(Difference),
    /// The same, by the target's own refusal when the rows were in: such a clone is incomplete.
    Refused(Fidelity),
}

impl Note {
    /// A note on the whole clone.
    pub fn general(message: impl Into<String>) -> Self {
        Self::Message { object: None, message: message.into() }
    }

    /// A note on one object.
    pub fn on(object: &ObjectRef, message: impl Into<String>) -> Self {
        Self::Message { object: Some(object.clone()), message: message.into() }
    }

    /// An object is not what was read.
    pub(crate) fn different(object: ObjectRef, what: impl Into<String>) -> Self {
        Self::Difference(Difference::of(object, what))
    }

    /// Something of the object is not at the target: `what` of it, which is `source` there.
    pub(crate) fn lost(object: &ObjectRef, what: impl Into<String>, source: impl Into<String>) -> Self {
        Self::Fidelity(Fidelity {
            object: object.clone(),
            what: what.into(),
            severity: Severity::Warning,
            source: source.into(),
            target: String::new(),
        })
    }
}

/// What `dbgraft plan` shows: everything but the writing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overview {
    /// Where from; without secrets.
    pub source: String,
    /// Where to; without secrets.
    pub target: String,
    /// What would be done.
    pub plan: Plan,
    /// What would not be at the target as it is at the source, as far as it is known before the rows are read.
    pub fidelity: Vec<Fidelity>,
    /// What the preflight found, worst first.
    pub findings: Vec<Finding>,
}

/// What was done for one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObjectReport {
    /// Which object.
    pub object: ObjectRef,
    /// How many rows were written.
    pub rows: u64,
    /// How many bytes of rows were written, as text.
    pub bytes: u64,
    /// How long it took from the first row read to the last index built, in seconds.
    pub seconds: f64,
    /// What the user should know of it.
    pub warnings: Vec<String>,
}

/// What a job did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Where from; without secrets.
    pub source: String,
    /// Where to; without secrets.
    pub target: String,
    /// The archive it went through and was kept in, if any.
    pub archive: Option<String>,
    /// The source's server.
    pub server: Server,
    /// The source's database.
    pub database: Database,
    /// The moment of the rows.
    pub position: Position,
    /// Each object that was cloned.
    pub objects: Vec<ObjectReport>,
    /// What was left out, and why.
    pub left_out: Vec<LeftOut>,
    /// What is not at the target as it is at the source; empty for an exact clone.
    pub fidelity: Vec<Fidelity>,
    /// What the comparison with what was read found, if one was asked for.
    #[serde(default)]
    pub verified: Option<Verification>,
    /// What the user should know of the whole.
    pub warnings: Vec<String>,
    /// How many rows were written.
    pub rows: u64,
    /// How many bytes of rows were written, as text.
    pub bytes: u64,
    /// How long it all took, in seconds.
    pub seconds: f64,
}

impl Report {
    /// The report of a clone that was made and then found different from what was read, or is incomplete: the cause of an
    /// error of kind `Different` or `Incomplete`.
    pub fn of(error: &Error) -> Option<&Self> {
        let cause = std::error::Error::source(error)?;
        cause.downcast_ref::<Faults>().map(|faults| &faults.report)
    }

    /// The report, unless the comparison found a difference or the target refused something: that must not look like
    /// success.
    pub(crate) fn verdict(self, refused: &[Fidelity]) -> Result<Self, Error> {
        let count = self.verified.as_ref().map_or(0, |found| found.differences.len());
        let (kind, message) = match (count, refused.len()) {
            (0, 0) => return Ok(self),
            (0, refused) => (
                ErrorKind::Incomplete,
                format!(
                    "the clone has all rows and was left as it is, but the target refused {refused} thing{}. Remove the \
                     cause and make what is missing, or clone again",
                    if refused == 1 { "" } else { "s" }
                ),
            ),
            (count, _) => (
                ErrorKind::Different,
                format!(
                    "the clone is not what was read, in {count} place{}, and was left as it is. If something else wrote \
                     into the target meanwhile, keep it away and clone again",
                    if count == 1 { "" } else { "s" }
                ),
            ),
        };
        let refused = refused.iter().map(Fidelity::describe).collect();
        Err(Error::new(kind, message).caused_by(Faults { report: self, refused }))
    }
}

/// What is wrong with a clone that was made.
#[derive(Debug)]
struct Faults {
    report: Report,
    refused: Vec<String>,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let differences = self.report.verified.iter().flat_map(|found| &found.differences);
        f.write_str(&verification::lines(differences))?;
        f.write_str(&verification::lines(self.refused.iter()))
    }
}

impl std::error::Error for Faults {}
