//! The loop of a leg: readers take chunks, writers take batches, and a bounded channel between them makes readers wait
//! for writers.

mod reader;
mod table_states;

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use self::table_states::TableStates;
use super::leg::{Leg, LegOutcome, TableTotals};
use super::progress_meter::ProgressMeter;
use super::rate_limiter::RateLimiter;
use super::task_set::run_until_done;
use super::verify::{Comparer, UnitSender};
use crate::batch::{Batch, ExportEvent};
use crate::catalog::Printable;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, Phase};
use crate::plan::{CompleteTable, Plan, ResumeState, TablePlan};
use crate::report::Note;

/// A task for the writers.
enum WriteTask {
    Batch(Batch),
    /// All rows of the table with this number are written.
    CompleteTable(u32),
}

/// A running leg: the state that its tasks share.
struct Pipeline {
    leg: Leg,
    resume: ResumeState,
    /// The unread chunks as indexes `(table, chunk)` into the plan; the next chunk is the last element.
    chunks: Mutex<Vec<(usize, usize)>>,
    tables: TableStates,
    meter: ProgressMeter,
    rate_limiter: RateLimiter,
    comparer: Option<Arc<Comparer>>,
    notes: std::sync::Mutex<Vec<Note>>,
}

/// A leg whose tables are complete.
pub(crate) struct CopiedLeg(Arc<Pipeline>);

impl Leg {
    /// Runs the leg to its end. Dropping the future stops it. After that, abort the sink and close the source.
    pub(crate) async fn run(self) -> Result<LegOutcome> {
        let plan = self.plan.clone();
        self.copy().await?.finish(&plan).await
    }

    /// Copies the rows, and completes and compares all tables.
    pub(crate) async fn copy(self) -> Result<CopiedLeg> {
        self.emit_phase(Phase::Tables);
        let resume = self.sink.begin(&self.plan).await?;
        self.emit_phase(Phase::Rows);
        let pipeline = Arc::new(Pipeline::new(self, resume));
        pipeline.copy_rows().await?;
        Ok(CopiedLeg(pipeline))
    }
}

impl CopiedLeg {
    /// Creates what comes after the rows. `plan` names the moment that the rows are of now.
    pub(crate) async fn finish(self, plan: &Plan) -> Result<LegOutcome> {
        let Self(pipeline) = self;
        let leg = &pipeline.leg;
        leg.gate.wait_until_open().await;
        leg.emit_progress(Phase::Objects, &pipeline.meter);
        leg.emit_phase(Phase::Objects);
        let mut notes = leg.sink.finish(plan).await?;
        leg.emit_phase(Phase::Done);
        notes.extend(leg.source.notes().await?);
        notes.append(&mut pipeline.notes.lock().unwrap_or_else(PoisonError::into_inner));
        let verified = pipeline.comparer.as_ref().map(|comparer| comparer.take_verification());
        let taken_over = pipeline.resume.complete.iter().map(|table| table.table).collect();
        let continued = pipeline.resume.loaded.iter().map(|batch| batch.table).collect();
        Ok(LegOutcome { tables: pipeline.tables.totals(), notes, verified, taken_over, continued })
    }
}

impl Pipeline {
    fn new(leg: Leg, resume: ResumeState) -> Self {
        // The largest tables come first. The small rest keeps all readers busy until the end.
        let mut order: Vec<usize> = (0..leg.plan.tables.len()).collect();
        order.sort_by_key(|&table| leg.plan.tables.get(table).map(|plan| plan.table.data_bytes));
        let complete: BTreeSet<u32> = resume.complete.iter().map(|table| table.table).collect();
        order.retain(|table| u32::try_from(*table).is_ok_and(|table| !complete.contains(&table)));
        let chunks_of = |table: &usize| leg.plan.tables.get(*table).map_or(0, |plan| plan.chunks.len());
        let chunks = order.iter().flat_map(|table| (0..chunks_of(table)).rev().map(|chunk| (*table, chunk))).collect();
        Self {
            resume,
            chunks: Mutex::new(chunks),
            tables: TableStates::new(&leg.plan),
            meter: ProgressMeter::new(&leg.plan),
            rate_limiter: RateLimiter::new(leg.max_rate),
            comparer: Comparer::for_leg(&leg),
            notes: std::sync::Mutex::default(),
            leg,
        }
    }

    /// Runs readers and writers until all rows are durable and all tables are complete.
    async fn copy_rows(self: &Arc<Self>) -> Result<()> {
        let (sender, receiver) = mpsc::channel(self.leg.threads);
        let receiver = Arc::new(Mutex::new(receiver));
        let mut tasks = JoinSet::new();
        let (units, unit_receiver) = mpsc::unbounded_channel();
        if let Some(comparer) = &self.comparer {
            comparer.spawn_tasks(&mut tasks, unit_receiver);
        }
        for _ in 0..self.leg.sink.writers(self.leg.threads) {
            tasks.spawn(Self::write_batches(self.clone(), receiver.clone(), units.clone()));
        }
        for _ in 0..self.leg.threads {
            tasks.spawn(Self::read_chunks(self.clone(), sender.clone()));
        }
        tasks.spawn(Self::complete_empty_tables(self.clone(), sender));
        // The comparer's tasks end when the last writer drops its sender.
        self.take_over_complete_tables(&units);
        drop(units);
        let mut phase = Phase::Rows;
        run_until_done(tasks, || {
            let current = self.phase();
            if current != phase {
                phase = current;
                self.leg.emit_phase(phase);
            }
            self.leg.emit_progress(phase, &self.meter);
        })
        .await
    }

