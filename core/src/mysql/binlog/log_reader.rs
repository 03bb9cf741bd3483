//! Turns the events of a log into changes, transaction by transaction.

mod rows;
mod statements;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

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
use crate::plan::Plan;

/// The interval at which the stream tells its position while nothing that is followed changes.
const IDLE_INTERVAL: Duration = Duration::from_secs(1);
/// The largest number of prepared XA transactions.
const MAX_PREPARED: usize = 1 << 16;

/// A statement that changes a definition, while its transaction is open.
#[derive(Debug)]
struct PendingDefinition {
    sql: String,
    database: String,
    settings: Vec<String>,
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
    /// A changed table whose engine has no transactions.
    untransactional_table: Option<u32>,
    /// The name in XA START, if it began so.
    xa: Option<String>,
    definition: Option<PendingDefinition>,
}

/// A table map, by the number that rows refer to.
enum MappedTable {
    Followed(Arc<LoggedTable>),
    Other,
}

/// Reads the events of one connection.
pub(super) struct LogReader<'a> {
    plan: &'a Plan,
    names: FollowedNames<'a>,
    memory: &'a MemoryBudget,
    /// The start of the stream.
    from: &'a LogPosition,
    checksum: Checksum,
    place: LogPlace,
    /// The place after the last whole transaction.
    passed: LogPosition,
    transaction: Option<Transaction>,
    tables: HashMap<u64, MappedTable>,
    /// The last map of each followed table, without its number, and the match with the plan.
    matched: HashMap<u32, (Vec<u8>, Arc<LoggedTable>)>,
    /// The XA transactions that were prepared since the start and change no followed table.
    prepared: HashSet<String>,
    /// What was read and not yet taken.
    pub(super) events: VecDeque<LogEvent>,
    last_event: Instant,
}

impl<'a> LogReader<'a> {
    pub(super) fn new(plan: &'a Plan, memory: &'a MemoryBudget, from: &'a LogPosition, place: LogPlace) -> Self {
        Self {
            plan,
            names: FollowedNames::new(plan),
            memory,
            from,
            checksum: Checksum::Crc32,
            passed: place.position(),
            place,
            transaction: None,
            tables: HashMap::new(),
            matched: HashMap::new(),
            prepared: HashSet::new(),
            events: VecDeque::new(),
            last_event: Instant::now(),
        }
    }

    /// Parses an event of the log.
    pub(super) fn parse<'b>(&self, bytes: &'b [u8]) -> Result<Event<'b>> {
        self.check(Event::parse(bytes, self.checksum))
    }

    /// Parses an event inside a compressed transaction, which has no checksum and no position of its own.
    pub(super) fn parse_inner<'b>(&self, bytes: &'b [u8]) -> Result<Event<'b>> {
        let event = self.check(Event::parse(bytes, Checksum::None))?;
        match event.kind {
            kind::TRANSACTION_PAYLOAD | kind::FORMAT_DESCRIPTION | kind::ROTATE => Err(self.malformed("inner")),
            _ => Ok(Event { log_position: 0, ..event }),
        }
    }

    fn check<T>(&self, parsed: Result<T, EventError>) -> Result<T> {
        parsed.map_err(|error| match error {
            EventError::Malformed => self.malformed("next"),
            EventError::WrongChecksum => {
                let message = "an event of the binary log does not have its checksum: it was changed on the way, or on the \
                               source's disk";
                self.locate(Error::new(ErrorKind::Connection, message).retryable())
            }
        })
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
        let offset = rest.little_endian(8);
        let rotated = offset.and_then(|offset| self.place.rotate(offset, rest.0));
        rotated.ok_or_else(|| self.malformed("rotate"))?;
        self.tables.clear();
        Ok(())
    }

    /// The server has nothing to send. It also does so while it skips transactions before the start.
    fn read_heartbeat(&mut self, event: Event<'_>) -> Result<()> {
        let mut reached = self.place.clone();
        reached.rotate(0, event.body).ok_or_else(|| self.malformed("heartbeat"))?;
        reached.advance(event.log_position);
        if self.transaction.is_none() && !reached.is_before(self.from) && !reached.is_before(&self.place.position()) {
            self.place = reached;
            self.passed = self.place.position();
            self.tell_idle(None);
        }
        Ok(())
    }

    /// Tells that nothing happened up to here.
    fn tell_idle(&mut self, logged_at_ms: Option<u64>) {
        if self.transaction.is_none() {
            self.send(LogEvent::Idle { end: self.passed.clone(), logged_at_ms });
        }
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
        let GtidEvent { gtid, committed_at_ms, is_standalone } = parsed.ok_or_else(|| self.malformed("GTID"))?;
        if self.transaction.is_some() {
            return Err(self.malformed("GTID"));
        }
        // In MySQL a statement follows that begins the transaction, or is all of it.
        let has_end = event.kind == kind::MARIADB_GTID && !is_standalone;
        self.transaction = Some(Transaction { gtid, committed_at_ms, has_end, ..Transaction::default() });
        Ok(())
    }

    fn commit(&mut self, event: Event<'_>) -> Result<()> {
        if self.transaction.is_none() {
            return Err(self.malformed("commit"));
        }
        self.end_transaction(event);
        Ok(())
    }

    /// Passes a transaction that is committed, and sends its end.
    fn end_transaction(&mut self, event: Event<'_>) {
        let Some(transaction) = self.transaction.take() else { return };
        let start = std::mem::take(&mut self.passed);
        self.place.add_transaction(transaction.gtid.as_ref());
        self.passed = self.place.position();
        self.tables.clear();
        let end = self.passed.clone();
        let logged_at_ms = u64::from(event.timestamp) * 1000;
        let committed_at_ms = transaction.committed_at_ms.unwrap_or(logged_at_ms);
        if let Some(PendingDefinition { sql, database, settings }) = transaction.definition {
            let with_rows = transaction.has_end;
            self.send(LogEvent::Definition { sql, database, settings, start, end, with_rows });
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
            let name =
                self.plan.tables.iter().find(|planned| planned.number == table).map(|planned| &planned.table.name);
            let message = format!(
                "a transaction was rolled back that changed table {}, whose engine has no transactions and keeps the \
                 change: clone anew",
                Printable(name.map_or("", String::as_str))
            );
            return Err(self.unsupported(message));
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

    /// Reads the end of an XA transaction, which commits it or prepares it.
    fn end_xa(&mut self, event: Event<'_>) -> Result<()> {
        let is_committed = event.body.first().is_some_and(|one_phase| *one_phase != 0);
        let Some(transaction) = &self.transaction else { return Err(self.malformed("XA")) };
        if !is_committed {
            if transaction.has_begun {
                let message = "XA PREPARE left changes of followed tables open, which may be rolled back later, and which \
                               cannot be followed: keep XA transactions away from these tables, and clone anew";
                return Err(self.unsupported(message));
            }
            if self.prepared.len() >= MAX_PREPARED {
                return Err(self.unsupported(format!("more than {MAX_PREPARED} XA transactions are prepared")));
            }
            let name = transaction.xa.clone().unwrap_or_default();
            self.prepared.insert(name);
        }
        self.end_transaction(event);
        Ok(())
    }
}
