//! An archive as a source.

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

use super::layout::{Decoded, Entry, LONGEST_DOCUMENT, MANIFEST, Manifest, PLAN, batch_key, decode};
use super::ledger::Ledger;
use super::restrict::{catalog, restrict};
use crate::batch::{Batch, BatchId, StagingEvent};
use crate::catalog::{Catalog, Printable};
use crate::codec::{Digest, decompress};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{MemoryBudget, MemoryLease};
use crate::plan::{Chunk, Plan, Selection, TablePlan};
use crate::source::{BatchStream, Source};
use crate::store::Store;

/// How many batches of a chunk are fetched at once: the one that is wanted and the next.
const AHEAD: usize = 2;
/// How long to wait before each further reading of what arrived damaged: it may be whole where it lies.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(400)];

/// Reads an archive, complete or still being written.
#[derive(Debug)]
pub(crate) struct Reader {
    store: Arc<dyn Store>,
    /// Read when it is first needed.
    archive: OnceCell<Archive>,
    /// Whether the plan is given as it is.
    following: bool,
}

/// What an archive says of itself.
#[derive(Debug)]
struct Archive {
    plan: Plan,
    /// The number in the archive of each table by its name: a plan for a selection numbers them anew.
    numbers: HashMap<String, u32>,
    ledger: Ledger,
}

impl Archive {
    fn new(plan: Plan, ledger: Ledger) -> Self {
        let numbers = plan.tables.iter().map(|table| (table.table.name.clone(), table.number)).collect();
        Self { plan, numbers, ledger }
    }

    /// Reads the documents of a complete archive, again where they are damaged.
    async fn load(store: &dyn Store) -> Result<Self> {
        for pause in PAUSES {
            match Self::load_once(store).await {
                Err(error) if error.kind() == ErrorKind::Data => tokio::time::sleep(pause).await,
                loaded => return loaded,
            }
        }
        Self::load_once(store).await
    }

    async fn load_once(store: &dyn Store) -> Result<Self> {
        let find = |key| store.find(key, LONGEST_DOCUMENT);
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
        let Decoded { content: mut plan, digest }: Decoded<Plan> = decode(&plan, &store.url(PLAN))?;
        // The rows come from here now: to load them into the server that they once came from is no clone onto itself.
        plan.server.identity.clear();
        let manifest: Manifest = decode(&manifest, &store.url(MANIFEST))?.content;
        manifest.check(&plan, &digest).map_err(|why| {
            let remedy = "restore both as they were written, or export again";
            Error::new(ErrorKind::Data, format!("{} is damaged: it {why}: {remedy}", store.url(MANIFEST)))
        })?;
        Ok(Self::new(plan, Ledger::complete(manifest)))
    }
}

impl Reader {
    /// A reader of a complete archive, which is looked at with the first call.
    ///
    /// # Errors
    /// None of its own; the first call gives `Storage` when there is no archive or it is incomplete, `Data` when its
    /// documents are damaged, `Unsupported` when another version wrote it.
    pub(crate) fn open(store: Arc<dyn Store>) -> Self {
        Self { store, archive: OnceCell::new(), following: false }
    }

    /// Follows an archive that is being written: its batches come as the feed tells of them. Must be called within a
    /// runtime.
    pub(crate) fn follow(store: Arc<dyn Store>, plan: Plan, feed: mpsc::UnboundedReceiver<StagingEvent>) -> Self {
        Self { store, archive: OnceCell::from(Archive::new(plan, Ledger::follow(feed))), following: true }
    }

    async fn archive(&self) -> Result<&Archive> {
        self.archive.get_or_try_init(|| Archive::load(&*self.store)).await
    }

    /// What the archive holds, as it was planned.
    pub(super) async fn plan_of_all(&self) -> Result<&Plan> {
        Ok(&self.archive().await?.plan)
    }

    /// The address of the archive, without secrets.
    pub(crate) fn url(&self) -> String {
        self.store.url("")
    }
}

