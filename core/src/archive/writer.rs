//! Writes an archive as a sink.

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

use super::layout::{ChunkEntry, MANIFEST, Manifest, PLAN, batch_key, encode};
use super::progress;
use super::reader::{ArchiveReader, batches};
use super::remove::remove;
use super::status::{ArchiveStatus, record, status};
use crate::batch::{Batch, BatchId, Receipt};
use crate::catalog::Catalog;
use crate::clone_record::CloneRecord;
use crate::codec::compress;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::MemoryBudget;
use crate::plan::{Chunk, Plan, ResumeState, Selection, TablePlan};
use crate::report::{Finding, Note};
use crate::sink::{Sink, UndoRecorder};
use crate::source::{BatchStream, Source as _};
use crate::store::{ObjectStore, temporary_name};

/// How long the removal waits for uploads in flight: an object that arrives after it would stay.
const UPLOAD_GRACE: Duration = Duration::from_millis(1500);

/// Writes an archive.
pub(crate) struct ArchiveWriter {
    store: Arc<dyn ObjectStore>,
    overwrite: bool,
    /// Whether complete tables are recorded, so that a later process can take them over.
    records_progress: bool,
    /// Whether the archive of an earlier process of the job is continued.
    resume: bool,
    /// Reads an existing archive for a comparison.
    reader: ArchiveReader,
    /// Receives a record before the first object is stored.
    recorder: OnceLock<UndoRecorder>,
    state: Mutex<WriterState>,
    /// Held during the removal, so that a second caller returns only after its end.
    removing: tokio::sync::Mutex<()>,
}

/// The state of the archive that is being written.
#[derive(Debug, Default)]
struct WriterState {
    status: WriterStatus,
    /// The uploads in flight: they outlive the futures that started them.
    puts: JoinSet<()>,
    /// The batches that are durable.
    receipts: BTreeMap<BatchId, Receipt>,
    /// Whether a later process can use what is there: the archive is complete, or one of its tables is recorded.
    is_resumable: bool,
}

/// The status of the archive.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum WriterStatus {
    /// Nothing was written: an existing archive is not ours.
    #[default]
    New,
    /// The writer accepts objects.
    Open,
    /// The writer accepts no more objects.
    Closed,
}

impl ArchiveWriter {
    /// Creates a writer; `overwrite` replaces an existing archive.
    pub(crate) fn new(store: Arc<dyn ObjectStore>, overwrite: bool) -> Self {
        let reader = ArchiveReader::open(store.clone());
        let (state, removing) = (Mutex::default(), tokio::sync::Mutex::default());
        let (records_progress, resume) = (false, false);
        Self { store, overwrite, records_progress, resume, reader, recorder: OnceLock::new(), state, removing }
    }

    /// Records the progress of the export; `resume` continues that of an earlier process.
    pub(crate) fn with_progress(self, resume: bool) -> Self {
        Self { records_progress: true, resume, ..self }
    }

    /// The address of the archive, without secrets.
    pub(crate) fn url(&self) -> String {
        self.store.url("")
    }

    /// Accepts no more objects, and ends the uploads in flight. Returns whether the archive is of this writer.
    async fn close(&self) -> bool {
        let mut puts = {
            let mut state = self.state();
            if state.status == WriterStatus::New {
                return false;
            }
            state.status = WriterStatus::Closed;
            std::mem::take(&mut state.puts)
        };
        let _ = tokio::time::timeout(UPLOAD_GRACE, async { while puts.join_next().await.is_some() {} }).await;
        puts.shutdown().await;
        true
    }

    /// Removes the archive, complete or not. Does nothing before [`begin`](Sink::begin); may be called again.
    pub(crate) async fn remove(&self) -> Result<()> {
        let _removing = self.removing.lock().await;
        // An object that arrived after the removal would stay.
        if !self.close().await {
            return Ok(());
        }
        match remove(&*self.store).await {
            // The signer of the store may be lost; the store can remove its own objects without it.
            Err(error) => self.store.remove_orphans().await.map_err(|_| error),
            done => done,
        }
    }

    fn state(&self) -> MutexGuard<'_, WriterState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs an upload as a task: it ends cleanly even if the caller is dropped, and [`remove`](Self::remove) waits for
    /// it.
    async fn tracked<T: Send + 'static>(&self, work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        let (sender, outcome) = oneshot::channel();
        {
            let mut state = self.state();
            if state.status != WriterStatus::Open {
                return Err(self.closed_error());
            }
            while state.puts.try_join_next().is_some() {}
            state.puts.spawn(async move { drop(sender.send(work.await)) });
        }
        outcome.await.unwrap_or_else(|_| Err(self.closed_error()))
    }

    fn closed_error(&self) -> Error {
        Error::new(ErrorKind::Cancelled, format!("the writing of the archive at {} was stopped", self.url()))
    }

    async fn put_document(&self, key: &'static str, data: Bytes) -> Result<()> {
        let store = self.store.clone();
        self.tracked(async move { store.put(key, data).await }).await
    }

    /// Looks for an existing archive; the message says what to do.
    async fn existing_archive(&self) -> Result<Option<String>> {
        if self.overwrite {
            return Ok(None);
        }
        let what = match status(&*self.store).await? {
            ArchiveStatus::Missing => return Ok(None),
            ArchiveStatus::Complete => "an archive",
            ArchiveStatus::Unfinished => "an unfinished archive",
        };
        let at = self.url();
        let ways = match what {
            "an unfinished archive" if self.records_progress => {
                "go on with it by --resume, remove it by `dbgraft abandon`, or choose another prefix, or --if-exists drop to \
                 replace it"
            }
            _ => "choose another prefix, or --if-exists drop to replace it",
        };
        Ok(Some(format!("{what} is already at {at}: {ways}")))
    }

    /// Checks the permissions that the job needs: to write, to remove and to list.
    async fn check_permissions(&self) -> Result<()> {
        let probe = temporary_name("probe");
        self.store.put(&probe, Bytes::from_static(b"dbgraft checks whether it may write here\n")).await?;
        self.store.remove(&[probe]).await?;
        self.store.list(&temporary_name("none")).await.map(drop)
    }
}

