//! The parts of tables that are compared one at a time.

use crate::codec::Digest;
use crate::plan::{Chunk, TablePlan};

/// One part of a table to compare.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct ComparisonUnit {
    pub(super) table: u32,
    pub(super) part: TablePart,
    /// The digest of the source's rows; `None` to read them now.
    pub(super) read: Option<Digest>,
}

/// A part of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TablePart {
    /// The chunk with this index, which is the same on both sides.
    Chunk(usize),
    /// All chunks of a table that the two sides divide differently.
    AllChunks,
    /// The table without chunks.
    Whole,
}

static WHOLE: Chunk = Chunk { number: 0, after: None, until: None };

impl ComparisonUnit {
    /// The chunks of `table` to read for this unit.
    pub(super) fn chunks(self, table: &TablePlan) -> &[Chunk] {
        match self.part {
            TablePart::Chunk(chunk) => table.chunks.get(chunk..=chunk).unwrap_or_default(),
            TablePart::AllChunks => &table.chunks,
            TablePart::Whole => std::slice::from_ref(&WHOLE),
        }
    }
}
