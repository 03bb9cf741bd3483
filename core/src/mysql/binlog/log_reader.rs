//! Turns the events of a log into changes, transaction by transaction.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::byte_cursor::ByteCursor;
use super::compressed_value::{decompress_event, event_length};
use super::event::{Checksum, Event, EventError, kind};
use super::gtid_event::GtidEvent;
use super::gtid_set::Gtid;
use super::log_place::LogPlace;
use super::query_event::QueryEvent;
use super::rows_event::{ImageText, RowsError, RowsEvent, holds_rows};
use super::statement::{FollowedNames, StatementKind};
use super::table_map::{LoggedTable, TableMap};
use crate::batch::BatchId;
use crate::catalog::{Printable, Table};
use crate::change::{ChangeKind, LogEvent, LogPosition, RowChanges, RowImages};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{MemoryBudget, MemoryLease};
use crate::plan::Plan;

/// The interval at which the stream tells its position while nothing that is followed changes.
const IDLE_INTERVAL: Duration = Duration::from_secs(1);
/// The largest number of tables of one statement, and of prepared XA transactions.
const MAX_TABLES: usize = 1 << 14;
const MAX_PREPARED: usize = 1 << 16;
/// The bytes that are reserved for each byte of rows: for the packet and for the text of most values.
const TEXT_EXPANSION: usize = 2;

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

/// Row text that holds its reservation.
struct LeasedText {
    text: Bytes,
    _lease: Arc<MemoryLease>,
}

impl AsRef<[u8]> for LeasedText {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
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

    fn read_query(&mut self, event: Event<'_>, query: Option<QueryEvent<'_>>) -> Result<()> {
        let query = query.ok_or_else(|| self.malformed("query"))?;
        let text = query.text();
        let sql = text.clone().unwrap_or_else(|| String::from_utf8_lossy(query.sql).into_owned());
        let updated = query.session.updated_databases.as_deref();
        let statement = self.names.classify(&sql, query.session.dialect, &query.database, updated);
        // Before MySQL 5.7, transactions without GTIDs have no event of their own.
        let transaction = self.transaction.get_or_insert_default();
        match statement {
            StatementKind::Begin => transaction.has_end = true,
            StatementKind::XaStart => {
                transaction.has_end = true;
                transaction.xa = Some(xa_name(&sql));
            }
            StatementKind::Commit => self.commit(event)?,
            StatementKind::Rollback => self.roll_back(event)?,
            StatementKind::RollbackToSavepoint if transaction.has_begun => {
                let message = "a transaction that changed tables without transactions was rolled back in part: clone anew, \
                               and keep such tables out of transactions";
                return Err(self.unsupported(message));
            }
            StatementKind::XaCommit | StatementKind::XaRollback => {
                if !self.prepared.remove(&xa_name(&sql)) {
                    let message = format!(
                        "{} ends a transaction that XA PREPARE left open before the position from which the log is read: \
                         clone anew while no transaction is prepared",
                        first_words(&sql)
                    );
                    return Err(self.unsupported(message));
                }
                self.end_statement(event);
            }
            StatementKind::Definition => {
                if text.is_none() {
                    let message =
                        format!("a statement is in a character set that cannot be read: {}", first_words(&sql));
                    return Err(self.unsupported(message));
                }
                self.define(event, sql, query)?;
            }
            StatementKind::Rows => {
                let message = format!(
                    "the binary log has a statement instead of the rows that it changes: set binlog_format = ROW at the \
                     source, for all sessions, and clone anew: {}",
                    first_words(&sql)
                );
                return Err(self.unsupported(message));
            }
            StatementKind::RollbackToSavepoint | StatementKind::Other => self.end_statement(event),
        }
        Ok(())
    }

    fn define(&mut self, event: Event<'_>, sql: String, query: QueryEvent<'_>) -> Result<()> {
        let mut settings = query.session.settings;
        settings.push(format!("timestamp = {}", event.timestamp));
        let definition = PendingDefinition { sql, database: query.database, settings };
        let Some(transaction) = &mut self.transaction else { return Err(self.malformed("query")) };
        if transaction.has_begun {
            let message = format!("a transaction changes rows and a definition: {}", first_words(&definition.sql));
            return Err(self.unsupported(message));
        }
        transaction.definition = Some(definition);
        self.end_statement(event);
        Ok(())
    }

