//! An archive as a sink.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::{JoinSet, spawn_blocking};

use super::layout::{LONGEST_DOCUMENT, MANIFEST, Manifest, PLAN, batch_key, encode};
use super::reader::{Reader, batches};
use super::remove::remove;
use crate::batch::{Batch, BatchId, Receipt};
use crate::catalog::Catalog;
use crate::codec::compress;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::MemoryBudget;
use crate::plan::{Chunk, Plan, ResumeState, Selection, TablePlan};
use crate::report::{Finding, Note};
use crate::sink::{Sink, Witness};
use crate::source::{BatchStream, Source as _};
use crate::store::{Store, temporary_name};

/// How long the end of a job waits for objects that are on their way. What still arrives after it would stay.
const GRACE: Duration = Duration::from_millis(1500);

/// Writes an archive.
pub(crate) struct Writer {
    store: Arc<dyn Store>,
    overwrite: bool,
    /// Reads the archive that is there already, if it is only to be looked at.
    reader: Reader,
    /// Hears that the archive begins.
    witness: OnceLock<Witness>,
    state: Mutex<State>,
    /// Held while the archive is removed, so that a second caller returns only when it is gone.
    removing: tokio::sync::Mutex<()>,
}

/// What is known of the archive so far.
#[derive(Debug, Default)]
struct State {
    stage: Stage,
    /// The objects on their way: they outlive the futures that asked for them.
    puts: JoinSet<()>,
    /// The batches that are durable.
    receipts: BTreeMap<BatchId, Receipt>,
}

/// How far the archive is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Whatever lies there is not ours.
    #[default]
    New,
    /// Takes objects.
    Open,
    /// Takes no more.
    Ended,
}

impl Writer {
    /// An archive to be written; `overwrite` replaces the one that may be there.
    pub(crate) fn new(store: Arc<dyn Store>, overwrite: bool) -> Self {
        let reader = Reader::open(store.clone());
        let (state, removing) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { store, overwrite, reader, witness: OnceLock::new(), state, removing }
    }

    /// The address of the archive, without secrets.
    pub(crate) fn url(&self) -> String {
        self.store.url("")
    }

    /// Removes the archive, complete or not: at the end of a clone that only went through it. Does nothing before
    /// [`begin`](Sink::begin); may be called again.
    pub(crate) async fn remove(&self) -> Result<()> {
        let _removing = self.removing.lock().await;
        let mut puts = {
            let mut state = self.state();
            if state.stage == Stage::New {
                return Ok(());
            }
            state.stage = Stage::Ended;
            std::mem::take(&mut state.puts)
        };
        // An object that arrives after it was removed would stay: let those on their way arrive.
        let _ = tokio::time::timeout(GRACE, async { while puts.join_next().await.is_some() {} }).await;
        puts.shutdown().await;
        match remove(&*self.store).await {
            // Whoever lends the store may be gone; what it took from us can go without.
            Err(error) => self.store.remove_orphans().await.map_err(|_| error),
            done => done,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs work that stores objects, so that it ends well even if the caller does not wait for it, and
    /// [`remove`](Self::remove) can.
    async fn tracked<T: Send + 'static>(&self, work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        let (sender, outcome) = oneshot::channel();
        {
            let mut state = self.state();
            if state.stage != Stage::Open {
                return Err(self.ended());
            }
            while state.puts.try_join_next().is_some() {}
            state.puts.spawn(async move { drop(sender.send(work.await)) });
        }
        outcome.await.unwrap_or_else(|_| Err(self.ended()))
    }

    fn ended(&self) -> Error {
        Error::new(ErrorKind::Cancelled, format!("the writing of the archive at {} was stopped", self.url()))
    }

    async fn put_document(&self, key: &'static str, data: Bytes) -> Result<()> {
        let store = self.store.clone();
        self.tracked(async move { store.put(key, data).await }).await
    }

    /// What is in the way of a new archive, in one line.
    async fn obstacle(&self) -> Result<Option<String>> {
        if self.overwrite {
            return Ok(None);
        }
        let find = |key| self.store.find(key, LONGEST_DOCUMENT);
        let (plan, manifest) = futures::try_join!(find(PLAN), find(MANIFEST))?;
        let what = match (plan, manifest) {
            (None, None) => return Ok(None),
            (_, Some(_)) => "an archive",
            (_, None) => "an unfinished archive",
        };
        let at = self.url();
        Ok(Some(format!("{what} is already at {at}: choose another prefix, or --if-exists drop to replace it")))
    }

    /// Tries the rights that the whole job will need.
    async fn probe(&self) -> Result<()> {
        let probe = temporary_name("probe");
        self.store.put(&probe, Bytes::from_static(b"dbgraft looks whether it may write here\n")).await?;
        self.store.remove(&[probe]).await?;
        self.store.list(&temporary_name("none")).await.map(drop)
    }
}

#[async_trait]
impl Sink for Writer {
    async fn check(&self, _catalog: &Catalog, _selection: &Selection) -> Result<Vec<Finding>> {
        let refused = |error: Error| match error.kind() {
            ErrorKind::Permission => Ok(Some(error.to_string())),
            _ => Err(error),
        };
        let obstacle = self.obstacle().await.or_else(refused)?;
        let denied = self.probe().await.map(|()| None).or_else(refused)?;
        Ok([obstacle, denied].into_iter().flatten().map(Finding::error).collect())
    }

