//! Adapts a sink of Python to the library.

use async_trait::async_trait;
use dbgraft::{
    Batch, BatchStream, Catalog, Chunk, Error, ErrorKind, FidelityIssue, Finding, MemoryBudget, Note, ObjectRef, Plan,
    ResumeState,
};
use dbgraft::{Receipt, Result, Selection, Sink, TablePlan};
use pyo3::prelude::*;

use crate::python_object::PythonObject;
use crate::source::read_rows;

pub(crate) struct PythonSink {
    object: PythonObject,
    reads_back: bool,
}

impl PythonSink {
    pub(crate) fn new(object: &Bound<'_, PyAny>) -> Self {
        let reads_back = object.getattr("reads_back").and_then(|answer| answer.extract()).unwrap_or(false);
        Self { object: PythonObject::new("sink", object.clone().unbind()), reads_back }
    }
}

#[async_trait]
impl Sink for PythonSink {
    async fn check(&self, catalog: &Catalog, selection: &Selection) -> Result<Vec<Finding>> {
        self.object.call_json("check", &(catalog, selection)).await
    }

    async fn unsupported(&self, catalog: &Catalog, selection: &Selection) -> Result<Vec<FidelityIssue>> {
        self.object.call_json("unsupported", &(catalog, selection)).await
    }

    async fn existing(&self) -> Result<Vec<ObjectRef>> {
        self.object.call_json("existing", &()).await
    }

    async fn begin(&self, plan: &Plan) -> Result<ResumeState> {
        self.object.call_json("begin", plan).await
    }

    async fn write(&self, table: &TablePlan, batch: Batch) -> Result<Receipt> {
        let (number, given) = (table.number, crate::batch::Batch::from_batch(&batch));
        self.object
            .attach_blocking("write", move |_, sink| sink.call_method1("write", (number, given)).map(drop))
            .await?;
        Ok(Receipt::for_batch(&batch))
    }

    async fn complete(&self, table: &TablePlan) -> Result<()> {
        self.object.call_json("complete", &table.number).await
    }

    fn reads_back(&self) -> bool {
        self.reads_back
    }

    async fn counterparts(&self, plan: &Plan) -> Result<Vec<Option<TablePlan>>> {
        if !self.reads_back {
            return Err(Error::new(ErrorKind::Unsupported, "this sink has no read_back(): it cannot be compared"));
        }
        self.object.call_json("counterparts", plan).await
    }

    async fn read_back<'a>(
        &'a self,
        table: &'a TablePlan,
        chunk: &'a Chunk,
        memory: &'a MemoryBudget,
    ) -> Result<BatchStream<'a>> {
        read_rows(&self.object, "read_back", table, chunk, memory).await
    }

    async fn finish(&self, plan: &Plan) -> Result<Vec<Note>> {
        self.object.call_json("finish", plan).await
    }

    async fn abort(&self) -> Result<()> {
        self.object.call_json("abort", &()).await
    }
}
