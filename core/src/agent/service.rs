//! What an agent does when it is called.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::lender::Asking;
use super::pace::Told;
use crate::batch::StagingEvent;
use crate::endpoint::{Opened, Opening, Stage};
use crate::engine::{Leg, LegOutcome};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{EventEmitter, LegName};
use crate::memory::MemoryBudget;
use crate::plan::Plan;
use crate::remote::message::{Ask, Call, End, Errand, Word};
use crate::retry::RetryPolicy;
use crate::sink::Sink;
use crate::source::Source;

/// The ends that are open here, and the line to the coordinator.
pub(super) struct Service {
    words: mpsc::UnboundedSender<(Word, Vec<u8>)>,
    state: Mutex<State>,
}

struct State {
    source: Option<Arc<dyn Source>>,
    sink: Option<Arc<dyn Sink>>,
    /// The archive that the importing leg follows.
    stage: Option<Stage>,
    memory: MemoryBudget,
    /// For each thread that may write at a time.
    turns: Arc<Semaphore>,
    /// What the exporting leg of another site tells.
    feed: Option<mpsc::UnboundedSender<StagingEvent>>,
    feeding: Option<mpsc::UnboundedReceiver<StagingEvent>>,
    /// Who waits for what the coordinator was asked; `None` when it is gone.
    asked: Option<HashMap<u64, oneshot::Sender<Bytes>>>,
    next: u64,
}

/// A value as JSON. What travels here can always be written.
pub(super) fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

