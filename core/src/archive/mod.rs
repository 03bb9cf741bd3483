//! Archives: clones at rest. The plan first, then the batches in any order, the manifest last.

mod layout;
mod ledger;
mod reader;
mod remove;
mod restrict;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use reader::Reader;
pub(crate) use remove::remove;
pub(crate) use writer::Writer;
