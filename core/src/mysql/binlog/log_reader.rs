//! Turns the events of a log into changes, transaction by transaction.

mod prepared;
mod rows;
mod statements;
mod transactions;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::prepared::{OpenXa, PassedTransactions, PreparedTransactions};
pub(super) use self::prepared::{PreparedNow, UnknownDecision};
pub(in crate::mysql) use self::rows::UnknownTables;
use super::byte_cursor::ByteCursor;
use super::compressed_value::decompress_event;
use super::event::{Checksum, Event, EventError, kind};
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
    /// What the server had prepared when the log was opened, until the log is read up to there. `None` if that is not known.
    prepared_now: Option<PreparedNow>,
    /// An XA COMMIT or XA ROLLBACK of what was not read, which has to be explained before the reader goes on.
    pub(super) unknown_decision: Option<UnknownDecision>,
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
        prepared_now: Option<PreparedNow>,
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
            prepared_now,
            unknown_decision: None,
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
            kind::ROTATE => self.rotate(event)?,
            kind::HEARTBEAT => self.read_heartbeat(event)?,
            kind::HEARTBEAT_V2 => {
                if self.transaction.is_none() {
                    self.pass();
                }
                self.tell_idle(None);
            }
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

    fn rotate(&mut self, event: Event<'_>) -> Result<()> {
        let before = self.place.file.clone();
        let mut rest = ByteCursor(event.body);
        let rotated = rest.little_endian(8).and_then(|offset| self.place.rotate(offset, rest.0));
        rotated.ok_or_else(|| self.malformed("rotate"))?;
        // A running server ends a file with the name of the next one.
        if event.is_artificial() && self.place.file != before {
            self.prepared.outlive_server();
        }
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
            self.pass();
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

    /// Takes the place for the last one between two transactions.
    fn pass(&mut self) {
        if let Some(now) = self.prepared_now.take_if(|now| !self.place.is_before(&now.log_end)) {
            self.prepared.forget_lost(&now);
        }
        self.passed = self.position();
    }

    fn send(&mut self, event: LogEvent) {
        self.last_event = Instant::now();
        self.events.push_back(event);
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
