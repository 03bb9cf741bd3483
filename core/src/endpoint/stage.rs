//! Where a clone is staged.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::archive::{Reader, Writer, remove};
use crate::batch::StagingEvent;
use crate::error::Result;
use crate::plan::Plan;
use crate::sink::Sink;
use crate::source::Source;
use crate::store::{Store, temporary_name};

/// The archive that a clone goes through.
#[derive(Clone)]
pub(crate) struct Stage {
    store: Arc<dyn Store>,
    sink: Arc<dyn Sink>,
}

impl Stage {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { sink: Arc::new(Writer::new(store.clone(), false)), store }
    }

    /// The same archive, written elsewhere.
    pub(crate) fn written_by(self, sink: Arc<dyn Sink>) -> Self {
        Self { sink, ..self }
    }

    pub(crate) fn sink(&self) -> Arc<dyn Sink> {
        self.sink.clone()
    }

    pub(crate) fn follow(&self, plan: &Arc<Plan>, feed: UnboundedReceiver<StagingEvent>) -> Arc<dyn Source> {
        Arc::new(Reader::follow(self.store.clone(), plan.as_ref().clone(), feed))
    }

    /// Removes the archive, complete or not.
    pub(crate) async fn remove(&self) -> Result<()> {
        match self.sink.abort().await {
            // Whoever wrote it may be gone.
            Err(_) => remove(&*self.store).await,
            removed => removed,
        }
    }

    /// Whether the archive can be reached from here.
    pub(crate) async fn reach(&self) -> Result<()> {
        self.store.find(&temporary_name("reach"), 0).await.map(drop)
    }

    pub(crate) fn url(&self) -> String {
        self.store.url("")
    }
}
