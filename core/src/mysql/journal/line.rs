//! The lines of the journal: their places, their contents and their checksums. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use crate::batch::{Batch, BatchId};
use crate::checkpoint::{Checkpoint, CutOver, LogPlace};
use crate::codec::{Digest, compress, decompress};
use crate::mysql::negative_zero::LostZeroSigns;
use crate::plan::Plan;
use crate::report::Note;

/// The number in places that have none: it cannot be taken for that of a table.
const NONE: u32 = u32::MAX;
/// The length of one piece of the job's content.
const PIECE_BYTES: usize = 128 << 10;
/// The greatest length of the job's content.
const MAX_JOB_BYTES: u64 = 1 << 30;

/// The kinds of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::mysql) enum LineKind {
    /// A piece of the [`JobLine`].
    Job,
    /// The process that may write.
    Owner,
    /// A record of the undo log.
    Item,
    /// The state of a table.
    Table,
    /// A batch that is stored.
    Batch,
    /// What an applier has applied of the source's changes.
    Applier,
    /// The cut-over.
    CutOver,
    /// A statement of the source that is about to run.
    Definition,
}

impl LineKind {
    const ALL: [Self; 8] =
        [Self::Job, Self::Owner, Self::Item, Self::Table, Self::Batch, Self::Applier, Self::CutOver, Self::Definition];

    fn name(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Owner => "owner",
            Self::Item => "item",
            Self::Table => "table",
            Self::Batch => "batch",
            Self::Applier => "applier",
            Self::CutOver => "cutover",
            Self::Definition => "definition",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The kind of this number in the column's ENUM, which is what a log holds.
    pub(super) fn from_number(number: usize) -> Option<Self> {
        Self::ALL.get(number.checked_sub(1)?).copied()
    }
}

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::mysql) struct Line {
    pub(super) kind: LineKind,
    /// The table, the chunk and the batch.
    pub(super) numbers: [u32; 3],
    pub(super) content: Vec<u8>,
}

/// The content of the job's line, which is stored in pieces.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::mysql) struct JobLine {
    pub(in crate::mysql) dbgraft: String,
    /// The target's time when the job began.
    pub(in crate::mysql) started: String,
    /// The target's time when its server was started, in seconds of the Unix epoch, at the last begin or resume.
    pub(in crate::mysql) server_started: u64,
    pub(in crate::mysql) options: Value,
    pub(in crate::mysql) plan: Plan,
}

/// The state of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::mysql) enum TableState {
    /// It is there, and takes rows.
    Begun,
    /// It has all rows and indexes.
    Complete,
    /// It is to be made anew: what it holds does not count.
    Anew,
}

/// The content of a table's line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::mysql) struct TableLine {
    pub(in crate::mysql) state: TableState,
    /// A hash of each part of its definition, by the part's name.
    pub(in crate::mysql) parts: BTreeMap<String, u64>,
    /// The notes about the complete table.
    pub(in crate::mysql) notes: Vec<Note>,
}

/// The content of a batch's line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::mysql) struct BatchLine {
    pub(in crate::mysql) rows: u64,
    /// Bytes of row text.
    pub(in crate::mysql) bytes: u64,
    pub(in crate::mysql) digest: Digest,
    /// The negative zeros that became zero.
    #[serde(default, skip_serializing_if = "LostZeroSigns::is_empty")]
    pub(in crate::mysql) lost_zero_signs: LostZeroSigns,
}

/// The content of the line of a statement that is about to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::mysql) struct DefinitionIntent {
    /// The place before it in the source's log.
    pub(in crate::mysql) place: LogPlace,
    /// A hash of the definition of each table that it concerns, before it runs; `None` where there is no table.
    pub(in crate::mysql) before: BTreeMap<String, Option<u64>>,
    /// The lock of the connection that runs it.
    pub(in crate::mysql) connection: Option<String>,
}

impl BatchLine {
    pub(in crate::mysql) fn of(batch: &Batch) -> Self {
        let bytes = batch.data.len() as u64;
        Self { rows: batch.rows, bytes, digest: batch.digest, lost_zero_signs: LostZeroSigns::default() }
    }
}