    /// Counts the tables that the sink holds completely, and passes them to the comparer.
    fn take_over_complete_tables(&self, units: &UnitSender) {
        for CompleteTable { table, rows, bytes, chunks } in &self.resume.complete {
            self.meter.add(*table, *rows, *bytes);
            self.meter.mark_complete(*table);
            self.tables.update(*table, |state| {
                (state.totals.rows, state.totals.bytes, state.chunks_unread) = (*rows, *bytes, 0);
            });
            self.tables.finish(*table);
            match &self.comparer {
                Some(comparer) if self.resume.is_changed => {
                    comparer
                        .skip_table(*table, "changes of the source were applied to it after it was read".to_owned());
                }
                Some(comparer) => comparer.add_read_table(*table, chunks, units),
                None => {}
            }
        }
    }

    /// Completes the tables without chunks, which no reader handles.
    async fn complete_empty_tables(self: Arc<Self>, sender: mpsc::Sender<WriteTask>) -> Result<()> {
        let is_complete = |number: u32| self.resume.complete.iter().any(|table| table.table == number);
        let empty = self.leg.plan.tables.iter().filter(|table| table.chunks.is_empty());
        for table in empty.filter(|table| !is_complete(table.number)) {
            send_task(&sender, WriteTask::CompleteTable(table.number)).await?;
        }
        Ok(())
    }

    async fn write_batches(
        self: Arc<Self>,
        receiver: Arc<Mutex<mpsc::Receiver<WriteTask>>>,
        units: UnitSender,
    ) -> Result<()> {
        loop {
            let task = receiver.lock().await.recv().await;
            match task {
                None => return Ok(()),
                Some(WriteTask::CompleteTable(table)) => self.complete_table(table, &units).await?,
                Some(WriteTask::Batch(batch)) => {
                    let table = batch.id.table;
                    self.write_batch(batch).await?;
                    if self.tables.update(table, |state| state.batches_unwritten -= 1) {
                        self.complete_table(table, &units).await?;
                    }
                }
            }
        }
    }

    async fn write_batch(&self, batch: Batch) -> Result<()> {
        let id = batch.id;
        let Some(table) = self.leg.plan.tables.get(id.table as usize) else {
            return Err(Error::new(ErrorKind::Internal, "a batch of a table that is not in the plan").with("batch", id));
        };
        let warn = self.retry_warning(table, format!("batch {id}"));
        let receipt = self.leg.retry.run(|| self.leg.sink.write(table, batch.clone()), warn).await;
        let receipt = receipt.map_err(|error| error.with("table", Printable(&table.table.name)).with("batch", id))?;
        if receipt.rows != batch.rows || receipt.digest != batch.digest {
            let message = format!("{} rows were read and {} written", batch.rows, receipt.rows);
            return Err(Error::new(ErrorKind::Data, message).with("batch", id));
        }
        self.meter.add(id.table, receipt.rows, receipt.bytes);
        self.tables.update(id.table, |state| {
            state.totals.rows += receipt.rows;
            state.totals.bytes += receipt.bytes;
        });
        self.emit_staged(ExportEvent::Batch(receipt));
        Ok(())
    }

    /// Returns a function that reports a retry as an event and as a note of the report.
    fn retry_warning<'a>(&'a self, table: &'a TablePlan, what: String) -> impl Fn(&Error) + 'a {
        move |error| {
            let object = table.table.object();
            self.leg.events.emit(Event::Warning { message: format!("{what} of {object} is tried again: {error}") });
            let note = Note::about(&object, format!("{what} was tried again: {error}"));
            self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(note);
        }
    }

    /// Builds the indexes of a table whose rows are all written, and passes the table to the comparer.
    async fn complete_table(&self, number: u32, units: &UnitSender) -> Result<()> {
        let Some(table) = self.leg.plan.tables.get(number as usize) else { return Ok(()) };
        let object = table.table.object();
        self.meter.mark_complete(number);
        self.tables.start(number);
        let warn = self.retry_warning(table, "building its indexes".to_owned());
        let completed = self.leg.retry.run(|| self.leg.sink.complete(table), warn).await;
        completed.map_err(|error| error.with("table", Printable(&object.name)))?;
        let (TableTotals { rows, bytes, seconds }, digests) = self.tables.finish(number);
        self.leg.events.emit(Event::Finished { leg: self.leg.name, object, rows, bytes, seconds });
        if let Some(comparer) = &self.comparer {
            comparer.add_read_table(number, &digests, units);
        }
        Ok(())
    }

    fn emit_staged(&self, event: ExportEvent) {
        if let Some(sender) = &self.leg.staged {
            // Sending fails only if the importing leg has failed. The job then ends with that leg's error.
            let _ = sender.send(event);
        }
    }

    fn phase(&self) -> Phase {
        if self.comparer.is_some() && self.tables.all_finished() {
            Phase::Verify
        } else if self.tables.all_have_all_rows() {
            Phase::Indexes
        } else {
            Phase::Rows
        }
    }
}

async fn send_task(sender: &mpsc::Sender<WriteTask>, task: WriteTask) -> Result<()> {
    // The writers stop only after an error, which ends the leg.
    sender.send(task).await.map_err(|_| Error::new(ErrorKind::Internal, "the writers have stopped"))
}
