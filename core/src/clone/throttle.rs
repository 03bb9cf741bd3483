//! Pauses a job while a server is too busy, and reports its pauses.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::endpoint::JobEndpoints;
use crate::engine::{PauseCause, PauseGate};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, EventEmitter};
use crate::options::CloneOptions;
use crate::sink::{ReplicaLag, Sink};
use crate::source::Source;

/// The interval of the measurements.
const INTERVAL: Duration = Duration::from_secs(1);
/// The interval of the warnings about a pause whose end cannot be measured.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// The gate of a job, what closes it by itself, and what the report says of its pauses.
pub(super) struct Throttle {
    pub(super) gate: PauseGate,
    source: Arc<dyn Source>,
    sink: Arc<dyn Sink>,
    max_load: Option<u64>,
    max_lag: Option<u64>,
    events: EventEmitter,
    log: Mutex<PauseLog>,
}

#[derive(Default)]
struct PauseLog {
    paused: Duration,
    warnings: Vec<String>,
}

impl Throttle {
    pub(super) fn new(gate: PauseGate, ends: &JobEndpoints, options: &CloneOptions, events: &EventEmitter) -> Self {
        Self {
            gate,
            source: ends.source.clone(),
            sink: ends.sink.clone(),
            max_load: options.max_load,
            max_lag: options.max_lag,
            events: events.clone(),
            log: Mutex::default(),
        }
    }

    fn log(&self) -> MutexGuard<'_, PauseLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The seconds during which the job was paused.
    pub(super) fn paused_seconds(&self) -> f64 {
        self.log().paused.as_secs_f64()
    }

    /// The warnings about failed measurements.
    pub(super) fn warnings(&self) -> Vec<String> {
        self.log().warnings.clone()
    }

    /// Runs the legs of the job. In the meantime measures what `--max-load` and `--max-lag` limit, and reports pauses.
    pub(super) async fn run<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let watch = async {
            tokio::join!(
                self.report_pauses(),
                self.limit(PauseCause::SourceLoad),
                self.limit(PauseCause::TargetLoad),
                self.limit(PauseCause::ReplicaLag),
            )
        };
        tokio::select! {
            result = work => result,
            _ = watch => Err(Error::new(ErrorKind::Internal, "the gate of the job is gone")),
        }
    }

    /// Emits an event when the gate closes, and one when it opens again.
    async fn report_pauses(&self) {
        let mut reasons = self.gate.subscribe();
        loop {
            let Ok(closed) = reasons.wait_for(|reasons| !reasons.is_empty()).await.map(|reasons| reasons.clone())
            else {
                return;
            };
            let reason = closed.into_values().collect::<Vec<_>>().join(", ");
            self.events.emit(Event::Paused { reason: reason.clone() });
            let start = Instant::now();
            if reasons.wait_for(|reasons| reasons.is_empty()).await.is_err() {
                return;
            }
            self.log().paused += start.elapsed();
            self.events.emit(Event::Unpaused { reason, seconds: start.elapsed().as_secs_f64() });
        }
    }

    /// Closes the gate while the measurement of this cause is bad. An error leaves the gate as it is: it may pass, and is
    /// no reason to end a clone. A pause that lasts for that reason is told again and again. Returns if there is nothing to
    /// measure.
    async fn limit(&self, cause: PauseCause) {
        let mut has_failed = false;
        let mut told = Instant::now();
        loop {
            match self.measure(cause).await {
                Ok(Measurement::None) => return,
                Ok(Measurement::Good) => {
                    has_failed = false;
                    self.gate.open(cause);
                }
                Ok(Measurement::Bad(reason)) => {
                    has_failed = false;
                    self.gate.close(cause, reason);
                }
                Err(error) => {
                    let is_paused = self.gate.is_closed_by(cause);
                    let message = unknown_message(cause, is_paused, &error);
                    if !has_failed {
                        self.log().warnings.push(message.clone());
                    }
                    if !has_failed || is_paused && told.elapsed() >= WARNING_INTERVAL {
                        told = Instant::now();
                        self.events.emit(Event::Warning { message });
                    }
                    has_failed = true;
                }
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    async fn measure(&self, cause: PauseCause) -> Result<Measurement> {
        let (max_load, max_lag) = (self.max_load, self.max_lag);
        Ok(match (cause, max_load, max_lag) {
            (PauseCause::SourceLoad, Some(limit), _) => judge_load(cause, self.source.load().await?, limit),
            (PauseCause::TargetLoad, Some(limit), _) => judge_load(cause, self.sink.load().await?, limit),
            (PauseCause::ReplicaLag, _, Some(limit)) => match self.sink.replica_lag().await? {
                None => Measurement::None,
                Some(ReplicaLag::Seconds(lag)) if lag <= limit => Measurement::Good,
                Some(ReplicaLag::Seconds(lag)) => Measurement::Bad(format!("replica is {lag} s behind")),
                Some(ReplicaLag::Stopped) => Measurement::Bad("replica does not replicate".to_owned()),
            },
            _ => Measurement::None,
        })
    }
}

/// The result of a measurement.
enum Measurement {
    /// There is no such number, or no limit for it.
    None,
    Good,
    /// The reason for a pause.
    Bad(String),
}

fn unknown_message(cause: PauseCause, is_paused: bool, error: &Error) -> String {
    let measured = measured(cause);
    match is_paused {
        false => format!("{measured} is unknown, and is measured again: {error}"),
        true => format!(
            "{measured} is unknown, and the job stays paused until it is known: {error}: make the server available again, or \
             cancel the job"
        ),
    }
}

fn measured(cause: PauseCause) -> &'static str {
    match cause {
        PauseCause::User => "user",
        PauseCause::SourceLoad => "load of the source",
        PauseCause::TargetLoad => "load of the target",
        PauseCause::ReplicaLag => "lag of the replica",
        PauseCause::Disconnection => "connection to the coordinator",
    }
}

fn judge_load(cause: PauseCause, load: Option<u64>, limit: u64) -> Measurement {
    match load {
        None => Measurement::None,
        Some(load) if load <= limit => Measurement::Good,
        Some(load) => Measurement::Bad(format!("{} {load} > {limit}", measured(cause))),
    }
}
