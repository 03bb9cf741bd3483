//! A reader that follows an export.

use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::mpsc;

use super::*;
use crate::batch::{ExportEvent, Receipt};
use crate::source::BatchStream;

/// Starts an export and a reader that follows it.
async fn follow_export(
    store: &Arc<memory::MemoryStore>,
) -> (ArchiveWriter, Plan, mpsc::UnboundedSender<ExportEvent>, ArchiveReader) {
    let writer = ArchiveWriter::new(store.clone(), false);
    let plan = plan();
    writer.begin(&plan).await.unwrap();
    let (sender, feed) = mpsc::unbounded_channel();
    let reader = ArchiveReader::follow(store.clone(), plan.clone(), feed);
    (writer, plan, sender, reader)
}

async fn write_event(writer: &ArchiveWriter, plan: &Plan, batch: Batch) -> ExportEvent {
    let receipt: Receipt = writer.write(&plan.tables[batch.id.table as usize], batch).await.unwrap();
    ExportEvent::Batch(receipt)
}

/// Fails unless the stream waits, also after all tasks have run.
async fn assert_pending(batches: &mut BatchStream<'_>) {
    for _ in 0..20 {
        assert!(batches.next().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_follower_delivers_each_batch_after_its_event() {
    let store = Arc::new(memory::MemoryStore::default());
    let (writer, plan, sender, reader) = follow_export(&store).await;
    assert_eq!(reader.snapshot(&selection(&[])).await.unwrap(), plan, "its plan is as it is");
    let memory = MemoryBudget::new(1 << 20, 1);
    let orders = &plan.tables[2];
    let mut first = reader.read(orders, &orders.chunks[0], &memory).await.unwrap();
    let mut second = reader.read(orders, &orders.chunks[1], &memory).await.unwrap();
    sender.send(write_event(&writer, &plan, batch(2, 0, 0)).await).unwrap();
    assert!(same(&[first.next().await.unwrap().unwrap()], &[batch(2, 0, 0)]));
    assert_pending(&mut first).await;

    // The last one before the middle one, the end before both.
    sender.send(ExportEvent::ChunkEnd { table: 2, chunk: 0, batches: 3 }).unwrap();
    sender.send(write_event(&writer, &plan, batch(2, 0, 2)).await).unwrap();
    sender.send(write_event(&writer, &plan, batch(2, 1, 0)).await).unwrap();
    assert!(same(&[second.next().await.unwrap().unwrap()], &[batch(2, 1, 0)]), "another chunk does not wait");
    assert_pending(&mut first).await;
    sender.send(write_event(&writer, &plan, batch(2, 0, 1)).await).unwrap();
    let rest: Vec<_> = first.try_collect().await.unwrap();
    assert!(same(&rest, &[batch(2, 0, 1), batch(2, 0, 2)]));

    drop(sender);
    let error = second.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection);
    assert_eq!(error.to_string(), "the export ended before chunk 1 of table 2 was complete");
    let late = read(&reader, &plan, 2, 0).await.unwrap();
    assert_eq!(late.len(), 3, "what was complete before stays readable");
}

#[tokio::test]
async fn a_closed_follower_waits_no_longer() {
    let store = Arc::new(memory::MemoryStore::default());
    let (_writer, plan, _sender, reader) = follow_export(&store).await;
    let memory = MemoryBudget::new(1 << 20, 1);
    let mut chunk = reader.read(&plan.tables[0], &plan.tables[0].chunks[0], &memory).await.unwrap();
    assert!(chunk.next().now_or_never().is_none());
    reader.close().await.unwrap();
    assert_eq!(chunk.next().await.unwrap().unwrap_err().kind(), ErrorKind::Connection);
}
