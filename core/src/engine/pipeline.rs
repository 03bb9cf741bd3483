//! The loop: readers take chunks, writers take batches, and a bounded channel between them carries the backpressure.

mod readers;

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use super::meter::Meter;
use super::throttle::Throttle;
use super::verify::{Comparing, Units};
use crate::batch::{Batch, ExportEvent};
use crate::catalog::Printable;
use crate::codec::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, Events, LegName, Phase};
use crate::memory::Memory;
use crate::options::Verify;
use crate::plan::{Plan, Progress, TablePlan};
use crate::report::Note;
use crate::retry::Retry;
use crate::sink::Sink;
use crate::source::Source;
use crate::verification::Verification;

const TICK: Duration = Duration::from_millis(250);

/// One run of the engine: what is read, where it goes, and within which bounds.
#[derive(Clone)]
pub(crate) struct Leg {
    pub(crate) name: LegName,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) threads: usize,
    pub(crate) memory: Memory,
    /// At most this many bytes a second.
    pub(crate) max_rate: Option<u64>,
    /// How the sink's rows are compared with the source's.
    pub(crate) verify: Verify,
    /// Whether a comparison names the rows that differ.
    pub(crate) list_rows: bool,
    pub(crate) retry: Retry,
    pub(crate) events: Events,
    /// Hears of each batch that is durable: the importing leg of a relay.
    pub(crate) staged: Option<mpsc::UnboundedSender<ExportEvent>>,
}

/// What a leg did.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// One for each table of the plan, in its order.
    pub(crate) tables: Vec<TableOutcome>,
    pub(crate) notes: Vec<Note>,
    pub(crate) verified: Option<Verification>,
}

impl Outcome {
    /// What the last of two legs did, with what is to be known of the first.
    pub(super) fn after(mut self, first: Self) -> Self {
        self.notes.splice(..0, first.notes);
        self
    }
}

/// What a leg did for one table.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct TableOutcome {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
}

enum Work {
    Batch(Batch),
    Complete(u32),
}

/// What the tasks of a running leg share.
struct Running {
    leg: Leg,
    done: Progress,
    /// `(table, chunk)` as indexes into the plan, next one last.
    chunks: Mutex<Vec<(usize, usize)>>,
    tables: std::sync::Mutex<Vec<TableState>>,
    meter: Meter,
    budget: Throttle,
    comparing: Option<Arc<Comparing>>,
    notes: std::sync::Mutex<Vec<Note>>,
}

struct TableState {
    chunks_unread: usize,
    batches_unwritten: usize,
    started: Option<Instant>,
    finished: bool,
    /// Of what was read of each chunk.
    digests: Vec<Digest>,
    outcome: TableOutcome,
}

impl TableState {
    fn is_complete(&self) -> bool {
        self.chunks_unread == 0 && self.batches_unwritten == 0
    }
}

impl Leg {
    /// Runs the leg to its end. Dropping the future stops it; then the sink must be aborted and the source closed.
    pub(crate) async fn run(self) -> Result<Outcome> {
        self.phase(Phase::Tables);
        let done = self.sink.begin(&self.plan).await?;
        self.phase(Phase::Rows);
        let running = Arc::new(Running::new(self, done));
        running.move_rows().await?;
        let leg = &running.leg;
        leg.progress(Phase::Objects, &running.meter);
        leg.phase(Phase::Objects);
        let mut notes = leg.sink.finish(&leg.plan).await?;
        leg.phase(Phase::Done);
        notes.extend(leg.source.notes().await?);
        notes.append(&mut running.notes.lock().unwrap_or_else(PoisonError::into_inner));
        let tables = running.with_tables(|tables| tables.iter().map(|table| table.outcome).collect());
        let verified = running.comparing.as_ref().map(|comparing| comparing.verification());
        Ok(Outcome { tables, notes, verified })
    }

    pub(super) fn phase(&self, phase: Phase) {
        self.events.emit(Event::Phase { leg: self.name, phase });
    }

    pub(super) fn progress(&self, phase: Phase, meter: &Meter) {
        self.events.emit(Event::Progress { leg: self.name, phase, amount: meter.amount() });
    }
}

