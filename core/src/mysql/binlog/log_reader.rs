//! Turns the events of a log into changes, transaction by transaction.

mod prepared;
mod rows;
mod statements;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::prepared::{OpenXa, PassedTransactions, PreparedTransactions};
pub(in crate::mysql) use self::rows::UnknownTables;
use super::byte_cursor::ByteCursor;
use super::compressed_value::decompress_event;
use super::event::{Checksum, Event, EventError, kind};
use super::gtid_event::GtidEvent;
use super::gtid_set::Gtid;
use super::log_place::LogPlace;
use super::query_event::QueryEvent;
use super::rows_event::holds_rows;
use super::statement::FollowedNames;
use super::table_map::LoggedTable;
use crate::catalog::Printable;
use crate::change::{LogEvent, LogPosition};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{MemoryBudget, MemoryLease};
use crate::mysql::row_filter::RowFilter;
use crate::plan::{CatchUp, Plan, TablePlan};

/// The interval at which the stream tells its position while nothing that is followed changes.
const IDLE_INTERVAL: Duration = Duration::from_secs(1);

/// A statement that changes a definition, while its transaction is open.
#[derive(Debug)]
struct PendingDefinition {
    sql: String,
    database: String,
    settings: Vec<String>,
    obstacle: Option<String>,
}

/// The transaction that is being read.
#[derive(Debug, Default)]
struct Transaction {
    gtid: Option<Gtid>,
    committed_at_ms: Option<u64>,
    /// Whether an event of its own ends it. Otherwise it is one statement.
    has_end: bool,
    /// Whether the stream has its begin, because a followed table changed.
    has_begun: bool,
    /// Whether it changed rows that their table has already.
    has_known_rows: bool,
    /// A changed table whose engine has no transactions.
    untransactional_table: Option<u32>,
    /// The name of an XA transaction, and its changes.
    xa: Option<OpenXa>,
    /// Whether it is before the start of the stream.
    is_passed: bool,
    /// Whether it records in the followed database that dbgraft has applied something there.
    is_applied: bool,
    /// Whether MariaDB says that its ALTER begins only, or is rolled back.
    is_unfinished: bool,
    definition: Option<PendingDefinition>,
}

impl Transaction {
    /// Whether it has changed rows of followed tables.
    fn has_rows(&self) -> bool {
        self.has_begun || self.xa.as_ref().is_some_and(|xa| !xa.changes.is_empty())
    }
}

/// Reads the events of one connection.
pub(super) struct LogReader<'a> {
    plan: &'a Plan,
    names: FollowedNames<'a>,
    memory: &'a MemoryBudget,
    unknown_tables: UnknownTables,
    pub(super) checksum: Checksum,
    /// The filters of tables.
    filters: HashMap<u32, RowFilter>,
    /// The places up to which each table has the changes, while a clone of several moments catches up.
    moments: HashMap<u32, LogPosition>,
    place: LogPlace,
    /// The place after the last whole transaction.
    passed: LogPosition,
    transaction: Option<Transaction>,
    tables: HashMap<u64, rows::MappedTable>,
    /// The last map of each followed table, without its number, and the match with the plan.
    matched: HashMap<u32, (Vec<u8>, Arc<LoggedTable>)>,
    prepared: PreparedTransactions,
    passed_transactions: PassedTransactions<'a>,
    /// What was read and not yet taken.
    pub(super) events: VecDeque<LogEvent>,
    last_event: Instant,
}

impl<'a> LogReader<'a> {
    /// # Errors
    /// `Unsupported` for a row filter that cannot be evaluated on changes.
    pub(super) fn new(
        plan: &'a Plan,
        memory: &'a MemoryBudget,
        unknown_tables: UnknownTables,
        from: &'a LogPosition,
        place: LogPlace,
    ) -> Result<Self> {
        Ok(Self {
            plan,
            names: FollowedNames::new(plan),
            memory,
            unknown_tables,
            checksum: Checksum::Crc32,
            filters: filters(plan)?,
            moments: moments(plan),
            passed: place.position(),
            place,
            transaction: None,
            tables: HashMap::new(),
            matched: HashMap::new(),
            prepared: PreparedTransactions::default(),
            passed_transactions: PassedTransactions::new(from, plan.server.flavor),
            events: VecDeque::new(),
            last_event: Instant::now(),
        })
    }

