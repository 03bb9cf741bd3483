//! The main stream to an agent: many calls at once, and what the agent tells by itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::launch::Launched;
use super::message::{Ask, Call, Door, Order, Word};
use super::wire::{Reader, Writer};
use super::{HEARTBEAT, LONGEST_MESSAGE, SILENCE};
use crate::batch::StagingEvent;
use crate::error::{Error, ErrorKind, Result};
use crate::event::EventEmitter;
use crate::source::Pace;
use crate::ssh::RemoteProcess;
use crate::store::{Loan, Store};

/// How long an agent whose stream has ended may take to say how.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A line to an agent that serves. Dropping it ends the agent.
pub(super) struct Line {
    shared: Arc<Shared>,
    pub(super) door: Door,
    /// Changes when the agent's process has ended.
    ended: watch::Receiver<bool>,
    /// With it goes the connection, which the agent sees.
    _listening: JoinSet<()>,
}

struct Shared {
    orders: mpsc::UnboundedSender<(Order, Vec<u8>)>,
    state: Mutex<State>,
    /// Answers what the agent asks.
    store: Option<Arc<dyn Store>>,
}

#[derive(Default)]
struct State {
    next: u64,
    /// Who waits for the answer to a call, by its number.
    waiting: HashMap<u64, mpsc::UnboundedSender<Heard>>,
    /// Why there are no answers any more.
    ended: Option<String>,
    events: EventEmitter,
    staged: Option<mpsc::UnboundedSender<StagingEvent>>,
    /// What the agent's sink has made.
    made: Vec<Value>,
}

/// What is heard of a call.
enum Heard {
    Answer(Bytes),
    Passed { id: u64, rows: u64, bytes: u64 },
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, order: Order, body: Vec<u8>) {
        // Where the line is broken, whoever waits for an answer hears of it.
        let _ = self.orders.send((order, body));
    }

    fn hear(self: &Arc<Self>, word: Word, body: Bytes) {
        match word {
            Word::Answer { id } => {
                if let Some(waiting) = self.state().waiting.remove(&id) {
                    let _ = waiting.send(Heard::Answer(body));
                }
            }
            Word::Passed { call, id, rows, bytes } => {
                if let Some(waiting) = self.state().waiting.get(&call) {
                    let _ = waiting.send(Heard::Passed { id, rows, bytes });
                }
            }
            Word::Event(event) => {
                let events = self.state().events.clone();
                events.emit(event);
            }
            Word::Made(made) => self.state().made.push(made),
            Word::Staged(staged) => {
                if let Some(sender) = &self.state().staged {
                    let _ = sender.send(staged);
                }
            }
            Word::Ask { id, ask } => {
                let shared = self.clone();
                tokio::spawn(async move {
                    let given = shared.answer(ask).await;
                    shared.tell(Order::Given { id }, encoded(&given));
                });
            }
            Word::Alive | Word::Ready(_) => {}
        }
    }

    async fn answer(&self, ask: Ask) -> Result<Value> {
        let Some(store) = &self.store else {
            return Err(Error::new(ErrorKind::Internal, "an agent asks for an archive where there is none"));
        };
        let answer = match ask {
            Ask::Presign { key, verb } => serde_json::to_value(Loan::of(&**store, &key, verb).await?),
            Ask::List { prefix } => serde_json::to_value(store.list(&prefix).await?),
            Ask::Remove { keys } => serde_json::to_value(store.remove(&keys).await?),
        };
        answer.map_err(|error| Error::new(ErrorKind::Internal, "an answer cannot be written").caused_by(error))
    }
}

/// A value as JSON. What travels here can always be written.
fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

