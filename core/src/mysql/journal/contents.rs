//! Reads a journal and checks it: its layout, and the checksum of each line.

use std::collections::BTreeMap;

use serde_json::Value;

use super::line::{BatchLine, DefinitionIntent, JobLine, Line, LineKind, TableLine};
use super::{DatabaseOrigin, LAYOUT, TABLE_NAME, UNKNOWN_TABLE, quoted_table, read_comment};
use crate::batch::BatchId;
use crate::checkpoint::{Checkpoint, CutOver};
use crate::error::Result;
use crate::mysql::connect::{Conn, Row};
use crate::plan::{CatchUp, CompleteTable};

/// What a journal says.
#[derive(Debug, Default)]
pub(in crate::mysql) struct JournalContents {
    /// The random name of the job.
    pub(in crate::mysql) job: String,
    pub(in crate::mysql) origin: DatabaseOrigin,
    /// Why the journal cannot be used.
    pub(in crate::mysql) damage: Option<String>,
    /// What the job is; `None` if it was killed before it recorded that.
    pub(in crate::mysql) description: Option<JobLine>,
    pub(in crate::mysql) owner: Option<String>,
    pub(in crate::mysql) items: Vec<Value>,
    pub(in crate::mysql) tables: BTreeMap<u32, TableLine>,
    pub(in crate::mysql) batches: BTreeMap<BatchId, BatchLine>,
    /// What the appliers have applied, each by its own line.
    pub(in crate::mysql) appliers: Vec<Checkpoint>,
    pub(in crate::mysql) cut_over: Option<CutOver>,
    /// The statement of the source that was about to run.
    pub(in crate::mysql) definition: Option<DefinitionIntent>,
}

/// Reads the journal of a database; `None` if there is none.
pub(in crate::mysql) async fn read(conn: &mut Conn, database: &str) -> Result<Option<JournalContents>> {
    let Some(comment) = read_comment(conn, database).await? else { return Ok(None) };
    let mut contents = JournalContents::default();
    if let Err(damage) = contents.read_comment(&comment) {
        contents.damage = Some(damage);
        return Ok(Some(contents));
    }
    let sql = select_lines(database, "ORDER BY kind, table_number, chunk, batch");
    let rows = match conn.rows(&sql).await {
        // A column is missing: somebody has altered the table.
        Err(error) if error.code() == Some(UNKNOWN_COLUMN) => {
            contents.damage = Some(format!("table {TABLE_NAME} was altered: {error}"));
            return Ok(Some(contents));
        }
        // The clone has ended meanwhile.
        Err(error) if error.code() == Some(UNKNOWN_TABLE) => return Ok(None),
        rows => rows?,
    };
    contents.damage = contents.read_lines(&rows).err();
    Ok(Some(contents))
}

const UNKNOWN_COLUMN: u16 = 1054;

impl JournalContents {
    /// Reads the comment of the table.
    fn read_comment(&mut self, comment: &str) -> Result<(), String> {
        let parse = || {
            let (_, rest) = comment.split_once("; layout ")?;
            let (layout, rest) = rest.split_once(", job ")?;
            let (job, database) = rest.split_once(", ")?;
            Some((layout.parse::<u32>().ok()?, job.to_owned(), database.to_owned()))
        };
        let (layout, job, database) = parse()
            .ok_or_else(|| format!("the comment of table {TABLE_NAME} names no layout that this dbgraft knows"))?;
        if layout != LAYOUT {
            return Err(format!(
                "table {TABLE_NAME} has layout {layout}, and this dbgraft knows layout {LAYOUT}: use the dbgraft that wrote it"
            ));
        }
        self.origin = DatabaseOrigin::ALL
            .into_iter()
            .find(|origin| origin.describe() == database)
            .ok_or_else(|| format!("the comment of table {TABLE_NAME} was edited"))?;
        if self.origin == DatabaseOrigin::Remains {
            return Err(format!(
                "table {TABLE_NAME} stands for the remains of a clone over which another one was begun and undone"
            ));
        }
        self.job = job;
        Ok(())
    }

