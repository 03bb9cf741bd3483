//! A server of the MySQL family as a source.

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _};
use tokio::sync::Mutex;

use super::binlog::UnknownTables;
use super::connect::{Conn, ServerAddress};
use super::connection_registry::ConnectionRegistry;
use super::ddl::{Dialect, quote_name, quote_text, split_table};
use super::journal::{self, JobLine};
use super::json_types::{JsonTypeCheck, JsonTypeFindings};
use super::log_extent::LogMonitor;
use super::reader_pool::{ReaderLease, ReaderPool};
use super::server_load::LoadMonitor;
use super::{
    binlog, check, chunk, chunk_query, four_byte_text, introspect, lock_wait, log_position, prepared_transactions,
    session, snapshot,
};
use crate::batch::BatchId;
use crate::catalog::{Catalog, Definition, ObjectKind, ObjectRef, Printable, Table};
use crate::change::{LogExtent, LogPosition};
use crate::clone_record::CutOverRecord;
use crate::error::{Error, ErrorKind, Result};
use crate::fidelity::{FidelityIssue, Severity};
use crate::memory::MemoryBudget;
use crate::options::CloneOptions;
use crate::plan::{Chunk, OmittedObject, Plan, Position, SelectedTable, Selection, SnapshotMethod, TablePlan};
use crate::report::{Finding, Note, preflight_error};
use crate::source::{BatchStream, ChangeStream, Source};

/// Reads one database of a server.
pub(crate) struct MySqlSource {
    address: ServerAddress,
    options: CloneOptions,
    catalog: Mutex<Option<Catalog>>,
    /// A place in the log before the snapshot, if the source is followed.
    log_start: Mutex<Option<LogPosition>>,
    /// The connections of the snapshot.
    snapshot_readers: Mutex<ReaderPool>,
    connections: ConnectionRegistry,
    load: LoadMonitor,
    log: LogMonitor,
    json_types: JsonTypeFindings,
}

impl MySqlSource {
    /// Creates the source. The first call connects.
    pub(crate) fn new(address: ServerAddress, options: &CloneOptions) -> Self {
        let address = ServerAddress { lock_wait: options.lock_wait, ..address };
        Self {
            connections: ConnectionRegistry::new(address.clone()),
            address,
            options: options.clone(),
            load: LoadMonitor::default(),
            log: LogMonitor::default(),
            json_types: JsonTypeFindings::default(),
            catalog: Mutex::new(None),
            log_start: Mutex::new(None),
            snapshot_readers: Mutex::new(ReaderPool::from_connections(Vec::new())),
        }
    }

    /// Builds the plan from the current catalog, and divides the tables into chunks.
    async fn build_plan(&self, catalog: &Catalog, selection: &Selection, position: Position) -> Result<Plan> {
        let mut plan = Plan::from_selection(catalog, selection, position);
        let then = self.selected_catalog().await?;
        let is_new = |table: &&Table| then.table(&table.name).is_none();
        if !selection.left_out.iter().any(|omitted| omitted.object.kind == ObjectKind::Table) {
            for table in catalog.tables.iter().filter(is_new) {
                let reason = "was created while the clone started";
                // Its rows would be changes of a table that is not followed.
                if self.options.follow {
                    let message = format!("table {} {reason}: start it again", Printable(&table.name));
                    return Err(Error::new(ErrorKind::Changed, message));
                }
                let object = ObjectRef::new(ObjectKind::Table, table.name.as_str());
                plan.left_out.push(OmittedObject { object, reason: reason.to_owned() });
            }
        }
        plan.fidelity = lost_history_issues(&plan.tables);
        for table in plan.tables.iter_mut().filter(|table| stores_no_rows(&table.table)) {
            table.chunks.clear();
        }
        let mut conn = session::open_control(&self.address).await?;
        let database = &catalog.database.name;
        conn.exec(&format!("USE {}", quote_name(database))).await?;
        for table in &plan.tables {
            plan.fidelity.extend(four_byte_text::find_unproven(&mut conn, &table.table).await?);
        }
        plan.invalid = find_invalid_views(&mut conn, database, &plan.definitions).await?;
        // A single connection reads chunks no faster than the whole table.
        if plan.position.rung != SnapshotMethod::SingleTransaction {
            // A chunk smaller than a batch costs more than it gains.
            let smallest = MemoryBudget::new(self.options.memory, self.options.threads).batch_bytes() as u64;
            for table in plan.tables.iter_mut().filter(|table| !table.chunks.is_empty()) {
                let chunking = chunk::chunk_table(&mut conn, database, &table.table, smallest).await?;
                table.chunk_key = chunking.key;
                table.chunks = chunking.chunks;
            }
        }
        Ok(plan)
    }