impl Line {
    /// Makes the agent that was launched serve.
    pub(super) async fn open(launched: Launched, host: String, store: Option<Arc<dyn Store>>) -> Result<Self> {
        let Launched { session, mut process } = launched;
        let mut writer = Writer::new(std::mem::replace(&mut process.stdin, Box::new(tokio::io::sink())));
        let mut reader = Reader::new(std::mem::replace(&mut process.stdout, Box::new(tokio::io::empty())));
        writer.send(&Order::Serve, &[]).await?;
        let door = match timeout(SILENCE, reader.frame::<Word>()).await {
            Ok(Ok(Some((Word::Ready(door), _)))) => door,
            Ok(Err(error)) => return Err(error.with("host", host)),
            _ => return Err(lost(&host, &last_words(&mut process).await)),
        };
        let (orders, outgoing) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared { orders, state: Mutex::default(), store });
        let (ending, ended) = watch::channel(false);
        let (mut writing, mut listening) = (JoinSet::new(), JoinSet::new());
        writing.spawn(write(writer, outgoing));
        let heard = shared.clone();
        listening.spawn(async move {
            let why = listen(&heard, reader).await;
            drop(writing);
            let why = match why {
                Some(error) => error.to_string(),
                None => last_words(&mut process).await,
            };
            let mut state = heard.state();
            state.ended = Some(lost(&host, &why).to_string());
            state.waiting.clear();
            state.staged = None;
            drop(state);
            drop((process, session));
            let _ = ending.send(true);
        });
        Ok(Self { shared, door, ended, _listening: listening })
    }

    /// Calls the agent and waits for its answer, a `Result` in JSON; what it reads meanwhile, it reads at this pace.
    /// Dropping the future stops the work.
    pub(super) async fn call(&self, call: &Call, pace: &dyn Pace) -> Result<Bytes> {
        let body = serde_json::to_vec(call)
            .map_err(|error| Error::new(ErrorKind::Internal, "a call cannot be written").caused_by(error))?;
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let id = {
            let mut state = self.shared.state();
            if let Some(why) = &state.ended {
                return Err(Error::new(ErrorKind::Connection, why));
            }
            state.next += 1;
            let id = state.next;
            state.waiting.insert(id, sender);
            id
        };
        let _forget = Forget { shared: &self.shared, id };
        self.shared.tell(Order::Call { id }, body);
        while let Some(heard) = receiver.recv().await {
            match heard {
                Heard::Answer(answer) => return Ok(answer),
                Heard::Passed { id, rows, bytes } => {
                    pace.passed(rows, bytes).await;
                    self.shared.tell(Order::Given { id }, Vec::new());
                }
            }
        }
        Err(self.lost().unwrap_or_else(|| Error::new(ErrorKind::Connection, "the line to the agent broke")))
    }

    /// Whether the agent can still be asked.
    pub(super) fn is_open(&self) -> bool {
        self.shared.state().ended.is_none()
    }

    /// How the agent was lost, if it was.
    pub(super) fn lost(&self) -> Option<Error> {
        self.shared.state().ended.as_ref().map(|why| Error::new(ErrorKind::Connection, why))
    }

    /// What the agent's sink has made so far.
    pub(super) fn made(&self) -> Vec<Value> {
        self.shared.state().made.clone()
    }

    /// Tells the agent something that has no answer.
    pub(super) fn tell(&self, order: Order) {
        self.shared.tell(order, Vec::new());
    }

    /// Says where to go with what the agent tells of a leg.
    pub(super) fn pass_on(&self, events: EventEmitter, staged: Option<mpsc::UnboundedSender<StagingEvent>>) {
        let mut state = self.shared.state();
        (state.events, state.staged) = (events, staged);
    }

    /// Waits until the agent has gone.
    pub(super) async fn gone(&self) {
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }
}

/// Tells the agent that nobody waits any more, unless the answer has come.
struct Forget<'a> {
    shared: &'a Shared,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        let unanswered = self.shared.state().waiting.remove(&self.id).is_some();
        if unanswered {
            self.shared.tell(Order::Forget { id: self.id }, Vec::new());
        }
    }
}

/// Writes orders, and between them that we are still here.
async fn write(mut writer: Writer, mut orders: mpsc::UnboundedReceiver<(Order, Vec<u8>)>) {
    loop {
        let sent = match timeout(HEARTBEAT, orders.recv()).await {
            Ok(Some((order, body))) => {
                let sent = writer.send(&order, &body).await;
                if matches!(order, Order::Farewell) { writer.end().await } else { sent }
            }
            // Nobody will give an order any more: the agent sees the end of its input.
            Ok(None) => return drop(writer.end().await),
            Err(_) => writer.send(&Order::Alive, &[]).await,
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Hears the agent until its stream ends; the error, if there is one.
async fn listen(shared: &Arc<Shared>, mut reader: Reader) -> Option<Error> {
    loop {
        let head = match timeout(SILENCE, reader.head::<Word>()).await {
            Ok(Ok(Some((word, _)))) => word,
            Ok(Ok(None)) => return None,
            Ok(Err(error)) => return Some(error),
            Err(_) => {
                return Some(Error::new(ErrorKind::Connection, format!("it was silent for {} s", SILENCE.as_secs())));
            }
        };
        match timeout(LONGEST_MESSAGE, reader.body()).await {
            Ok(Ok(body)) => shared.hear(head, body),
            Ok(Err(error)) => return Some(error),
            Err(_) => return Some(Error::new(ErrorKind::Connection, "a message of it took too long")),
        }
    }
}

/// How the process ended, and what it said last.
async fn last_words(process: &mut RemoteProcess) -> String {
    let ended = timeout(LAST_WORDS, process.exit_status()).await.ok();
    let stderr = process.stderr();
    let said = stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
    let how = match ended {
        Some(ended) => match (ended.signal, ended.code) {
            (Some(signal), _) => format!("it was ended by the signal {signal}"),
            (None, Some(code)) => format!("it ended with exit code {code}"),
            (None, None) => "the connection to it broke".to_owned(),
        },
        None => "it has closed its output".to_owned(),
    };
    if said.is_empty() { how } else { format!("{how}: {said}") }
}

fn lost(host: &str, why: &str) -> Error {
    Error::new(ErrorKind::Connection, format!("the agent on {host} is lost: {why}"))
}
