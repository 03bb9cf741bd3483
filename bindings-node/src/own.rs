//! What a source and a sink of the user's own have in common: an object of JavaScript with some of the methods.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use dbgraft::{BatchStream, Chunk, Memory, Result, TablePlan};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::json;

use crate::calls::Calls;
use crate::reading::{Reading, Readings};

pub(crate) struct Own {
    /// `source` or `target`.
    side: &'static str,
    methods: HashSet<String>,
    calls: Arc<Calls>,
    readings: Arc<Readings>,
    /// The tables that JavaScript knows already by their numbers.
    told: Mutex<HashSet<u32>>,
}

impl Own {
    pub(crate) fn new(side: &'static str, methods: Vec<String>, calls: Arc<Calls>, readings: Arc<Readings>) -> Self {
        Self { side, methods: methods.into_iter().collect(), calls, readings, told: Mutex::default() }
    }

    pub(crate) fn has(&self, method: &str) -> bool {
        self.methods.contains(method)
    }

    pub(crate) async fn call<T: DeserializeOwned>(&self, method: &str, body: &impl Serialize) -> Result<T> {
        self.calls.call(&format!("{}.{method}", self.side), body).await
    }

    /// The same, unless there is no such method or it gives nothing.
    pub(crate) async fn ask<T: DeserializeOwned + Default>(&self, method: &str, body: &impl Serialize) -> Result<T> {
        if !self.has(method) {
            return Ok(T::default());
        }
        self.call::<Option<T>>(method, body).await.map(Option::unwrap_or_default)
    }

    /// The same where it does not matter what it gives.
    pub(crate) async fn run(&self, method: &str, body: &impl Serialize) -> Result<()> {
        if self.has(method) {
            let _: IgnoredAny = self.call(method, body).await?;
        }
        Ok(())
    }

    /// Calls a method for a table, with rows.
    pub(crate) async fn call_for<T: DeserializeOwned>(
        &self,
        method: &str,
        table: &TablePlan,
        body: &impl Serialize,
        data: Option<Bytes>,
    ) -> Result<T> {
        let body = json!({ "number": table.number, "table": self.news(table), "body": body });
        self.calls.call_with(&format!("{}.{method}", self.side), &body, data).await
    }

    /// The batches that the asynchronous iterable of a method gives.
    pub(crate) fn read<'a>(
        &self,
        method: &str,
        table: &'a TablePlan,
        chunk: &'a Chunk,
        memory: &'a Memory,
    ) -> BatchStream<'a> {
        let begin = json!({ "number": table.number, "table": self.news(table), "body": chunk });
        let method = format!("{}.{method}", self.side);
        Reading::begin(method, begin, self.calls.clone(), self.readings.clone(), table, chunk, memory)
    }

    /// The table, where JavaScript does not have it yet: its definition is not sent with every batch.
    fn news<'a>(&self, table: &'a TablePlan) -> Option<&'a TablePlan> {
        let new = self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(table.number);
        new.then_some(table)
    }
}
