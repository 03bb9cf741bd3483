//! Continues what an earlier process of the clone has left in the target.
//!
//! First everything is looked at, in one snapshot of the target, and the first difference ends the resume. Only then this
//! process becomes the owner of the journal.

use std::collections::{BTreeMap, BTreeSet};

use super::begin::new_token;
use super::connect::Conn;
use super::create_objects::drop_statement;
use super::ddl::quote_name;
use super::journal::{self, JournalContents, Line, TableLine, TableState};
use super::lock_wait::is_lock_wait;
use super::ownership::{DEFINITION_CHANGED, MAX_LOOKS, OwnershipCheck};
use super::remains::{FateDecision, TableFate};
use super::session;
use super::target::{JournalAccess, TargetDatabase};
use super::undo_log::{CreatedItem, UndoLog, first_records};
use crate::catalog::{ObjectKind, Printable};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{CatchUp, Plan, ResumeState, TablePlan};

/// The tables of a plan by what a resume does with them.
struct Fates(BTreeMap<u32, TableFate>);

impl Fates {
    fn of(decision: &FateDecision<'_>, plan: &Plan) -> Self {
        Self(plan.tables.iter().map(|table| (table.number, decision.fate(table))).collect())
    }

    fn is(&self, table: &TablePlan, fate: TableFate) -> bool {
        self.0.get(&table.number) == Some(&fate)
    }

    fn kept(&self) -> BTreeSet<u32> {
        self.0.iter().filter(|(_, fate)| **fate != TableFate::MakeAnew).map(|(number, _)| *number).collect()
    }
}

/// What an earlier process has left, and what happens to it.
struct Remains {
    fates: Fates,
    /// When the job began.
    started: String,
    /// The owner of the journal.
    owner: String,
    /// What the journal says of each table.
    tables: BTreeMap<u32, TableLine>,
}

impl TargetDatabase {
    /// Continues the clone of this plan. Returns what is there.
    ///
    /// # Errors
    /// `Preflight` if the target is not as the journal says; nothing has been changed then.
    pub(super) async fn resume(&self, source_plan: &Plan, plan: &Plan) -> Result<ResumeState> {
        let database = &self.address.database;
        let mut conn = self.ddl_session().await?;
        self.detect_load_data(&mut conn).await?;
        // The plan names the source's engines, by which the batches were written.
        let remains = self.check_remains(source_plan).await?;
        let fates = &remains.fates;
        self.wait_for_statements(&mut conn, source_plan, fates).await?;
        let access = JournalAccess { job: source_plan.job.id.clone(), owner: new_token() };
        let lines = self.resumed_lines(&mut conn, source_plan, &remains).await?;
        conn.exec("START TRANSACTION").await?;
        journal::take_ownership(&mut conn, database, &access.job, &remains.owner, &access.owner).await?;
        journal::replace(&mut conn, database, &access.job, &lines).await?;
        if source_plan.job.catch_up != CatchUp::Pending {
            self.end_changes(&mut conn, source_plan).await?;
        }
        conn.exec("COMMIT").await?;
        // Now no earlier process can write. What it has written until now counts.
        let contents = self.read_journal(&mut conn, &source_plan.job.id).await?;
        *self.saved_items.lock().await = u32::try_from(contents.items.len()).unwrap_or(u32::MAX);
        self.undo_log.continue_from(first_records(contents.origin == journal::DatabaseOrigin::Made));
        self.undo_log.continue_from(contents.items.clone());
        self.set_journal(access);
        for table in plan.tables.iter().filter(|table| fates.is(table, TableFate::MakeAnew)) {
            self.remove_begun_table(&mut conn, plan, table).await?;
        }
        self.create_tables(&mut conn, plan, &fates.kept()).await?;
        self.state().ddl_sessions.push(conn);
        Ok(self.take_over(&contents, source_plan, fates))
    }

