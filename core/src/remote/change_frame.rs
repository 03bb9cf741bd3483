//! Compressed changes for the network.

use std::sync::Arc;

use bytes::Bytes;
use memchr::memchr_iter;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use crate::change::{ChangeKind, LogEvent, RowChanges, RowImages};
use crate::checkpoint::Checkpoint;
use crate::codec::{compress_parts, decompress};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{MemoryBudget, MemoryLease, lease_bytes};

/// The most bytes of a frame: its texts are at most one event longer than it should be, and no event is longer.
const MAX_BYTES: usize = 1 << 33;

/// Describes compressed changes, whose bytes are the body of a frame: [`FrameContent`] in JSON, and then the texts of all
/// row images in the order of the events.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct ChangeFrame {
    /// Bytes of JSON.
    json_bytes: usize,
    /// Bytes of all texts.
    text_bytes: usize,
    /// Bytes of the body.
    compressed_bytes: usize,
}

/// What a frame contains, except the texts.
#[derive(Serialize, Deserialize)]
struct FrameContent {
    events: Vec<FramedEvent>,
    checkpoint: Option<Checkpoint>,
}

#[derive(Serialize, Deserialize)]
enum FramedEvent {
    Rows(FramedChanges),
    Other(Box<LogEvent>),
}

/// [`RowChanges`] without texts.
#[derive(Serialize, Deserialize)]
struct FramedChanges {
    table: u32,
    kind: ChangeKind,
    rows: u64,
    before: Option<FramedImages>,
    after: Option<FramedImages>,
    with_cascades: bool,
}

#[derive(Serialize, Deserialize)]
struct FramedImages {
    columns: Vec<u32>,
    /// Bytes of text.
    bytes: usize,
}

impl ChangeFrame {
    /// Compresses events of a log, or changes of a transaction with the checkpoint that its commit records. Returns the
    /// description and the body.
    pub(crate) async fn compress(events: Vec<LogEvent>, checkpoint: Option<Checkpoint>) -> Result<(Self, Bytes)> {
        let compressed = spawn_blocking(move || compress_events(&events, checkpoint)).await;
        compressed.map_err(|error| damaged("compressed", error))?
    }

    /// Reserves the bytes for [`decompress`](Self::decompress).
    ///
    /// The changes of an open transaction keep their reservations until it ends. So a frame takes at most what a batch
    /// takes, and one that needs more is the only one that grows.
    pub(crate) async fn reserve(&self, memory: &MemoryBudget) -> MemoryLease {
        let wanted = self.content_bytes().saturating_add(self.compressed_bytes);
        let mut lease = memory.reserve(wanted.min(memory.batch_bytes())).await;
        lease.grow(wanted).await;
        lease
    }

    /// Bytes of the content.
    pub(super) fn content_bytes(&self) -> usize {
        self.json_bytes.saturating_add(self.text_bytes)
    }

    /// Decompresses the body. The texts keep the lease, which shrinks to the content.
    ///
    /// # Errors
    /// `Data` when the content is not what was sent.
    pub(crate) async fn decompress(
        self,
        body: Bytes,
        mut lease: MemoryLease,
    ) -> Result<(Vec<LogEvent>, Option<Checkpoint>)> {
        let length = self.content_bytes();
        if length > MAX_BYTES || body.len() != self.compressed_bytes {
            return Err(malformed());
        }
        let content = spawn_blocking(move || {
            let content = decompress(&body, length);
            drop(body);
            content
        });
        let content = content.await.map_err(|error| damaged("decompressed", error))?;
        let content = content.map_err(|error| damaged("decompressed", error))?;
        lease.shrink(length);
        parse_content(lease_bytes(content, Arc::new(lease)), self.json_bytes)
    }
}

fn compress_events(events: &[LogEvent], checkpoint: Option<Checkpoint>) -> Result<(ChangeFrame, Bytes)> {
    let content = FrameContent { events: events.iter().map(frame_event).collect(), checkpoint };
    let json = serde_json::to_vec(&content).map_err(|error| damaged("serialized", error))?;
    let mut parts: Vec<&[u8]> = vec![&json];
    for event in events {
        if let LogEvent::Rows(changes) = event {
            parts.extend(changes.before.iter().chain(&changes.after).map(|images| &*images.text));
        }
    }
    let text_bytes = parts.iter().skip(1).map(|part| part.len()).sum();
    let body = compress_parts(&parts).map_err(|error| damaged("compressed", error))?;
    Ok((ChangeFrame { json_bytes: json.len(), text_bytes, compressed_bytes: body.len() }, body))
}

fn frame_event(event: &LogEvent) -> FramedEvent {
    let frame_images = |images: &RowImages| FramedImages { columns: images.columns.clone(), bytes: images.text.len() };
    match event {
        LogEvent::Rows(RowChanges { table, kind, rows, before, after, with_cascades }) => {
            FramedEvent::Rows(FramedChanges {
                table: *table,
                kind: *kind,
                rows: *rows,
                before: before.as_ref().map(frame_images),
                after: after.as_ref().map(frame_images),
                with_cascades: *with_cascades,
            })
        }
        other => FramedEvent::Other(Box::new(other.clone())),
    }
}

/// Parses the JSON at the beginning, and gives each image its text.
fn parse_content(mut content: Bytes, json_bytes: usize) -> Result<(Vec<LogEvent>, Option<Checkpoint>)> {
    let json = content.split_to(json_bytes);
    let parsed: FrameContent = serde_json::from_slice(&json).map_err(|error| malformed().caused_by(error))?;
    let mut events = Vec::with_capacity(parsed.events.len());
    for event in parsed.events {
        events.push(match event {
            FramedEvent::Rows(changes) => LogEvent::Rows(take_changes(changes, &mut content).ok_or_else(malformed)?),
            FramedEvent::Other(event) => *event,
        });
    }
    match content.is_empty() {
        true => Ok((events, parsed.checkpoint)),
        false => Err(malformed()),
    }
}

