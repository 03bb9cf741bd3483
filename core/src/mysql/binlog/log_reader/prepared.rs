//! XA transactions: their rows are held from XA PREPARE to XA COMMIT.

use std::collections::{BTreeSet, HashMap};

use super::super::event::Event;
use super::super::gtid_set::{Gtid, GtidSet};
use super::super::log_place::LogPlace;
use super::LogReader;
use crate::catalog::{Flavor, Printable};
use crate::change::{LogEvent, LogPosition, RowChanges};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::reserved_bytes;

/// The largest number of prepared transactions.
const MAX_PREPARED: usize = 1 << 16;

/// An XA transaction that is being read.
#[derive(Debug, Default)]
pub(super) struct OpenXa {
    /// Its name, as statements of the log write it.
    pub(super) name: String,
    /// Its changes, as it may be rolled back later.
    pub(super) changes: Vec<RowChanges>,
    /// The memory that is reserved for them.
    pub(super) bytes: usize,
    /// Why rows that are applied already could not be read.
    pub(super) obstacle: Option<String>,
}

/// What a server has prepared at a moment.
#[derive(Debug)]
pub(in super::super) struct PreparedNow {
    /// The names, as the log writes them.
    pub(in super::super) names: BTreeSet<String>,
    /// A place in the log after everything that was decided before that moment.
    pub(in super::super) log_end: LogPosition,
}

/// An XA COMMIT or XA ROLLBACK of a transaction that is not known to be prepared.
#[derive(Debug)]
pub(in super::super) struct UnknownDecision {
    /// The transaction's name, as the log writes it.
    pub(in super::super) name: String,
    pub(in super::super) is_committed: bool,
    /// The place before it.
    pub(in super::super) start: LogPosition,
    /// What it means if the log does not explain it.
    pub(in super::super) error: Error,
}

/// A transaction that is prepared.
struct PreparedTransaction {
    xa: OpenXa,
    /// The place before it.
    start: LogPosition,
    untransactional_table: Option<u32>,
    /// Whether the server was started since. MariaDB logs XA PREPARE before the engine does it, so that a transaction of the
    /// log may be lost with the server.
    has_outlived_server: bool,
}

impl PreparedTransaction {
    fn has_changes(&self) -> bool {
        !self.xa.changes.is_empty() || self.xa.obstacle.is_some() || self.untransactional_table.is_some()
    }
}

fn first_start<'a>(transactions: impl Iterator<Item = &'a PreparedTransaction>) -> Option<Box<LogPosition>> {
    transactions.map(|prepared| &prepared.start).min_by_key(|start| start.order()).cloned().map(Box::new)
}

/// The transactions that are prepared, by their names.
#[derive(Default)]
pub(super) struct PreparedTransactions(HashMap<String, PreparedTransaction>);

impl PreparedTransactions {
    /// The place before the first of them.
    pub(super) fn since(&self) -> Option<Box<LogPosition>> {
        first_start(self.0.values())
    }

    /// The place before the first of them that changed followed tables.
    pub(super) fn changes_since(&self) -> Option<Box<LogPosition>> {
        first_start(self.0.values().filter(|prepared| prepared.has_changes()))
    }

    /// The server was started anew.
    pub(super) fn outlive_server(&mut self) {
        self.0.values_mut().for_each(|prepared| prepared.has_outlived_server = true);
    }

    /// Forgets those that the server lost when it ended. Everything is read that was decided before `now`.
    pub(super) fn forget_lost(&mut self, now: &PreparedNow) {
        self.0.retain(|name, prepared| !prepared.has_outlived_server || now.names.contains(name));
    }

    fn bytes(&self) -> usize {
        self.0.values().map(|prepared| prepared.xa.bytes).sum()
    }
}

/// The transactions between the place where the log is opened and the start of the stream. They were applied, and are read
/// for what XA PREPARE left open.
pub(super) struct PassedTransactions<'a> {
    end: &'a LogPosition,
    /// The GTIDs up to the end. `None` if the log is opened at the end, or without GTIDs.
    gtids: Option<GtidSet>,
    are_read: bool,
}

impl<'a> PassedTransactions<'a> {
    pub(super) fn new(end: &'a LogPosition, flavor: Flavor) -> Self {
        let are_read = end.prepared_since.is_some();
        let gtids = end.gtids.as_deref().filter(|_| are_read);
        Self { end, gtids: gtids.and_then(|gtids| GtidSet::parse(gtids, flavor)), are_read }
    }

