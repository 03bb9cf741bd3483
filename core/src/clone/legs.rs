//! Runs the legs of a job: in this process, or as a whole by the agent that has both ends of the leg.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;

use super::job_run::JobRun;
use crate::batch::ExportEvent;
use crate::endpoint::StagingArchive;
use crate::engine::{self, Leg, LegOutcome};
use crate::error::Result;
use crate::event::{Event, EventEmitter, LegName, Phase};
use crate::memory::MemoryBudget;
use crate::options::Verify;
use crate::plan::Plan;
use crate::remote::AgentClient;
use crate::remote::message::LegRequest;
use crate::retry::RetryPolicy;

impl JobRun {
    /// Runs the only leg of a direct clone, or both legs of a clone through an archive.
    pub(super) async fn run_legs(&self, plan: &Arc<Plan>) -> Result<LegOutcome> {
        let outcome = match &self.ends.staging {
            None => {
                let leg = self.leg(LegName::Clone, plan, self.options.memory);
                self.run_leg(leg, self.ends.first_leg_agent.as_deref()).await?
            }
            Some(stage) => self.run_through_archive(stage, plan).await?,
        };
        self.conclude().await?;
        Ok(outcome)
    }

    /// Forgets the job, unless the clone follows its source.
    pub(super) async fn conclude(&self) -> Result<()> {
        match self.options.follow {
            true => Ok(()),
            false => self.ends.sink.conclude().await,
        }
    }

    /// Runs two legs through an archive, and removes the archive unless `--keep-archive` is set.
    async fn run_through_archive(&self, stage: &StagingArchive, plan: &Arc<Plan>) -> Result<LegOutcome> {
        let (first, second) = (self.ends.first_leg_agent.as_deref(), self.ends.second_leg_agent.as_deref());
        let memory = if first.is_none() && second.is_none() { self.options.memory / 2 } else { self.options.memory };
        // The export does not verify: the import checks the archive's digests and compares the target with them.
        let export = Leg { sink: stage.sink(), verify: Verify::None, ..self.leg(LegName::Export, plan, memory) };
        // The target records the location of the archive before its first object is stored.
        let (begun, is_begun) = oneshot::channel();
        let import = Leg { events: self.signal_rows(begun), ..self.leg(LegName::Import, plan, memory) };
        let run_export = async |staged| {
            // The sender is dropped if the import fails before; its error then ends both legs.
            match is_begun.await {
                Ok(()) => self.run_leg(Leg { staged: Some(staged), ..export }, first).await,
                Err(_) => std::future::pending().await,
            }
        };
        let run_import = |feed| self.run_import(stage, import, feed, second);
        let outcome = engine::run_both_legs(run_export, run_import).await?;
        if !self.options.keep_archive {
            stage.remove().await?;
        }
        Ok(outcome)
    }

    /// Returns an emitter that signals the first phase of rows.
    fn signal_rows(&self, begun: oneshot::Sender<()>) -> EventEmitter {
        let (events, begun) = (self.events.clone(), Mutex::new(Some(begun)));
        EventEmitter::new(move |event| {
            if matches!(event, Event::Phase { phase: Phase::Rows, .. }) {
                let begun = begun.lock().unwrap_or_else(PoisonError::into_inner).take();
                begun.map(|begun| begun.send(()));
            }
            events.emit(event);
        })
    }

    /// Creates a leg from the source to the target.
    pub(super) fn leg(&self, name: LegName, plan: &Arc<Plan>, memory: u64) -> Leg {
        Leg {
            name,
            source: self.ends.source.clone(),
            sink: self.ends.sink.clone(),
            plan: plan.clone(),
            threads: self.options.threads,
            memory: MemoryBudget::new(memory, self.options.threads),
            max_rate: self.options.max_rate,
            gate: self.throttle.gate.clone(),
            verify: self.options.verify,
            list_rows: self.options.list_rows,
            retry: RetryPolicy::default(),
            events: self.events.clone(),
            staged: None,
        }
    }

    /// Runs a leg in this process, or by `agent`.
    pub(super) async fn run_leg(&self, leg: Leg, agent: Option<&AgentClient>) -> Result<LegOutcome> {
        let Some(agent) = agent else { return leg.run().await };
        let (events, staged) = (leg.events.clone(), leg.staged.clone());
        let outcome = agent.run_leg(self.leg_request(leg, false), events, staged, None);
        self.forward_pauses(agent, Box::pin(outcome)).await
    }

    /// Runs the leg that reads the archive while the other leg, the origin of `feed`, writes it.
    async fn run_import(
        &self,
        stage: &StagingArchive,
        leg: Leg,
        feed: UnboundedReceiver<ExportEvent>,
        agent: Option<&AgentClient>,
    ) -> Result<LegOutcome> {
        let Some(agent) = agent else {
            let source = stage.follow(&leg.plan, feed);
            return Leg { source, ..leg }.run().await;
        };
        let events = leg.events.clone();
        let outcome = agent.run_leg(self.leg_request(leg, true), events, None, Some(feed));
        self.forward_pauses(agent, Box::pin(outcome)).await
    }

    /// Runs `leg` on an agent, and tells the agent when the gate closes and opens.
    async fn forward_pauses<T>(&self, agent: &AgentClient, leg: impl Future<Output = Result<T>>) -> Result<T> {
        let mut reasons = self.throttle.gate.subscribe();
        let forward = async {
            loop {
                let paused = !reasons.borrow_and_update().is_empty();
                agent.set_paused(paused).await?;
                if reasons.changed().await.is_err() {
                    return std::future::pending::<Result<T>>().await;
                }
            }
        };
        tokio::select! {
            // Send the state before the call.
            biased;
            failed = forward => failed,
            outcome = leg => outcome,
        }
    }

    fn leg_request(&self, leg: Leg, follow_export: bool) -> LegRequest {
        LegRequest {
            name: leg.name,
            plan: leg.plan.as_ref().clone(),
            threads: leg.threads,
            memory: self.options.memory,
            max_rate: leg.max_rate,
            verify: leg.verify,
            list_rows: leg.list_rows,
            follow_export,
        }
    }
}
