//! A leg, where its ends are: here, or on the site that has both.

use tokio::sync::mpsc::UnboundedReceiver;

use super::OpenJob;
use crate::batch::ExportEvent;
use crate::endpoint::StagingArchive;
use crate::engine::{Leg, Outcome};
use crate::error::Result;
use crate::remote::Agent;
use crate::remote::message::Errand;

impl OpenJob {
    /// Runs a leg between its own ends.
    pub(super) async fn run(&self, leg: Leg, site: Option<&Agent>) -> Result<Outcome> {
        let Some(agent) = site else { return leg.run().await };
        let (events, staged) = (leg.events.clone(), leg.staged.clone());
        agent.run(self.errand(leg, false), events, staged, None).await
    }

    /// Runs the leg out of the stage, which is fed by what the other leg tells.
    pub(super) async fn run_from(
        &self,
        stage: &StagingArchive,
        leg: Leg,
        feed: UnboundedReceiver<ExportEvent>,
        site: Option<&Agent>,
    ) -> Result<Outcome> {
        let Some(agent) = site else {
            let source = stage.follow(&leg.plan, feed);
            return Leg { source, ..leg }.run().await;
        };
        let events = leg.events.clone();
        agent.run(self.errand(leg, true), events, None, Some(feed)).await
    }

    fn errand(&self, leg: Leg, follow: bool) -> Errand {
        Errand {
            name: leg.name,
            plan: leg.plan.as_ref().clone(),
            threads: leg.threads,
            memory: self.options.memory,
            max_rate: leg.max_rate,
            verify: leg.verify,
            list_rows: leg.list_rows,
            follow,
        }
    }
}