    async fn read_catalog(&self) -> Result<Catalog> {
        let mut conn = session::open_control(&self.address).await?;
        let server = check::read_server(&mut conn).await?;
        Ok(Catalog { server, ..introspect::read_catalog(&mut conn, &self.address.database).await? })
    }

    /// Returns the catalog that the selection was made from.
    async fn selected_catalog(&self) -> Result<Catalog> {
        let catalog = self.catalog.lock().await.clone();
        catalog.ok_or_else(|| Error::new(ErrorKind::Internal, "the catalog has not been read yet"))
    }

    /// Adds to the error of a failed wait for a lock which session holds it.
    async fn explain_lock_wait<T>(&self, result: Result<T>) -> Result<T> {
        match result {
            Err(error) => Err(lock_wait::explain_error(&self.address, &self.connections, error).await),
            done => done,
        }
    }

    async fn take_snapshot(&self, selection: &Selection) -> Result<Plan> {
        let tables: Vec<String> = selection.tables.iter().map(|table| table.name.clone()).collect();
        let threads = if selection.rows { self.options.threads } else { 1 };
        let catalog = self.selected_catalog().await?;
        let partial = tables.len() < catalog.tables.len();
        let (address, options) = (&self.address, &self.options);
        let unknown = Position::unknown(SnapshotMethod::None);
        let followed = (options.follow || options.resume).then(|| Plan::from_selection(&catalog, selection, unknown));
        let followed = followed.as_ref();
        let request = snapshot::SnapshotRequest { address, tables: &tables, partial, threads, options, followed };
        let taken = snapshot::take_snapshot(&request, &self.connections).await;
        if taken.is_err() {
            // The caller may try again, and must not wait for a lock of its own connections.
            let _ = self.connections.kill_all().await;
        }
        let taken = taken?;
        *self.snapshot_readers.lock().await = ReaderPool::from_connections(taken.readers);
        let catalog = self.read_unchanged_catalog(selection).await?;
        let prepared_since = self.log_start.lock().await.clone();
        self.build_plan(&catalog, selection, Position { prepared_since, ..taken.position }).await
    }

    /// Converts the error of a statement that reads rows.
    fn read_error(&self, table: &TablePlan, error: Error) -> Error {
        if is_definition_change(&error) {
            definition_changed_error(table, error)
        } else if lock_wait::is_lock_wait(&error) {
            // The snapshot has lost the connection. Another try would wait as long, and lose the next one.
            lock_wait::explain_without_holders(&self.address, error)
        } else {
            error
        }
    }

    /// Waits for a connection of the snapshot.
    async fn acquire_reader(&self) -> Result<(Conn, ReaderLease)> {
        let readers = self.snapshot_readers.lock().await.clone();
        loop {
            let (conn, lease) = readers.acquire().await?;
            let mut conn = match conn {
                Some(conn) => conn,
                None if readers.holds_snapshot() => {
                    return Err(Error::new(ErrorKind::Internal, "no connection of the snapshot is left"));
                }
                None => self.connections.register(session::open_reader(&self.address).await?).await?,
            };
            // After one connection is lost, idle ones may be lost too.
            if !readers.has_lost() || conn.exec("DO 1").await.is_ok() {
                return Ok((conn, lease));
            }
        }
    }

    /// Reads the catalog again, and fails if a selected table has changed.
    async fn read_unchanged_catalog(&self, selection: &Selection) -> Result<Catalog> {
        let now = self.read_catalog().await?;
        let then = self.selected_catalog().await?;
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
        // What is new would be neither in the clone nor in the part of the log that is followed.
        let new = now.tables.iter().find(|table| self.options.follow && then.table(&table.name).is_none());
        if let Some(new) = new {
            let name = Printable(&new.name);
            let message = format!("table {name} was created while the clone started: start it again");
            return Err(Error::new(ErrorKind::Changed, message).retryable());
        }
        Ok(now)
    }
}