    /// Forgets what was applied of the source's changes, in the current transaction.
    ///
    /// # Errors
    /// `Preflight` if it is more than the plan says.
    async fn end_changes(&self, conn: &mut Conn, plan: &Plan) -> Result<()> {
        let applied = journal::take_appliers(conn, &self.address.database, &plan.job.id).await?;
        let earliest = plan.earliest_position().map(|position| position.order());
        let is_later = |applied: Checkpoint| !applied.ahead.is_empty() || Some(applied.applied.order()) > earliest;
        if applied.is_some_and(is_later) {
            conn.exec("ROLLBACK").await?;
            return Err(refusal("changes of the source were applied to it meanwhile".to_owned()));
        }
        Ok(())
    }

    /// The lines that the journal gets with its new owner.
    async fn resumed_lines(&self, conn: &mut Conn, plan: &Plan, remains: &Remains) -> Result<Vec<Line>> {
        let mut lines = self.job_lines(conn, plan, Some(remains.started.clone())).await?;
        let again = plan.tables.iter().filter(|table| remains.fates.is(table, TableFate::MakeAnew));
        lines.extend(again.map(|table| {
            // Until it is made anew, its definition proves that it is the clone's.
            let parts = remains.tables.get(&table.number).map(|line| line.parts.clone()).unwrap_or_default();
            Line::table(table.number, &TableLine { state: TableState::Anew, parts, notes: Vec::new() })
        }));
        Ok(lines)
    }

    /// Reads the journal of the job.
    async fn read_journal(&self, conn: &mut Conn, job: &str) -> Result<JournalContents> {
        let contents = journal::read(conn, &self.address.database).await?;
        let contents = contents.ok_or_else(|| refusal("its journal is gone: somebody removed it".to_owned()))?;
        match &contents.damage {
            Some(damage) => Err(refusal(damage.clone())),
            None if contents.job != job => Err(refusal("another clone has begun there meanwhile".to_owned())),
            None => Ok(contents),
        }
    }

    /// Compares what is there with the journal, in one snapshot.
    async fn check_remains(&self, plan: &Plan) -> Result<Remains> {
        for _ in 0..MAX_LOOKS {
            match self.check_remains_once(plan).await {
                Err(error) if error.code() == Some(DEFINITION_CHANGED) => {}
                checked => return checked,
            }
        }
        Err(refusal("its tables change all the time: another session alters them".to_owned()))
    }

    async fn check_remains_once(&self, plan: &Plan) -> Result<Remains> {
        let mut conn = self.connections.register(session::open_control(&self.address).await?).await?;
        conn.exec("START TRANSACTION WITH CONSISTENT SNAPSHOT").await?;
        let contents = self.read_journal(&mut conn, &plan.job.id).await?;
        let (Some(job), Some(owner)) = (&contents.description, &contents.owner) else {
            return Err(refusal("it was killed before it had a plan".to_owned()));
        };
        let decision = FateDecision::read(&mut conn, &contents, plan.job.reads_again).await?;
        let fates = Fates::of(&decision, plan);
        let database = &self.address.database;
        let check = OwnershipCheck { database, contents: &contents, restarted: decision.restarted, removes: false };
        let items = UndoLog::default();
        items.adopt(contents.items.clone());
        for table in &plan.tables {
            if fates.is(table, TableFate::MakeAnew) {
                self.check_disposable(&mut conn, &check, &items, table).await?;
            } else if check.is_there(&mut conn, &table.table.name).await? {
                check_table(&mut conn, &check, table).await?;
            } else {
                return Err(refusal(format!("table {} is gone", Printable(&table.table.name))));
            }
        }
        conn.exec("COMMIT").await?;
        self.connections.close(conn);
        let (started, owner) = (job.started.clone(), owner.clone());
        Ok(Remains { fates, started, owner, tables: contents.tables })
    }

