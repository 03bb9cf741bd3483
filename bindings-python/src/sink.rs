//! A sink in Python.

use async_trait::async_trait;
use dbgraft::TablePlan;
use dbgraft::{Batch, Catalog, Fidelity, Finding, Note, ObjectRef, Plan, Progress, Receipt, Result, Selection, Sink};
use pyo3::prelude::*;

use crate::own::Own;

pub(crate) struct PythonSink(Own);

impl PythonSink {
    pub(crate) fn new(object: Py<PyAny>) -> Self {
        Self(Own::new("sink", object))
    }
}

#[async_trait]
impl Sink for PythonSink {
    async fn check(&self, catalog: &Catalog, selection: &Selection) -> Result<Vec<Finding>> {
        self.0.ask("check", &(catalog, selection)).await
    }

    async fn unsupported(&self, catalog: &Catalog, selection: &Selection) -> Result<Vec<Fidelity>> {
        self.0.ask("unsupported", &(catalog, selection)).await
    }

    async fn existing(&self) -> Result<Vec<ObjectRef>> {
        self.0.ask("existing", &()).await
    }

    async fn begin(&self, plan: &Plan) -> Result<Progress> {
        self.0.ask("begin", plan).await
    }

    async fn write(&self, table: &TablePlan, batch: Batch) -> Result<Receipt> {
        let (number, given) = (table.number, crate::batch::Batch::of(&batch));
        self.0.within("write", move |_, own| own.call_method1("write", (number, given)).map(drop)).await?;
        Ok(Receipt::of(&batch))
    }

    async fn complete(&self, table: &TablePlan) -> Result<()> {
        self.0.ask("complete", &table.number).await
    }

    async fn finish(&self, plan: &Plan) -> Result<Vec<Note>> {
        self.0.ask("finish", plan).await
    }

    async fn abort(&self) -> Result<()> {
        self.0.ask("abort", &()).await
    }
}
