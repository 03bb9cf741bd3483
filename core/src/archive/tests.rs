//! The writer and the reader together, on a store in memory.

mod s3;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::layout::{MANIFEST, PLAN};
use super::{ArchiveReader, ArchiveWriter};
use crate::batch::{Batch, BatchId, ExportEvent, Receipt};
use crate::catalog::{Catalog, Database, Flavor, ObjectKind, ObjectRef, Server, Table};
use crate::codec::BatchBuilder;
use crate::error::{ErrorKind, Result};
use crate::memory::MemoryBudget;
use crate::plan::{Chunk, OmittedObject, Plan, Position, SelectedTable, Selection, SnapshotMethod};
use crate::sink::Sink;
use crate::source::Source;
use crate::store::{ObjectStore, memory};

fn table(name: &str) -> Table {
    Table {
        name: name.to_owned(),
        engine: "InnoDB".to_owned(),
        columns: Vec::new(),
        history: false,
        late_timestamps: Vec::new(),
        primary_key: Vec::new(),
        rows_estimate: 3,
        data_bytes: 300,
        index_bytes: 0,
        create: format!("CREATE TABLE `{name}` (a int)"),
    }
}

fn catalog() -> Catalog {
    Catalog {
        server: Server::new(Flavor::MySql, "9.7.4"),
        database: Database {
            name: "shop".into(),
            charset: "utf8mb4".into(),
            collation: "utf8mb4_0900_ai_ci".into(),
            comment: String::new(),
        },
        tables: vec![table("empty"), table("../../etc/passwd"), table("orders")],
        definitions: Vec::new(),
    }
}

fn selection(names: &[&str]) -> Selection {
    let tables = names.iter().map(|name| SelectedTable { name: (*name).to_owned(), filter: None }).collect();
    Selection { tables, rows: true, schema: true, whole: true, ..Selection::default() }
}

/// `orders`, table 2, has two chunks.
fn plan() -> Plan {
    let all = selection(&["empty", "../../etc/passwd", "orders"]);
    let mut plan = Plan::from_selection(&catalog(), &all, Position::unknown(SnapshotMethod::TableLocks));
    plan.tables[2].chunks.push(Chunk { number: 1, ..Chunk::whole() });
    plan
}

fn batch(table: u32, chunk: u32, batch: u32) -> Batch {
    let mut builder = BatchBuilder::default();
    for row in 0..200 {
        builder.push_value(format!("{table} {chunk} {batch} {row}\n").as_bytes());
        builder.push_null();
        builder.end_row();
    }
    builder.finish(BatchId { table, chunk, batch })
}

fn batches() -> Vec<Batch> {
    [(2, 1, 0), (1, 0, 0), (2, 0, 1), (2, 0, 0), (2, 0, 2)].map(|(t, c, b)| batch(t, c, b)).into()
}

async fn export(store: &Arc<memory::MemoryStore>) -> ArchiveWriter {
    let writer = ArchiveWriter::new(store.clone(), false);
    let plan = plan();
    assert_eq!(writer.check(&catalog(), &Selection::default()).await.unwrap(), []);
    assert!(store.objects().is_empty(), "a check leaves nothing");
    assert!(writer.begin(&plan).await.unwrap().loaded.is_empty());
    for batch in batches() {
        let receipt = writer.write(&plan.tables[batch.id.table as usize], batch.clone()).await.unwrap();
        assert_eq!((receipt.rows, receipt.digest), (batch.rows, batch.digest));
        assert!(receipt.stored < receipt.bytes);
    }
    writer.finish(&plan).await.unwrap();
    writer
}

async fn read(reader: &ArchiveReader, plan: &Plan, table: usize, chunk: usize) -> Result<Vec<Batch>> {
    let table = &plan.tables[table];
    reader.read(table, &table.chunks[chunk], &MemoryBudget::new(1 << 20, 1)).await?.try_collect().await
}

fn same(read: &[Batch], written: &[Batch]) -> bool {
    let facts = |batch: &Batch| (batch.rows, batch.data.clone(), batch.digest);
    read.iter().map(facts).eq(written.iter().map(facts))
}

#[tokio::test]
async fn a_reader_returns_the_written_batches() {
    let store = Arc::new(memory::MemoryStore::default());
    export(&store).await;
    let reader = ArchiveReader::open(store.clone());
    assert_eq!(reader.catalog().await.unwrap(), catalog());
    let whole = reader.plan(&selection(&["empty", "../../etc/passwd", "orders"])).await.unwrap();
    assert_eq!(whole, plan());
    assert!(read(&reader, &whole, 0, 0).await.unwrap().is_empty());
    assert!(same(&read(&reader, &whole, 1, 0).await.unwrap(), &[batch(1, 0, 0)]));
    let first = read(&reader, &whole, 2, 0).await.unwrap();
    assert!(same(&first, &[batch(2, 0, 0), batch(2, 0, 1), batch(2, 0, 2)]));
    assert_eq!(first[0].lease.as_ref().unwrap().bytes(), first[0].data.len().next_multiple_of(1024));
    assert!(same(&read(&reader, &whole, 2, 1).await.unwrap(), &[batch(2, 1, 0)]));
}

