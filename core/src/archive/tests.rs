//! The writer and the reader together, on a store in memory.

mod damaged;
mod follower;
mod s3;
mod writer;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use dbgraft_testkit::no_hang;
use futures::TryStreamExt as _;

use super::layout::{MANIFEST, PLAN};
use super::{ArchiveReader, ArchiveWriter};
use crate::batch::{Batch, BatchId};
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
async fn batches_larger_than_half_the_budget_pass_one_after_the_other() {
    let store = Arc::new(memory::MemoryStore::default());
    export(&store).await;
    let reader = ArchiveReader::open(store.clone());
    let memory = MemoryBudget::new(2 << 10, 1);
    let plan = plan();
    let chunk = reader.read(&plan.tables[2], &plan.tables[2].chunks[0], &memory).await.unwrap();
    let rows = chunk.map_ok(|batch| batch.rows).try_fold(0, |sum, rows| async move { Ok(sum + rows) });
    assert_eq!(no_hang(rows).await.unwrap(), 600);
}
