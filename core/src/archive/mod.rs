//! Archives of clones. A writer stores the plan first, then the batches in any order, and the manifest last.

mod batch_index;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod layout;
mod progress;
mod reader;
mod remove;
mod restrict;
mod status;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use reader::ArchiveReader;
pub(crate) use remove::remove;
pub(crate) use status::{ArchiveStatus, status, written_plan};
pub(crate) use writer::ArchiveWriter;
