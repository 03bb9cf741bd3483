//! What a clone that has begun and not ended has left in the target, as its journal says it.

use super::connect::Conn;
use super::durable_batches::ServerUptime;
use super::journal::{self, DatabaseOrigin, JournalContents, TableState};
use super::target::TargetDatabase;
use super::undo_log::{created_records, first_records, owner_record};
use super::write::is_transactional;
use super::{generated, preflight_remains, removed_objects, session};
use crate::checkpoint::FollowRecord;
use crate::clone_record::{CloneRecord, CloneState, TableProgress};
use crate::error::Result;
use crate::plan::{CatchUp, TablePlan};

/// By how many seconds two readings of a server's start may differ.
const START_TOLERANCE: u64 = 5;

/// What a resume does with a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TableFate {
    /// It has all rows and indexes.
    Keep,
    /// The batches without a line are loaded into it.
    Continue,
    /// It is made anew, or for the first time.
    MakeAnew,
}

/// Decides what a resume does with each table of a plan.
pub(super) struct FateDecision<'a> {
    pub(super) contents: &'a JournalContents,
    /// Whether the target's server was restarted since the last process began.
    pub(super) restarted: bool,
    /// Whether tables that are not complete are read again.
    pub(super) reads_again: bool,
}

impl<'a> FateDecision<'a> {
    pub(super) async fn read(conn: &mut Conn, contents: &'a JournalContents, reads_again: bool) -> Result<Self> {
        let now = ServerUptime::read_start_time(conn).await?;
        let then = contents.description.as_ref().map_or(now, |job| job.server_started);
        Ok(Self { contents, restarted: now.abs_diff(then) > START_TOLERANCE, reads_again })
    }

    pub(super) fn fate(&self, table: &TablePlan) -> TableFate {
        let state = self.contents.tables.get(&table.number).map(|line| line.state);
        let is_transactional = is_transactional(&table.table);
        match state {
            None | Some(TableState::Anew) => TableFate::MakeAnew,
            // A crash may have taken rows that the engine had not written.
            Some(TableState::Complete) if !is_transactional && self.restarted => TableFate::MakeAnew,
            // An earlier process completed it, after this one had planned to read it again.
            Some(TableState::Complete) if self.reads_again && table.position.is_none() => TableFate::MakeAnew,
            Some(TableState::Complete) => TableFate::Keep,
            Some(TableState::Begun) if !is_transactional || self.reads_again => TableFate::MakeAnew,
            // The values that its generated columns must have were known to the earlier process only.
            Some(TableState::Begun) if generated::generated_columns_only(table).is_some() => TableFate::MakeAnew,
            Some(TableState::Begun) => TableFate::Continue,
        }
    }
}

impl TargetDatabase {
    /// Asks an agent whose coordinator is lost for its lock, or withdraws the request.
    pub(super) async fn request_takeover(&self, is_withdrawn: bool) -> Result<()> {
        if is_withdrawn {
            self.state().takeover = None;
            return Ok(());
        }
        if self.state().takeover.is_some() {
            return Ok(());
        }
        let mut conn = session::open_control(&self.address).await?;
        journal::request_takeover(&mut conn, &self.address.database).await?;
        self.state().takeover = Some(conn);
        Ok(())
    }

    /// Whether another process asks for the lock of this one.
    pub(super) async fn is_takeover_requested(&self) -> Result<bool> {
        let mut conn = session::open_control(&self.address).await?;
        journal::is_takeover_requested(&mut conn, &self.address.database).await
    }

    /// Returns the clone that has begun and not ended. Changes nothing.
    pub(super) async fn clone_record(&self) -> Result<Option<CloneRecord>> {
        let mut conn = session::open_control(&self.address).await?;
        let holder = journal::lock_holder(&mut conn, &self.address.database).await?;
        let mut preflights = created_records(preflight_remains::find(&mut conn, &self.address.database).await?);
        let Some(mut contents) = journal::read(&mut conn, &self.address.database).await? else {
            // With a holder: it is about to create its journal, or has just removed it.
            let state = if holder.is_some() { CloneState::Running } else { CloneState::None };
            let record = CloneRecord { state, holder, undo_records: preflights, ..CloneRecord::default() };
            return Ok(Some(record).filter(|record| record.holder.is_some() || !record.undo_records.is_empty()));
        };
        let tables = match &contents.description {
            Some(job) => {
                let decision = FateDecision::read(&mut conn, &contents, false).await?;
                job.plan.tables.iter().map(|table| progress(&decision, table)).collect()
            }
            None => Vec::new(),
        };
        let mut undo_records = first_records(contents.origin == DatabaseOrigin::Made);
        let removed = contents.description.iter().flat_map(|job| removed_objects::undo_items(&job.plan));
        undo_records.extend(created_records(removed));
        undo_records.append(&mut contents.items);
        undo_records.append(&mut preflights);
        undo_records.extend(contents.owner.as_deref().map(owner_record));
        let job = contents.description.take();
        let lines = std::mem::take(&mut contents.appliers);
        let checkpoint = journal::join_appliers(lines);
        let is_cutting_over = contents.cut_over.is_some_and(|cut_over| cut_over.has_begun());
        let following = checkpoint.map(|checkpoint| FollowRecord { checkpoint, is_cutting_over });
        let catches_up = job.as_ref().is_some_and(|job| job.plan.job.catch_up == CatchUp::Pending);
        let follows = following.is_some() && !catches_up;
        let state = match (&holder, &contents.damage) {
            (Some(_), None) if follows => CloneState::Following,
            (None, None) if follows => CloneState::NotFollowing,
            (Some(_), _) => CloneState::Running,
            (None, Some(_)) => CloneState::Damaged,
            (None, None) => CloneState::Dead,
        };
        Ok(Some(CloneRecord {
            state,
            job: contents.job,
            holder,
            damage: contents.damage,
            tables,
            undo_records,
            following,
            ..match job {
                None => CloneRecord::default(),
                Some(job) => CloneRecord {
                    dbgraft: job.dbgraft,
                    started: job.started,
                    plan: Some(job.plan),
                    options: job.options,
                    ..CloneRecord::default()
                },
            }
        }))
    }
}

fn progress(decision: &FateDecision<'_>, table: &TablePlan) -> TableProgress {
    let fate = decision.fate(table);
    let totals = match fate {
        TableFate::MakeAnew => Default::default(),
        _ => decision.contents.totals(table.number, 0),
    };
    TableProgress {
        table: table.number,
        name: table.table.name.clone(),
        rows: totals.rows,
        bytes: totals.bytes,
        complete: fate == TableFate::Keep,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::journal::{TableLine, logged_table};
    use crate::plan::{Position, SnapshotMethod};

    #[test]
    fn a_table_that_is_planned_to_be_read_again_is_not_kept() {
        let line = TableLine { state: TableState::Complete, parts: Default::default(), notes: Vec::new() };
        let contents = JournalContents { tables: [(0, line)].into(), ..JournalContents::default() };
        let fate = |position: Option<Position>, reads_again| {
            let (chunk_key, chunks) = (Vec::new(), Vec::new());
            let plan = TablePlan { number: 0, table: logged_table(), filter: None, chunk_key, chunks, position };
            FateDecision { contents: &contents, restarted: false, reads_again }.fate(&plan)
        };
        let earlier = Some(Position::unknown(SnapshotMethod::External));
        assert_eq!(fate(None, false), TableFate::Keep);
        assert_eq!(fate(earlier, true), TableFate::Keep);
        assert_eq!(fate(None, true), TableFate::MakeAnew, "an earlier process completed it in the meantime");
    }
}