#[tokio::test]
async fn keys_are_made_of_numbers() {
    let store = Arc::new(memory::MemoryStore::default());
    export(&store).await;
    let keys: Vec<_> = store.objects().keys().cloned().collect();
    let data = ["1/0-0", "2/0-0", "2/0-1", "2/0-2", "2/1-0"].map(|name| format!("data/{name}.tsv.zst"));
    assert_eq!(keys, [&data[..], &["manifest.json".to_owned(), "plan.json".to_owned()]].concat());
}

#[tokio::test]
async fn a_part_of_an_archive_is_numbered_anew() {
    let store = Arc::new(memory::MemoryStore::default());
    export(&store).await;
    let reader = ArchiveReader::open(store.clone());
    let mut part = selection(&["orders"]);
    part.left_out
        .push(OmittedObject { object: ObjectRef::new(ObjectKind::Table, "empty"), reason: "not included".into() });
    let plan = reader.plan(&part).await.unwrap();
    assert_eq!((plan.tables.len(), plan.tables[0].number, plan.tables[0].chunks.len()), (1, 0, 2));
    assert_eq!((plan.position.rung, plan.left_out.len()), (SnapshotMethod::TableLocks, 1));
    let rows = read(&reader, &plan, 0, 1).await.unwrap();
    assert_eq!(rows[0].id, BatchId { table: 0, chunk: 1, batch: 0 });
    assert!(same(&rows, &[batch(2, 1, 0)]));

    part.rows = false;
    assert!(reader.plan(&part).await.unwrap().tables[0].chunks.is_empty());
    part.tables[0].filter = Some("id > 1".into());
    assert_eq!(reader.plan(&part).await.unwrap_err().kind(), ErrorKind::Usage);
}

#[tokio::test]
async fn an_archive_can_go_back_to_the_server_that_it_came_from() {
    let store = Arc::new(memory::MemoryStore::default());
    let writer = ArchiveWriter::new(store.clone(), false);
    let mut plan = Plan { tables: Vec::new(), ..plan() };
    plan.server.identity = "this very server".to_owned();
    writer.begin(&plan).await.unwrap();
    writer.finish(&plan).await.unwrap();
    assert_eq!(ArchiveReader::open(store).catalog().await.unwrap().server.identity, "");
}

#[tokio::test]
async fn an_incomplete_archive_is_refused() {
    let store = Arc::new(memory::MemoryStore::default());
    let error = ArchiveReader::open(store.clone()).catalog().await.unwrap_err();
    assert_eq!(error.to_string(), "there is no archive at memory:///");
    export(&store).await;
    let manifest = store.objects().remove(MANIFEST).unwrap();
    let error = ArchiveReader::open(store.clone()).catalog().await.unwrap_err();
    assert_eq!(error.to_string(), "the archive at memory:/// is incomplete: its manifest.json is missing");
    store.objects().insert(MANIFEST.into(), manifest);
    store.objects().remove(PLAN).unwrap();
    let error = ArchiveReader::open(store.clone()).catalog().await.unwrap_err();
    assert_eq!(error.to_string(), "the archive at memory:/// is incomplete: its plan.json is missing");
}

/// A batch missing in the manifest would be a silent loss of rows.
#[tokio::test]
async fn an_edited_manifest_or_plan_is_refused() {
    let store = Arc::new(memory::MemoryStore::default());
    export(&store).await;
    let document = |key| serde_json::from_slice::<Value>(&store.objects()[key]).unwrap();
    let (manifest, plan) = (document(MANIFEST), document(PLAN));
    let refused = async |key: &str, document: &Value, why: &str| {
        let good = store.objects().insert(key.into(), serde_json::to_vec(document).unwrap().into()).unwrap();
        let error = ArchiveReader::open(store.clone()).catalog().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        assert!(error.to_string().contains(why), "{error}");
        store.objects().insert(key.into(), good);
    };
    let chunk = |manifest: &mut Value, edit: fn(&mut Vec<Value>)| {
        edit(manifest["content"]["chunks"][2]["batches"].as_array_mut().unwrap());
    };
    for edit in [|batches: &mut Vec<Value>| drop(batches.pop()), Vec::clear] {
        let mut edited = manifest.clone();
        chunk(&mut edited, edit);
        refused(MANIFEST, &edited, "its content was changed after it was written").await;
        sign(&mut edited);
        refused(MANIFEST, &edited, "it does not list all batches of chunk 0 of table 2").await;
        edited["content"]["chunks"][2]["total"] = json!({"batches": 0, "rows": 0, "bytes": 0});
        edited["content"]["chunks"][2]["batches"] = json!([]);
        sign(&mut edited);
        refused(MANIFEST, &edited, "it does not list all that a table holds").await;
    }
    let mut edited = manifest.clone();
    edited["content"]["chunks"].as_array_mut().unwrap().remove(0);
    sign(&mut edited);
    refused(MANIFEST, &edited, "it does not list the chunks of plan.json").await;
    let mut edited = plan.clone();
    edited["content"]["tables"].as_array_mut().unwrap().pop();
    refused(PLAN, &edited, "plan.json is damaged: its content was changed").await;
    sign(&mut edited);
    refused(PLAN, &edited, "manifest.json is damaged: it belongs to another plan.json").await;
    ArchiveReader::open(store.clone()).catalog().await.unwrap();
}

