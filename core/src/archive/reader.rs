//! Reads an archive as a source.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::{OnceCell, mpsc};
use tokio::task::JoinHandle;

use super::batch_index::BatchIndex;
use super::layout::{BatchEntry, MANIFEST, MAX_DOCUMENT_BYTES, Manifest, PLAN, ParsedDocument, batch_key, decode};
use super::restrict::{catalog, restrict};
use crate::batch::{Batch, BatchId, ExportEvent};
use crate::catalog::{Catalog, Printable};
use crate::codec::{Digest, decompress};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{MemoryBudget, MemoryLease};
use crate::plan::{Chunk, Plan, Selection, TablePlan};
use crate::source::{BatchStream, Source};
use crate::store::ObjectStore;

/// How many batches of a chunk are fetched at a time: the requested one and the next.
const CONCURRENT_FETCHES: usize = 2;
/// The delays before each further read of an object that arrived damaged: the stored object may be undamaged.
const RETRY_DELAYS: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(400)];

/// Reads an archive, complete or still being written.
#[derive(Debug)]
pub(crate) struct ArchiveReader {
    store: Arc<dyn ObjectStore>,
    /// The first call loads it.
    archive: OnceCell<Archive>,
    /// Whether the archive is being written; its plan is then not restricted.
    following: bool,
}

/// The documents of an archive.
#[derive(Debug)]
struct Archive {
    plan: Plan,
    /// The number of each table in the archive, by name: the plan for a selection has other numbers.
    numbers: HashMap<String, u32>,
    index: BatchIndex,
}

impl Archive {
    fn new(plan: Plan, index: BatchIndex) -> Self {
        let numbers = plan.tables.iter().map(|table| (table.table.name.clone(), table.number)).collect();
        Self { plan, numbers, index }
    }

    /// Loads the documents of a complete archive; retries where they are damaged.
    async fn load(store: &dyn ObjectStore) -> Result<Self> {
        for delay in RETRY_DELAYS {
            match Self::load_once(store).await {
                Err(error) if error.kind() == ErrorKind::Data => tokio::time::sleep(delay).await,
                loaded => return loaded,
            }
        }
        Self::load_once(store).await
    }

    async fn load_once(store: &dyn ObjectStore) -> Result<Self> {
        let find = |key| store.find(key, MAX_DOCUMENT_BYTES);
        let (plan, manifest) = futures::try_join!(find(PLAN), find(MANIFEST))?;
        let at = store.url("");
        let (plan, manifest) = match (plan, manifest) {
            (Some(plan), Some(manifest)) => (plan, manifest),
            (None, None) => return Err(Error::new(ErrorKind::Storage, format!("there is no archive at {at}"))),
            (plan, _) => {
                let missing = if plan.is_none() { PLAN } else { MANIFEST };
                let message = format!("the archive at {at} is incomplete: its {missing} is missing");
                return Err(Error::new(ErrorKind::Storage, message));
            }
        };
        let ParsedDocument { content: mut plan, digest }: ParsedDocument<Plan> = decode(&plan, &store.url(PLAN))?;
        // The source is the archive: a load into the server of the export is no clone onto itself.
        plan.server.identity.clear();
        let manifest: Manifest = decode(&manifest, &store.url(MANIFEST))?.content;
        manifest.check(&plan, &digest).map_err(|why| {
            let remedy = "restore both as they were written, or export again";
            Error::new(ErrorKind::Data, format!("{} is damaged: it {why}: {remedy}", store.url(MANIFEST)))
        })?;
        Ok(Self::new(plan, BatchIndex::complete(manifest)))
    }
}

impl ArchiveReader {
    /// Creates a reader of a complete archive without any request.
    ///
    /// # Errors
    /// The first call returns `Storage` when the archive is missing or incomplete, `Data` when its documents are
    /// damaged, and `Unsupported` when they have another format.
    pub(crate) fn open(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, archive: OnceCell::new(), following: false }
    }

    /// Creates a reader of an archive that is being written; it reads each batch after its export event. Requires a
    /// Tokio runtime.
    pub(crate) fn follow(store: Arc<dyn ObjectStore>, plan: Plan, feed: mpsc::UnboundedReceiver<ExportEvent>) -> Self {
        Self { store, archive: OnceCell::from(Archive::new(plan, BatchIndex::follow(feed))), following: true }
    }

    async fn archive(&self) -> Result<&Archive> {
        self.archive.get_or_try_init(|| Archive::load(&*self.store)).await
    }

    /// The plan of the export.
    pub(super) async fn archived_plan(&self) -> Result<&Plan> {
        Ok(&self.archive().await?.plan)
    }

    /// The random name of the job that wrote it; empty for an archive of an older version.
    pub(crate) async fn job(&self) -> Result<&str> {
        Ok(&self.archive().await?.plan.job.id)
    }

    /// The address of the archive, without secrets.
    pub(crate) fn url(&self) -> String {
        self.store.url("")
    }
}

#[async_trait]
impl Source for ArchiveReader {
    async fn catalog(&self) -> Result<Catalog> {
        Ok(catalog(&self.archive().await?.plan))
    }

    async fn plan(&self, selection: &Selection) -> Result<Plan> {
        let archived = &self.archive().await?.plan;
        if self.following { Ok(archived.clone()) } else { restrict(archived, selection) }
    }