impl Running {
    fn new(leg: Leg, done: Progress) -> Self {
        // The largest tables first: what is left for the end is small, and can be shared out evenly.
        let mut order: Vec<usize> = (0..leg.plan.tables.len()).collect();
        order.sort_by_key(|&table| leg.plan.tables.get(table).map(|plan| plan.table.data_bytes));
        let chunks_of = |table: &usize| leg.plan.tables.get(*table).map_or(0, |plan| plan.chunks.len());
        let chunks = order.iter().flat_map(|table| (0..chunks_of(table)).rev().map(|chunk| (*table, chunk))).collect();
        let state = |plan: &TablePlan| TableState {
            chunks_unread: plan.chunks.len(),
            batches_unwritten: 0,
            started: None,
            finished: false,
            digests: vec![Digest::default(); plan.chunks.len()],
            outcome: TableOutcome::default(),
        };
        let tables = leg.plan.tables.iter().map(state).collect();
        let meter = Meter::new(&leg.plan);
        let budget = Throttle::new(leg.max_rate);
        let comparing = Comparing::along(&leg);
        let (tables, notes) = (std::sync::Mutex::new(tables), std::sync::Mutex::default());
        Self { leg, done, chunks: Mutex::new(chunks), tables, meter, budget, comparing, notes }
    }

    /// Runs the readers and the writers until all rows are durable and all tables complete.
    async fn move_rows(self: &Arc<Self>) -> Result<()> {
        let (sender, receiver) = mpsc::channel(self.leg.threads);
        let receiver = Arc::new(Mutex::new(receiver));
        let mut tasks = JoinSet::new();
        let (units, complete) = mpsc::unbounded_channel();
        if let Some(comparing) = &self.comparing {
            comparing.start(&mut tasks, complete);
        }
        for _ in 0..self.leg.sink.writers(self.leg.threads) {
            tasks.spawn(Self::write_batches(self.clone(), receiver.clone(), units.clone()));
        }
        for _ in 0..self.leg.threads {
            tasks.spawn(Self::read_chunks(self.clone(), sender.clone()));
        }
        tasks.spawn(Self::complete_empty(self.clone(), sender));
        // The comparison ends when the last writer has.
        drop(units);
        let mut phase = Phase::Rows;
        attend(tasks, || {
            let now = self.phase();
            if now != phase {
                phase = now;
                self.leg.phase(phase);
            }
            self.leg.progress(phase, &self.meter);
        })
        .await
    }

    /// Tables without rows have nothing that could complete them on its way.
    async fn complete_empty(self: Arc<Self>, sender: mpsc::Sender<Work>) -> Result<()> {
        for table in self.leg.plan.tables.iter().filter(|table| table.chunks.is_empty()) {
            hand_over(&sender, Work::Complete(table.number)).await?;
        }
        Ok(())
    }

    async fn write_batches(self: Arc<Self>, receiver: Arc<Mutex<mpsc::Receiver<Work>>>, units: Units) -> Result<()> {
        loop {
            let work = receiver.lock().await.recv().await;
            match work {
                None => return Ok(()),
                Some(Work::Complete(number)) => self.complete(number, &units).await?,
                Some(Work::Batch(batch)) => {
                    let number = batch.id.table;
                    self.write(batch).await?;
                    if self.change(number, |state| state.batches_unwritten -= 1) {
                        self.complete(number, &units).await?;
                    }
                }
            }
        }
    }

    async fn write(&self, batch: Batch) -> Result<()> {
        let id = batch.id;
        let Some(table) = self.leg.plan.tables.get(id.table as usize) else {
            return Err(Error::new(ErrorKind::Internal, "a batch of a table that is not in the plan").with("batch", id));
        };
        let warn = self.again(table, format!("batch {id}"));
        let receipt = self.leg.retry.run(|| self.leg.sink.write(table, batch.clone()), warn).await;
        let receipt = receipt.map_err(|error| error.with("table", Printable(&table.table.name)).with("batch", id))?;
        if receipt.rows != batch.rows || receipt.digest != batch.digest {
            let message = format!("{} rows were read and {} written", batch.rows, receipt.rows);
            return Err(Error::new(ErrorKind::Data, message).with("batch", id));
        }
        self.meter.add(id.table, receipt.rows, receipt.bytes);
        self.change(id.table, |state| {
            state.outcome.rows += receipt.rows;
            state.outcome.bytes += receipt.bytes;
        });
        self.tell(ExportEvent::Batch(receipt));
        Ok(())
    }

