//! What lies where in an archive, and the form of its two documents. Pure.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::batch::{BatchId, Receipt};
use crate::codec::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::Plan;
use crate::store::TEMPORARY;

/// What is cloned: written first.
pub(super) const PLAN: &str = "plan.json";
/// Every batch: written last. An archive without it is incomplete.
pub(super) const MANIFEST: &str = "manifest.json";
/// What the keys of all batches start with.
pub(super) const DATA: &str = "data/";
/// The form of an archive that this version writes, and the newest that it reads.
const FORMAT: u32 = 1;

/// The key of a batch: made of numbers only, so that no name of a table can lead anywhere.
pub(super) fn batch_key(id: BatchId) -> String {
    let BatchId { table, chunk, batch } = id;
    format!("{DATA}{table}/{chunk}-{batch}.tsv.zst")
}

/// Whether a key is one that [`batch_key`] makes or a store's temporary one. Everything else is not ours to remove.
pub(super) fn is_ours(key: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let batch = |key: &str| {
        let (table, file) = key.strip_prefix(DATA)?.split_once('/')?;
        let (chunk, batch) = file.strip_suffix(".tsv.zst")?.split_once('-')?;
        Some(number(table) && number(chunk) && number(batch))
    };
    let name = key.rsplit_once('/').map_or(key, |(_, name)| name);
    name.starts_with(TEMPORARY) || batch(key) == Some(true)
}

/// A batch as the manifest lists it; its number is its place in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) rows: u64,
    /// Bytes of text.
    pub(super) bytes: u64,
    /// Bytes of the object.
    pub(super) stored: u64,
    pub(super) digest: Digest,
}

impl From<&Receipt> for Entry {
    fn from(receipt: &Receipt) -> Self {
        let &Receipt { rows, bytes, stored, digest, .. } = receipt;
        Self { rows, bytes, stored, digest }
    }
}

/// A chunk with all its batches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ChunkEntry {
    pub(super) table: u32,
    pub(super) chunk: u32,
    pub(super) batches: Vec<Entry>,
}

/// All that a complete archive holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// Every chunk of the plan, also one without batches.
    pub(super) chunks: Vec<ChunkEntry>,
}

impl Manifest {
    /// The manifest of what was written.
    ///
    /// # Errors
    /// `Internal` when a batch before the last one of its chunk is missing, or one belongs to no chunk of the plan.
    pub(super) fn of(plan: &Plan, receipts: &BTreeMap<BatchId, Receipt>) -> Result<Self> {
        let mut seen: BTreeMap<(u32, u32), Vec<Entry>> = chunks(plan).map(|chunk| (chunk, Vec::new())).collect();
        for (id, receipt) in receipts {
            let batches =
                seen.get_mut(&(id.table, id.chunk)).ok_or_else(|| incomplete(*id, "is in no chunk of the plan"))?;
            if usize::try_from(id.batch) != Ok(batches.len()) {
                return Err(incomplete(*id, "came without the one before it"));
            }
            batches.push(Entry::from(receipt));
        }
        let entry = |((table, chunk), batches)| ChunkEntry { table, chunk, batches };
        Ok(Self { chunks: seen.into_iter().map(entry).collect() })
    }

    /// Whether every chunk of the plan is listed.
    pub(super) fn covers(&self, plan: &Plan) -> bool {
        let listed: BTreeSet<_> = self.chunks.iter().map(|entry| (entry.table, entry.chunk)).collect();
        chunks(plan).all(|chunk| listed.contains(&chunk))
    }
}

fn chunks(plan: &Plan) -> impl Iterator<Item = (u32, u32)> + '_ {
    plan.tables.iter().flat_map(|table| table.chunks.iter().map(|chunk| (table.number, chunk.number)))
}

fn incomplete(id: BatchId, why: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("the archive cannot be completed: batch {id} {why}"))
}

/// A document with the number of its format before its content.
#[derive(Serialize, Deserialize)]
struct Document<T> {
    format: u32,
    /// The version that wrote it, for people.
    #[serde(default)]
    dbgraft: String,
    content: T,
}

/// The bytes of a document.
pub(super) fn encode<T: Serialize>(content: &T) -> Result<Bytes> {
    let document = Document { format: FORMAT, dbgraft: env!("CARGO_PKG_VERSION").to_owned(), content };
    let failed = |error| Error::new(ErrorKind::Internal, "cannot write a document of the archive").caused_by(error);
    serde_json::to_vec(&document).map(Bytes::from).map_err(failed)
}

/// Undoes [`encode`]; `url` is for the message.
///
/// # Errors
/// `Unsupported` for a newer format, `Data` for what cannot be understood.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8], url: &str) -> Result<T> {
    #[derive(Deserialize)]
    struct Head {
        format: u32,
    }
    let damaged = |error| Error::new(ErrorKind::Data, format!("{url} is no document of an archive")).caused_by(error);
    // The content of another format may be anything: look at the number first.
    let Head { format } = serde_json::from_slice(bytes).map_err(damaged)?;
    if format != FORMAT {
        let message = format!("{url} has format {format}, and this dbgraft knows {FORMAT}: a newer dbgraft wrote it");
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    serde_json::from_slice::<Document<T>>(bytes).map(|document| document.content).map_err(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_keys_are_ours() {
        let id = BatchId { table: 3, chunk: 14, batch: 15 };
        assert_eq!(batch_key(id), "data/3/14-15.tsv.zst");
        for ours in ["data/3/14-15.tsv.zst", ".dbgraft-probe-1", "data/3/.dbgraft-put-1"] {
            assert!(is_ours(ours), "{ours}");
        }
        for other in
            ["data/3/notes.txt", "data/x/1-2.tsv.zst", "data/3/1-.tsv.zst", "data/3/a/1-2.tsv.zst", "photo.jpg"]
        {
            assert!(!is_ours(other), "{other}");
        }
    }

    #[test]
    fn a_document_of_another_format_is_refused() {
        let manifest = Manifest::default();
        let bytes = encode(&manifest).unwrap();
        assert_eq!(decode::<Manifest>(&bytes, "s3://b/manifest.json").unwrap(), manifest);
        let newer = decode::<Manifest>(br#"{"format":2,"content":[]}"#, "s3://b/manifest.json").unwrap_err();
        assert_eq!(newer.kind(), ErrorKind::Unsupported);
        assert!(newer.to_string().contains("s3://b/manifest.json has format 2"), "{newer}");
        assert_eq!(decode::<Manifest>(b"{}", "x").unwrap_err().kind(), ErrorKind::Data);
        assert_eq!(decode::<Manifest>(&bytes[..9], "x").unwrap_err().kind(), ErrorKind::Data);
    }
}