    /// Reads all lines.
    fn read_lines(&mut self, rows: &[Row]) -> Result<(), String> {
        let mut job = Vec::new();
        for row in rows {
            let line = parse_row(row, &self.job)?;
            let edited = || format!("a line of table {TABLE_NAME} cannot be parsed: {}", line.place(""));
            match line.kind {
                LineKind::Job => job.extend_from_slice(&line.content),
                LineKind::Owner => self.owner = String::from_utf8(line.content).ok(),
                LineKind::Item => self.items.push(line.parse().ok_or_else(edited)?),
                LineKind::Table => {
                    self.tables.insert(line.batch_id().table, line.parse().ok_or_else(edited)?);
                }
                LineKind::Batch => {
                    self.batches.insert(line.batch_id(), line.parse().ok_or_else(edited)?);
                }
                LineKind::Applier => self.appliers.push(line.parse_applier().ok_or_else(edited)?),
                LineKind::Definition => self.definition = Some(line.parse().ok_or_else(edited)?),
                LineKind::CutOver => self.cut_over = Some(line.parse().ok_or_else(edited)?),
            }
        }
        if !job.is_empty() {
            let parsed = Line::parse_job(&job);
            self.description = Some(parsed.ok_or_else(|| format!("the plan in table {TABLE_NAME} is damaged"))?);
        }
        let is_begun = self.owner.is_some() || self.description.is_some();
        if is_begun && (self.owner.is_none() || self.description.is_none()) {
            return Err(format!("lines of table {TABLE_NAME} were removed"));
        }
        Ok(())
    }

    /// Whether all objects but the events are made.
    pub(in crate::mysql) fn has_all_objects(&self) -> bool {
        self.tables.contains_key(&Line::all_tables().batch_id().table)
    }

    /// Whether changes of the source were applied: the rows are not those of the batches any more.
    pub(in crate::mysql) fn is_changed(&self) -> bool {
        let has_ended = |job: &JobLine| job.plan.job.catch_up == CatchUp::Ended;
        !self.appliers.is_empty() || self.description.as_ref().is_some_and(has_ended)
    }

    /// The batches of a table.
    pub(in crate::mysql) fn batches_of(&self, table: u32) -> impl Iterator<Item = (&BatchId, &BatchLine)> {
        let id = |chunk, batch| BatchId { table, chunk, batch };
        self.batches.range(id(0, 0)..=id(u32::MAX, u32::MAX))
    }

    /// The totals of a table, with the digests of this many chunks.
    pub(in crate::mysql) fn totals(&self, table: u32, chunks: usize) -> CompleteTable {
        let mut totals = CompleteTable { table, chunks: vec![Default::default(); chunks], ..CompleteTable::default() };
        for (id, line) in self.batches_of(table) {
            totals.rows += line.rows;
            totals.bytes += line.bytes;
            if let Some(digest) = totals.chunks.get_mut(id.chunk as usize) {
                digest.add(&line.digest);
            }
        }
        totals
    }
}

/// The query for lines of a journal, as [`parse_row`] reads them. `which` follows the name of the table.
pub(super) fn select_lines(database: &str, which: &str) -> String {
    format!("SELECT kind, table_number, chunk, batch, content, checksum FROM {} {which}", quoted_table(database))
}

pub(super) fn parse_row(row: &Row, job: &str) -> Result<Line, String> {
    let number = |index| row.text(index).and_then(|text| text.parse::<u32>().ok());
    let parse = || {
        let kind = LineKind::from_name(&row.string(0))?;
        Some(Line { kind, numbers: [number(1)?, number(2)?, number(3)?], content: row.bytes(4).to_vec() })
    };
    let line = parse().ok_or_else(|| format!("a line of table {TABLE_NAME} is no line of a journal"))?;
    match row.number(5) == line.checksum(job) {
        true => Ok(line),
        false => Err(format!("a line of table {TABLE_NAME} was edited: {}", line.place(""))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_comment_of_this_layout_is_read() {
        let read = |comment: &str| {
            let mut contents = JournalContents::default();
            contents.read_comment(comment).map(|()| (contents.job, contents.origin))
        };
        let good = "dbgraft: a clone is under way; layout 4, job a1, database made";
        assert_eq!(read(good), Ok(("a1".to_owned(), DatabaseOrigin::Made)));
        assert_eq!(read(&good.replace("made", "found")), Ok(("a1".to_owned(), DatabaseOrigin::Found)));
        assert!(read(&good.replace("layout 4", "layout 1")).unwrap_err().contains("has layout 1"));
        assert!(read("dbgraft: a clone is under way").unwrap_err().contains("no layout"));
        assert!(read(&good.replace("made", "x")).unwrap_err().contains("edited"));
    }
}
