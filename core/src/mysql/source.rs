//! A server of the MySQL family as a source.

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _};
use tokio::sync::Mutex;

use super::connect::{Conn, ServerAddress};
use super::ddl::{Dialect, quote_name, quote_text, split_table};
use super::inspect::{Inspection, Inspector};
use super::running::Running;
use super::scan::{self, Loan, Readers};
use super::{check, chunk, introspect, refusal, replaced, session, snapshot};
use crate::batch::BatchId;
use crate::catalog::{Catalog, Definition, ObjectKind, ObjectRef, Printable, Table};
use crate::error::{Error, ErrorKind, Result};
use crate::fidelity::{FidelityIssue, Severity};
use crate::memory::MemoryBudget;
use crate::options::CloneOptions;
use crate::plan::{Chunk, Plan, Position, Selection, SnapshotMethod, TablePlan};
use crate::report::{Finding, Note};
use crate::source::{BatchStream, Source};

/// Reads one database of a server.
pub(crate) struct MySqlSource {
    address: ServerAddress,
    options: CloneOptions,
    catalog: Mutex<Option<Catalog>>,
    /// The connections of the snapshot.
    snapshot: Mutex<Readers>,
    running: Running,
    inspector: Inspector,
}

impl MySqlSource {
    /// Nothing is connected before the first call.
    pub(crate) fn new(address: ServerAddress, options: &CloneOptions) -> Self {
        let address = ServerAddress { lock_wait: options.lock_wait, ..address };
        Self {
            running: Running::new(address.clone()),
            address,
            options: options.clone(),
            inspector: Inspector::default(),
            catalog: Mutex::new(None),
            snapshot: Mutex::new(Readers::of(Vec::new())),
        }
    }

    /// A plan from the catalog as it is now, with the tables cut into chunks.
    async fn cut(&self, catalog: &Catalog, selection: &Selection, position: Position) -> Result<Plan> {
        let mut plan = Plan::from_selection(catalog, selection, position);
        plan.fidelity = lost_histories(&plan.tables);
        for table in plan.tables.iter_mut().filter(|table| is_window(&table.table)) {
            table.chunks.clear();
        }
        let mut conn = session::control(&self.address).await?;
        let database = &catalog.database.name;
        conn.exec(&format!("USE {}", quote_name(database))).await?;
        for table in &plan.tables {
            plan.fidelity.extend(replaced::unproved(&mut conn, &table.table).await?);
        }
        plan.invalid = invalid_views(&mut conn, database, &plan.definitions).await?;
        // A table that is read by one connection gains nothing from being cut.
        if plan.position.rung != SnapshotMethod::SingleTransaction {
            // A chunk that does not fill a batch is not worth its statement.
            let smallest = MemoryBudget::new(self.options.memory, self.options.threads).batch_bytes() as u64;
            for table in plan.tables.iter_mut().filter(|table| !table.chunks.is_empty()) {
                let chunking = chunk::cut(&mut conn, database, &table.table, smallest).await?;
                table.chunk_key = chunking.key;
                table.chunks = chunking.chunks;
            }
        }
        Ok(plan)
    }

    async fn read_catalog(&self) -> Result<Catalog> {
        let mut conn = session::control(&self.address).await?;
        let server = check::read_server(&mut conn).await?;
        Ok(Catalog { server, ..introspect::catalog(&mut conn, &self.address.database).await? })
    }

    /// The catalog that the selection was chosen from.
    async fn chosen_catalog(&self) -> Result<Catalog> {
        let catalog = self.catalog.lock().await.clone();
        catalog.ok_or_else(|| Error::new(ErrorKind::Internal, "asked before the catalog was read"))
    }

    /// Says which session holds the lock that was waited for in vain.
    async fn explained<T>(&self, result: Result<T>) -> Result<T> {
        match result {
            Err(error) => Err(refusal::explained(&self.address, &self.running, error).await),
            done => done,
        }
    }

    async fn take_snapshot(&self, selection: &Selection) -> Result<Plan> {
        let tables: Vec<String> = selection.tables.iter().map(|table| table.name.clone()).collect();
        let threads = if selection.rows { self.options.threads } else { 1 };
        let partial = tables.len() < self.chosen_catalog().await?.tables.len();
        let (address, options) = (&self.address, &self.options);
        let wanted = snapshot::Wanted { address, tables: &tables, partial, threads, options };
        let taken = snapshot::take(&wanted, &self.running).await;
        if taken.is_err() {
            // It may be called again, and must not wait for a lock of its own.
            let _ = self.running.kill_all().await;
        }
        let taken = taken?;
        *self.snapshot.lock().await = Readers::of(taken.readers);
        let catalog = self.unchanged_catalog(selection).await?;
        self.cut(&catalog, selection, taken.position).await
    }

    /// The error of a statement that reads rows.
    fn reading(&self, table: &TablePlan, error: Error) -> Error {
        if is_change(&error) {
            changed(table, error)
        } else if refusal::is_lock_wait(&error) {
            // The connection is lost to the snapshot. Another try would wait as long, and lose the next.
            refusal::unexplained(&self.address, error)
        } else {
            error
        }
    }