#[async_trait]
impl Sink for ArchiveWriter {
    async fn check(&self, _catalog: &Catalog, _selection: &Selection) -> Result<Vec<Finding>> {
        let refused = |error: Error| match error.kind() {
            ErrorKind::Permission => Ok(Some(error.to_string())),
            _ => Err(error),
        };
        let existing = self.existing_archive().await.or_else(refused)?;
        let denied = self.check_permissions().await.map(|()| None).or_else(refused)?;
        Ok([existing, denied].into_iter().flatten().map(Finding::error).collect())
    }

    async fn clone_record(&self) -> Result<Option<CloneRecord>> {
        // One that is to be replaced does not matter. It may be encrypted by another key.
        if self.overwrite && !self.resume { Ok(None) } else { record(&*self.store).await }
    }

    async fn begin(&self, plan: &Plan) -> Result<ResumeState> {
        let mut resumed = ResumeState::default();
        if self.resume {
            let (complete, receipts) = progress::take_over(&*self.store, plan).await?;
            self.state().is_resumable = !complete.is_empty();
            resumed.complete = complete;
            self.state().receipts = receipts;
        } else if let Some(existing) = self.existing_archive().await? {
            return Err(Error::new(ErrorKind::Preflight, existing));
        }
        if let Some(send) = self.recorder.get() {
            send(Value::Null);
        }
        self.state().status = WriterStatus::Open;
        if self.overwrite && !self.resume {
            remove(&*self.store).await?;
        }
        self.put_document(PLAN, encode(plan)?).await?;
        Ok(resumed)
    }

    async fn write(&self, _table: &TablePlan, batch: Batch) -> Result<Receipt> {
        let store = self.store.clone();
        let receipt = self.tracked(async move { write(&*store, batch).await }).await?;
        self.state().receipts.insert(receipt.id, receipt.clone());
        Ok(receipt)
    }

    async fn complete(&self, table: &TablePlan) -> Result<()> {
        if !self.records_progress {
            return Ok(());
        }
        let chunks = ChunkEntry::of_table(table, &self.state().receipts)?;
        let (store, number) = (self.store.clone(), table.number);
        self.tracked(async move { progress::record_table(&*store, number, &chunks).await }).await?;
        self.state().is_resumable = true;
        Ok(())
    }

    fn reads_back(&self) -> bool {
        true
    }

    async fn counterparts(&self, plan: &Plan) -> Result<Vec<Option<TablePlan>>> {
        let archived = self.reader.archived_plan().await?;
        let find_table = |name: &str| archived.tables.iter().find(|table| table.table.name == name).cloned();
        Ok(plan.tables.iter().map(|table| find_table(&table.table.name)).collect())
    }

    async fn read_back<'a>(
        &'a self,
        table: &'a TablePlan,
        chunk: &'a Chunk,
        memory: &'a MemoryBudget,
    ) -> Result<BatchStream<'a>> {
        if self.state().status == WriterStatus::New {
            return self.reader.read(table, chunk, memory).await;
        }
        let first = BatchId { table: table.number, chunk: chunk.number, batch: 0 };
        let last = BatchId { batch: u32::MAX, ..first };
        let written: Vec<_> =
            self.state().receipts.range(first..=last).map(|(id, receipt)| Ok((*id, receipt.into()))).collect();
        Ok(batches(&self.store, stream::iter(written), table.number, memory))
    }

    async fn finish(&self, plan: &Plan) -> Result<Vec<Note>> {
        let manifest = Manifest::new(plan, &self.state().receipts)?;
        self.put_document(MANIFEST, encode(&manifest)?).await?;
        self.state().is_resumable = true;
        if self.records_progress {
            progress::remove(&*self.store).await?;
        }
        Ok(Vec::new())
    }

    /// Removes what an export has left that was killed after its manifest was written.
    async fn conclude(&self) -> Result<()> {
        match status(&*self.store).await? {
            ArchiveStatus::Complete => progress::remove(&*self.store).await,
            ArchiveStatus::Missing | ArchiveStatus::Unfinished => Ok(()),
        }
    }

    fn set_undo_recorder(&self, recorder: UndoRecorder) {
        // Only one coordinator exists, so only the first recorder counts.
        let _ = self.recorder.set(recorder);
    }

    fn adopt_undo_records(&self, records: Vec<Value>) {
        if !records.is_empty() {
            self.state().status = WriterStatus::Open;
        }
    }

    async fn abort(&self) -> Result<()> {
        self.remove().await
    }

    async fn suspend(&self) -> Result<()> {
        let is_resumable = self.state().is_resumable;
        if !is_resumable {
            return self.remove().await;
        }
        self.close().await;
        Ok(())
    }
}

/// Compresses and stores one batch.
async fn write(store: &dyn ObjectStore, batch: Batch) -> Result<Receipt> {
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
