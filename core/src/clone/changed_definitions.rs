//! Takes over the definitions that a statement of the source has changed, after it was run at the target by hand.

use serde_json::Value;

use super::job_run::JobRun;
use crate::catalog::ObjectRef;
use crate::clone_record::CloneRecord;
use crate::error::{Error, ErrorKind, Result};
use crate::options::CloneOptions;
use crate::plan::Plan;
use crate::selector::{PatternSelector, select_objects};

impl JobRun {
    /// Plans what is followed by the source's current definitions: new tables are followed too, from their first row on.
    pub(super) async fn plan_anew(&self, record: &CloneRecord, plan: Plan) -> Result<Plan> {
        let source = &self.ends.source;
        let catalog = self.with_retries("reading the source's catalog", || source.catalog()).await?;
        let options = recorded_options(&record.options)?;
        let mut selection = select_objects(&catalog, &PatternSelector::from_options(&options)?, &options)?;
        let left_out: Vec<ObjectRef> = plan.left_out.iter().map(|omitted| omitted.object.clone()).collect();
        selection.omit(&left_out, "was left out by the clone");
        let now = self.with_retries("planning", || source.plan(&selection)).await?;
        Ok(Plan { position: plan.position, job: plan.job, schema: plan.schema, fidelity: plan.fidelity, ..now })
    }
}

/// The options that decided what was cloned.
fn recorded_options(recorded: &Value) -> Result<CloneOptions> {
    let mut all = serde_json::to_value(CloneOptions::default()).unwrap_or_default();
    for (name, value) in recorded.as_object().into_iter().flatten() {
        if let Some(option) = all.get_mut(name) {
            *option = value.clone();
        }
    }
    serde_json::from_value(all)
        .map_err(|error| Error::new(ErrorKind::Preflight, "the clone's options are not known").caused_by(error))
}
