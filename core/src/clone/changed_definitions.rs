//! Takes over the definitions that a statement of the source has changed, after it was run at the target by hand.

use serde_json::Value;

use super::job_run::JobRun;
use crate::catalog::{ObjectKind, ObjectRef, Printable};
use crate::clone_record::CloneRecord;
use crate::engine::TablePredicate;
use crate::error::{Error, ErrorKind, Result};
use crate::options::CloneOptions;
use crate::plan::Plan;
use crate::selector::{ObjectSelector as _, PatternSelector, select_objects};

impl JobRun {
    /// Plans what is followed by the source's current definitions, with the tables that the clone would take now.
    pub(super) async fn plan_anew(&self, plan: &Plan) -> Result<Plan> {
        let (source, sink) = (&self.ends.source, &self.ends.sink);
        let record = self.with_retries("looking for the clone", || sink.clone_record()).await?.unwrap_or_default();
        let catalog = self.with_retries("reading the source's catalog", || source.catalog()).await?;
        let options = recorded_options(&record.options)?;
        let mut selection = select_objects(&catalog, &PatternSelector::from_options(&options)?, &options)?;
        let left_out: Vec<ObjectRef> = plan.left_out.iter().map(|omitted| omitted.object.clone()).collect();
        selection.omit(&left_out, "was left out by the clone");
        for planned in plan.tables.iter().filter(|planned| planned.filter.is_some()) {
            let name = &planned.table.name;
            match selection.tables.iter_mut().find(|chosen| chosen.name == *name) {
                // The record does not hold the filters of a custom selector.
                Some(chosen) => chosen.filter.clone_from(&planned.filter),
                None => {
                    let message = "a table with a row filter is gone, so that nothing says which rows of another are to be \
                                   followed: clone anew";
                    return Err(Error::new(ErrorKind::Preflight, message).with("table", Printable(name)));
                }
            }
        }
        let now = self.with_retries("planning", || source.plan(&selection)).await?;
        // Those of a way back are the target's own.
        let definitions = if plan.job.way_back.is_some() { plan.definitions.clone() } else { now.definitions.clone() };
        let Plan { position, job, schema, fidelity, .. } = plan.clone();
        Ok(Plan { position, job, schema, fidelity, definitions, ..now })
    }
}

/// Decides by these options whether a table of a new name is followed.
pub(super) fn table_predicate(options: &CloneOptions) -> Result<TablePredicate> {
    let patterns = PatternSelector::from_options(options)?;
    Ok(Box::new(move |name: &str| patterns.select(&ObjectRef::new(ObjectKind::Table, name))))
}

/// Decides by the options of a recorded clone whether a table of a new name is followed.
pub(super) fn recorded_predicate(record: &CloneRecord, plan: &Plan) -> Result<TablePredicate> {
    let options = recorded_options(&record.options)?;
    let leaves_tables_out = plan.left_out.iter().any(|omitted| omitted.object.kind == ObjectKind::Table);
    // The record does not hold a custom selector.
    match leaves_tables_out && options.include.is_empty() && options.exclude.is_empty() {
        true => Ok(Box::new(|_| false)),
        false => table_predicate(&options),
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