    pub(super) fn end(&self) -> &'a LogPosition {
        self.end
    }

    /// Whether the transaction that begins at the place is one of them.
    pub(super) fn contain(&self, gtid: Option<&Gtid>, start: &LogPosition) -> bool {
        match (&self.gtids, gtid) {
            (Some(gtids), Some(gtid)) => gtids.contains(gtid),
            _ => self.are_read && start.server == self.end.server && start.order() < self.end.order(),
        }
    }

    /// Whether all of them are read at the place.
    pub(super) fn are_over(&self, place: &LogPlace) -> bool {
        match (&self.gtids, &place.gtids) {
            (Some(end), Some(reached)) => reached.contains_all(end),
            _ => !self.are_read || !place.is_before(self.end),
        }
    }
}

impl LogReader<'_> {
    /// Reads the end of an XA transaction, which commits it or prepares it.
    pub(super) fn end_xa(&mut self, event: Event<'_>) -> Result<()> {
        let is_committed = event.body.first().is_some_and(|one_phase| *one_phase != 0);
        let Some(transaction) = &mut self.transaction else { return Err(self.malformed("XA")) };
        let (xa, has_known_rows) = (transaction.xa.take().unwrap_or_default(), transaction.has_known_rows);
        if is_committed {
            self.send_held(xa.changes);
        } else {
            let untransactional_table = transaction.untransactional_table;
            // A moment between its XA PREPARE and its XA COMMIT does not have its rows.
            if has_known_rows {
                let message = "XA PREPARE left changes open before the moment of one of their tables: the tables cannot be \
                               brought to one moment: clone anew";
                return Err(self.unsupported(message));
            }
            if self.prepared.0.len() >= MAX_PREPARED {
                return Err(self.unsupported(format!("more than {MAX_PREPARED} XA transactions are prepared")));
            }
            let start = LogPosition { prepared_since: None, prepared_changes_since: None, ..self.passed.clone() };
            let name = xa.name.clone();
            let prepared = PreparedTransaction { xa, start, untransactional_table, has_outlived_server: false };
            self.prepared.0.insert(name, prepared);
        }
        self.end_transaction(event);
        Ok(())
    }

    /// Sends the rows of an XA transaction that is committed.
    pub(super) fn send_held(&mut self, changes: Vec<RowChanges>) {
        let Some(transaction) = self.transaction.as_mut().filter(|transaction| !transaction.is_passed) else { return };
        if changes.is_empty() {
            return;
        }
        transaction.has_begun = true;
        let gtid = transaction.gtid.as_ref().map(ToString::to_string);
        self.send(LogEvent::Begin { gtid });
        changes.into_iter().for_each(|changes| self.send(LogEvent::Rows(changes)));
    }

    /// Commits a prepared transaction, or rolls it back.
    pub(super) fn decide_xa(&mut self, name: &str, is_committed: bool) -> Result<()> {
        let prepared = self.prepared.0.remove(name);
        let is_passed = self.transaction.as_ref().is_some_and(|transaction| transaction.is_passed);
        match (prepared, is_committed) {
            (Some(PreparedTransaction { xa: OpenXa { obstacle: Some(obstacle), .. }, .. }), true) if !is_passed => {
                return Err(self.locate(Error::new(ErrorKind::Changed, obstacle)));
            }
            (Some(prepared), true) => self.send_held(prepared.xa.changes),
            (Some(prepared), false) => {
                if let Some(table) = prepared.untransactional_table.filter(|_| !is_passed) {
                    return Err(self.rolled_back(table));
                }
            }
            (None, _) if !is_passed => {
                let name = name.to_owned();
                let start = LogPosition { gtids: None, ..self.passed.clone() };
                let error = self.unsupported(unknown_decision(&name, is_committed));
                self.unknown_decision = Some(UnknownDecision { name, is_committed, start, error });
            }
            (None, _) => {}
        }
        Ok(())
    }

    /// Holds rows of an XA transaction until it is committed.
    pub(super) fn hold(&mut self, changes: RowChanges) -> Result<()> {
        let held = self.prepared.bytes();
        let limit = self.memory.total_bytes() / 4;
        let Some(xa) = self.transaction.as_mut().and_then(|transaction| transaction.xa.as_mut()) else { return Ok(()) };
        xa.bytes += reserved_bytes(changes.memory_bytes());
        if held + xa.bytes > limit {
            let message = format!(
                "XA transactions that are not committed need more than {limit} bytes of memory for their rows, a quarter of \
                 --memory: go on with more memory"
            );
            return Err(self.unsupported(message));
        }
        xa.changes.push(changes);
        Ok(())
    }
}

fn unknown_decision(name: &str, is_committed: bool) -> String {
    let name = Printable(name);
    match is_committed {
        true => format!(
            "XA COMMIT {name} commits a transaction that was prepared before the part of the log that is read: clone anew while \
             XA RECOVER lists no transaction"
        ),
        false => format!(
            "XA ROLLBACK {name} rolls back a transaction that the log has committed before, and the target may have its rows: \
             the source was killed before it had done what it had logged: clone anew"
        ),
    }
}