    /// Ends the transaction if it is one statement.
    fn end_statement(&mut self, event: Event<'_>) {
        if self.transaction.as_ref().is_some_and(|transaction| !transaction.has_end) {
            self.end_transaction(event);
        }
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

    fn map_table(&mut self, body: &[u8]) -> Result<()> {
        let map = TableMap::parse(body).ok_or_else(|| self.malformed("table map"))?;
        if self.tables.len() >= MAX_TABLES {
            return Err(self.malformed("table map"));
        }
        let number = match self.names.is_database(&String::from_utf8_lossy(map.database)) {
            true => self.names.table_number(&String::from_utf8_lossy(map.table)),
            false => None,
        };
        let mapped = match number {
            Some(number) => MappedTable::Followed(self.match_table(number, &map, body)?),
            None => MappedTable::Other,
        };
        self.tables.insert(map.id, mapped);
        Ok(())
    }

    fn match_table(&mut self, number: u32, map: &TableMap<'_>, body: &[u8]) -> Result<Arc<LoggedTable>> {
        /// The bytes of the number, which changes when the server opens the table again.
        const ID_LENGTH: usize = 6;
        let layout = body.get(ID_LENGTH..).unwrap_or_default();
        if let Some((known, table)) = self.matched.get(&number)
            && known == layout
        {
            return Ok(table.clone());
        }
        let table = self.table(number).ok_or_else(|| self.malformed("table map"))?;
        let matched = LoggedTable::match_columns(number, table, map).map_err(|difference| {
            let message =
                format!("table {} is not as it was planned: {difference}: clone anew", Printable(&table.name));
            self.locate(Error::new(ErrorKind::Changed, message))
        })?;
        let matched = Arc::new(matched);
        self.matched.insert(number, (layout.to_vec(), matched.clone()));
        Ok(matched)
    }

    fn table(&self, number: u32) -> Option<&'a Table> {
        self.plan.tables.iter().find(|planned| planned.number == number).map(|planned| &planned.table)
    }

    async fn read_rows(&mut self, event: Event<'_>, mut lease: MemoryLease) -> Result<()> {
        let rows = RowsEvent::parse(event.kind, event.body).ok_or_else(|| self.malformed("rows"))?;
        if rows.has_no_table() {
            return Ok(());
        }
        let (table, transaction) = match (self.tables.get(&rows.table), &mut self.transaction) {
            (Some(MappedTable::Followed(table)), Some(transaction)) => (table.clone(), transaction),
            (Some(MappedTable::Other), Some(_)) => return Ok(()),
            _ => return Err(self.malformed("rows")),
        };
        if transaction.definition.is_some() {
            return Ok(());
        }
        let length = match rows.is_compressed {
            true => event_length(rows.rows).and_then(|(length, _)| usize::try_from(length).ok()),
            false => Some(rows.rows.len()),
        };
        let length = length.ok_or_else(|| self.malformed("compressed rows"))?;
        let wanted = length.saturating_mul(TEXT_EXPANSION);
        // A large packet has reserved room for its text already.
        if lease.bytes() == 0 {
            lease = self.memory.reserve(wanted.min(self.memory.batch_bytes())).await;
        }
        lease.grow(wanted).await;
        let decompressed;
        let bytes = match rows.is_compressed {
            true => {
                decompressed = decompress_event(rows.rows).ok_or_else(|| self.malformed("compressed rows"))?;
                &decompressed
            }
            false => rows.rows,
        };
        let written = rows.write(bytes, &table);
        let (count, before, after) = written.map_err(|error| match error {
            RowsError::Malformed => self.malformed("rows"),
            RowsError::NoJsonBefore => self.unsupported(
                "the binary log has a part of a JSON value without the value before: set binlog_row_image = FULL or \
                 binlog_row_value_options = '' at the source, and clone anew",
            ),
        })?;
        self.send_rows(table.number, rows.change, count, (before, after), lease);
        Ok(())
    }

    fn send_rows(
        &mut self,
        table: u32,
        kind: ChangeKind,
        rows: u64,
        (before, after): (Option<ImageText>, Option<ImageText>),
        mut lease: MemoryLease,
    ) {
        let has_transactions = self.table(table).is_some_and(|table| has_transactions(&table.engine));
        let Some(transaction) = &mut self.transaction else { return };
        if !has_transactions {
            transaction.untransactional_table = Some(table);
        }
        if !std::mem::replace(&mut transaction.has_begun, true) {
            let gtid = transaction.gtid.as_ref().map(ToString::to_string);
            self.send(LogEvent::Begin { gtid });
        }
        let length = |image: &Option<ImageText>| image.as_ref().map_or(0, |image| image.text.len());
        lease.shrink(length(&before) + length(&after));
        let lease = Arc::new(lease);
        let finish = |image: ImageText| {
            let batch = image.text.finish(BatchId { table, chunk: 0, batch: 0 });
            let text = Bytes::from_owner(LeasedText { text: batch.data, _lease: lease.clone() });
            RowImages { columns: image.columns, text }
        };
        let (before, after) = (before.map(finish), after.map(finish));
        self.send(LogEvent::Rows(RowChanges { table, kind, rows, before, after }));
    }
}

/// Whether a rollback undoes the changes of the engine's tables.
fn has_transactions(engine: &str) -> bool {
    ["InnoDB", "ROCKSDB", "TokuDB", "ndbcluster"].iter().any(|name| engine.eq_ignore_ascii_case(name))
}

/// The name in a statement on an XA transaction: what follows its second word.
fn xa_name(sql: &str) -> String {
    sql.split_whitespace().skip(2).collect::<Vec<_>>().join(" ")
}

/// The beginning of a statement, for messages.
fn first_words(sql: &str) -> String {
    const LENGTH: usize = 80;
    let shown: String = sql.chars().take(LENGTH).collect();
    Printable(&shown).to_string()
}
