//! dbgraft

mod archive;
mod batch;
mod catalog;
mod engine;
mod error;
mod event;
mod memory;
mod mysql;
mod options;
mod plan;
mod report;
mod retry;
mod sink;
mod source;
mod store;

pub mod codec;

pub use batch::{Batch, BatchId, Receipt};
pub use catalog::{Catalog, Column, Database, Definition, Flavor, ObjectKind, ObjectRef, Printable, Server, Table};
pub use error::{Error, ErrorKind, Result};
pub use event::{Amount, Event, LegName, Phase};
pub use memory::{Lease, Memory};
pub use plan::{Chunk, LeftOut, Plan, Position, Progress, Rung, SelectedTable, Selection, TablePlan};
pub use report::{Finding, Note, ObjectReport, Overview, Report, Severity};
pub use sink::Sink;
pub use source::{BatchStream, Source};