/// Makes the digest of a document that of its content.
fn sign(document: &mut Value) {
    let content = serde_json::to_vec(&document["content"]).unwrap();
    document["digest"] = format!("{:032x}", crate::codec::hash_row(&content)).into();
}

/// A store whose first reads of each object are damaged.
#[derive(Debug, Default)]
struct DamagingStore {
    inner: memory::MemoryStore,
    given: Mutex<HashMap<String, usize>>,
    /// How often each object arrives damaged.
    times: usize,
}

#[async_trait]
impl ObjectStore for DamagingStore {
    async fn put(&self, key: &str, data: Bytes) -> Result<()> {
        self.inner.put(key, data).await
    }
    async fn find(&self, key: &str, limit: u64) -> Result<Option<Bytes>> {
        let found = self.inner.find(key, limit).await?;
        let mut given = self.given.lock().unwrap();
        let times = given.entry(key.to_owned()).or_default();
        *times += 1;
        if *times > self.times {
            return Ok(found);
        }
        Ok(found.map(|data| match *times {
            1 => data.slice(..data.len() / 2),
            _ => data.iter().map(|byte| byte ^ 1).collect(),
        }))
    }
    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.inner.list(prefix).await
    }
    async fn remove(&self, keys: &[String]) -> Result<()> {
        self.inner.remove(keys).await
    }
    fn url(&self, key: &str) -> String {
        self.inner.url(key)
    }
}

#[tokio::test]
async fn damaged_objects_are_read_again_a_limited_number_of_times() {
    let whole = Arc::new(memory::MemoryStore::default());
    export(&whole).await;
    for times in [2, 3] {
        let store = Arc::new(DamagingStore { times, ..DamagingStore::default() });
        *store.inner.objects() = whole.objects().clone();
        let reader = ArchiveReader::open(store.clone());
        let catalog = reader.catalog().await;
        if times == 2 {
            catalog.unwrap();
            assert_eq!(read(&reader, &plan(), 2, 0).await.unwrap().len(), 3);
        } else {
            assert_eq!(catalog.unwrap_err().kind(), ErrorKind::Data);
        }
        assert_eq!(store.given.lock().unwrap()[MANIFEST], 3);
    }
}

#[tokio::test]
async fn an_archive_with_a_gap_is_not_finished() {
    let store = Arc::new(memory::MemoryStore::default());
    let writer = ArchiveWriter::new(store.clone(), false);
    let plan = plan();
    writer.begin(&plan).await.unwrap();
    writer.write(&plan.tables[2], batch(2, 0, 1)).await.unwrap();
    assert_eq!(writer.finish(&plan).await.unwrap_err().kind(), ErrorKind::Internal);
    assert!(!store.objects().contains_key(MANIFEST));
}

#[tokio::test]
async fn a_changed_missing_or_exchanged_object_is_an_error() {
    let store = Arc::new(memory::MemoryStore::default());
    export(&store).await;
    let key = "data/2/0-1.tsv.zst";
    let good = store.objects()[key].clone();
    let reader = ArchiveReader::open(store.clone());
    let plan = plan();
    let mut spoiled = good.to_vec();
    spoiled[good.len() / 2] ^= 1;
    let other = crate::codec::compress(&batch(2, 0, 3).data).unwrap();
    for bad in [Bytes::from(spoiled), good.slice(..good.len() - 1), Bytes::new(), other] {
        store.objects().insert(key.into(), bad);
        let error = read(&reader, &plan, 2, 0).await.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Data, false));
        assert!(error.to_string().starts_with("memory:///data/2/0-1.tsv.zst is damaged: "), "{error}");
    }
    store.objects().remove(key);
    assert_eq!(read(&reader, &plan, 2, 0).await.unwrap_err().kind(), ErrorKind::Storage);
}

