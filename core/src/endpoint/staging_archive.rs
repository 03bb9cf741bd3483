//! The archive that a clone `--via` an archive writes and reads at the same time.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::archive::{ArchiveReader, ArchiveWriter, remove};
use crate::batch::ExportEvent;
use crate::error::Result;
use crate::plan::Plan;
use crate::sink::Sink;
use crate::source::Source;
use crate::store::{ObjectStore, temporary_name};

/// The archive between the exporting and the importing leg.
#[derive(Clone)]
pub(crate) struct StagingArchive {
    store: Arc<dyn ObjectStore>,
    sink: Arc<dyn Sink>,
}

impl StagingArchive {
    pub(crate) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { sink: Arc::new(ArchiveWriter::new(store.clone(), false)), store }
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