    /// A connection of the snapshot.
    async fn borrow(&self) -> Result<(Conn, Loan)> {
        let readers = self.snapshot.lock().await.clone();
        loop {
            let (conn, loan) = readers.borrow().await?;
            let mut conn =
                conn.ok_or_else(|| Error::new(ErrorKind::Internal, "no connection of the snapshot is left"))?;
            // Where one is lost, others that do nothing may have gone with it.
            if !readers.has_lost() || conn.exec("DO 1").await.is_ok() {
                return Ok((conn, loan));
            }
        }
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
        let catalog = self.explained(self.read_catalog().await).await?;
        *self.catalog.lock().await = Some(catalog.clone());
        Ok(catalog)
    }

    async fn check(&self, selection: &Selection) -> Result<Vec<Finding>> {
        let catalog = self.chosen_catalog().await?;
        let mut conn = session::control(&self.address).await?;
        let checked = check::source(&mut conn, &self.address, &catalog, selection, &self.options).await;
        self.explained(checked).await
    }

    async fn plan(&self, selection: &Selection) -> Result<Plan> {
        let catalog = self.unchanged_catalog(selection).await?;
        let mut conn = session::control(&self.address).await?;
        let flavor = conn.server.flavor;
        let partial = selection.tables.len() < catalog.tables.len();
        let database = &self.address.database;
        let rung = check::expected_snapshot_method(&mut conn, flavor, &self.options, database, partial).await?;
        self.explained(self.cut(&catalog, selection, Position::unknown(rung)).await).await
    }

    async fn snapshot(&self, selection: &Selection) -> Result<Plan> {
        self.explained(self.take_snapshot(selection).await).await
    }

    async fn read<'a>(
        &'a self,
        table: &'a TablePlan,
        chunk: &'a Chunk,
        memory: &'a MemoryBudget,
    ) -> Result<BatchStream<'a>> {
        let (conn, loan) = self.borrow().await?;
        let from = scan::rows_of(&self.address.database, table, chunk);
        let first = BatchId { table: table.number, chunk: chunk.number, batch: 0 };
        let sql = scan::select(table, &from);
        let inspection = Inspection { inspector: &self.inspector, table, chunk: chunk.number, from };
        let named = move |error| self.reading(table, error);
        let rows = loan.read(conn, &sql, first, memory, Some(inspection)).await.map_err(named)?;
        Ok(rows.map_err(named).boxed())
    }

    async fn count(&self, table: &TablePlan, chunk: &Chunk, _memory: &MemoryBudget) -> Result<u64> {
        let (conn, loan) = self.borrow().await?;
        let counted = loan.number(conn, &scan::counting(&self.address.database, table, chunk)).await;
        counted.map_err(|error| self.reading(table, error))
    }

    fn reads_any_range(&self) -> bool {
        true
    }

    async fn notes(&self) -> Result<Vec<Note>> {
        Ok(self.inspector.notes())
    }

    async fn close(&self) -> Result<()> {
        for conn in self.snapshot.lock().await.take_idle() {
            self.running.close(conn);
        }
        self.running.kill_all().await
    }
}

/// Whether the server says that the table, its columns or its keys are no longer those that were planned.
fn is_change(error: &Error) -> bool {
    // A table, a column or a key that is not there; a definition that is newer than the snapshot; a tablespace discarded.
    matches!(error.code(), Some(1054 | 1072 | 1091 | 1146 | 1176 | 1412 | 1814))
}

fn changed(table: &TablePlan, error: Error) -> Error {
    let name = Printable(&table.table.name);
    let message = format!(
        "table {name} was altered, renamed or dropped at the source in mid-clone, and its rows can no longer be read as \
         they were: keep such statements away, and start the clone again"
    );
    Error::new(ErrorKind::Changed, message).caused_by(error)
}

/// Whether the table's rows are those of other tables, or nowhere: reading them would double them at the other end.
fn is_window(table: &Table) -> bool {
    let engines = ["MRG_MyISAM", "FEDERATED", "CONNECT", "SPIDER", "BLACKHOLE"];
    engines.iter().any(|engine| engine.eq_ignore_ascii_case(&table.engine))
}

/// The views that this server itself cannot run: their tables, columns or functions are gone, or their definer is.
async fn invalid_views(conn: &mut Conn, database: &str, definitions: &[Definition]) -> Result<Vec<ObjectRef>> {
    let mut invalid = Vec::new();
    for definition in definitions.iter().filter(|definition| definition.object.kind == ObjectKind::View) {
        let select = format!("SELECT 1 FROM {}.{}", quote_name(database), quote_name(&definition.object.name));
        // It is understood, and not run.
        match conn.exec(&format!("PREPARE dbgraft_view FROM {}", quote_text(&select))).await {
            Err(error) if error.code().is_none() => return Err(error),
            // Who may not read it cannot tell.
            Err(error) if error.kind() != ErrorKind::Permission => invalid.push(definition.object.clone()),
            _ => {}
        }
    }
    Ok(invalid)
}

/// The tables that keep a history which means nothing to another server.
fn lost_histories(tables: &[TablePlan]) -> Vec<FidelityIssue> {
    let versioned = |table: &&TablePlan| {
        let ddl = split_table(&table.table.create, Dialect::default());
        !table.table.history && ddl.is_ok_and(|ddl| ddl.versioned)
    };
    let lost = |table: &TablePlan| FidelityIssue {
        object: table.table.object(),
        what: "history".to_owned(),
        severity: Severity::Warning,
        source: "rows as they once were, by numbers of transactions".to_owned(),
        target: "the rows as they are now".to_owned(),
    };
    tables.iter().filter(versioned).map(lost).collect()
}