#[async_trait]
impl Source for MySqlSource {
    async fn catalog(&self) -> Result<Catalog> {
        let catalog = self.explain_lock_wait(self.read_catalog().await).await?;
        *self.catalog.lock().await = Some(catalog.clone());
        Ok(catalog)
    }

    async fn check(&self, selection: &Selection) -> Result<Vec<Finding>> {
        let catalog = self.selected_catalog().await?;
        let mut conn = session::open_control(&self.address).await?;
        let checked = check::source(&mut conn, &self.address, &catalog, selection, &self.options).await;
        let mut findings = self.explain_lock_wait(checked).await?;
        if self.options.follow {
            // Before the check: what is prepared from here on is read, and the check looks for what was prepared earlier.
            // Without a position nothing can be followed, which another check finds.
            let start = &mut *self.log_start.lock().await;
            *start = self.log_end().await.ok();
            findings.extend(check::binary_log(&mut conn, &catalog, selection, true).await?);
            findings.extend(prepared_transactions::search(&mut conn, &self.address, &self.connections, start).await?);
        }
        Ok(findings)
    }

    async fn plan(&self, selection: &Selection) -> Result<Plan> {
        let catalog = self.read_unchanged_catalog(selection).await?;
        let mut conn = session::open_control(&self.address).await?;
        let partial = selection.tables.len() < catalog.tables.len();
        let database = &self.address.database;
        let rung = check::expected_snapshot_method(&mut conn, &self.options, database, partial).await?;
        self.explain_lock_wait(self.build_plan(&catalog, selection, Position::unknown(rung)).await).await
    }

    async fn snapshot(&self, selection: &Selection) -> Result<Plan> {
        self.explain_lock_wait(self.take_snapshot(selection).await).await
    }

    async fn open_readers(&self, selection: &Selection) -> Result<Plan> {
        *self.snapshot_readers.lock().await = ReaderPool::with_limit(self.options.threads);
        let catalog = self.explain_lock_wait(self.read_unchanged_catalog(selection).await).await?;
        let mut conn = session::open_control(&self.address).await?;
        let position = log_position::read_position(&mut conn, SnapshotMethod::None).await?;
        self.explain_lock_wait(self.build_plan(&catalog, selection, position).await).await
    }