impl Line {
    pub(in crate::mysql) fn owner(token: &str) -> Self {
        Self { kind: LineKind::Owner, numbers: [NONE; 3], content: token.as_bytes().to_vec() }
    }

    pub(in crate::mysql) fn item(number: u32, record: &Value) -> Self {
        Self { kind: LineKind::Item, numbers: [NONE, NONE, number], content: record.to_string().into_bytes() }
    }

    pub(in crate::mysql) fn table(number: u32, content: &TableLine) -> Self {
        Self { kind: LineKind::Table, numbers: [number, NONE, NONE], content: json(content) }
    }

    /// The line that says that all objects but the events are made: from then on, events may change rows.
    pub(in crate::mysql) fn all_tables() -> Self {
        let done = TableLine { state: TableState::Complete, parts: BTreeMap::new(), notes: Vec::new() };
        Self::table(NONE, &done)
    }

    pub(in crate::mysql) fn batch(id: BatchId, content: &BatchLine) -> Self {
        Self { kind: LineKind::Batch, numbers: [id.table, id.chunk, id.batch], content: json(content) }
    }

    /// The line of an applier; without a number, of earlier processes.
    pub(in crate::mysql) fn applier(number: Option<u32>, content: &Checkpoint) -> Self {
        let number = number.unwrap_or(NONE);
        let content = json(&ApplierLine::new(content));
        Self { kind: LineKind::Applier, numbers: [NONE, NONE, number], content }
    }

    pub(in crate::mysql) fn cut_over(content: &CutOver) -> Self {
        Self { kind: LineKind::CutOver, numbers: [NONE; 3], content: json(content) }
    }

    pub(in crate::mysql) fn definition(content: &DefinitionIntent) -> Self {
        Self { kind: LineKind::Definition, numbers: [NONE; 3], content: json(content) }
    }

    /// The lines of a job: its content, compressed and in pieces.
    pub(in crate::mysql) fn job(content: &JobLine) -> std::io::Result<Vec<Self>> {
        let text = json(content);
        let mut whole = (text.len() as u64).to_le_bytes().to_vec();
        whole.extend_from_slice(&compress(&text)?);
        let piece = |(number, piece): (u32, &[u8])| Self {
            kind: LineKind::Job,
            numbers: [NONE, NONE, number],
            content: piece.to_vec(),
        };
        Ok((0..).zip(whole.chunks(PIECE_BYTES)).map(piece).collect())
    }

    /// Parses the content of a job from its pieces, in order.
    pub(super) fn parse_job(pieces: &[u8]) -> Option<JobLine> {
        let (length, frame) = pieces.split_first_chunk::<8>()?;
        let length = Some(u64::from_le_bytes(*length)).filter(|length| *length <= MAX_JOB_BYTES)?;
        let text = decompress(frame, usize::try_from(length).ok()?).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Parses the content of an applier's line.
    pub(super) fn parse_applier(&self) -> Option<Checkpoint> {
        self.parse::<ApplierLine>()?.checkpoint()
    }

    /// Parses a content in JSON.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.content).ok()
    }

    pub(super) fn batch_id(&self) -> BatchId {
        let [table, chunk, batch] = self.numbers;
        BatchId { table, chunk, batch }
    }

    /// The checksum of the line in the journal of a job.
    pub(super) fn checksum(&self, job: &str) -> u64 {
        let [table, chunk, batch] = self.numbers;
        let mut text = format!("{job} {} {table} {chunk} {batch} ", self.kind.name()).into_bytes();
        text.extend_from_slice(&self.content);
        xxh3_64(&text)
    }

    /// The values of the line in the order of the journal's columns, with their names.
    pub(super) fn values(&self, job: &str) -> String {
        let [table, chunk, batch] = self.numbers;
        let (kind, content, checksum) = (self.kind.name(), literal(&self.content), self.checksum(job));
        format!(
            "'{kind}' AS kind, {table} AS table_number, {chunk} AS chunk, {batch} AS batch, {content} AS content, \
             {checksum} AS checksum"
        )
    }

    /// The assignments of an UPDATE that changes the line's content.
    pub(super) fn assignments(&self, job: &str) -> String {
        format!("content = {}, checksum = {}", literal(&self.content), self.checksum(job))
    }