    async fn begin(&self, plan: &Plan) -> Result<ResumeState> {
        if let Some(obstacle) = self.obstacle().await? {
            return Err(Error::new(ErrorKind::Preflight, obstacle));
        }
        if let Some(witness) = self.witness.get() {
            witness(Value::Null);
        }
        self.state().stage = Stage::Open;
        if self.overwrite {
            remove(&*self.store).await?;
        }
        self.put_document(PLAN, encode(plan)?).await?;
        Ok(ResumeState::default())
    }

    async fn write(&self, _table: &TablePlan, batch: Batch) -> Result<Receipt> {
        let store = self.store.clone();
        let receipt = self.tracked(async move { write(&*store, batch).await }).await?;
        self.state().receipts.insert(receipt.id, receipt.clone());
        Ok(receipt)
    }

    fn reads_back(&self) -> bool {
        true
    }

    async fn counterparts(&self, plan: &Plan) -> Result<Vec<Option<TablePlan>>> {
        let archived = self.reader.plan_of_all().await?;
        let of_name = |name: &str| archived.tables.iter().find(|table| table.table.name == name).cloned();
        Ok(plan.tables.iter().map(|table| of_name(&table.table.name)).collect())
    }

    async fn read_back<'a>(
        &'a self,
        table: &'a TablePlan,
        chunk: &'a Chunk,
        memory: &'a MemoryBudget,
    ) -> Result<BatchStream<'a>> {
        if self.state().stage == Stage::New {
            return self.reader.read(table, chunk, memory).await;
        }
        let first = BatchId { table: table.number, chunk: chunk.number, batch: 0 };
        let last = BatchId { batch: u32::MAX, ..first };
        let written: Vec<_> =
            self.state().receipts.range(first..=last).map(|(id, receipt)| Ok((*id, receipt.into()))).collect();
        Ok(batches(&self.store, stream::iter(written), table.number, memory))
    }

    async fn finish(&self, plan: &Plan) -> Result<Vec<Note>> {
        let manifest = Manifest::of(plan, &self.state().receipts)?;
        self.put_document(MANIFEST, encode(&manifest)?).await?;
        Ok(Vec::new())
    }

    fn testify(&self, witness: Witness) {
        // There is one coordinator.
        let _ = self.witness.set(witness);
    }

    fn take_over(&self, made: Vec<Value>) {
        if !made.is_empty() {
            self.state().stage = Stage::Open;
        }
    }

    async fn abort(&self) -> Result<()> {
        self.remove().await
    }
}

/// Compresses and stores one batch.
async fn write(store: &dyn Store, batch: Batch) -> Result<Receipt> {
    let mut receipt = Receipt::for_batch(&batch);
    let data = batch.data.clone();
    let failed = |error: &dyn fmt::Display| {
        Error::new(ErrorKind::Internal, format!("cannot compress batch {}: {error}", batch.id))
    };
    let compressed = spawn_blocking(move || compress(&data)).await.map_err(|error| failed(&error))?;
    let object = compressed.map_err(|error| failed(&error))?;
    receipt.stored = object.len() as u64;
    store.put(&batch_key(batch.id), object).await?;
    Ok(receipt)
}