    async fn read<'a>(
        &'a self,
        table: &'a TablePlan,
        chunk: &'a Chunk,
        memory: &'a MemoryBudget,
    ) -> Result<BatchStream<'a>> {
        let archive = self.archive().await?;
        let name = &table.table.name;
        let number = *archive.numbers.get(name).ok_or_else(|| {
            let message = format!("table {} is not in the archive at {}", Printable(name), self.url());
            Error::new(ErrorKind::Internal, message)
        })?;
        let first = BatchId { table: number, chunk: chunk.number, batch: 0 };
        Ok(batches(&self.store, entries(&archive.index, first), table.number, memory))
    }

    fn is_repeatable(&self) -> bool {
        !self.following
    }

    async fn close(&self) -> Result<()> {
        self.archive.get().into_iter().for_each(|archive| archive.index.close());
        Ok(())
    }
}

/// Fetches the batches of one chunk in order. `table` is the number of their table in the plan of the reader.
pub(super) fn batches<'a>(
    store: &'a Arc<dyn ObjectStore>,
    entries: impl Stream<Item = Result<(BatchId, BatchEntry)>> + Send + 'a,
    table: u32,
    memory: &'a MemoryBudget,
) -> BatchStream<'a> {
    // Reserve memory in the order of delivery: a later batch must never hold memory that an earlier one waits for.
    let reserved = entries.and_then(move |(archived, entry)| async move {
        let bytes = entry.bytes.saturating_add(entry.stored);
        let lease = memory.reserve(usize::try_from(bytes).unwrap_or(usize::MAX)).await;
        Ok((archived, entry, lease))
    });
    let fetches = reserved.map_ok(move |(archived, entry, lease)| {
        let id = BatchId { table, ..archived };
        FetchTask(tokio::spawn(fetch(store.clone(), batch_key(archived), id, entry, lease)))
    });
    fetches.try_buffered(CONCURRENT_FETCHES).boxed()
}

/// Lists the batches from `first` to the end of its chunk, each as soon as the index knows it.
fn entries(index: &BatchIndex, first: BatchId) -> impl Stream<Item = Result<(BatchId, BatchEntry)>> + Send + '_ {
    stream::try_unfold(first, move |id| async move {
        let next = BatchId { batch: id.batch.saturating_add(1), ..id };
        Ok(index.wait(id).await?.map(|entry| ((id, entry), next)))
    })
}

/// Fetches the batch at `key`, and gives it the `id` of the reader's plan. Reads an object again that arrives damaged.
async fn fetch(
    store: Arc<dyn ObjectStore>,
    key: String,
    id: BatchId,
    entry: BatchEntry,
    mut lease: MemoryLease,
) -> Result<Batch> {
    let mut delays = RETRY_DELAYS.iter();
    loop {
        let data;
        (lease, data) = fetch_once(&store, &key, &entry, lease).await?;
        match (data, delays.next()) {
            (Ok(data), _) => {
                lease.shrink(data.len());
                return Ok(Batch::new(id, entry.rows, data, entry.digest).with_lease(lease));
            }
            (Err(damaged), None) => return Err(damaged),
            (Err(_), Some(delay)) => tokio::time::sleep(*delay).await,
        }
    }
}

/// Fetches and decompresses a batch once. The inner error means that it arrived damaged.
async fn fetch_once(
    store: &Arc<dyn ObjectStore>,
    key: &str,
    entry: &BatchEntry,
    lease: MemoryLease,
) -> Result<(MemoryLease, Result<Bytes>)> {
    let object = match store.get(key, entry.stored).await {
        Err(error) if error.kind() == ErrorKind::Data => return Ok((lease, Err(error))),
        object => object?,
    };
    let (entry, url) = (entry.clone(), store.url(key));
    // The work holds the lease: when the caller is dropped, the bytes stay in memory until the work ends.
    let work = move || {
        let damaged = |why| Error::new(ErrorKind::Data, format!("{url} is damaged: {why}"));
        (lease, decompress_batch(&object, &entry).map_err(damaged))
    };
    tokio::task::spawn_blocking(work).await.map_err(join_error)
}

/// Decompresses a batch and compares it with its entry; the error names the difference.
fn decompress_batch(object: &[u8], entry: &BatchEntry) -> Result<Bytes, String> {
    if object.len() as u64 != entry.stored {
        return Err(format!("it is {} bytes long instead of {}", object.len(), entry.stored));
    }
    let length = usize::try_from(entry.bytes).map_err(|error| error.to_string())?;
    let data = decompress(object, length).map_err(|error| error.to_string())?;
    let digest = Digest::from_text(&data);
    if digest.rows != entry.rows {
        return Err(format!("it holds {} rows instead of {}", digest.rows, entry.rows));
    }
    if digest != entry.digest {
        return Err("its rows are not those that were written".to_owned());
    }
    Ok(data)
}

fn join_error(error: tokio::task::JoinError) -> Error {
    let kind = if error.is_cancelled() { ErrorKind::Cancelled } else { ErrorKind::Internal };
    Error::new(kind, "the reading of the archive was stopped").caused_by(error)
}

/// A fetch that runs without being polled, and is cancelled when dropped.
struct FetchTask(JoinHandle<Result<Batch>>);

impl Future for FetchTask {
    type Output = Result<Batch>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|outcome| outcome.unwrap_or_else(|error| Err(join_error(error))))
    }
}

impl Drop for FetchTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}
