//! A comparison reads digests from each end, and rows only to list those that differ.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::common::comparing::{checksum, difference_lines};
use dbgraft::codec::{BatchBuilder, Digest};
use dbgraft::{
    Batch, BatchId, BatchStream, Catalog, Chunk, CloneJob, CloneOptions, Column, Comparison, Database, Error,
    ErrorKind, Event,
};
use dbgraft::{
    Flavor, MemoryBudget, Note, Plan, Position, ReadObserver, Receipt, Result, ResumeState, Selection, Server,
    SnapshotMethod,
};
use dbgraft::{Sink, SinkEndpoint, Source, SourceEndpoint, Table, TablePlan, Verify};
use futures::{StreamExt as _, stream};

const CHUNKS: u32 = 3;
const BATCHES: u32 = 2;
/// The bytes that a batch reports.
const BYTES: u64 = 100_000;

/// A remote end: it computes digests itself, and records the chunks whose rows were read.
#[derive(Default)]
struct RemoteEnd {
    changed: Option<u32>,
    given: Arc<Mutex<BTreeSet<u32>>>,
}

impl RemoteEnd {
    fn batch(&self, chunk: u32, batch: u32) -> Batch {
        let mut rows = BatchBuilder::default();
        for row in 0..10 {
            let id = (chunk * BATCHES + batch) * 10 + row;
            rows.push_value(id.to_string().as_bytes());
            rows.push_value(if self.changed == Some(id) { b"changed" } else { b"as it was" });
            rows.end_row();
        }
        rows.finish(BatchId { table: 0, chunk, batch })
    }

    fn rows(&self, chunk: u32) -> BatchStream<'_> {
        self.given.lock().unwrap().insert(chunk);
        stream::iter(0..BATCHES).map(move |batch| Ok(self.batch(chunk, batch))).boxed()
    }

    async fn add_up(&self, chunk: u32, observer: &dyn ReadObserver) -> Result<Digest> {
        let mut digest = Digest::default();
        for batch in 0..BATCHES {
            digest.add(&self.batch(chunk, batch).digest);
            observer.on_batch(10, BYTES).await;
        }
        Ok(digest)
    }
}

#[async_trait::async_trait]
impl Source for RemoteEnd {
    async fn catalog(&self) -> Result<Catalog> {
        let column = |name: &str| Column {
            name: name.into(),
            data_type: "text".into(),
            column_type: "text".into(),
            charset: Some("utf8mb4".into()),
            collation: None,
            nullable: false,
            generated: false,
            stored: false,
        };
        let table = Table {
            name: "far".into(),
            engine: "InnoDB".into(),
            columns: vec![column("id"), column("v")],
            history: false,
            late_timestamps: Vec::new(),
            primary_key: vec!["id".into()],
            rows_estimate: 1,
            data_bytes: 1,
            index_bytes: 0,
            create: "CREATE TABLE `far` (`id` text, `v` text)".into(),
        };
        let (charset, collation) = ("utf8mb4".into(), "utf8mb4_bin".into());
        let database = Database { name: "far".into(), charset, collation, comment: String::new() };
        Ok(Catalog { server: Server::new(Flavor::MySql, "9.7.4"), database, tables: vec![table], definitions: vec![] })
    }

    async fn plan(&self, selection: &Selection) -> Result<Plan> {
        let mut plan =
            Plan::from_selection(&self.catalog().await?, selection, Position::unknown(SnapshotMethod::External));
        plan.tables[0].chunks = (0..CHUNKS).map(|number| Chunk { number, ..Chunk::whole() }).collect();
        Ok(plan)
    }

    async fn read<'a>(&'a self, _: &'a TablePlan, chunk: &'a Chunk, _: &'a MemoryBudget) -> Result<BatchStream<'a>> {
        Ok(self.rows(chunk.number))
    }

    async fn digest(
        &self,
        _: &TablePlan,
        chunk: &Chunk,
        _: &MemoryBudget,
        observer: &dyn ReadObserver,
    ) -> Result<Digest> {
        self.add_up(chunk.number, observer).await
    }
}

#[async_trait::async_trait]
impl Sink for RemoteEnd {
    async fn begin(&self, _plan: &Plan) -> Result<ResumeState> {
        Ok(ResumeState::default())
    }

    async fn write(&self, _table: &TablePlan, batch: Batch) -> Result<Receipt> {
        Ok(Receipt::for_batch(&batch))
    }

    fn reads_back(&self) -> bool {
        true
    }

    async fn counterparts(&self, plan: &Plan) -> Result<Vec<Option<TablePlan>>> {
        Ok(plan.tables.iter().cloned().map(Some).collect())
    }

    async fn read_back<'a>(
        &'a self,
        _: &'a TablePlan,
        chunk: &'a Chunk,
        _: &'a MemoryBudget,
    ) -> Result<BatchStream<'a>> {
        Ok(self.rows(chunk.number))
    }

    async fn digest(&self, _: &TablePlan, chunk: &Chunk, _: &MemoryBudget) -> Result<Digest> {
        self.add_up(chunk.number, &()).await
    }

    async fn finish(&self, _plan: &Plan) -> Result<Vec<Note>> {
        Ok(Vec::new())
    }

    async fn abort(&self) -> Result<()> {
        Ok(())
    }
}

type Given = Arc<Mutex<BTreeSet<u32>>>;

/// A job between two ends, the second with this row changed; and the chunks whose rows each end returned.
fn job(changed: Option<u32>, options: CloneOptions) -> (CloneJob, [Given; 2]) {
    let (source, target) = (RemoteEnd::default(), RemoteEnd { changed, ..RemoteEnd::default() });
    let given = [source.given.clone(), target.given.clone()];
    let ends = (SourceEndpoint::Own(Arc::new(source)), SinkEndpoint::Own(Arc::new(target)));
    (CloneJob::new(ends.0, ends.1).options(options), given)
}

