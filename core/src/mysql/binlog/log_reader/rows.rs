//! Reads the rows of a log.

use std::sync::Arc;

use super::super::compressed_value::{decompress_event, event_length};
use super::super::event::Event;
use super::super::rows_event::{ImageText, RowsError, RowsEvent};
use super::super::table_map::{LoggedTable, TableMap};
use super::LogReader;
use crate::batch::BatchId;
use crate::catalog::{Printable, Table};
use crate::change::{LogEvent, RowChanges, RowImages};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{MemoryLease, lease_bytes};
use crate::mysql::row_filter::UnknownRow;

/// The largest number of tables of one transaction.
const MAX_TABLES: usize = 1 << 14;
/// The bytes that are reserved for each byte of rows: for the packet and for the text of most values.
const TEXT_EXPANSION: usize = 2;

/// What rows of tables of the followed database do that the plan neither has nor leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mysql) enum UnknownTables {
    /// They end the stream, as a table may have become one of the clone.
    Refused,
    Passed,
}

/// A table map, by the number that rows refer to.
pub(super) enum MappedTable {
    Followed(Arc<LoggedTable>),
    /// The table in which dbgraft records what it applies.
    Journal,
    Other,
    /// A table of the followed database that the plan neither has nor leaves out.
    Unknown(String),
    /// A followed table that is not as it was planned, and why. Only in transactions that are applied.
    Changed(String),
}

impl<'a> LogReader<'a> {
    pub(super) fn map_table(&mut self, body: &[u8]) -> Result<()> {
        let map = TableMap::parse(body).ok_or_else(|| self.malformed("table map"))?;
        if self.tables.len() >= MAX_TABLES {
            return Err(self.malformed("table map"));
        }
        let name = String::from_utf8_lossy(map.table);
        let is_in_database = self.names.is_database(&String::from_utf8_lossy(map.database));
        if is_in_database && self.names.is_journal(&name) {
            self.tables.insert(map.id, MappedTable::Journal);
            return Ok(());
        }
        let number = if is_in_database { self.names.table_number(&name) } else { None };
        // A table may have had other columns in a transaction that is applied.
        let is_read =
            self.transaction.as_ref().is_none_or(|transaction| !transaction.is_passed || transaction.xa.is_some());
        let mapped = match number.filter(|_| is_read) {
            Some(number) => match self.match_table(number, &map, body)? {
                Ok(table) => MappedTable::Followed(table),
                Err(difference) if self.transaction.as_ref().is_some_and(|transaction| transaction.is_passed) => {
                    MappedTable::Changed(difference)
                }
                Err(difference) => return Err(self.locate(Error::new(ErrorKind::Changed, difference))),
            },
            None if is_in_database
                && number.is_none()
                && self.unknown_tables == UnknownTables::Refused
                && !self.names.passes_rows(&name) =>
            {
                MappedTable::Unknown(name.into_owned())
            }
            None => MappedTable::Other,
        };
        self.tables.insert(map.id, mapped);
        Ok(())
    }

    /// Matches a table with the plan; or says how it differs.
    fn match_table(
        &mut self,
        number: u32,
        map: &TableMap<'_>,
        body: &[u8],
    ) -> Result<Result<Arc<LoggedTable>, String>> {
        /// The bytes of the number, which changes when the server opens the table again.
        const ID_LENGTH: usize = 6;
        let layout = body.get(ID_LENGTH..).unwrap_or_default();
        if let Some((known, table)) = self.matched.get(&number)
            && known == layout
        {
            return Ok(Ok(table.clone()));
        }
        let table = self.table(number).ok_or_else(|| self.malformed("table map"))?;
        let matched = match LoggedTable::match_columns(number, table, map) {
            Ok(matched) => Arc::new(matched),
            Err(difference) => {
                let name = Printable(&table.name);
                return Ok(Err(format!("table {name} is not as it was planned: {difference}: clone anew")));
            }
        };
        self.matched.insert(number, (layout.to_vec(), matched.clone()));
        Ok(Ok(matched))
    }

