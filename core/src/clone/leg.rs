//! Runs a leg where its endpoints are: in this process, or on the agent that opens both.

use tokio::sync::mpsc::UnboundedReceiver;

use super::OpenJob;
use crate::batch::ExportEvent;
use crate::endpoint::StagingArchive;
use crate::engine::{Leg, Outcome};
use crate::error::Result;
use crate::remote::AgentClient;
use crate::remote::message::LegRequest;

impl OpenJob {
    /// Runs a leg between its own endpoints, on the agent if there is one.
    pub(super) async fn run(&self, leg: Leg, agent: Option<&AgentClient>) -> Result<Outcome> {
        let Some(agent) = agent else { return leg.run().await };
        let (events, exported) = (leg.events.clone(), leg.staged.clone());
        agent.run_leg(self.leg_request(leg, false), events, exported, None).await
    }

    /// Runs the importing leg, which reads the staging archive after the events of the exporting leg.
    pub(super) async fn run_from(
        &self,
        staging: &StagingArchive,
        leg: Leg,
        feed: UnboundedReceiver<ExportEvent>,
        agent: Option<&AgentClient>,
    ) -> Result<Outcome> {
        let Some(agent) = agent else {
            let source = staging.follow(&leg.plan, feed);
            return Leg { source, ..leg }.run().await;
        };
        let events = leg.events.clone();
        agent.run_leg(self.leg_request(leg, true), events, None, Some(feed)).await
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