async fn compared(changed: Option<u32>, options: CloneOptions) -> (Comparison, [Vec<u32>; 2]) {
    let (job, given) = job(changed, options);
    let comparison = job.verify().await.unwrap();
    (comparison, given.map(|given| given.lock().unwrap().iter().copied().collect()))
}

#[tokio::test]
async fn rows_are_read_only_to_list_differences() {
    let (same, given) = compared(None, checksum()).await;
    assert_eq!((difference_lines(&same), same.verification.rows, given), (vec![], 60, [vec![], vec![]]));

    let (different, given) = compared(Some(25), CloneOptions { list_rows: false, ..checksum() }).await;
    assert_eq!((difference_lines(&different).len(), given), (1, [vec![], vec![]]));

    let (different, given) = compared(Some(25), checksum()).await;
    assert_eq!(difference_lines(&different)[1], "  different: id = '25'");
    assert_eq!(given, [vec![1], vec![1]], "the chunk that differs, and no other");
}

#[tokio::test]
async fn a_clone_with_verify_has_the_target_add_up_what_is_there() {
    let options = CloneOptions { list_rows: false, verify: Verify::Checksum, ..CloneOptions::default() };
    let (job, given) = job(None, options);
    assert_eq!(job.run().await.unwrap().verified.unwrap().rows, 60);
    assert_eq!(given.map(|given| given.lock().unwrap().len()), [3, 0], "read once, and not read back");
}

/// A source whose connection breaks in the middle of each chunk, once.
#[derive(Default)]
struct BreakingSource {
    remote: RemoteEnd,
    /// The rows of the second read.
    again: RemoteEnd,
    for_good: bool,
    broken: Mutex<BTreeSet<u32>>,
}

#[async_trait::async_trait]
impl Source for BreakingSource {
    async fn catalog(&self) -> Result<Catalog> {
        self.remote.catalog().await
    }

    async fn plan(&self, selection: &Selection) -> Result<Plan> {
        Source::plan(&self.remote, selection).await
    }

    async fn read<'a>(&'a self, _: &'a TablePlan, chunk: &'a Chunk, _: &'a MemoryBudget) -> Result<BatchStream<'a>> {
        if !self.broken.lock().unwrap().insert(chunk.number) {
            return Ok(self.again.rows(chunk.number));
        }
        let lost = Error::new(ErrorKind::Connection, "the line broke");
        let lost = if self.for_good { lost } else { lost.retryable() };
        let first = Ok(self.remote.batch(chunk.number, 0));
        Ok(stream::iter([first, Err(lost)]).boxed())
    }
}

/// A sink that counts the writes of each batch.
#[derive(Default)]
struct CountingSink(Arc<Mutex<BTreeMap<BatchId, u32>>>);

#[async_trait::async_trait]
impl Sink for CountingSink {
    async fn begin(&self, _plan: &Plan) -> Result<ResumeState> {
        Ok(ResumeState::default())
    }

    async fn write(&self, _table: &TablePlan, batch: Batch) -> Result<Receipt> {
        *self.0.lock().unwrap().entry(batch.id).or_default() += 1;
        Ok(Receipt::for_batch(&batch))
    }

    async fn finish(&self, _plan: &Plan) -> Result<Vec<Note>> {
        Ok(Vec::new())
    }

    async fn abort(&self) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_chunk_is_read_again_after_a_broken_connection_and_no_batch_is_sent_twice() {
    let run = async |source: BreakingSource| {
        let sink = CountingSink::default();
        let taken = sink.0.clone();
        let ends = (SourceEndpoint::Own(Arc::new(source)), SinkEndpoint::Own(Arc::new(sink)));
        let report = CloneJob::new(ends.0, ends.1).run().await;
        (report, taken.lock().unwrap().values().copied().collect::<Vec<_>>())
    };
    let (report, taken) = run(BreakingSource::default()).await;
    let report = report.unwrap();
    assert_eq!((report.rows, taken), (60, vec![1; 6]));
    let again = "reading chunk 2 was tried again: the line broke";
    assert!(report.objects[0].warnings.iter().any(|warning| warning == again), "{:?}", report.objects);

    let changed = RemoteEnd { changed: Some(3), ..RemoteEnd::default() };
    let (report, taken) = run(BreakingSource { again: changed, ..BreakingSource::default() }).await;
    let error = report.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Changed, "{error}");
    assert!(error.to_string().starts_with("chunk 0 was read again"), "{error}");
    assert!(taken.iter().all(|times| *times == 1));

    let (report, _) = run(BreakingSource { for_good: true, ..BreakingSource::default() }).await;
    assert_eq!(report.unwrap_err().to_string(), "the line broke (table far)");
}

#[tokio::test]
async fn a_comparison_by_digests_keeps_to_the_rate_and_reports_progress() {
    let last = Arc::new(Mutex::new(None));
    let heard = last.clone();
    let (job, _) = job(None, CloneOptions { max_rate: Some(10 * BYTES), ..checksum() });
    let listen = move |event: Event| {
        if let Event::Progress { amount, .. } = event {
            *heard.lock().unwrap() = Some((amount.rows, amount.bytes));
        }
    };
    let begun = Instant::now();
    job.on_event(listen).verify().await.unwrap();
    assert!(begun.elapsed().as_secs_f64() >= 0.5, "{:?}", begun.elapsed());
    assert_eq!(*last.lock().unwrap(), Some((60, 6 * BYTES)));
}