    async fn read<'a>(
        &'a self,
        table: &'a TablePlan,
        chunk: &'a Chunk,
        memory: &'a MemoryBudget,
    ) -> Result<BatchStream<'a>> {
        let (conn, lease) = self.acquire_reader().await?;
        let from = chunk_query::from_clause(&self.address.database, table, chunk);
        let first = BatchId { table: table.number, chunk: chunk.number, batch: 0 };
        let sql = chunk_query::select_statement(table, &from);
        let json_check = JsonTypeCheck { findings: &self.json_types, table, chunk: chunk.number, from };
        let named = move |error| self.read_error(table, error);
        let rows = lease.stream_batches(conn, &sql, first, memory, Some(json_check)).await.map_err(named)?;
        Ok(rows.map_err(named).boxed())
    }

    async fn count(&self, table: &TablePlan, chunk: &Chunk, _memory: &MemoryBudget) -> Result<u64> {
        let (conn, lease) = self.acquire_reader().await?;
        let counted =
            lease.query_number(conn, &chunk_query::count_statement(&self.address.database, table, chunk)).await;
        counted.map_err(|error| self.read_error(table, error))
    }

    fn reads_any_range(&self) -> bool {
        true
    }

    async fn changes<'a>(
        &'a self,
        plan: &'a Plan,
        from: &'a LogPosition,
        memory: &'a MemoryBudget,
    ) -> Result<ChangeStream<'a>> {
        binlog::open_changes((&self.address, &self.connections), plan, from, memory, UnknownTables::Refused).await
    }

    fn filters_changes(&self) -> bool {
        true
    }

    async fn log_end(&self) -> Result<LogPosition> {
        let mut conn = session::open_control(&self.address).await?;
        let position = log_position::read_position(&mut conn, SnapshotMethod::None).await?;
        position.log_position().ok_or_else(|| {
            let message = "the source has no binary log, or the account may not see its position: set log_bin, and GRANT \
                           REPLICATION CLIENT (MariaDB: BINLOG MONITOR) ON *.* TO the account";
            Error::new(ErrorKind::Unsupported, message)
        })
    }

    async fn last_cut_over(&self) -> Result<Option<CutOverRecord>> {
        let catalog = self.read_catalog().await?;
        if catalog.table(journal::TABLE_NAME).is_some() {
            let message = "dbgraft clones into the source, or lets it follow another server: end that by `dbgraft cutover` or \
                           `dbgraft abandon`";
            return Err(Error::new(ErrorKind::Preflight, message));
        }
        let mut conn = session::open_control(&self.address).await?;
        let found = binlog::find_cut_over(&self.address, &self.connections, &catalog.database.name).await?;
        let Some((JobLine { plan, .. }, cut_over)) = found else { return Ok(None) };
        let tables = plan.tables.iter().map(|planned| planned.table.clone()).collect();
        let names = plan.tables.iter().map(|planned| planned.table.name.clone());
        let selected = names.map(|name| SelectedTable { name, filter: None }).collect();
        let selection = Selection { tables: selected, ..Selection::default() };
        let catalog = Catalog { tables, ..catalog };
        let findings = check::binary_log(&mut conn, &catalog, &selection, true).await?;
        match preflight_error(&prepared_transactions::refuse(&mut conn, findings).await?) {
            Some(error) => Err(error),
            None => Ok(Some(CutOverRecord { cut_over, plan })),
        }
    }

    async fn log_extent(&self, from: &LogPosition) -> Result<Option<LogExtent>> {
        self.log.measure(&self.address, from).await
    }

    async fn check_catch_up(&self, selection: &Selection) -> Result<Vec<Finding>> {
        let catalog = self.selected_catalog().await?;
        let mut conn = session::open_control(&self.address).await?;
        let findings = check::binary_log(&mut conn, &catalog, selection, false).await?;
        prepared_transactions::refuse(&mut conn, findings).await
    }

    async fn load(&self) -> Result<Option<u64>> {
        self.load.measure(&self.address, &self.connections).await.map(Some)
    }

    async fn notes(&self) -> Result<Vec<Note>> {
        Ok(self.json_types.notes())
    }

    async fn close(&self) -> Result<()> {
        for conn in self.snapshot_readers.lock().await.take_idle() {
            self.connections.close(conn);
        }
        self.connections.kill_all().await
    }
}

/// Whether the error means that the table, its columns or its keys differ from the plan.
fn is_definition_change(error: &Error) -> bool {
    // A missing table, column or key; a definition that is newer than the snapshot; a discarded tablespace.
    matches!(error.code(), Some(1054 | 1072 | 1091 | 1146 | 1176 | 1412 | 1814))
}

fn definition_changed_error(table: &TablePlan, error: Error) -> Error {
    let name = Printable(&table.table.name);
    let message = format!(
        "table {name} was altered, renamed or dropped at the source in mid-clone, and its rows can no longer be read as \
         they were: keep such statements away, and start the clone again"
    );
    Error::new(ErrorKind::Changed, message).caused_by(error)
}

/// Whether the table shows rows of other tables, or keeps none. Copying such rows would duplicate them at the target.
fn stores_no_rows(table: &Table) -> bool {
    let engines = ["MRG_MyISAM", "FEDERATED", "CONNECT", "SPIDER", "BLACKHOLE"];
    engines.iter().any(|engine| engine.eq_ignore_ascii_case(&table.engine))
}

/// Finds the views that the source cannot run, because a table, column, function or definer is missing.
async fn find_invalid_views(conn: &mut Conn, database: &str, definitions: &[Definition]) -> Result<Vec<ObjectRef>> {
    let mut invalid = Vec::new();
    for definition in definitions.iter().filter(|definition| definition.object.kind == ObjectKind::View) {
        let select = format!("SELECT 1 FROM {}.{}", quote_name(database), quote_name(&definition.object.name));
        // PREPARE checks the statement without running it.
        match conn.exec(&format!("PREPARE dbgraft_view FROM {}", quote_text(&select))).await {
            Err(error) if error.code().is_none() => return Err(error),
            // Without permission to read the view, its validity is unknown.
            Err(error) if error.kind() != ErrorKind::Permission => invalid.push(definition.object.clone()),
            _ => {}
        }
    }
    Ok(invalid)
}

/// Reports the tables whose history refers to transaction IDs, which mean nothing to another server.
fn lost_history_issues(tables: &[TablePlan]) -> Vec<FidelityIssue> {
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
