//! A source of the user's own, written in JavaScript.

use async_trait::async_trait;
use dbgraft::{
    BatchStream, Catalog, Chunk, Finding, Memory, Note, Plan, Position, Result, Rung, Selection, Source, TablePlan,
};

use crate::own::Own;

pub(crate) struct JsSource(pub(crate) Own);

#[async_trait]
impl Source for JsSource {
    async fn catalog(&self) -> Result<Catalog> {
        self.0.call("catalog", &()).await
    }

    async fn check(&self, selection: &Selection) -> Result<Vec<Finding>> {
        self.0.ask("check", selection).await
    }

    async fn plan(&self, selection: &Selection) -> Result<Plan> {
        if self.0.has("plan") {
            return self.0.call("plan", selection).await;
        }
        Ok(Plan::of(&self.catalog().await?, selection, Position::unknown(Rung::Given)))
    }

    async fn snapshot(&self, selection: &Selection) -> Result<Plan> {
        if self.0.has("snapshot") {
            return self.0.call("snapshot", selection).await;
        }
        self.plan(selection).await
    }

    async fn read<'a>(&'a self, table: &'a TablePlan, chunk: &'a Chunk, memory: &'a Memory) -> Result<BatchStream<'a>> {
        Ok(self.0.read("read", table, chunk, memory))
    }

    fn reads_any_range(&self) -> bool {
        self.0.has("readsAnyRange")
    }

    async fn notes(&self) -> Result<Vec<Note>> {
        self.0.ask("notes", &()).await
    }

    async fn close(&self) -> Result<()> {
        self.0.run("close", &()).await
    }
}
