//! An agent on another site, as the coordinator sees it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{OnceCell, mpsc};
use tokio::time::timeout;

use super::lane::Lane;
use super::launch::Launcher;
use super::line::Line;
use super::message::{Call, Errand, Order};
use crate::batch::StagingEvent;
use crate::error::{Error, ErrorKind, Result};
use crate::event::EventEmitter;
use crate::source::Pace;
use crate::ssh::SshClient;
use crate::store::Store;

/// How long an agent may take to end after its job.
const PARTING: Duration = Duration::from_secs(10);

/// How much later than its lanes the line to a lost agent may break.
const PATIENCE: Duration = Duration::from_secs(1);

/// An agent on a host, and the ends that are opened there.
pub(crate) struct Agent {
    host: String,
    launcher: Launcher,
    /// What the agent opens before its first call.
    openings: Vec<Value>,
    store: Option<Arc<dyn Store>>,
    line: OnceCell<Line>,
    /// Lanes that do nothing right now.
    lanes: Mutex<Vec<Lane>>,
}

impl Agent {
    /// Nothing is connected before the first call. The agent opens the `openings`, and asks for objects of `store`.
    pub(crate) fn new(
        host: Arc<SshClient>,
        binary: Option<PathBuf>,
        openings: Vec<Value>,
        store: Option<Arc<dyn Store>>,
    ) -> Self {
        let (line, lanes) = (OnceCell::new(), Mutex::default());
        Self { host: host.address().to_string(), launcher: Launcher::new(host, binary), openings, store, line, lanes }
    }

    /// Starts the agent, unless it was started.
    pub(crate) async fn meet(&self) -> Result<()> {
        self.line().await.map(drop)
    }

    async fn line(&self) -> Result<&Line> {
        self.line.get_or_try_init(|| self.start()).await
    }

    async fn start(&self) -> Result<Line> {
        let line = Line::open(self.launcher.start().await?, self.host.clone(), self.store.clone()).await?;
        for opening in &self.openings {
            self.ask::<()>(&line, &Call::Open(opening.clone()), &()).await?;
        }
        Ok(line)
    }

    async fn ask<T: DeserializeOwned>(&self, line: &Line, call: &Call, pace: &dyn Pace) -> Result<T> {
        let answer = line.call(call, pace).await?;
        let answer: Result<T> = serde_json::from_slice(&answer).map_err(|error| {
            Error::new(ErrorKind::Internal, format!("the agent on {} gave no answer that makes sense", self.host))
                .caused_by(error)
        })?;
        answer.map_err(|error| error.with("host", &self.host))
    }

    /// Calls the agent, which is started for the first call. Dropping the future stops the work there.
    pub(super) async fn call<T: DeserializeOwned>(&self, call: &Call) -> Result<T> {
        self.call_at(call, &()).await
    }

    /// As [`call`](Self::call); the agent reads at this pace.
    pub(super) async fn call_at<T: DeserializeOwned>(&self, call: &Call, pace: &dyn Pace) -> Result<T> {
        self.ask(self.line().await?, call, pace).await
    }

    /// Closes the source, if the agent is there.
    pub(super) async fn close(&self) -> Result<()> {
        match self.line.get().filter(|line| line.is_open()) {
            Some(line) => self.ask(line, &Call::Close, &()).await,
            None => Ok(()),
        }
    }

    /// Undoes what the sink has made. Where the agent was killed another one does it.
    pub(super) async fn abort(&self) -> Result<()> {
        let Some(line) = self.line.get() else { return Ok(()) };
        if line.is_open() {
            let aborted = self.ask(line, &Call::Abort, &()).await;
            if aborted.is_ok() || line.is_open() {
                return aborted;
            }
        }
        let made = line.made();
        if made.is_empty() {
            return Ok(());
        }
        let successor = self.start().await?;
        self.ask::<()>(&successor, &Call::TakeOver(made), &()).await?;
        self.ask::<()>(&successor, &Call::Abort, &()).await?;
        part(&successor).await;
        Ok(())
    }

    /// Runs a leg there. What it tells goes to `events`, what it stages to `staged`; what another leg stages for it comes
    /// from `feed`.
    pub(crate) async fn run<T: DeserializeOwned>(
        &self,
        errand: Errand,
        events: EventEmitter,
        staged: Option<mpsc::UnboundedSender<StagingEvent>>,
        feed: Option<mpsc::UnboundedReceiver<StagingEvent>>,
    ) -> Result<T> {
        let line = self.line().await?;
        line.pass_on(events, staged);
        let call = Call::Run(errand);
        let feeding = async {
            if let Some(mut feed) = feed {
                while let Some(staged) = feed.recv().await {
                    line.tell(Order::Staged(Some(staged)));
                }
                line.tell(Order::Staged(None));
            }
            std::future::pending().await
        };
        let outcome = tokio::select! {
            // The call goes out before its feed.
            biased;
            outcome = self.ask(line, &call, &()) => outcome,
            never = feeding => never,
        };
        line.pass_on(EventEmitter::default(), None);
        outcome
    }

    /// A lane that is free, and whether it was used before: then it may have broken since.
    pub(super) async fn lane(&self) -> Result<(Lane, bool)> {
        let idle = self.lanes.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(lane) => Ok((lane, true)),
            None => Ok((self.fresh_lane().await?, false)),
        }
    }

    pub(super) async fn fresh_lane(&self) -> Result<Lane> {
        let door = self.line().await?.door.clone();
        Lane::open(self.launcher.start().await?, door).await
    }

    /// Does something with lanes. It fails when the agent itself is lost: a lane may not notice, and its breaking may be
    /// only the first sign of it.
    pub(super) async fn unless_lost<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let line = self.line().await?;
        let done = tokio::select! {
            done = work => done,
            () = line.gone() => Err(Error::new(ErrorKind::Connection, "the agent is lost")),
        };
        match done {
            Err(error) if error.kind() == ErrorKind::Connection => {
                let _ = timeout(PATIENCE, line.gone()).await;
                Err(line.lost().unwrap_or(error))
            }
            done => done,
        }
    }

    /// Takes a lane back whose work is done.
    pub(super) fn give_back(&self, lane: Lane) {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).push(lane);
    }

    /// Ends the agent after its job, and waits until it is gone.
    pub(crate) async fn farewell(&self) {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).clear();
        if let Some(line) = self.line.get().filter(|line| line.is_open()) {
            part(line).await;
        }
    }
}

/// Ends an agent, and waits until it is gone.
async fn part(line: &Line) {
    line.tell(Order::Farewell);
    let _ = timeout(PARTING, line.gone()).await;
}
