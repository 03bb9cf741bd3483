//! The keys of an archive's objects, and the format of its two documents. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::batch::{BatchId, Receipt};
use crate::catalog::Printable;
use crate::codec::{Digest, hash_row};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{Plan, TablePlan};
use crate::store::{TEMPORARY, is_encrypted};

/// The plan of the export; written first.
pub(super) const PLAN: &str = "plan.json";
/// The list of all batches; written last. An archive without it is incomplete.
pub(super) const MANIFEST: &str = "manifest.json";
/// The prefix of every batch's key.
pub(super) const DATA: &str = "data/";
/// The prefix of the documents of complete tables, which an export keeps until its manifest is written.
pub(super) const PROGRESS: &str = "progress/";
/// The format that this version writes and reads. Format 1 has neither totals nor digests of its documents: it cannot
/// be checked for missing batches.
const FORMAT: u32 = 2;
/// The maximum size of a document, which lists millions of batches.
pub(super) const MAX_DOCUMENT_BYTES: u64 = 1 << 30;

/// The key of a batch. It consists of numbers, so that no table name can affect the path.
pub(super) fn batch_key(id: BatchId) -> String {
    let BatchId { table, chunk, batch } = id;
    format!("{DATA}{table}/{chunk}-{batch}.tsv.zst")
}

/// Whether a key is one of [`batch_key`] or a temporary one of a store. A removal leaves every other object.
pub(super) fn is_archive_key(key: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let batch = |key: &str| {
        let (table, file) = key.strip_prefix(DATA)?.split_once('/')?;
        let (chunk, batch) = file.strip_suffix(".tsv.zst")?.split_once('-')?;
        Some(number(table) && number(chunk) && number(batch))
    };
    let name = key.rsplit_once('/').map_or(key, |(_, name)| name);
    name.starts_with(TEMPORARY) || batch(key) == Some(true) || progress_table(key).is_some()
}

/// The key of the document of a complete table.
pub(super) fn progress_key(table: u32) -> String {
    format!("{PROGRESS}{table}.json")
}

/// The table of a key of [`progress_key`].
pub(super) fn progress_table(key: &str) -> Option<u32> {
    let number = key.strip_prefix(PROGRESS)?.strip_suffix(".json")?;
    number.parse().ok().filter(|table| progress_key(*table) == key)
}

/// The table of a key of [`batch_key`].
pub(super) fn batch_table(key: &str) -> Option<u32> {
    key.strip_prefix(DATA)?.split_once('/')?.0.parse().ok()
}

/// A batch in the manifest; its number is its position in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BatchEntry {
    pub(super) rows: u64,
    /// Bytes of text.
    pub(super) bytes: u64,
    /// Bytes of the object, before its encryption.
    pub(super) stored: u64,
    pub(super) digest: Digest,
}

impl From<&Receipt> for BatchEntry {
    fn from(receipt: &Receipt) -> Self {
        let &Receipt { rows, bytes, stored, digest, .. } = receipt;
        Self { rows, bytes, stored, digest }
    }
}

/// The totals of some batches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BatchTotals {
    batches: u64,
    rows: u64,
    /// Bytes of text.
    bytes: u64,
}

impl BatchTotals {
    fn of_entries(entries: &[BatchEntry]) -> Self {
        let totals = |entry: &BatchEntry| Self { batches: 1, rows: entry.rows, bytes: entry.bytes };
        Self::sum(entries.iter().map(totals))
    }

    fn sum(parts: impl Iterator<Item = Self>) -> Self {
        parts.fold(Self::default(), |sum, part| Self {
            batches: sum.batches.saturating_add(part.batches),
            rows: sum.rows.saturating_add(part.rows),
            bytes: sum.bytes.saturating_add(part.bytes),
        })
    }
}

/// The totals of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TableEntry {
    table: u32,
    total: BatchTotals,
}

/// A chunk with all its batches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ChunkEntry {
    pub(super) table: u32,
    pub(super) chunk: u32,
    total: BatchTotals,
    pub(super) batches: Vec<BatchEntry>,
}

impl ChunkEntry {
    /// Builds the entries of a table's chunks from the receipts of its batches.
    ///
    /// # Errors
    /// Those of [`Manifest::new`].
    pub(super) fn of_table(table: &TablePlan, receipts: &BTreeMap<BatchId, Receipt>) -> Result<Vec<Self>> {
        let number = table.number;
        let id = |chunk, batch| BatchId { table: number, chunk, batch };
        let own = receipts.range(id(0, 0)..=id(u32::MAX, u32::MAX));
        entries(table.chunks.iter().map(|chunk| (number, chunk.number)), own)
    }

