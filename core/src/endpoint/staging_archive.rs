//! The archive that a clone `--via` an archive writes and reads at the same time.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::mpsc::UnboundedReceiver;

use super::location::recorded_location;
use crate::archive::{ArchiveReader, ArchiveStatus, ArchiveWriter, remove, status, written_plan};
use crate::batch::ExportEvent;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::Plan;
use crate::sink::Sink;
use crate::source::Source;
use crate::store::{ArchiveKey, ObjectStore, temporary_name};

/// The archive between the exporting and the importing leg.
#[derive(Clone)]
pub(crate) struct StagingArchive {
    /// The URL by which a later process finds it.
    location: String,
    store: Arc<dyn ObjectStore>,
    sink: Arc<dyn Sink>,
}

impl StagingArchive {
    /// `location` is its URL, with the parameters of the store.
    pub(crate) fn new(location: String, store: Arc<dyn ObjectStore>) -> Self {
        Self { sink: Arc::new(ArchiveWriter::new(store.clone(), false)), location, store }
    }

    /// The URL by which a later process finds the archive. It has no secrets: S3 keys come from the environment.
    pub(crate) fn location(&self) -> &str {
        &self.location
    }

    /// Opens the archive that an earlier process of the job recorded, from this host. `key` is that of an encrypted one.
    pub(crate) fn recorded(url: &str, key: Option<Arc<ArchiveKey>>) -> Result<Self> {
        let mut location = recorded_location(url)?;
        location.key = key;
        let archive = Self::new(url.to_owned(), location.open()?);
        // It is ours: its removal is allowed.
        archive.sink.adopt_undo_records(vec![Value::Null]);
        Ok(archive)
    }

    /// The archive as a source, if the job of this name has completed it.
    pub(crate) async fn complete_source(&self, job: &str) -> Result<Option<Arc<dyn Source>>> {
        if status(&*self.store).await? != ArchiveStatus::Complete {
            return Ok(None);
        }
        let reader = ArchiveReader::open(self.store.clone());
        match reader.job().await? == job {
            true => Ok(Some(Arc::new(reader))),
            false => {
                Err(Error::new(ErrorKind::Preflight, format!("the archive at {} is of another clone", self.url())))
            }
        }
    }

    /// Whether the archive is of the job of this name, or holds no more than a removal has left of it.
    pub(crate) async fn is_of_job(&self, job: &str) -> Result<bool> {
        Ok(written_plan(&*self.store).await?.is_none_or(|plan| plan.job.id == job))
    }

    /// Replaces the sink by one that writes the archive on an agent.
    pub(crate) fn with_sink(self, sink: Arc<dyn Sink>) -> Self {
        Self { sink, ..self }
    }

    /// The sink of the exporting leg.
    pub(crate) fn sink(&self) -> Arc<dyn Sink> {
        self.sink.clone()
    }

    /// Returns the source of the importing leg, which reads each batch after its export event.
    pub(crate) fn follow(&self, plan: &Arc<Plan>, events: UnboundedReceiver<ExportEvent>) -> Arc<dyn Source> {
        Arc::new(ArchiveReader::follow(self.store.clone(), plan.as_ref().clone(), events))
    }

    /// Leaves a complete archive, from which a later process can read, and removes an incomplete one.
    pub(crate) async fn suspend(&self) -> Result<()> {
        match status(&*self.store).await? {
            ArchiveStatus::Complete => Ok(()),
            ArchiveStatus::Missing | ArchiveStatus::Unfinished => self.remove().await,
        }
    }

    /// Removes the archive, complete or not.
    pub(crate) async fn remove(&self) -> Result<()> {
        match self.sink.abort().await {
            // The agent that wrote it may be lost.
            Err(_) => remove(&*self.store).await,
            removed => removed,
        }
    }

    /// Checks that this host can reach the archive.
    pub(crate) async fn check_reachable(&self) -> Result<()> {
        self.store.find(&temporary_name("reach"), 0).await.map(drop)
    }

    /// The address of the archive, without secrets.
    pub(crate) fn url(&self) -> String {
        self.store.url("")
    }
}
