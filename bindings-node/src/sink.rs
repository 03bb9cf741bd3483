//! Adapts a sink of JavaScript to the library.

use async_trait::async_trait;
use dbgraft::{
    Batch, BatchStream, Catalog, Chunk, Error, ErrorKind, FidelityIssue, Finding, MemoryBudget, Note, ObjectRef, Plan,
    Receipt, Result, ResumeState, Selection, Sink, TablePlan,
};
use serde::de::IgnoredAny;
use serde_json::json;

use crate::js_object::JsObject;

pub(crate) struct JsSink(pub(crate) JsObject);

#[async_trait]
impl Sink for JsSink {
    async fn check(&self, catalog: &Catalog, selection: &Selection) -> Result<Vec<Finding>> {
        self.0.call_optional("check", &(catalog, selection)).await
    }

    async fn unsupported(&self, catalog: &Catalog, selection: &Selection) -> Result<Vec<FidelityIssue>> {
        self.0.call_optional("unsupported", &(catalog, selection)).await
    }

    async fn existing(&self) -> Result<Vec<ObjectRef>> {
        self.0.call_optional("existing", &()).await
    }

    async fn begin(&self, plan: &Plan) -> Result<ResumeState> {
        self.0.call_optional("begin", plan).await
    }

    async fn write(&self, table: &TablePlan, batch: Batch) -> Result<Receipt> {
        let about = json!({ "id": batch.id, "rows": batch.rows, "digest": batch.digest });
        // Its memory stays counted until the answer is there.
        let receipt: Option<Receipt> = self.0.call_with_table("write", table, &about, Some(batch.data.clone())).await?;
        Ok(receipt.unwrap_or_else(|| Receipt::for_batch(&batch)))
    }

    async fn complete(&self, table: &TablePlan) -> Result<()> {
        if !self.0.has_method("complete") {
            return Ok(());
        }
        let _: IgnoredAny = self.0.call_with_table("complete", table, &(), None).await?;
        Ok(())
    }

    fn reads_back(&self) -> bool {
        self.0.has_method("readBack")
    }

    async fn counterparts(&self, plan: &Plan) -> Result<Vec<Option<TablePlan>>> {
        if self.0.has_method("counterparts") {
            return self.0.call("counterparts", plan).await;
        }
        if self.reads_back() { Ok(plan.tables.iter().cloned().map(Some).collect()) } else { Err(unreadable()) }
    }

    async fn read_back<'a>(
        &'a self,
        table: &'a TablePlan,
        chunk: &'a Chunk,
        memory: &'a MemoryBudget,
    ) -> Result<BatchStream<'a>> {
        if self.reads_back() { Ok(self.0.read_chunk("readBack", table, chunk, memory)) } else { Err(unreadable()) }
    }

    async fn finish(&self, plan: &Plan) -> Result<Vec<Note>> {
        self.0.call_optional("finish", plan).await
    }

    async fn abort(&self) -> Result<()> {
        self.0.call_ignoring_result("abort", &()).await
    }
}

fn unreadable() -> Error {
    Error::new(ErrorKind::Unsupported, "this target has no method `readBack`: do without verify")
}
