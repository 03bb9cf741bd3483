//! What a clone that has begun and not ended has left in the target, as its journal says it.

use super::connect::Conn;
use super::durable_batches::ServerUptime;
use super::journal::{self, DatabaseOrigin, JournalContents, TableState};
use super::target::TargetDatabase;
use super::undo_log::{created_records, first_records};
use super::write::is_transactional;
use super::{generated, preflight_remains, session};
use crate::checkpoint::{Checkpoint, CutOverState, FollowRecord};
use crate::clone_record::{CloneRecord, CloneState, TableProgress};
use crate::error::Result;
use crate::plan::TablePlan;

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
            Some(TableState::Complete) => TableFate::Keep,
            Some(TableState::Begun) if !is_transactional || self.reads_again => TableFate::MakeAnew,
            // The values that its generated columns must have were known to the earlier process only.
            Some(TableState::Begun) if generated::generated_columns_only(table).is_some() => TableFate::MakeAnew,
            Some(TableState::Begun) => TableFate::Continue,
        }
    }
}

impl TargetDatabase {
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
        undo_records.append(&mut contents.items);
        undo_records.append(&mut preflights);
        let job = contents.description.take();
        let checkpoint = Checkpoint::join(std::mem::take(&mut contents.appliers));
        let is_cutting_over = contents.cut_over.is_some_and(|cut_over| cut_over.state != CutOverState::Requested);
        let following = checkpoint.map(|checkpoint| FollowRecord { checkpoint, is_cutting_over });
        let state = match (&holder, &contents.damage) {
            (Some(_), None) if following.is_some() => CloneState::Following,
            (None, None) if following.is_some() => CloneState::NotFollowing,
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
