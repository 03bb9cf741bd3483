//! dbgraft clones MySQL and MariaDB databases, whole or in part, from any server to any other, streaming through Amazon
//! S3 or directly, and writes nothing to a local disk.
//!
//! ```no_run
//! use dbgraft::{CloneJob, CloneOptions};
//!
//! # async fn example() -> dbgraft::Result<()> {
//! let report = CloneJob::new("mysql://app@db1.example/shop", "mysql://app@db2.example/shop_copy")
//!     .options(CloneOptions { via: Some("s3://bucket/clones".into()), threads: 8, ..CloneOptions::default() })
//!     .on_event(|event| println!("{event:?}"))
//!     .run()
//!     .await?;
//! println!("{} rows in {:.1} s", report.rows, report.seconds);
//! # Ok(())
//! # }
//! ```
//!
//! A [`CloneJob`] copies rows from a [`Source`] to a [`Sink`]; an [`ObjectSelector`] selects them. All three are traits.
//! This crate implements them for MySQL-family servers and for archives (exports in S3 or in a directory), and programs
//! may implement their own. The unit is the [`Batch`]: whole rows of one table as the text that `LOAD DATA` reads, so
//! rows never become Rust values between two servers. [`codec`] describes that text.
//!
//! A [`Plan`] describes what a job will do, [`Event`]s its progress, and a [`Report`] its result. [`CloneOptions`] are the
//! same list as the command's flags.

mod agent;
mod archive;
mod batch;
mod bounded_file;
mod catalog;
mod change;
mod change_applier;
mod checkpoint;
mod clone;
mod clone_record;
mod conflict_hasher;
mod dial;
mod endpoint;
mod engine;
mod error;
mod event;
mod fidelity;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod memory;
mod mysql;
mod options;
mod plan;
mod remote;
mod report;
mod retry;
mod selector;
mod sink;
mod site;
mod source;
mod ssh;
mod store;
mod url_syntax;
mod verification;

pub mod codec;

pub use agent::serve_agent;
pub use batch::{Batch, BatchId, ExportEvent, Receipt};
pub use catalog::{Catalog, Column, Database, Definition, Flavor, ObjectKind, ObjectRef, Printable, Server, Table};
pub use change::{ChangeKind, LogEvent, LogExtent, LogPosition, RowChanges, RowImages};
pub use change_applier::{ChangeApplier, DefinitionOutcome, LoggedDefinition, TargetTransaction};
pub use checkpoint::{Checkpoint, CutOver, CutOverState, FollowRecord, TargetLog};
pub use clone::{CloneJob, JobControl, TargetJob};
pub use clone_record::{Abandoned, CloneRecord, CloneState, CutOverRecord, CutOverReport, TableProgress, TargetStatus};
pub use conflict_hasher::{ConflictHasher, ConflictKey, HashForm, HashedKey};
pub use endpoint::{SinkEndpoint, SourceEndpoint, needs_password};
pub use error::{Error, ErrorKind, Result};
pub use event::{Event, EventQueue, FollowProgress, LegName, LegProgress, Phase};
pub use fidelity::{FidelityIssue, Severity};
pub use memory::{MemoryBudget, MemoryLease};
pub use options::{
    AgentCredentials, CloneOptions, Definer, Encryption, IfExists, NamingStyle, OnDdl, OnUnsupported, Verify,
    parse_seconds, parse_size,
};
pub use plan::{
    CatchUp, Chunk, CompleteTable, JobDescription, OmittedObject, Plan, Position, ResumeState, SelectedTable,
    Selection, SnapshotMethod, TablePlan, WayBack,
};
pub use report::{CaughtUp, Finding, Followed, Note, ObjectReport, PlanReport, Report, ResumeCase, Resumption};
pub use secrecy::SecretString;
pub use selector::ObjectSelector;
pub use sink::{ReplicaLag, Sink, UndoRecorder};
pub use site::ExecutionSite;
pub use source::{BatchStream, ChangeStream, ReadObserver, Source};
pub use tokio_util::sync::CancellationToken;
pub use verification::{Comparison, Difference, DifferingRow, RowLocation, Verification};