#[tokio::test]
async fn an_existing_archive_is_kept_without_overwrite() {
    let store = Arc::new(memory::MemoryStore::default());
    export(&store).await;
    let before = store.objects().clone();
    let second = ArchiveWriter::new(store.clone(), false);
    let findings = second.check(&catalog(), &Selection::default()).await.unwrap();
    assert!(findings[0].message.starts_with("an archive is already at memory:///: choose another prefix"));
    assert_eq!(second.begin(&plan()).await.unwrap_err().kind(), ErrorKind::Preflight);
    second.abort().await.unwrap();
    assert_eq!(*store.objects(), before, "an abort before the beginning touches nothing");

    store.objects().insert("data/0/notes.txt".into(), Bytes::new());
    store.objects().insert("data/9/9-9.tsv.zst".into(), Bytes::new());
    let third = ArchiveWriter::new(store.clone(), true);
    assert_eq!(third.check(&catalog(), &Selection::default()).await.unwrap(), []);
    third.begin(&plan()).await.unwrap();
    assert_eq!(store.objects().keys().collect::<Vec<_>>(), ["data/0/notes.txt", PLAN], "only ours go");
}

#[tokio::test]
async fn a_removed_archive_leaves_nothing() {
    let store = Arc::new(memory::MemoryStore::default());
    let writer = export(&store).await;
    writer.remove().await.unwrap();
    assert!(store.objects().is_empty());
    writer.abort().await.unwrap();
    assert_eq!(writer.write(&plan().tables[1], batch(1, 0, 0)).await.unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(store.objects().is_empty());
}

/// A store whose puts of batches wait, and can be told to wait for ever.
#[derive(Debug, Default)]
struct SlowStore {
    inner: memory::MemoryStore,
    started: AtomicUsize,
    stuck: AtomicBool,
}

#[async_trait]
impl ObjectStore for SlowStore {
    async fn put(&self, key: &str, data: Bytes) -> Result<()> {
        if key.starts_with("data/") {
            self.started.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(200)).await;
            if self.stuck.load(Ordering::SeqCst) {
                futures::future::pending::<()>().await;
            }
        }
        self.inner.put(key, data).await
    }
    async fn find(&self, key: &str, limit: u64) -> Result<Option<Bytes>> {
        self.inner.find(key, limit).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.inner.list(prefix).await
    }
    async fn remove(&self, keys: &[String]) -> Result<()> {
        self.inner.remove(keys).await
    }
    fn url(&self, key: &str) -> String {
        self.inner.url(key)
    }
}

#[tokio::test]
async fn an_abort_removes_uploads_in_flight() {
    for stuck in [false, true] {
        let store = Arc::new(SlowStore { stuck: stuck.into(), ..SlowStore::default() });
        let writer = ArchiveWriter::new(store.clone(), false);
        let plan = plan();
        writer.begin(&plan).await.unwrap();
        // The engine drops the future when the job is cancelled.
        let dropped = tokio::time::timeout(Duration::from_millis(100), writer.write(&plan.tables[1], batch(1, 0, 0)));
        assert!(dropped.await.is_err());
        assert_eq!(store.started.load(Ordering::SeqCst), 1);
        let (one, two) = tokio::join!(writer.abort(), writer.abort());
        one.and(two).unwrap();
        assert!(store.inner.objects().is_empty());
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert!(store.inner.objects().is_empty(), "nothing arrives later");
    }
}

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
    assert!(tokio::time::timeout(Duration::from_millis(50), first.next()).await.is_err());

    // The last one before the middle one, the end before both.
    sender.send(ExportEvent::ChunkEnd { table: 2, chunk: 0, batches: 3 }).unwrap();
    sender.send(write_event(&writer, &plan, batch(2, 0, 2)).await).unwrap();
    sender.send(write_event(&writer, &plan, batch(2, 1, 0)).await).unwrap();
    assert!(same(&[second.next().await.unwrap().unwrap()], &[batch(2, 1, 0)]), "another chunk does not wait");
    assert!(tokio::time::timeout(Duration::from_millis(50), first.next()).await.is_err());
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

#[tokio::test]
async fn batches_larger_than_half_the_budget_pass_one_after_the_other() {
    let store = Arc::new(memory::MemoryStore::default());
    export(&store).await;
    let reader = ArchiveReader::open(store.clone());
    let memory = MemoryBudget::new(2 << 10, 1);
    let plan = plan();
    let chunk = reader.read(&plan.tables[2], &plan.tables[2].chunks[0], &memory).await.unwrap();
    let rows = chunk.map_ok(|batch| batch.rows).try_fold(0, |sum, rows| async move { Ok(sum + rows) });
    assert_eq!(tokio::time::timeout(Duration::from_secs(5), rows).await.unwrap().unwrap(), 600);
}
