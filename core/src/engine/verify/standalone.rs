//! A comparison without a clone: `dbgraft verify`.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Comparer;
use super::comparable::incompatibility;
use crate::engine::leg::Leg;
use crate::engine::task_set::run_until_done;
use crate::error::Result;
use crate::event::Phase;
use crate::plan::{Plan, TablePlan};
use crate::verification::{Difference, Verification};

impl Leg {
    /// Compares the source with the sink without changing either. Dropping the future stops it. After that, abort the
    /// sink and close the source.
    ///
    /// With a job by which the target follows the source, both may change meanwhile: only differences that last are told.
    /// `is_filtered_alike` says that the target has only rows that the row filters of the plan choose.
    pub(crate) async fn compare(
        mut self,
        followed_job: Option<String>,
        is_filtered_alike: bool,
    ) -> Result<Verification> {
        self.emit_phase(Phase::Verify);
        let counterparts = self.sink.counterparts(&self.plan).await?;
        let mut plan = Plan::clone(&self.plan);
        let mut target_tables = Vec::new();
        let mut incomparable = Vec::new();
        for (table, counterpart) in plan.tables.iter_mut().zip(counterparts) {
            let reason = match &counterpart {
                None => Some("the table is missing at the target".to_owned()),
                Some(counterpart) => incompatibility(&table.table, &counterpart.table),
            };
            incomparable.push(reason.map(|what| Difference::new(table.table.object(), what)));
            let counterpart = counterpart.unwrap_or_else(|| table.clone());
            if self.source.reads_any_range() && !table.chunks.is_empty() {
                table.chunk_key.clone_from(&counterpart.chunk_key);
                table.chunks.clone_from(&counterpart.chunks);
            }
            // The target is read with the source's expressions, and with the filter if it may have other rows.
            let TablePlan { chunk_key, chunks, .. } = counterpart;
            let filter = table.filter.clone().filter(|_| !is_filtered_alike);
            target_tables.push(TablePlan { chunk_key, chunks, filter, ..table.clone() });
        }
        self.plan = Arc::new(plan);
        let comparer = Arc::new(Comparer::new(self, target_tables, followed_job));
        let (sender, receiver) = mpsc::unbounded_channel();
        for (number, difference) in (0..).zip(incomparable) {
            match difference {
                Some(difference) => comparer.add_difference(number, difference),
                None => comparer.add_unread_table(number, &sender),
            }
        }
        drop(sender);
        let mut tasks = JoinSet::new();
        comparer.spawn_tasks(&mut tasks, receiver);
        let leg = &comparer.leg;
        run_until_done(tasks, || leg.emit_progress(Phase::Verify, &comparer.meter)).await?;
        leg.emit_progress(Phase::Verify, &comparer.meter);
        leg.emit_phase(Phase::Done);
        Ok(comparer.take_verification())
    }
}
