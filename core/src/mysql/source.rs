//! A server of the MySQL family as a source.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use super::connect::{Address, Conn};
use super::ddl::{Dialect, quote_name, split_table};
use super::inspect::Inspector;
use super::read::RowReader;
use super::running::Running;
use super::{check, chunk, column, introspect, session, snapshot};
use crate::batch::BatchId;
use crate::catalog::{Catalog, Printable, Table};
use crate::error::{Error, ErrorKind, Result};
use crate::fidelity::{Fidelity, Severity};
use crate::memory::Memory;
use crate::options::CloneOptions;
use crate::plan::{Chunk, Plan, Position, Rung, Selection, TablePlan};
use crate::report::{Finding, Note};
use crate::source::{BatchStream, Source};

/// Reads one database of a server.
pub(crate) struct MySqlSource {
    address: Address,
    options: CloneOptions,
    catalog: Mutex<Option<Catalog>>,
    snapshot: Mutex<Readers>,
    running: Running,
    inspector: Inspector,
}

/// The connections of the snapshot that read nothing right now.
struct Readers {
    idle: Arc<std::sync::Mutex<Vec<Conn>>>,
    free: Arc<Semaphore>,
}

impl MySqlSource {
    /// Nothing is connected before the first call.
    pub(crate) fn new(address: Address, options: &CloneOptions) -> Self {
        Self {
            running: Running::new(address.clone()),
            address,
            options: options.clone(),
            inspector: Inspector::default(),
            catalog: Mutex::new(None),
            snapshot: Mutex::new(Readers { idle: Arc::default(), free: Arc::new(Semaphore::new(0)) }),
        }
    }

    /// A plan from the catalog as it is now, with the tables cut into chunks.
    async fn cut(&self, catalog: &Catalog, selection: &Selection, position: Position) -> Result<Plan> {
        let mut plan = Plan::of(catalog, selection, position);
        plan.fidelity = lost_histories(&plan.tables);
        for table in plan.tables.iter_mut().filter(|table| is_window(&table.table)) {
            table.chunks.clear();
        }
        let mut conn = session::control(&self.address).await?;
        let database = &catalog.database.name;
        // A table that is read by one connection gains nothing from being cut.
        if plan.position.rung != Rung::SingleTransaction {
            for table in plan.tables.iter_mut().filter(|table| !table.chunks.is_empty()) {
                let chunking = chunk::cut(&mut conn, database, &table.table).await?;
                table.chunk_key = chunking.key;
                table.chunks = chunking.chunks;
            }
        }
        Ok(plan)
    }

    async fn read_catalog(&self) -> Result<Catalog> {
        let mut conn = session::control(&self.address).await?;
        let server = check::server(&mut conn).await?;
        Ok(Catalog { server, ..introspect::catalog(&mut conn, &self.address.database).await? })
    }

    /// The catalog that the selection was chosen from.
    async fn chosen_catalog(&self) -> Result<Catalog> {
        let catalog = self.catalog.lock().await.clone();
        catalog.ok_or_else(|| Error::new(ErrorKind::Internal, "asked before the catalog was read"))
    }

    /// Reads the catalog again and refuses what is no longer as it was chosen.
    async fn unchanged_catalog(&self, selection: &Selection) -> Result<Catalog> {
        let now = self.read_catalog().await?;
        let then = self.chosen_catalog().await?;
        for chosen in &selection.tables {
            let same = match (then.table(&chosen.name), now.table(&chosen.name)) {
                (Some(then), Some(now)) => then.columns == now.columns && then.primary_key == now.primary_key,
                _ => false,
            };
            if !same {
                let message =
                    format!("table {} was changed while the clone started: start it again", Printable(&chosen.name));
                return Err(Error::new(ErrorKind::Changed, message).retryable());
            }
        }
        Ok(now)
    }
}

#[async_trait]
impl Source for MySqlSource {
    async fn catalog(&self) -> Result<Catalog> {
        let catalog = self.read_catalog().await?;
        *self.catalog.lock().await = Some(catalog.clone());
        Ok(catalog)
    }

    async fn check(&self, selection: &Selection) -> Result<Vec<Finding>> {
        let catalog = self.chosen_catalog().await?;
        let mut conn = session::control(&self.address).await?;
        check::source(&mut conn, &self.address, &catalog, selection, &self.options).await
    }

    async fn plan(&self, selection: &Selection) -> Result<Plan> {
        let catalog = self.unchanged_catalog(selection).await?;
        let mut conn = session::control(&self.address).await?;
        let flavor = conn.server.flavor;
        let rung = check::expected_rung(&mut conn, flavor, &self.options, &self.address.database).await?;
        self.cut(&catalog, selection, Position::unknown(rung)).await
    }