#[async_trait]
impl Source for Reader {
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
        Ok(batches(&self.store, entries(&archive.ledger, first), table.number, memory))
    }

    async fn close(&self) -> Result<()> {
        self.archive.get().into_iter().for_each(|archive| archive.ledger.close());
        Ok(())
    }
}

/// Fetches these batches of one chunk, in their order, for a plan in which their table has this number.
pub(super) fn batches<'a>(
    store: &'a Arc<dyn Store>,
    entries: impl Stream<Item = Result<(BatchId, Entry)>> + Send + 'a,
    table: u32,
    memory: &'a MemoryBudget,
) -> BatchStream<'a> {
    // Memory is reserved in the order of delivery: the next batch must never hold what this one waits for.
    let reserved = entries.and_then(move |(archived, entry)| async move {
        let bytes = entry.bytes.saturating_add(entry.stored);
        let lease = memory.reserve(usize::try_from(bytes).unwrap_or(usize::MAX)).await;
        Ok((archived, entry, lease))
    });
    let fetches = reserved.map_ok(move |(archived, entry, lease)| {
        let id = BatchId { table, ..archived };
        Fetching(tokio::spawn(fetch(store.clone(), batch_key(archived), id, entry, lease)))
    });
    fetches.try_buffered(AHEAD).boxed()
}

/// The batches from `first` to the end of its chunk, each as soon as it is known.
fn entries(ledger: &Ledger, first: BatchId) -> impl Stream<Item = Result<(BatchId, Entry)>> + Send + '_ {
    stream::try_unfold(first, move |id| async move {
        let next = BatchId { batch: id.batch.saturating_add(1), ..id };
        Ok(ledger.wait(id).await?.map(|entry| ((id, entry), next)))
    })
}

/// Fetches the batch that lies under `key` and is called `id` in the plan that is read. Reads the object again when it
/// arrives damaged.
async fn fetch(store: Arc<dyn Store>, key: String, id: BatchId, entry: Entry, mut lease: MemoryLease) -> Result<Batch> {
    let mut pauses = PAUSES.iter();
    loop {
        let data;
        (lease, data) = fetch_once(&store, &key, &entry, lease).await?;
        match (data, pauses.next()) {
            (Ok(data), _) => {
                lease.shrink(data.len());
                return Ok(Batch::new(id, entry.rows, data, entry.digest).with_lease(lease));
            }
            (Err(damaged), None) => return Err(damaged),
            (Err(_), Some(pause)) => tokio::time::sleep(*pause).await,
        }
    }
}

/// The text of a batch, or in which way it is damaged.
async fn fetch_once(
    store: &Arc<dyn Store>,
    key: &str,
    entry: &Entry,
    lease: MemoryLease,
) -> Result<(MemoryLease, Result<Bytes>)> {
    let object = match store.get(key, entry.stored).await {
        Err(error) if error.kind() == ErrorKind::Data => return Ok((lease, Err(error))),
        object => object?,
    };
    let (entry, url) = (entry.clone(), store.url(key));
    // The lease goes along: should nobody wait any more, the bytes are still there until the work ends.
    let work = move || {
        let damaged = |why| Error::new(ErrorKind::Data, format!("{url} is damaged: {why}"));
        (lease, unpack(&object, &entry).map_err(damaged))
    };
    tokio::task::spawn_blocking(work).await.map_err(stopped)
}

/// The text of a batch, if it is what the manifest says; else why not.
fn unpack(object: &[u8], entry: &Entry) -> Result<Bytes, String> {
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

fn stopped(error: tokio::task::JoinError) -> Error {
    let kind = if error.is_cancelled() { ErrorKind::Cancelled } else { ErrorKind::Internal };
    Error::new(kind, "the reading of the archive was stopped").caused_by(error)
}

/// A fetch that goes on while nobody looks, and ends when nobody wants it any more.
struct Fetching(JoinHandle<Result<Batch>>);

impl Future for Fetching {
    type Output = Result<Batch>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|outcome| outcome.unwrap_or_else(|error| Err(stopped(error))))
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        self.0.abort();
    }
}
