//! A source or a sink of JavaScript: an object with some of the methods.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use dbgraft::{BatchStream, Chunk, MemoryBudget, Result, TablePlan};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::json;

use crate::call_queue::CallQueue;
use crate::chunk_reader::{ChunkReader, ChunkReaders};

/// A JavaScript object of the user, called through the queue.
pub(crate) struct JsObject {
    /// The prefix of its methods: `source` or `target`.
    side: &'static str,
    methods: HashSet<String>,
    calls: Arc<CallQueue>,
    readers: Arc<ChunkReaders>,
    /// The numbers of the tables whose definitions were sent.
    sent_tables: Mutex<HashSet<u32>>,
}

impl JsObject {
    pub(crate) fn new(
        side: &'static str,
        methods: Vec<String>,
        calls: Arc<CallQueue>,
        readers: Arc<ChunkReaders>,
    ) -> Self {
        Self { side, methods: methods.into_iter().collect(), calls, readers, sent_tables: Mutex::default() }
    }

    pub(crate) fn has_method(&self, method: &str) -> bool {
        self.methods.contains(method)
    }

    pub(crate) async fn call<T: DeserializeOwned>(&self, method: &str, body: &impl Serialize) -> Result<T> {
        self.calls.call(&format!("{}.{method}", self.side), body).await
    }

    /// Calls a method; returns the default without such a method or result.
    pub(crate) async fn call_optional<T: DeserializeOwned + Default>(
        &self,
        method: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        if !self.has_method(method) {
            return Ok(T::default());
        }
        self.call::<Option<T>>(method, body).await.map(Option::unwrap_or_default)
    }

    /// Calls a method, if it exists, and ignores its result.
    pub(crate) async fn call_ignoring_result(&self, method: &str, body: &impl Serialize) -> Result<()> {
        if self.has_method(method) {
            let _: IgnoredAny = self.call(method, body).await?;
        }
        Ok(())
    }

    /// Calls a method with a table and row text.
    pub(crate) async fn call_with_table<T: DeserializeOwned>(
        &self,
        method: &str,
        table: &TablePlan,
        body: &impl Serialize,
        data: Option<Bytes>,
    ) -> Result<T> {
        let body = json!({ "number": table.number, "table": self.unsent_table(table), "body": body });
        self.calls.call_with_data(&format!("{}.{method}", self.side), &body, data).await
    }

    /// Reads a chunk by a method that returns an asynchronous iterable of rows.
    pub(crate) fn read_chunk<'a>(
        &self,
        method: &str,
        table: &'a TablePlan,
        chunk: &'a Chunk,
        memory: &'a MemoryBudget,
    ) -> BatchStream<'a> {
        let begin = json!({ "number": table.number, "table": self.unsent_table(table), "body": chunk });
        let method = format!("{}.{method}", self.side);
        ChunkReader::start(method, begin, self.calls.clone(), self.readers.clone(), table, chunk, memory)
    }

    /// The table, unless its definition was sent before.
    fn unsent_table<'a>(&self, table: &'a TablePlan) -> Option<&'a TablePlan> {
        let is_new = self.sent_tables.lock().unwrap_or_else(PoisonError::into_inner).insert(table.number);
        is_new.then_some(table)
    }
}