    async fn snapshot(&self, selection: &Selection) -> Result<Plan> {
        let tables: Vec<String> = selection.tables.iter().map(|table| table.name.clone()).collect();
        let threads = if selection.rows { self.options.threads } else { 1 };
        let taken = snapshot::take(&self.address, &self.running, &tables, threads, self.options.no_consistency).await?;
        let mut snapshot = self.snapshot.lock().await;
        snapshot.free = Arc::new(Semaphore::new(taken.readers.len()));
        snapshot.idle = Arc::new(std::sync::Mutex::new(taken.readers));
        drop(snapshot);
        let catalog = self.unchanged_catalog(selection).await?;
        self.cut(&catalog, selection, taken.position).await
    }

    async fn read<'a>(&'a self, table: &'a TablePlan, chunk: &'a Chunk, memory: &'a Memory) -> Result<BatchStream<'a>> {
        let (idle, free) = {
            let snapshot = self.snapshot.lock().await;
            (snapshot.idle.clone(), snapshot.free.clone())
        };
        let no_reader = || Error::new(ErrorKind::Internal, "no connection of the snapshot is left");
        let permit = free.acquire_owned().await.map_err(|_| no_reader())?;
        let conn = lock(&idle).pop().ok_or_else(no_reader)?;
        let from = rows_of(&self.address.database, table, chunk);
        let reader = RowReader::open(conn, &select(table, &from)).await?;
        let state = ChunkReader { reader, from, idle, _permit: permit };
        let first = BatchId { table: table.number, chunk: chunk.number, batch: 0 };
        let batches = stream::try_unfold((state, first), move |(mut state, id)| async move {
            match state.reader.next(id, memory).await? {
                Some(batch) => Ok(Some((batch, (state, BatchId { batch: id.batch + 1, ..id })))),
                None => {
                    let mut conn = state.reader.finish().await?;
                    self.inspector.look(&mut conn, table, &state.from).await?;
                    lock(&state.idle).push(conn);
                    Ok(None)
                }
            }
        });
        Ok(batches.boxed())
    }

    fn notes(&self) -> Vec<Note> {
        self.inspector.notes()
    }

    async fn close(&self) -> Result<()> {
        let idle = self.snapshot.lock().await.idle.clone();
        for conn in lock(&idle).drain(..) {
            self.running.close(conn);
        }
        self.running.kill_all().await
    }
}

/// A chunk that is being read, and what it gives back afterwards.
struct ChunkReader {
    reader: RowReader,
    /// Which rows it reads.
    from: String,
    idle: Arc<std::sync::Mutex<Vec<Conn>>>,
    _permit: OwnedSemaphorePermit,
}

fn lock(idle: &std::sync::Mutex<Vec<Conn>>) -> std::sync::MutexGuard<'_, Vec<Conn>> {
    idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The statement that reads the rows of `from`.
fn select(table: &TablePlan, from: &str) -> String {
    let columns: Vec<String> = table.table.stored_columns().map(column::read_expression).collect();
    // A row of no stored columns still has to be counted; its line is empty.
    let columns = if columns.is_empty() { "''".to_owned() } else { columns.join(", ") };
    let mut sql = format!("SELECT {columns} {from}");
    if is_ordered(table) {
        let key: Vec<String> = table.table.primary_key.iter().map(|column| quote_name(column)).collect();
        sql.push_str(" ORDER BY ");
        sql.push_str(&key.join(", "));
    }
    sql
}

/// `FROM …`: the rows of a chunk.
fn rows_of(database: &str, table: &TablePlan, chunk: &Chunk) -> String {
    let mut sql = format!("FROM {}.{}", quote_name(database), quote_name(&table.table.name));
    if table.table.history {
        sql.push_str(" FOR SYSTEM_TIME ALL");
    }
    if is_ordered(table) {
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

/// Whether rows are read in key order, without sorting, and from the clustered index even where another one would cover
/// the columns. With a filter the server may know a better way.
fn is_ordered(table: &TablePlan) -> bool {
    table.filter.is_none() && !table.table.primary_key.is_empty() && table.table.engine == "InnoDB"
}

/// Whether the table's rows are those of other tables, or nowhere: reading them would double them at the other end.
fn is_window(table: &Table) -> bool {
    let engines = ["MRG_MyISAM", "FEDERATED", "CONNECT", "SPIDER", "BLACKHOLE"];
    engines.iter().any(|engine| engine.eq_ignore_ascii_case(&table.engine))
}

/// The tables that keep a history which means nothing to another server.
fn lost_histories(tables: &[TablePlan]) -> Vec<Fidelity> {
    let versioned = |table: &&TablePlan| {
        let ddl = split_table(&table.table.create, Dialect::default());
        !table.table.history && ddl.is_ok_and(|ddl| ddl.versioned)
    };
    let lost = |table: &TablePlan| Fidelity {
        object: table.table.object(),
        what: "history".to_owned(),
        severity: Severity::Warning,
        source: "rows as they once were, by numbers of transactions".to_owned(),
        target: "the rows as they are now".to_owned(),
    };
    tables.iter().filter(versioned).map(lost).collect()
}
