//! The results of a job: Rust values that serialize to the JSON report and that the command prints as a summary.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::catalog::{Database, ObjectRef, Server};
use crate::change::LogPosition;
use crate::error::{Error, ErrorKind};
use crate::fidelity::{FidelityIssue, Severity};
use crate::plan::{OmittedObject, Plan, Position};
use crate::verification::{self, Difference, Verification};

/// A result of the preflight checks: one line with the problem and its remedy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How serious it is.
    pub severity: Severity,
    /// The problem and its remedy, in one line.
    pub message: String,
}

impl Finding {
    /// A problem that prevents the clone.
    pub fn error(message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, message: message.into() }
    }

    /// A problem that does not prevent the clone.
    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, message: message.into() }
    }

    /// Information.
    pub fn note(message: impl Into<String>) -> Self {
        Self { severity: Severity::Note, message: message.into() }
    }
}

/// The error of kind `Preflight` for all findings of severity `Error`, one line each; `None` without one.
pub(crate) fn preflight_error(findings: &[Finding]) -> Option<Error> {
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

/// A remark of a source or a sink on one object, or on the whole clone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// A warning.
    Message {
        /// The object; `None` for the whole clone.
        object: Option<ObjectRef>,
        /// The warning, in one line.
        message: String,
    },
    /// A part of an object differs from the source in a known way.
    Fidelity(FidelityIssue),
    /// The target differs from what was read in an unforeseen way. The job fails with `Different`.
    Difference(Difference),
    /// The target refused a part of an object after the rows were loaded. The job fails with `Incomplete`.
    Refused(FidelityIssue),
}

impl Note {
    /// A warning about the whole clone.
    pub fn general(message: impl Into<String>) -> Self {
        Self::Message { object: None, message: message.into() }
    }

    /// A warning about one object.
    pub fn about(object: &ObjectRef, message: impl Into<String>) -> Self {
        Self::Message { object: Some(object.clone()), message: message.into() }
    }

    /// An object differs from what was read.
    pub(crate) fn different(object: ObjectRef, what: impl Into<String>) -> Self {
        Self::Difference(Difference::new(object, what))
    }

    /// The part `what` of an object, which is `source` at the source, is not carried to the target.
    pub(crate) fn not_carried(object: &ObjectRef, what: impl Into<String>, source: impl Into<String>) -> Self {
        Self::Fidelity(FidelityIssue {
            object: object.clone(),
            what: what.into(),
            severity: Severity::Warning,
            source: source.into(),
            target: String::new(),
        })
    }
}

/// The result of `dbgraft plan`: everything but the writing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanReport {
    /// The source's URL, without secrets.
    pub source: String,
    /// The target's URL, without secrets.
    pub target: String,
    /// The plan.
    pub plan: Plan,
    /// The known differences between source and target, as far as they are known before rows are read.
    pub fidelity: Vec<FidelityIssue>,
    /// The findings of the preflight, the most serious first.
    pub findings: Vec<Finding>,
}

/// The result of one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObjectReport {
    /// The object.
    pub object: ObjectRef,
    /// The number of rows written.
    pub rows: u64,
    /// The bytes of row text written.
    pub bytes: u64,
    /// The seconds from the first row read to the last index built.
    pub seconds: f64,
    /// Warnings about this object.
    pub warnings: Vec<String>,
    /// The position that the rows of this table are of, if it is not that of the report.
    #[serde(default)]
    pub position: Option<Position>,
}

/// The result of a clone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The source's URL, without secrets.
    pub source: String,
    /// The target's URL, without secrets.
    pub target: String,
    /// The URL of the archive, if the clone went through one and kept it.
    pub archive: Option<String>,
    /// The source's server.
    pub server: Server,
    /// The source's database.
    pub database: Database,
    /// The snapshot's position in the binary log.
    pub position: Position,
    /// The objects that were cloned.
    pub objects: Vec<ObjectReport>,
    /// The objects that were left out, and why.
    pub left_out: Vec<OmittedObject>,
    /// The differences between source and target; empty for an exact clone.
    pub fidelity: Vec<FidelityIssue>,
    /// The result of the comparison, with `--verify`.
    #[serde(default)]
    pub verified: Option<Verification>,
    /// Warnings about the whole clone.
    pub warnings: Vec<String>,
    /// The number of rows written.
    pub rows: u64,
    /// The bytes of row text written.
    pub bytes: u64,
    /// The duration of the job in seconds.
    pub seconds: f64,
    /// How many of these seconds the job was paused.
    #[serde(default)]
    pub paused_seconds: f64,
    /// What a resumed clone took over from an earlier run.
    #[serde(default)]
    pub resumed: Option<Resumption>,
    /// What was applied after the copy, with the option `follow`.
    #[serde(default)]
    pub followed: Option<Followed>,
}