    /// The receipts of the chunk's batches.
    pub(super) fn receipts(&self) -> impl Iterator<Item = Receipt> + '_ {
        (0..).zip(&self.batches).map(|(batch, entry)| {
            let id = BatchId { table: self.table, chunk: self.chunk, batch };
            let &BatchEntry { rows, bytes, stored, digest } = entry;
            Receipt { id, rows, bytes, stored, digest }
        })
    }
}

/// The contents of a complete archive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// The digest of the archive's plan.
    pub(super) plan: String,
    /// Every table of the plan.
    tables: Vec<TableEntry>,
    /// Every chunk of the plan, also one without batches.
    pub(super) chunks: Vec<ChunkEntry>,
}

impl Manifest {
    /// Builds the manifest from the receipts of all batches.
    ///
    /// # Errors
    /// `Internal` when a batch before the last one of its chunk is missing, or one belongs to no chunk of the plan.
    pub(super) fn new(plan: &Plan, receipts: &BTreeMap<BatchId, Receipt>) -> Result<Self> {
        let chunks = entries(chunks(plan), receipts.iter())?;
        Ok(Self { plan: digest(&raw(plan)?), tables: tables(plan, &chunks), chunks })
    }

    /// The number, the rows and the bytes of text of each table.
    pub(super) fn table_totals(&self) -> impl Iterator<Item = (u32, u64, u64)> + '_ {
        self.tables.iter().map(|entry| (entry.table, entry.total.rows, entry.total.bytes))
    }

    /// Compares the manifest with the plan and its digest, and its totals with its entries.
    ///
    /// # Errors
    /// The first difference, as the end of a sentence.
    pub(super) fn check(&self, plan: &Plan, plan_digest: &str) -> Result<(), String> {
        if self.plan != plan_digest {
            return Err(format!("belongs to another {PLAN} than the one beside it"));
        }
        let listed: Vec<_> = self.chunks.iter().map(|entry| (entry.table, entry.chunk)).collect();
        let planned: BTreeSet<_> = chunks(plan).collect();
        if listed.len() != planned.len() || !listed.iter().eq(&planned) {
            return Err(format!("does not list the chunks of {PLAN}"));
        }
        let wrong = self.chunks.iter().find(|entry| entry.total != BatchTotals::of_entries(&entry.batches));
        if let Some(ChunkEntry { table, chunk, .. }) = wrong {
            return Err(format!("does not list all batches of chunk {chunk} of table {table}"));
        }
        if self.tables != tables(plan, &self.chunks) {
            return Err("does not list all that a table holds".to_owned());
        }
        Ok(())
    }
}

/// Builds the entries of chunks from the receipts of all their batches.
fn entries<'a>(
    chunks: impl Iterator<Item = (u32, u32)>,
    receipts: impl Iterator<Item = (&'a BatchId, &'a Receipt)>,
) -> Result<Vec<ChunkEntry>> {
    let mut seen: BTreeMap<(u32, u32), Vec<BatchEntry>> = chunks.map(|chunk| (chunk, Vec::new())).collect();
    for (id, receipt) in receipts {
        let batches =
            seen.get_mut(&(id.table, id.chunk)).ok_or_else(|| incomplete(*id, "is in no chunk of the plan"))?;
        if usize::try_from(id.batch) != Ok(batches.len()) {
            return Err(incomplete(*id, "came without the one before it"));
        }
        batches.push(BatchEntry::from(receipt));
    }
    let entry = |((table, chunk), batches): (_, Vec<_>)| {
        let total = BatchTotals::of_entries(&batches);
        ChunkEntry { table, chunk, total, batches }
    };
    Ok(seen.into_iter().map(entry).collect())
}

/// Sums the chunks of each table of the plan.
fn tables(plan: &Plan, chunks: &[ChunkEntry]) -> Vec<TableEntry> {
    let mut totals: BTreeMap<u32, BatchTotals> = BTreeMap::new();
    for entry in chunks {
        let total = totals.entry(entry.table).or_default();
        *total = BatchTotals::sum([*total, entry.total].into_iter());
    }
    let total = |table: &TablePlan| totals.get(&table.number).copied().unwrap_or_default();
    plan.tables.iter().map(|table| TableEntry { table: table.number, total: total(table) }).collect()
}

fn chunks(plan: &Plan) -> impl Iterator<Item = (u32, u32)> + '_ {
    plan.tables.iter().flat_map(|table| table.chunks.iter().map(|chunk| (table.number, chunk.number)))
}

fn incomplete(id: BatchId, why: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("the archive cannot be completed: batch {id} {why}"))
}

/// A document with the number of its format and a digest before its content.
#[derive(Serialize, Deserialize)]
struct Document {
    format: u32,
    /// The version that wrote it, for people.
    #[serde(default)]
    dbgraft: String,
    /// Of the content's text, as [`digest`] gives it.
    digest: String,
    content: Box<RawValue>,
}

/// The content of a document, and the digest of its text.
pub(super) struct ParsedDocument<T> {
    pub(super) content: T,
    pub(super) digest: String,
}

