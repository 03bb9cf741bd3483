//! A pool of connections that read rows, and the lease on one of them that streams the batches of a chunk.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{StreamExt as _, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connect::Conn;
use super::json_types::JsonTypeCheck;
use super::row_reader::RowReader;
use crate::batch::BatchId;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::MemoryBudget;
use crate::source::BatchStream;

/// Connections that read rows. The number of leases at the same time is limited.
#[derive(Clone)]
pub(super) struct ReaderPool {
    idle: Arc<Mutex<Vec<Conn>>>,
    free: Arc<Semaphore>,
    /// For connections that cannot be replaced: how many are lost, and how many there were at first.
    lost: Option<(Arc<AtomicUsize>, usize)>,
}

/// Permission to use one connection of the pool, until the lease is released or dropped.
pub(super) struct ReaderLease {
    readers: ReaderPool,
    permit: Option<OwnedSemaphorePermit>,
}

impl ReaderPool {
    /// Creates a pool of exactly these connections. A connection that is not released is lost to the pool.
    pub(super) fn from_connections(conns: Vec<Conn>) -> Self {
        Self {
            free: Arc::new(Semaphore::new(conns.len())),
            lost: Some((Arc::default(), conns.len())),
            idle: Arc::new(Mutex::new(conns)),
        }
    }

    /// Creates a pool of at most `number` connections, which its users open when they need them.
    pub(super) fn with_limit(number: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(number)), lost: None, idle: Arc::default() }
    }

    /// Waits for a lease, and returns it with an idle connection; `None` if the caller has to open a connection.
    ///
    /// # Errors
    /// `Connection` if the last connection that cannot be replaced is lost.
    pub(super) async fn acquire(&self) -> Result<(Option<Conn>, ReaderLease)> {
        let lost = |_| {
            let message = "the source's moment is lost: the last connection that held it broke, and another one would see \
                           later rows: start the clone again";
            Error::new(ErrorKind::Connection, message)
        };
        let permit = self.free.clone().acquire_owned().await.map_err(lost)?;
        let conn = self.idle().pop();
        Ok((conn, ReaderLease { readers: self.clone(), permit: Some(permit) }))
    }

    /// Whether its connections are those of a snapshot, which cannot be replaced.
    pub(super) fn holds_snapshot(&self) -> bool {
        self.lost.is_some()
    }

    /// Whether a connection that cannot be replaced is lost.
    pub(super) fn has_lost(&self) -> bool {
        self.lost.as_ref().is_some_and(|(lost, _)| lost.load(Ordering::Acquire) > 0)
    }

    /// Removes and returns all idle connections.
    pub(super) fn take_idle(&self) -> Vec<Conn> {
        std::mem::take(&mut *self.idle())
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Conn>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReaderLease {
    fn release(mut self, conn: Conn) {
        self.readers.idle().push(conn);
        // Dropping the permit lets the next caller take the connection.
        self.permit = None;
    }

    /// Runs the statement, and returns its rows as batches of a chunk, the first of which has the ID `first`.
    ///
    /// After the last batch, `json_check` runs over the same rows.
    pub(super) async fn stream_batches<'a>(
        self,
        conn: Conn,
        sql: &str,
        first: BatchId,
        memory: &'a MemoryBudget,
        json_check: Option<JsonTypeCheck<'a>>,
    ) -> Result<BatchStream<'a>> {
        let reader = RowReader::open(conn, sql).await?;
        let state = (reader, self, json_check, first);
        let batches = stream::try_unfold(state, move |(mut reader, lease, json_check, id)| async move {
            if let Some(batch) = reader.next_batch(id, memory).await? {
                return Ok(Some((batch, (reader, lease, json_check, BatchId { batch: id.batch + 1, ..id }))));
            }
            let mut conn = reader.close().await?;
            if let Some(json_check) = json_check {
                json_check.run(&mut conn).await?;
            }
            lease.release(conn);
            Ok(None)
        });
        Ok(batches.boxed())
    }

    /// Runs a statement that returns one number.
    pub(super) async fn query_number(self, mut conn: Conn, sql: &str) -> Result<u64> {
        let row = conn.row(sql).await?;
        self.release(conn);
        Ok(row.map_or(0, |row| row.number(0)))
    }
}

impl Drop for ReaderLease {
    fn drop(&mut self) {
        let (Some(permit), Some((lost, all))) = (self.permit.take(), &self.readers.lost) else { return };
        permit.forget();
        if lost.fetch_add(1, Ordering::AcqRel) + 1 == *all {
            // Closing the semaphore ends the waits of other callers with an error.
            self.readers.free.close();
        }
    }
}