/// What was applied of a source's changes until the cut-over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Followed {
    /// The source's URL, without secrets.
    pub source: String,
    /// The target's URL, without secrets.
    pub target: String,
    /// The position in the source's log up to which the target has its changes.
    pub position: LogPosition,
    /// The number of transactions that were applied, from the snapshot on.
    pub transactions: u64,
    /// The number of rows that this process has applied.
    pub rows: u64,
    /// The differences of triggers and events.
    pub fidelity: Vec<FidelityIssue>,
    /// Warnings.
    pub warnings: Vec<String>,
    /// The duration in seconds.
    pub seconds: f64,
}

/// How a clone was resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResumeCase {
    /// The clone was complete already.
    Finished,
    /// All rows were there; the source was not asked.
    NoRowMissing,
    /// The missing rows came from an archive: all rows are of one moment.
    OneMoment,
    /// No table was complete: all are read again, at one moment.
    ReadAgain,
    /// Tables that were not complete were read again, at another moment.
    SeveralMoments,
    /// The same, and then the changes in the source's log brought all tables to one moment.
    CaughtUp,
}

impl ResumeCase {
    /// The line by which a run says what it does.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Finished => "there is nothing to resume: the clone is complete",
            Self::NoRowMissing => "resumed: all rows are there, and the source is not asked for any",
            Self::OneMoment => "resumed: the missing rows come from the archive, so that all are of one moment",
            Self::ReadAgain => "resumed: no table was complete, so that all are read again, at one moment",
            Self::SeveralMoments => {
                "resumed: tables that were not complete are read again as a whole, so that tables are of several moments"
            }
            Self::CaughtUp => {
                "resumed: tables that were not complete are read again as a whole, and the changes in the source's binary log \
                 bring all tables to one moment"
            }
        }
    }
}

/// What a resumed clone took over, and what it read again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumption {
    /// The case.
    pub case: ResumeCase,
    /// When the clone began, by the target's clock in UTC.
    pub started: String,
    /// The tables that were complete.
    pub taken_over: Vec<String>,
    /// The tables of which some batches were there.
    pub continued: Vec<String>,
    /// The tables that were read as a whole in this run.
    pub read_again: Vec<String>,
    /// What brought all tables to one moment.
    #[serde(default)]
    pub caught_up: Option<CaughtUp>,
}

/// The changes that brought tables of several moments to one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaughtUp {
    /// The earliest of the moments.
    pub start: LogPosition,
    /// The moment that all tables are of.
    pub end: LogPosition,
    /// The number of transactions of the source that were applied, by this run and by earlier ones.
    pub transactions: u64,
    /// The number of rows that this run has applied.
    pub rows: u64,
}

impl Report {
    /// The report that an error of kind `Different` or `Incomplete` carries as its cause. Such a clone was made, but it
    /// differs from what was read, or the target refused a part of it.
    pub fn from_error(error: &Error) -> Option<&Self> {
        let cause = std::error::Error::source(error)?;
        cause.downcast_ref::<FaultyClone>().map(|clone| &clone.report)
    }

    /// Turns the report into an error of kind `Different` or `Incomplete` if the comparison found a difference or the
    /// target refused something.
    pub(crate) fn into_result(self, refused: &[FidelityIssue]) -> Result<Self, Error> {
        let count = self.verified.as_ref().map_or(0, |found| found.differences.len());
        let (kind, message) = match (count, refused.len()) {
            (0, 0) => return Ok(self),
            (0, refused) => (
                ErrorKind::Incomplete,
                format!(
                    "the clone has all rows and is kept, but the target refused {refused} definition{}. Remove the cause \
                     and create what is missing, or clone again",
                    if refused == 1 { "" } else { "s" }
                ),
            ),
            (count, _) => (
                ErrorKind::Different,
                format!(
                    "the clone differs from what was read in {count} place{} and is kept. If another session wrote into \
                     the target meanwhile, stop it and clone again",
                    if count == 1 { "" } else { "s" }
                ),
            ),
        };
        let refused = refused.iter().map(FidelityIssue::describe).collect();
        Err(Error::new(kind, message).caused_by(FaultyClone { report: self, refused }))
    }
}

/// The cause of an error of kind `Different` or `Incomplete`.
#[derive(Debug)]
struct FaultyClone {
    report: Report,
    refused: Vec<String>,
}

impl fmt::Display for FaultyClone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let differences = self.report.verified.iter().flat_map(|found| &found.differences);
        f.write_str(&verification::format_differences(differences))?;
        f.write_str(&verification::format_differences(self.refused.iter()))
    }
}

impl std::error::Error for FaultyClone {}