fn raw<T: Serialize>(content: &T) -> Result<Box<RawValue>> {
    to_raw_value(content).map_err(unwritable)
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Internal, "cannot write a document of the archive").caused_by(error)
}

fn digest(content: &RawValue) -> String {
    format!("{:032x}", hash_row(content.get().as_bytes()))
}

/// Serializes a document.
pub(super) fn encode<T: Serialize>(content: &T) -> Result<Bytes> {
    let content = raw(content)?;
    let dbgraft = env!("CARGO_PKG_VERSION").to_owned();
    let document = Document { format: FORMAT, dbgraft, digest: digest(&content), content };
    serde_json::to_vec(&document).map(Bytes::from).map_err(unwritable)
}

/// Parses a document and checks its digest; `url` is for the error.
///
/// # Errors
/// `Unsupported` for another format, `Data` for a document that cannot be parsed or was edited, `Usage` for an encrypted
/// one.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8], url: &str) -> Result<ParsedDocument<T>> {
    #[derive(Deserialize)]
    struct FormatHeader {
        format: u32,
        #[serde(default)]
        dbgraft: String,
    }
    if is_encrypted(bytes) {
        return Err(Error::usage(format!("{url} is encrypted: add --encrypt passphrase, or --encrypt key-file=FILE")));
    }
    let damaged = |error| Error::new(ErrorKind::Data, format!("{url} is no document of an archive")).caused_by(error);
    // The content of another format may have any form: check the number first.
    let FormatHeader { format, dbgraft } = serde_json::from_slice(bytes).map_err(damaged)?;
    if format != FORMAT {
        let remedy = match format {
            0 => "no dbgraft writes that",
            1..FORMAT => "it cannot be checked for missing batches: export again with this version",
            _ => "read it with the newer dbgraft that wrote it",
        };
        let by = if dbgraft.is_empty() { String::new() } else { format!(" (of dbgraft {})", Printable(&dbgraft)) };
        let message = format!("{url} has format {format}{by}, and this dbgraft reads {FORMAT}: {remedy}");
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    let document: Document = serde_json::from_slice(bytes).map_err(damaged)?;
    if digest(&document.content) != document.digest {
        let message =
            format!("{url} is damaged: its content was changed after it was written: restore it, or export again");
        return Err(Error::new(ErrorKind::Data, message));
    }
    let content = serde_json::from_str(document.content.get()).map_err(damaged)?;
    Ok(ParsedDocument { content, digest: document.digest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_of_the_archive_are_recognised() {
        let id = BatchId { table: 3, chunk: 14, batch: 15 };
        assert_eq!(batch_key(id), "data/3/14-15.tsv.zst");
        for ours in ["data/3/14-15.tsv.zst", ".dbgraft-probe-1", "data/3/.dbgraft-put-1"] {
            assert!(is_archive_key(ours), "{ours}");
        }
        for other in
            ["data/3/notes.txt", "data/x/1-2.tsv.zst", "data/3/1-.tsv.zst", "data/3/a/1-2.tsv.zst", "photo.jpg"]
        {
            assert!(!is_archive_key(other), "{other}");
        }
    }

    #[test]
    fn a_document_of_another_format_is_refused() {
        let manifest = Manifest::default();
        let bytes = encode(&manifest).unwrap();
        assert_eq!(decode::<Manifest>(&bytes, "s3://b/manifest.json").unwrap().content, manifest);
        let told = |document: &str| {
            let error = decode::<Manifest>(document.as_bytes(), "m").err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            error.to_string()
        };
        let newer = told(r#"{"format":3,"content":[]}"#);
        assert_eq!(newer, "m has format 3, and this dbgraft reads 2: read it with the newer dbgraft that wrote it");
        let older = told(r#"{"format":1,"dbgraft":"0.1.0","content":[]}"#);
        assert!(older.starts_with("m has format 1 (of dbgraft 0.1.0), and this dbgraft reads 2: it cannot"), "{older}");
        assert!(told(r#"{"format":0}"#).ends_with("no dbgraft writes that"));
        for damaged in [&b"{}"[..], &bytes[..9], br#"{"format":2,"content":[]}"#] {
            assert_eq!(decode::<Manifest>(damaged, "x").err().unwrap().kind(), ErrorKind::Data);
        }
    }

    #[test]
    fn an_edited_or_reformatted_document_is_refused() {
        let text = String::from_utf8(encode(&vec![1, 2, 3]).unwrap().to_vec()).unwrap();
        for edited in ["[1,2]", "[1, 2, 3]", "[1,2,4]"] {
            let error = decode::<Vec<u32>>(text.replace("[1,2,3]", edited).as_bytes(), "m").err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Data);
            assert!(error.to_string().starts_with("m is damaged: its content was changed"), "{error}");
        }
    }
}