    fn table(&self, number: u32) -> Option<&'a Table> {
        self.plan.tables.iter().find(|planned| planned.number == number).map(|planned| &planned.table)
    }

    pub(super) async fn read_rows(&mut self, event: Event<'_>, mut lease: MemoryLease) -> Result<()> {
        let rows = RowsEvent::parse(event.kind, event.body).ok_or_else(|| self.malformed("rows"))?;
        if rows.has_no_table() {
            return Ok(());
        }
        let (table, transaction) = match (self.tables.get(&rows.table), &mut self.transaction) {
            (Some(MappedTable::Followed(table)), Some(transaction)) => (table.clone(), transaction),
            (Some(MappedTable::Other), Some(_)) => return Ok(()),
            // The rows count only if the transaction is committed later.
            (Some(MappedTable::Changed(difference)), Some(transaction)) => {
                transaction.xa.get_or_insert_default().obstacle = Some(difference.clone());
                return Ok(());
            }
            (Some(MappedTable::Journal), Some(transaction)) => {
                transaction.is_applied = true;
                return Ok(());
            }
            // The table may be gone since; the rows of a statement that makes one are those of the table that it leaves.
            (Some(MappedTable::Unknown(_)), Some(transaction))
                if transaction.is_passed || transaction.definition.is_some() =>
            {
                return Ok(());
            }
            (Some(MappedTable::Unknown(name)), Some(_)) => {
                let message = format!(
                    "rows of table {} change, which is in the followed database, and which the clone neither has nor leaves \
                     out: no statement of the log that was passed has made it: clone anew",
                    Printable(name)
                );
                return Err(self.locate(Error::new(ErrorKind::Changed, message)));
            }
            _ => return Err(self.malformed("rows")),
        };
        if transaction.definition.is_some() {
            return Ok(());
        }
        // The place is within the transaction: after its start, and not after its end.
        match self.moments.get(&table.number).map(|moment| self.place.is_after(moment)) {
            None | Some(Some(true)) => {}
            Some(Some(false)) => {
                transaction.has_known_rows = true;
                return Ok(());
            }
            Some(None) => {
                let message =
                    "the tables are of several moments, and the log is not the one that these were of: clone anew";
                return Err(self.locate(Error::new(ErrorKind::Changed, message)));
            }
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
        self.send_rows(table.number, &rows, count, (before, after), lease)
    }

    fn send_rows(
        &mut self,
        table: u32,
        event: &RowsEvent<'_>,
        rows: u64,
        (before, after): (Option<ImageText>, Option<ImageText>),
        mut lease: MemoryLease,
    ) -> Result<()> {
        let has_transactions = self.table(table).is_some_and(|table| has_transactions(&table.engine));
        let image = |image: ImageText| {
            let batch = image.text.finish(BatchId { table, chunk: 0, batch: 0 });
            RowImages { columns: image.columns, text: batch.data }
        };
        let (kind, with_cascades) = (event.change, event.with_cascades);
        let (before, after) = (before.map(image), after.map(image));
        let changes = self.chosen_changes(RowChanges { table, kind, rows, before, after, with_cascades })?;
        lease.shrink(changes.iter().map(RowChanges::text_bytes).sum());
        let Some(transaction) = self.transaction.as_mut().filter(|_| !changes.is_empty()) else { return Ok(()) };
        if !has_transactions {
            transaction.untransactional_table = Some(table);
        }
        let is_held = transaction.xa.is_some();
        if !is_held && !std::mem::replace(&mut transaction.has_begun, true) {
            let gtid = transaction.gtid.as_ref().map(ToString::to_string);
            self.send(LogEvent::Begin { gtid });
        }
        let lease = Arc::new(lease);
        for changes in changes {
            let leased = |image: RowImages| RowImages { text: lease_bytes(image.text, lease.clone()), ..image };
            let (before, after) = (changes.before.map(leased), changes.after.map(leased));
            let changes = RowChanges { before, after, ..changes };
            match is_held {
                true => self.hold(changes)?,
                false => self.send(LogEvent::Rows(changes)),
            }
        }
        Ok(())
    }

    /// Leaves out the rows that the table's filter does not choose.
    fn chosen_changes(&self, changes: RowChanges) -> Result<Vec<RowChanges>> {
        let Some(filter) = self.filters.get(&changes.table) else { return Ok(vec![changes]) };
        let name = self.table(changes.table).map_or("", |table| table.name.as_str());
        filter.chosen_changes(changes).map_err(|unknown| {
            let what = match unknown {
                UnknownRow::Malformed => return self.malformed("rows"),
                UnknownRow::Column(column) => format!("column {}, on which the row filter depends", Printable(&column)),
                UnknownRow::PartOfRow => "all columns of a row that comes to be chosen by the row filter".to_owned(),
            };
            let name = Printable(name);
            self.unsupported(format!(
                "of table {name} the binary log does not have {what}: SET GLOBAL binlog_row_image = 'FULL' at the source, let \
                 all clients connect anew, and clone anew"
            ))
        })
    }
}

/// Whether a rollback undoes the changes of the engine's tables.
fn has_transactions(engine: &str) -> bool {
    ["InnoDB", "ROCKSDB", "TokuDB", "ndbcluster"].iter().any(|name| engine.eq_ignore_ascii_case(name))
}
