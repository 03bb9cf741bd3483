//! Reads a chunk: the statement, over a connection on loan. Both sides read in the same way, or they could not be
//! compared.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{StreamExt as _, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connect::Conn;
use super::ddl::quote_name;
use super::inspect::Inspection;
use super::read::RowReader;
use super::{chunk, column};
use crate::batch::BatchId;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::MemoryBudget;
use crate::plan::{Chunk, TablePlan};
use crate::source::BatchStream;

/// Connections that read, of which so many may be out at once.
#[derive(Clone)]
pub(super) struct Readers {
    idle: Arc<Mutex<Vec<Conn>>>,
    free: Arc<Semaphore>,
    /// Of connections that cannot be replaced: how many are lost, and how many there were.
    lost: Option<(Arc<AtomicUsize>, usize)>,
}

/// The right to read, until it is given back or dropped.
pub(super) struct Loan {
    readers: Readers,
    permit: Option<OwnedSemaphorePermit>,
}

impl Readers {
    /// These connections, and no others. One that is not given back is lost, and the others go on without it.
    pub(super) fn of(conns: Vec<Conn>) -> Self {
        Self {
            free: Arc::new(Semaphore::new(conns.len())),
            lost: Some((Arc::default(), conns.len())),
            idle: Arc::new(Mutex::new(conns)),
        }
    }

    /// Connections that are opened when they are needed.
    pub(super) fn at_most(number: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(number)), lost: None, idle: Arc::default() }
    }

    /// A connection that does nothing; `None` when one may be opened in the place of one that was never opened, or broke.
    ///
    /// # Errors
    /// `Connection` when the last of those that cannot be replaced is lost.
    pub(super) async fn borrow(&self) -> Result<(Option<Conn>, Loan)> {
        let lost = |_| {
            let message = "the source's moment is lost: the last connection that held it broke, and another one would see \
                           later rows: start the clone again";
            Error::new(ErrorKind::Connection, message)
        };
        let permit = self.free.clone().acquire_owned().await.map_err(lost)?;
        let conn = self.idle().pop();
        Ok((conn, Loan { readers: self.clone(), permit: Some(permit) }))
    }

    /// Whether one of those that cannot be replaced is lost.
    pub(super) fn has_lost(&self) -> bool {
        self.lost.as_ref().is_some_and(|(lost, _)| lost.load(Ordering::Acquire) > 0)
    }

    /// Takes away those that do nothing.
    pub(super) fn take_idle(&self) -> Vec<Conn> {
        std::mem::take(&mut *self.idle())
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Conn>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Loan {
    fn give_back(mut self, conn: Conn) {
        self.readers.idle().push(conn);
        // Others may take it from now on.
        self.permit = None;
    }

    /// Runs the statement, and gives its rows as the batches of a chunk. In the end these rows are inspected, if they are
    /// to be.
    pub(super) async fn read<'a>(
        self,
        conn: Conn,
        sql: &str,
        first: BatchId,
        memory: &'a MemoryBudget,
        inspection: Option<Inspection<'a>>,
    ) -> Result<BatchStream<'a>> {
        let reader = RowReader::open(conn, sql).await?;
        let state = (reader, self, inspection, first);
        let batches = stream::try_unfold(state, move |(mut reader, loan, inspection, id)| async move {
            if let Some(batch) = reader.next(id, memory).await? {
                return Ok(Some((batch, (reader, loan, inspection, BatchId { batch: id.batch + 1, ..id }))));
            }
            let mut conn = reader.finish().await?;
            if let Some(inspection) = inspection {
                inspection.look(&mut conn).await?;
            }
            loan.give_back(conn);
            Ok(None)
        });
        Ok(batches.boxed())
    }

    /// Runs the statement, whose one value is a number.
    pub(super) async fn number(self, mut conn: Conn, sql: &str) -> Result<u64> {
        let row = conn.row(sql).await?;
        self.give_back(conn);
        Ok(row.map_or(0, |row| row.number(0)))
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let (Some(permit), Some((lost, all))) = (self.permit.take(), &self.readers.lost) else { return };
        permit.forget();
        if lost.fetch_add(1, Ordering::AcqRel) + 1 == *all {
            // Who waits for one hears that there is none.
            self.readers.free.close();
        }
    }
}

/// `FROM …`: the rows of a chunk, as the source reads them.
pub(super) fn rows_of(database: &str, table: &TablePlan, chunk: &Chunk) -> String {
    from(database, table, chunk, is_ordered(table))
}

/// The statement that reads these rows.
pub(super) fn select(table: &TablePlan, rows: &str) -> String {
    format!("SELECT {} {rows}", columns(table))
}

/// The statement that reads a chunk in any order, also where the table has other keys.
pub(super) fn in_any_order(database: &str, table: &TablePlan, chunk: &Chunk) -> String {
    select(table, &from(database, table, chunk, false))
}

/// The statement that counts the rows of a chunk.
pub(super) fn counting(database: &str, table: &TablePlan, chunk: &Chunk) -> String {
    format!("SELECT COUNT(*) {}", from(database, table, chunk, false))
}

fn columns(table: &TablePlan) -> String {
    let columns: Vec<String> = table.table.stored_columns().map(column::read_expression).collect();
    // A row of no stored columns still has to be counted; its line is empty.
    if columns.is_empty() { "''".to_owned() } else { columns.join(", ") }
}

fn from(database: &str, table: &TablePlan, chunk: &Chunk, ordered: bool) -> String {
    let mut sql = format!("FROM {}.{}", quote_name(database), quote_name(&table.table.name));
    if table.table.history {
        sql.push_str(" FOR SYSTEM_TIME ALL");
    }
    if ordered {
        sql.push_str(" FORCE INDEX (PRIMARY)");
    }
    let range = chunk::condition(&table.chunk_key, chunk);
    let filter = table.filter.as_ref().map(|filter| format!("({filter}\n)"));
    let conditions: Vec<String> = range.into_iter().chain(filter).collect();
    if !conditions.is_empty() {
        sql.push_str(" WHERE ");
        sql.push_str(&conditions.join(" AND "));
    }
    sql
}

/// Whether rows are read from the clustered index, hence in its order, even where another one would cover the columns.
/// Not by ORDER BY, which would sort them where parts of the key descend, and merge those of partitions. With a filter
/// the server may know a better way.
fn is_ordered(table: &TablePlan) -> bool {
    table.filter.is_none() && !table.table.primary_key.is_empty() && table.table.engine == "InnoDB"
}