/// Takes the texts of changes; `None` if they are not as many lines as rows.
fn take_changes(framed: FramedChanges, texts: &mut Bytes) -> Option<RowChanges> {
    let FramedChanges { table, kind, rows, before, after, with_cascades } = framed;
    let mut take = |images: Option<FramedImages>| -> Option<Option<RowImages>> {
        let Some(FramedImages { columns, bytes }) = images else { return Some(None) };
        if bytes > texts.len() {
            return None;
        }
        let text = texts.split_to(bytes);
        let lines = memchr_iter(b'\n', &text).count() as u64;
        let is_whole = lines == rows && text.last().is_none_or(|last| *last == b'\n');
        is_whole.then_some(Some(RowImages { columns, text }))
    };
    let (before, after) = (take(before)?, take(after)?);
    let is_complete = match kind {
        ChangeKind::Insert => before.is_none() && after.is_some(),
        ChangeKind::Update => before.is_some() && after.is_some(),
        ChangeKind::Delete => before.is_some() && after.is_none(),
    };
    is_complete.then_some(RowChanges { table, kind, rows, before, after, with_cascades })
}

fn malformed() -> Error {
    Error::new(ErrorKind::Data, "the other site sent changes that are not what they are said to be")
}

fn damaged(action: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Data, format!("changes could not be {action}")).caused_by(error)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::change::LogPosition;

    fn images(columns: &[u32], text: &'static [u8]) -> Option<RowImages> {
        Some(RowImages { columns: columns.to_vec(), text: Bytes::from_static(text) })
    }

    fn events() -> Vec<LogEvent> {
        let end = LogPosition {
            server: "s".into(),
            file: "log.1".into(),
            offset: 9,
            gtids: Some("a:1-5".into()),
            prepared_since: None,
            prepared_changes_since: None,
        };
        let (before, after) = (images(&[0], b"1\n2\n"), images(&[0, 1], b"1\t\xff\n2\t\\N\n"));
        let update = RowChanges { table: 3, kind: ChangeKind::Update, rows: 2, before, after, with_cascades: true };
        // A table without stored columns has empty lines.
        let delete = RowChanges {
            table: 0,
            kind: ChangeKind::Delete,
            rows: 1,
            before: images(&[], b"\n"),
            after: None,
            with_cascades: false,
        };
        vec![
            LogEvent::Begin { gtid: None },
            LogEvent::Rows(update),
            LogEvent::Rows(delete),
            LogEvent::Commit { end: end.clone(), committed_at_ms: 5 },
            LogEvent::Rollback,
            LogEvent::Definition {
                sql: "ALTER TABLE t ADD \u{e4} INT".into(),
                database: "d".into(),
                settings: vec!["sql_mode = ''".into()],
                start: end.clone(),
                end: end.clone(),
                with_rows: true,
                obstacle: Some("o".into()),
            },
            LogEvent::Idle { end, logged_at_ms: None },
        ]
    }

    #[tokio::test]
    async fn changes_arrive_as_they_were_and_hold_their_memory() {
        let checkpoint =
            Checkpoint { transactions: 7, ahead: [("log.1".to_owned(), 4)].into(), ..Checkpoint::default() };
        let memory = MemoryBudget::new(1 << 20, 1);
        let (frame, body) = ChangeFrame::compress(events(), Some(checkpoint.clone())).await.unwrap();
        let lease = frame.reserve(&memory).await;
        let (mut received, recorded) = frame.decompress(body, lease).await.unwrap();
        assert_eq!((&received, recorded), (&events(), Some(checkpoint)));
        let is_free = || memory.reserve(1 << 20).now_or_never().is_some();
        received.drain(2..);
        assert!(!is_free());
        drop(received);
        assert!(is_free());
    }

    #[tokio::test]
    async fn changes_that_are_not_whole_are_refused() {
        let insert = |rows, text| RowChanges {
            table: 0,
            kind: ChangeKind::Insert,
            rows,
            before: None,
            after: images(&[0], text),
            with_cascades: false,
        };
        let memory = MemoryBudget::new(1 << 20, 1);
        let decompress = async |frame: ChangeFrame, body| frame.decompress(body, memory.reserve(1).await).await;
        let no_row = RowChanges { after: None, ..insert(0, b"") };
        for wrong in [insert(2, b"1\n"), insert(1, b"1"), insert(1, b"1\n2"), no_row] {
            let (frame, body) = ChangeFrame::compress(vec![LogEvent::Rows(wrong.clone())], None).await.unwrap();
            assert_eq!(decompress(frame, body).await.unwrap_err().kind(), ErrorKind::Data, "{wrong:?}");
        }
        let (frame, body) = ChangeFrame::compress(events(), None).await.unwrap();
        let ChangeFrame { json_bytes, text_bytes, compressed_bytes } = frame;
        for (json_bytes, text_bytes, compressed_bytes) in [
            (json_bytes - 1, text_bytes + 1, compressed_bytes),
            (json_bytes, text_bytes + 1, compressed_bytes),
            (json_bytes, text_bytes, compressed_bytes + 1),
            (usize::MAX, 1, compressed_bytes),
        ] {
            let frame = ChangeFrame { json_bytes, text_bytes, compressed_bytes };
            assert!(decompress(frame, body.clone()).await.is_err());
        }
    }
}
