//! Reads the rows of a log.

use std::sync::Arc;

use bytes::Bytes;

use super::super::compressed_value::{decompress_event, event_length};
use super::super::event::Event;
use super::super::rows_event::{ImageText, RowsError, RowsEvent};
use super::super::table_map::{LoggedTable, TableMap};
use super::{LogReader, MappedTable};
use crate::batch::BatchId;
use crate::catalog::{Printable, Table};
use crate::change::{ChangeKind, LogEvent, RowChanges, RowImages};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::MemoryLease;

/// The largest number of tables of one transaction.
const MAX_TABLES: usize = 1 << 14;
/// The bytes that are reserved for each byte of rows: for the packet and for the text of most values.
const TEXT_EXPANSION: usize = 2;
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
    pub(super) fn map_table(&mut self, body: &[u8]) -> Result<()> {
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

    pub(super) async fn read_rows(&mut self, event: Event<'_>, mut lease: MemoryLease) -> Result<()> {
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