    /// Waits until no statement of the killed process uses the tables that are changed: its server notices only at their
    /// end that the process is gone.
    async fn wait_for_statements(&self, conn: &mut Conn, plan: &Plan, fates: &Fates) -> Result<()> {
        for table in plan.tables.iter().filter(|table| !fates.is(table, TableFate::Keep)) {
            match conn.exec(&format!("LOCK TABLES {} WRITE", quote_name(&table.table.name))).await {
                Err(error) if error.code().is_none() || is_lock_wait(&error) => {
                    return Err(error.with("nothing has been changed; in use is table", Printable(&table.table.name)));
                }
                // The table is missing, or the account may not lock it: a later statement waits.
                Err(_) => {}
                Ok(_) => conn.exec("UNLOCK TABLES").await.map(drop)?,
            }
        }
        Ok(())
    }

    /// Checks that a table that is made anew is the clone's.
    async fn check_disposable(
        &self,
        conn: &mut Conn,
        check: &OwnershipCheck<'_>,
        items: &UndoLog,
        table: &TablePlan,
    ) -> Result<()> {
        let object = table.table.object();
        if !items.contains(&CreatedItem::Object(object.clone())) {
            return Ok(());
        }
        let triggers = self.triggers_on(conn, &object).await?;
        if let Some(trigger) = triggers.iter().find(|trigger| !items.has_trigger(trigger)) {
            return Err(refusal(format!("somebody else made trigger {} on {object}", Printable(trigger))));
        }
        check_table(conn, check, table).await
    }

    /// Removes a table that is made anew, or empties it if it was there before the clone; and the clone's triggers on it.
    async fn remove_begun_table(&self, conn: &mut Conn, plan: &Plan, table: &TablePlan) -> Result<()> {
        let object = table.table.object();
        let own_triggers = plan.definitions.iter().map(|definition| &definition.object).filter(|trigger| {
            trigger.kind == ObjectKind::Trigger && trigger.table.as_deref() == Some(object.name.as_str())
        });
        for trigger in own_triggers.filter(|trigger| self.undo_log.contains(&CreatedItem::Object((*trigger).clone()))) {
            conn.exec(&drop_statement(trigger)).await?;
            self.undo_log.withdraw(CreatedItem::Object(trigger.clone()));
        }
        if self.undo_log.contains(&CreatedItem::Object(object.clone())) {
            conn.exec(&drop_statement(&object)).await?;
        } else if self.undo_log.contains(&CreatedItem::Rows(object.name.clone())) {
            conn.exec(&format!("TRUNCATE TABLE {}", quote_name(&object.name))).await?;
        }
        Ok(())
    }

    /// Takes over what the journal says of the tables that stay.
    fn take_over(&self, contents: &JournalContents, plan: &Plan, fates: &Fates) -> ResumeState {
        let mut resumed = ResumeState { is_changed: contents.is_changed(), ..ResumeState::default() };
        let mut state = self.state();
        for table in plan.tables.iter().filter(|table| !fates.is(table, TableFate::MakeAnew)) {
            let is_complete = fates.is(table, TableFate::Keep);
            for (id, line) in contents.batches_of(table.number) {
                state.durable_batches.add(*id);
                state.add_lost_signs(*id, &line.lost_zero_signs);
                if !is_complete {
                    resumed.loaded.insert(*id);
                }
            }
            if is_complete {
                let line = contents.tables.get(&table.number);
                state.notes.extend(line.into_iter().flat_map(|line| line.notes.iter().cloned()));
                state.indexed_tables.insert(table.table.name.clone());
                resumed.complete.push(contents.totals(table.number, table.chunks.len()));
            }
        }
        resumed
    }
}

/// Refuses a table that is not as the clone left it.
async fn check_table(conn: &mut Conn, check: &OwnershipCheck<'_>, table: &TablePlan) -> Result<()> {
    match check.find_difference(conn, table).await? {
        Some(difference) => Err(refusal(format!("table {} {difference}", Printable(&table.table.name)))),
        None => Ok(()),
    }
}

/// The error of a clone that cannot be resumed.
fn refusal(why: String) -> Error {
    let message = format!(
        "the clone cannot be resumed, and nothing has been changed: {why}: undo it by `dbgraft abandon`, or start again with \
         --if-exists drop"
    );
    Error::new(ErrorKind::Preflight, message)
}
