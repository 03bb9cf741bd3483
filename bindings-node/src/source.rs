//! Adapts a source of JavaScript to the library.

use async_trait::async_trait;
use dbgraft::{
    BatchStream, Catalog, Chunk, Finding, MemoryBudget, Note, Plan, Position, Result, Selection, SnapshotMethod,
    Source, TablePlan,
};

use crate::js_object::JsObject;

pub(crate) struct JsSource(pub(crate) JsObject);

#[async_trait]
impl Source for JsSource {
    async fn catalog(&self) -> Result<Catalog> {
        self.0.call("catalog", &()).await
    }

    async fn check(&self, selection: &Selection) -> Result<Vec<Finding>> {
        self.0.call_optional("check", selection).await
    }

    async fn plan(&self, selection: &Selection) -> Result<Plan> {
        if self.0.has_method("plan") {
            return self.0.call("plan", selection).await;
        }
        Ok(Plan::from_selection(&self.catalog().await?, selection, Position::unknown(SnapshotMethod::External)))
    }

    async fn snapshot(&self, selection: &Selection) -> Result<Plan> {
        if self.0.has_method("snapshot") {
            return self.0.call("snapshot", selection).await;
        }
        self.plan(selection).await
    }

    async fn read<'a>(
        &'a self,
        table: &'a TablePlan,
        chunk: &'a Chunk,
        memory: &'a MemoryBudget,
    ) -> Result<BatchStream<'a>> {
        Ok(self.0.read_chunk("read", table, chunk, memory))
    }

    fn reads_any_range(&self) -> bool {
        self.0.has_method("readsAnyRange")
    }

    async fn notes(&self) -> Result<Vec<Note>> {
        self.0.call_optional("notes", &()).await
    }

    async fn close(&self) -> Result<()> {
        self.0.call_ignoring_result("close", &()).await
    }
}