    /// Tells that something failed and is tried again, now and in the report.
    fn again<'a>(&'a self, table: &'a TablePlan, what: String) -> impl Fn(&Error) + 'a {
        move |error| {
            let object = table.table.object();
            self.leg.events.emit(Event::Warning { message: format!("{what} of {object} is tried again: {error}") });
            let note = Note::on(&object, format!("{what} was tried again: {error}"));
            self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(note);
        }
    }

    async fn complete(&self, number: u32, units: &Units) -> Result<()> {
        let Some(table) = self.leg.plan.tables.get(number as usize) else { return Ok(()) };
        let object = table.table.object();
        self.meter.complete(number);
        self.start(number);
        let warn = self.again(table, "building its indexes".to_owned());
        let completed = self.leg.retry.run(|| self.leg.sink.complete(table), warn).await;
        completed.map_err(|error| error.with("table", Printable(&object.name)))?;
        let (mut outcome, mut digests) = (TableOutcome::default(), Vec::new());
        self.change(number, |state| {
            state.finished = true;
            digests = std::mem::take(&mut state.digests);
            state.outcome.seconds = state.started.map_or(0.0, |started| started.elapsed().as_secs_f64());
            outcome = state.outcome;
        });
        let TableOutcome { rows, bytes, seconds } = outcome;
        self.leg.events.emit(Event::Finished { leg: self.leg.name, object, rows, bytes, seconds });
        if let Some(comparing) = &self.comparing {
            comparing.add_read(number, &digests, units);
        }
        Ok(())
    }

    fn tell(&self, staged: ExportEvent) {
        if let Some(sender) = &self.leg.staged {
            // The other leg may have failed; then the job ends by its error.
            let _ = sender.send(staged);
        }
    }

    fn with_tables<T>(&self, look: impl FnOnce(&mut Vec<TableState>) -> T) -> T {
        look(&mut self.tables.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes the table's start; whether this was the first.
    fn start(&self, number: u32) -> bool {
        self.with_tables(|tables| {
            let Some(state) = tables.get_mut(number as usize) else { return false };
            let first = state.started.is_none();
            state.started.get_or_insert_with(Instant::now);
            first
        })
    }

    /// Changes a table's state; whether the table became complete by it.
    fn change(&self, number: u32, change: impl FnOnce(&mut TableState)) -> bool {
        self.with_tables(|tables| {
            let Some(state) = tables.get_mut(number as usize) else { return false };
            change(state);
            state.is_complete()
        })
    }

    fn phase(&self) -> Phase {
        self.with_tables(|tables| {
            if self.comparing.is_some() && tables.iter().all(|table| table.finished) {
                Phase::Verify
            } else if tables.iter().all(TableState::is_complete) {
                Phase::Indexes
            } else {
                Phase::Rows
            }
        })
    }
}

/// Waits for all tasks to end, or one to fail, and calls `tick` now and then meanwhile.
pub(super) async fn attend(mut tasks: JoinSet<Result<()>>, mut tick: impl FnMut()) -> Result<()> {
    let mut ticker = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            task = tasks.join_next() => match task {
                None => return Ok(()),
                Some(Ok(result)) => result?,
                Some(Err(error)) => return Err(Error::new(ErrorKind::Internal, "a task died").caused_by(error)),
            },
            _ = ticker.tick() => tick(),
        }
    }
}

async fn hand_over(sender: &mpsc::Sender<Work>, work: Work) -> Result<()> {
    // The writers go away only by an error of their own, which ends the leg.
    sender.send(work).await.map_err(|_| Error::new(ErrorKind::Internal, "the writers have stopped"))
}