impl Service {
    pub(super) fn new(words: mpsc::UnboundedSender<(Word, Vec<u8>)>) -> Self {
        let (feed, feeding) = mpsc::unbounded_channel();
        let state = State {
            source: None,
            sink: None,
            stage: None,
            memory: MemoryBudget::new(0, 1),
            turns: Arc::new(Semaphore::new(1)),
            feed: Some(feed),
            feeding: Some(feeding),
            asked: Some(HashMap::new()),
            next: 0,
        };
        Self { words, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tell(&self, word: Word, body: Vec<u8>) {
        // Where nobody hears it, the end of the line is seen elsewhere.
        let _ = self.words.send((word, body));
    }

    /// Passes on what the exporting leg tells; `None` is its end.
    pub(super) fn feed(&self, staged: Option<StagingEvent>) {
        let mut state = self.state();
        match staged {
            Some(staged) => drop(state.feed.as_ref().map(|feed| feed.send(staged))),
            None => state.feed = None,
        }
    }

    /// Asks the coordinator.
    pub(super) async fn ask(&self, ask: Ask) -> Result<Value> {
        let given = self.question(|id| Word::Ask { id, ask })?.await.map_err(|_| gone())?;
        serde_json::from_slice::<Result<Value>>(&given).map_err(|error| gone().caused_by(error))?
    }

    /// Tells what the coordinator answers under a number, and gives the answer when it comes.
    pub(super) fn question(&self, word: impl FnOnce(u64) -> Word) -> Result<oneshot::Receiver<Bytes>> {
        let (sender, receiver) = oneshot::channel();
        let id = {
            let mut state = self.state();
            state.next += 1;
            let id = state.next;
            state.asked.as_mut().ok_or_else(gone)?.insert(id, sender);
            id
        };
        self.tell(word(id), Vec::new());
        Ok(receiver)
    }

    /// The coordinator's answer to what was asked.
    pub(super) fn given(&self, id: u64, given: Bytes) {
        if let Some(waiting) = self.state().asked.as_mut().and_then(|asked| asked.remove(&id)) {
            let _ = waiting.send(given);
        }
    }

    /// The coordinator is gone: nothing can be asked of it any more.
    pub(super) fn lose(&self) {
        self.state().asked = None;
    }

    /// Undoes what was begun.
    pub(super) async fn abandon(&self) -> Result<()> {
        let (source, sink) = {
            let mut state = self.state();
            (state.source.take(), state.sink.take())
        };
        let close = async {
            match source {
                Some(source) => source.close().await,
                None => Ok(()),
            }
        };
        let abort = async {
            match sink {
                Some(sink) => sink.abort().await,
                None => Ok(()),
            }
        };
        let (closed, aborted) = tokio::join!(close, abort);
        aborted.and(closed)
    }

    pub(super) fn memory(&self) -> MemoryBudget {
        self.state().memory.clone()
    }

    pub(super) fn source(&self) -> Result<Arc<dyn Source>> {
        self.state().source.clone().ok_or_else(|| unopened("source"))
    }

    pub(super) fn sink(&self) -> Result<Arc<dyn Sink>> {
        self.state().sink.clone().ok_or_else(|| unopened("sink"))
    }

    /// Waits for a turn to write. More come over the lines than there are threads.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        let turns = self.state().turns.clone();
        turns.acquire_owned().await.ok()
    }

    /// Carries out the call of this number; its answer in JSON.
    pub(super) async fn carry_out(self: &Arc<Self>, id: u64, call: Call) -> Result<Value> {
        match call {
            Call::Open(opening) => json(self.open(opening).await),
            Call::Catalog => json(self.source()?.catalog().await),
            Call::CheckSource(selection) => json(self.source()?.check(&selection).await),
            Call::Plan(selection) => json(self.source()?.plan(&selection).await),
            Call::Snapshot(selection) => json(self.source()?.snapshot(&selection).await),
            Call::Notes => json(self.source()?.notes().await),
            Call::Close => json(self.source()?.close().await),
            Call::CheckSink { catalog, selection } => json(self.sink()?.check(&catalog, &selection).await),
            Call::Unsupported { catalog, selection } => json(self.sink()?.unsupported(&catalog, &selection).await),
            Call::Existing => json(self.sink()?.existing().await),
            Call::Begin(plan) => json(self.sink()?.begin(&plan).await),
            Call::Complete(table) => {
                let _turn = self.turn().await;
                json(self.sink()?.complete(&table).await)
            }
            Call::Counterparts(plan) => json(self.sink()?.counterparts(&plan).await),
            Call::Finish(plan) => json(self.sink()?.finish(&plan).await),
            Call::TakeOver(made) => json(self.sink().map(|sink| sink.take_over(made))),
            Call::Abort => json(self.sink()?.abort().await),
            Call::Count { end, table, chunk } => json(match end {
                End::Source => self.source()?.count(&table, &chunk, &self.memory()).await,
                End::Sink => self.sink()?.count(&table, &chunk, &self.memory()).await,
            }),
            Call::Digest { end, table, chunk } => json(match end {
                End::Source => self.source()?.digest(&table, &chunk, &self.memory(), &Told::of(self, id)).await,
                End::Sink => self.sink()?.digest(&table, &chunk, &self.memory()).await,
            }),
            Call::Run(errand) => json(self.run(errand).await),
        }
    }

    async fn open(self: &Arc<Self>, opening: Value) -> Result<()> {
        let opening = Opening::received(opening)?;
        let (memory, turns) = (opening.memory(), Arc::new(Semaphore::new(opening.threads())));
        let opened = opening.open(Arc::new(Asking(self.clone()))).await?;
        let mut state = self.state();
        (state.memory, state.turns) = (memory, turns);
        match opened {
            Opened::Source(source) => state.source = Some(source),
            Opened::Sink(sink) => {
                let this = self.clone();
                sink.testify(Arc::new(move |made| this.tell(Word::Made(made), Vec::new())));
                state.sink = Some(sink);
            }
            Opened::Stage(stage) => state.stage = Some(stage),
        }
        Ok(())
    }

    /// Runs a leg between the ends that are here.
    async fn run(self: &Arc<Self>, errand: Errand) -> Result<LegOutcome> {
        let plan = Arc::new(errand.plan);
        let source = if errand.follow { self.followed(&plan)? } else { self.source()? };
        let this = self.clone();
        let events = EventEmitter::new(move |event| this.tell(Word::Event(event), Vec::new()));
        let (staged, mut told) = mpsc::unbounded_channel();
        let leg = Leg {
            name: errand.name,
            source,
            sink: self.sink()?,
            plan,
            threads: errand.threads,
            memory: MemoryBudget::new(errand.memory, errand.threads),
            max_rate: errand.max_rate,
            verify: errand.verify,
            list_rows: errand.list_rows,
            retry: RetryPolicy::default(),
            events,
            staged: (errand.name == LegName::Export).then_some(staged),
        };
        let telling = async {
            while let Some(staged) = told.recv().await {
                self.tell(Word::Staged(staged), Vec::new());
            }
        };
        // All that was staged is told before the outcome is.
        let (outcome, ()) = tokio::join!(leg.run(), telling);
        outcome
    }

    fn followed(&self, plan: &Arc<Plan>) -> Result<Arc<dyn Source>> {
        let mut state = self.state();
        let feed = state.feeding.take().ok_or_else(|| unopened("feed"))?;
        let stage = state.stage.as_ref().ok_or_else(|| unopened("stage"))?;
        Ok(stage.follow(plan, feed))
    }
}

fn json<T: Serialize>(answer: Result<T>) -> Result<Value> {
    let unwritable = |error| Error::new(ErrorKind::Internal, "an answer cannot be written").caused_by(error);
    serde_json::to_value(answer?).map_err(unwritable)
}

fn gone() -> Error {
    Error::new(ErrorKind::Connection, "the coordinator is gone")
}

fn unopened(what: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("the agent has no {what} open"))
}
