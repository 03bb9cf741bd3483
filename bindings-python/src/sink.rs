//! A sink in Python.

use async_trait::async_trait;
use dbgraft::{
    Batch, BatchStream, Catalog, Chunk, Error, ErrorKind, Fidelity, Finding, Memory, Note, ObjectRef, Plan, Progress,
};
use dbgraft::{Receipt, Result, Selection, Sink, TablePlan};
use pyo3::prelude::*;

use crate::own::Own;
use crate::source::read;

pub(crate) struct PythonSink {
    own: Own,
    reads_back: bool,
}

impl PythonSink {
    pub(crate) fn new(object: &Bound<'_, PyAny>) -> Self {
        let reads_back = object.getattr("reads_back").and_then(|answer| answer.extract()).unwrap_or(false);
        Self { own: Own::new("sink", object.clone().unbind()), reads_back }
    }
}

#[async_trait]
impl Sink for PythonSink {
    async fn check(&self, catalog: &Catalog, selection: &Selection) -> Result<Vec<Finding>> {
        self.own.ask("check", &(catalog, selection)).await
    }

    async fn unsupported(&self, catalog: &Catalog, selection: &Selection) -> Result<Vec<Fidelity>> {
        self.own.ask("unsupported", &(catalog, selection)).await
    }

    async fn existing(&self) -> Result<Vec<ObjectRef>> {
        self.own.ask("existing", &()).await
    }

    async fn begin(&self, plan: &Plan) -> Result<Progress> {
        self.own.ask("begin", plan).await
    }

    async fn write(&self, table: &TablePlan, batch: Batch) -> Result<Receipt> {
        let (number, given) = (table.number, crate::batch::Batch::of(&batch));
        self.own.within("write", move |_, own| own.call_method1("write", (number, given)).map(drop)).await?;
        Ok(Receipt::of(&batch))
    }

    async fn complete(&self, table: &TablePlan) -> Result<()> {
        self.own.ask("complete", &table.number).await
    }

    fn reads_back(&self) -> bool {
        self.reads_back
    }

    async fn counterparts(&self, plan: &Plan) -> Result<Vec<Option<TablePlan>>> {
        if !self.reads_back {
            return Err(Error::new(ErrorKind::Unsupported, "this sink has no read_back(): it cannot be compared"));
        }
        self.own.ask("counterparts", plan).await
    }

    async fn read_back<'a>(
        &'a self,
        table: &'a TablePlan,
        chunk: &'a Chunk,
        memory: &'a Memory,
    ) -> Result<BatchStream<'a>> {
        read(&self.own, "read_back", table, chunk, memory).await
    }

    async fn finish(&self, plan: &Plan) -> Result<Vec<Note>> {
        self.own.ask("finish", plan).await
    }

    async fn abort(&self) -> Result<()> {
        self.own.ask("abort", &()).await
    }
}
