use crate::codec::Digest;
use crate::plan::{Chunk, TablePlan};

/// What is compared at a time.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Unit {
    pub(super) table: u32,
    pub(super) part: Part,
    /// The digest of what was read; without one it is read now.
    pub(super) read: Option<Digest>,
}

/// Which part of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Chunk(usize),
    /// All chunks of a table that the two sides have cut differently.
    Chunks,
    /// The table in one piece, whatever its chunks are.
    Whole,
}

static WHOLE: Chunk = Chunk { number: 0, after: None, until: None };

impl Unit {
    /// What is to be read of the table on one side.
    pub(super) fn chunks(self, table: &TablePlan) -> &[Chunk] {
        match self.part {
            Part::Chunk(chunk) => table.chunks.get(chunk..=chunk).unwrap_or_default(),
            Part::Chunks => &table.chunks,
            Part::Whole => std::slice::from_ref(&WHOLE),
        }
    }
}