    /// The condition of the line's primary key.
    pub(super) fn place(&self, table_prefix: &str) -> String {
        let [table, chunk, batch] = self.numbers;
        format!(
            "{table_prefix}kind = '{}' AND {table_prefix}table_number = {table} AND {table_prefix}chunk = {chunk} AND \
             {table_prefix}batch = {batch}",
            self.kind.name()
        )
    }
}

/// The content of an applier's line: a checkpoint, with the many transactions after its low-water mark in few bytes.
#[derive(Serialize, Deserialize)]
struct ApplierLine {
    /// Without the transactions after the low-water mark.
    checkpoint: Checkpoint,
    /// Each file with ends of such transactions: the first offset, and the distance of each other one from the one before.
    ahead: Vec<(String, Vec<u64>)>,
}

impl ApplierLine {
    fn new(checkpoint: &Checkpoint) -> Self {
        let mut ahead: Vec<(String, Vec<u64>)> = Vec::new();
        let mut last = 0;
        for (file, offset) in &checkpoint.ahead {
            match ahead.last_mut().filter(|(there, _)| there == file) {
                Some((_, distances)) => distances.push(offset - last),
                None => ahead.push((file.clone(), vec![*offset])),
            }
            last = *offset;
        }
        let checkpoint = Checkpoint { ahead: BTreeSet::new(), ..checkpoint.clone() };
        Self { checkpoint, ahead }
    }

    /// The checkpoint; `None` if an offset is no number.
    fn checkpoint(self) -> Option<Checkpoint> {
        let mut checkpoint = self.checkpoint;
        for (file, distances) in self.ahead {
            let mut offset = 0_u64;
            for distance in distances {
                offset = offset.checked_add(distance)?;
                checkpoint.ahead.insert((file.clone(), offset));
            }
        }
        Some(checkpoint)
    }
}

/// A literal of bytes.
pub(super) fn literal(bytes: &[u8]) -> String {
    format!("x'{}'", hex::encode(bytes))
}

/// The contents are plain data, which JSON can always hold.
fn json<T: Serialize>(content: &T) -> Vec<u8> {
    serde_json::to_vec(content).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_covers_the_job_the_place_and_the_content() {
        let id = BatchId { table: 1, chunk: 2, batch: 3 };
        let line = Line::batch(id, &BatchLine { rows: 5, ..BatchLine::default() });
        let same = line.checksum("job");
        assert_eq!(line.clone().checksum("job"), same);
        assert_ne!(line.checksum("other"), same);
        assert_ne!(
            Line::batch(BatchId { batch: 4, ..id }, &BatchLine { rows: 5, ..BatchLine::default() }).checksum("job"),
            same
        );
        assert_ne!(Line::batch(id, &BatchLine { rows: 6, ..BatchLine::default() }).checksum("job"), same);
        assert_eq!(line.batch_id(), id);
        assert_eq!(line.parse::<BatchLine>().unwrap().rows, 5);
    }

    #[test]
    fn the_line_of_an_applier_has_few_bytes_for_each_transaction() {
        let place = |number: u64| (format!("binlog.{:06}", number / 1000), 1_000_000_000 + number * 300);
        let checkpoint = Checkpoint { ahead: (0..2000).map(place).collect(), transactions: 7, ..Checkpoint::default() };
        let line = Line::applier(Some(3), &checkpoint);
        assert!(line.content.len() < 10_000, "{} bytes", line.content.len());
        assert_eq!(line.parse_applier(), Some(checkpoint));
        let none = Line::applier(None, &Checkpoint::default());
        assert_eq!(none.parse_applier(), Some(Checkpoint::default()));
        let too_far = ApplierLine {
            checkpoint: Checkpoint::default(),
            ahead: vec![("binlog.000001".to_owned(), vec![u64::MAX, 1])],
        };
        assert_eq!(Line { content: json(&too_far), ..line }.parse_applier(), None);
    }

    #[test]
    fn a_batch_line_can_be_taken_for_no_other() {
        assert_eq!(literal(b"\x00'"), "x'0027'");
        assert_eq!(Line::owner("x").numbers, [NONE; 3]);
        assert_eq!(LineKind::from_name("batch"), Some(LineKind::Batch));
        assert_eq!(LineKind::from_name("other"), None);
    }
}