    /// Parses an event of the log.
    pub(super) fn parse<'b>(&self, bytes: &'b [u8]) -> Result<Event<'b>> {
        Event::parse(bytes, self.checksum).map_err(|error| self.unreadable(error))
    }

    /// Parses an event inside a compressed transaction, which has no checksum and no position of its own.
    pub(super) fn parse_inner<'b>(&self, bytes: &'b [u8]) -> Result<Event<'b>> {
        let event = Event::parse(bytes, Checksum::None).map_err(|error| self.unreadable(error))?;
        match event.kind {
            kind::TRANSACTION_PAYLOAD | kind::FORMAT_DESCRIPTION | kind::ROTATE => Err(self.malformed("inner")),
            _ => Ok(Event { log_position: 0, ..event }),
        }
    }

    /// The error of an event that is not as a server writes it.
    pub(super) fn unreadable(&self, error: EventError) -> Error {
        match error {
            EventError::Malformed => self.malformed("next"),
            EventError::WrongChecksum => {
                let message = "an event of the binary log does not have its checksum: it was changed on the way, or on the \
                               source's disk";
                self.locate(Error::new(ErrorKind::Connection, message).retryable())
            }
        }
    }

    /// Adds the position to an error.
    pub(super) fn locate(&self, error: Error) -> Error {
        let error = error.with("position", format!("{}:{}", Printable(&self.place.file), self.place.offset));
        match self.transaction.as_ref().and_then(|transaction| transaction.gtid.as_ref()) {
            Some(gtid) => error.with("GTID", gtid),
            None => error,
        }
    }

    pub(super) fn malformed(&self, what: &str) -> Error {
        let message = format!("the {what} event of the binary log makes no sense");
        self.locate(Error::new(ErrorKind::Connection, message))
    }

    /// The error of something in the log that cannot be followed.
    fn unsupported(&self, message: impl Into<String>) -> Error {
        self.locate(Error::new(ErrorKind::Unsupported, message))
    }

    /// Reads an event. `lease` is what was reserved for its bytes, if they are many.
    pub(super) async fn read(&mut self, event: Event<'_>, lease: MemoryLease) -> Result<()> {
        if holds_rows(event.kind) {
            self.place.advance(event.log_position);
            return self.read_rows(event, lease).await;
        }
        self.read_control(event)
    }

    /// Goes to the end of a compressed transaction, whose events follow.
    pub(super) fn pass_payload(&mut self, log_position: u32) {
        self.place.advance(log_position);
    }

    /// Reads an event without rows.
    fn read_control(&mut self, event: Event<'_>) -> Result<()> {
        if !event.is_artificial() && event.kind != kind::HEARTBEAT {
            self.place.advance(event.log_position);
        }
        match event.kind {
            kind::FORMAT_DESCRIPTION => {
                self.checksum = event.format_checksum().ok_or_else(|| self.malformed("format"))?;
                // The server ended in the middle of a transaction, which it has rolled back.
                if !event.is_artificial() && event.log_position != 0 {
                    self.abandon_transaction();
                }
                self.tables.clear();
            }
            kind::ROTATE => self.rotate(event.body)?,
            kind::HEARTBEAT => self.read_heartbeat(event)?,
            kind::HEARTBEAT_V2 => self.tell_idle(None),
            kind::GTID | kind::ANONYMOUS_GTID | kind::TAGGED_GTID | kind::MARIADB_GTID => self.begin(event)?,
            kind::QUERY => self.read_query(event, QueryEvent::parse(event.body, 0))?,
            kind::MARIADB_QUERY_COMPRESSED => {
                let query = QueryEvent::parse(event.body, 0).ok_or_else(|| self.malformed("query"))?;
                let sql = decompress_event(query.sql).ok_or_else(|| self.malformed("compressed query"))?;
                self.read_query(event, Some(QueryEvent { sql: &sql, ..query }))?;
            }
            // The file and its place in the statement come before the settings.
            kind::EXECUTE_LOAD_QUERY => self.read_query(event, QueryEvent::parse(event.body, 13))?,
            kind::TABLE_MAP => self.map_table(event.body)?,
            kind::XID => self.commit(event)?,
            kind::XA_PREPARE => self.end_xa(event)?,
            kind::INCIDENT => {
                let message = "the source lost a part of its binary log (incident event): clone anew";
                return Err(self.unsupported(message));
            }
            kind::STOP
            | kind::INTVAR
            | kind::RAND
            | kind::USER_VAR
            | kind::APPEND_BLOCK
            | kind::DELETE_FILE
            | kind::BEGIN_LOAD_QUERY
            | kind::IGNORABLE
            | kind::ROWS_QUERY
            | kind::PREVIOUS_GTIDS
            | kind::TRANSACTION_CONTEXT
            | kind::VIEW_CHANGE
            | kind::MARIADB_ANNOTATE_ROWS
            | kind::MARIADB_BINLOG_CHECKPOINT
            | kind::MARIADB_GTID_LIST
            | kind::MARIADB_START_ENCRYPTION => {}
            _ if event.is_ignorable() => {}
            other => return Err(self.unsupported(format!("the binary log has an event of the unknown type {other}"))),
        }
        Ok(())
    }

    fn rotate(&mut self, body: &[u8]) -> Result<()> {
        let mut rest = ByteCursor(body);
        let rotated = rest.little_endian(8).and_then(|offset| self.place.rotate(offset, rest.0));
        rotated.ok_or_else(|| self.malformed("rotate"))?;
        self.tables.clear();
        Ok(())
    }

    /// The server has nothing to send. It also does so while it skips transactions before the start.
    fn read_heartbeat(&mut self, event: Event<'_>) -> Result<()> {
        let mut reached = self.place.clone();
        reached.rotate(0, event.body).ok_or_else(|| self.malformed("heartbeat"))?;
        reached.advance(event.log_position);
        let is_later = !reached.is_before(self.passed_transactions.end()) && !reached.is_before(&self.place.position());
        if self.transaction.is_none() && is_later {
            self.place = reached;
            self.passed = self.position();
            self.tell_idle(None);
        }
        Ok(())
    }

    /// Tells that nothing happened up to here.
    fn tell_idle(&mut self, logged_at_ms: Option<u64>) {
        if self.transaction.is_none() && self.passed_transactions.are_over(&self.place) {
            self.send(LogEvent::Idle { end: self.passed.clone(), logged_at_ms });
        }
    }

    /// The place that the reader has reached, between two transactions.
    fn position(&self) -> LogPosition {
        let (prepared_since, prepared_changes_since) = (self.prepared.since(), self.prepared.changes_since());
        LogPosition { prepared_since, prepared_changes_since, ..self.place.position() }
    }

    fn send(&mut self, event: LogEvent) {
        self.last_event = Instant::now();
        self.events.push_back(event);
    }

    fn begin(&mut self, event: Event<'_>) -> Result<()> {
        let parsed = match event.kind {
            kind::GTID => GtidEvent::parse_mysql(event.body, false),
            kind::ANONYMOUS_GTID => GtidEvent::parse_mysql(event.body, true),
            kind::TAGGED_GTID => GtidEvent::parse_tagged(event.body),
            _ => GtidEvent::parse_mariadb(event.body, event.server_id),
        };
        let GtidEvent { gtid, committed_at_ms, is_standalone, is_xa, is_unfinished } =
            parsed.ok_or_else(|| self.malformed("GTID"))?;
        if self.transaction.is_some() {
            return Err(self.malformed("GTID"));
        }
        // In MySQL a statement follows that begins the transaction, or is all of it.
        let has_end = event.kind == kind::MARIADB_GTID && !is_standalone;
        let is_passed = self.passed_transactions.contain(gtid.as_ref(), &self.passed);
        let xa = is_xa.then(OpenXa::default);
        let transaction = Transaction { gtid, committed_at_ms, has_end, xa, is_passed, ..Transaction::default() };
        self.transaction = Some(Transaction { is_unfinished, ..transaction });
        Ok(())
    }

    fn commit(&mut self, event: Event<'_>) -> Result<()> {
        let Some(transaction) = &mut self.transaction else { return Err(self.malformed("commit")) };
        if transaction.is_applied
            && transaction.has_rows()
            && !transaction.is_passed
            && self.plan.job.way_back.is_some()
        {
            let message = "dbgraft applies changes to the source from which changes are carried back: they could go round \
                           for ever: end one of both ways by `dbgraft cutover` or `dbgraft abandon`";
            return Err(self.locate(Error::new(ErrorKind::Changed, message)));
        }
        if let Some(xa) = transaction.xa.take() {
            self.send_held(xa.changes);
        }
        self.end_transaction(event);
        Ok(())
    }

    /// Passes a transaction that is committed, and sends its end.
    fn end_transaction(&mut self, event: Event<'_>) {
        let Some(transaction) = self.transaction.take() else { return };
        let start = std::mem::take(&mut self.passed);
        self.place.add_transaction(transaction.gtid.as_ref());
        self.passed = self.position();
        self.tables.clear();
        if transaction.is_passed {
            return;
        }
        let end = self.passed.clone();
        let logged_at_ms = u64::from(event.timestamp) * 1000;
        let committed_at_ms = transaction.committed_at_ms.unwrap_or(logged_at_ms);
        if let Some(PendingDefinition { sql, database, settings, obstacle }) = transaction.definition {
            let with_rows = transaction.has_end;
            self.send(LogEvent::Definition { sql, database, settings, start, end, with_rows, obstacle });
        } else if transaction.has_begun {
            self.send(LogEvent::Commit { end, committed_at_ms });
        } else if self.last_event.elapsed() >= IDLE_INTERVAL {
            self.tell_idle(Some(committed_at_ms));
        }
    }

    /// Passes a transaction that was rolled back.
    fn roll_back(&mut self, event: Event<'_>) -> Result<()> {
        let Some(transaction) = &mut self.transaction else { return Err(self.malformed("rollback")) };
        if let Some(table) = transaction.untransactional_table {
            return Err(self.rolled_back(table));
        }
        let had_begun = std::mem::take(&mut transaction.has_begun);
        transaction.definition = None;
        if had_begun {
            self.send(LogEvent::Rollback);
        }
        self.end_transaction(event);
        Ok(())
    }

    /// Forgets a transaction that has no end in the log.
    fn abandon_transaction(&mut self) {
        if self.transaction.take().is_some_and(|transaction| transaction.has_begun) {
            self.send(LogEvent::Rollback);
        }
    }

    /// The error of a rollback that undoes only a part.
    fn rolled_back(&self, table: u32) -> Error {
        let name = self.plan.tables.iter().find(|planned| planned.number == table).map(|planned| &planned.table.name);
        self.unsupported(format!(
            "a transaction was rolled back that changed table {}, whose engine has no transactions and keeps the change: \
             clone anew",
            Printable(name.map_or("", String::as_str))
        ))
    }
}

/// The row filters, by the numbers of their tables.
fn filters(plan: &Plan) -> Result<HashMap<u32, RowFilter>> {
    let filtered = plan.tables.iter().filter_map(|planned| Some((planned, planned.filter.as_ref()?)));
    let parse = |(planned, filter): (&TablePlan, &String)| match RowFilter::parse(filter, &planned.table) {
        Ok(filter) => Ok((planned.number, filter)),
        Err(reason) => {
            let message = format!("the row filter cannot be evaluated on changes: {reason}: clone anew");
            Err(Error::new(ErrorKind::Unsupported, message).with("table", Printable(&planned.table.name)))
        }
    };
    filtered.map(parse).collect()
}

/// The moment of each table, if they are of several.
fn moments(plan: &Plan) -> HashMap<u32, LogPosition> {
    if plan.job.catch_up != CatchUp::Pending {
        return HashMap::new();
    }
    let moment = |table: &TablePlan| {
        let position = table.position.as_ref().unwrap_or(&plan.position);
        Some((table.number, position.log_position()?))
    };
    plan.tables.iter().filter_map(moment).collect()
}
