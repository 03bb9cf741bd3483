//! Records that the tables of a resumed clone, which were read at several moments, are of one.

use crate::error::{Error, ErrorKind, Result};
use crate::mysql::journal::{self, JobLine};
use crate::mysql::target::{JournalAccess, TargetDatabase};
use crate::plan::Plan;

/// Replaces the plan in the journal, and removes what the appliers have recorded, both together.
pub(super) async fn record_end(target: &TargetDatabase, access: &JournalAccess, plan: &Plan) -> Result<()> {
    let (JournalAccess { job, owner }, database) = (access, &target.address.database);
    let mut conn = target.journal_session(job).await?;
    conn.exec("START TRANSACTION").await?;
    let contents = journal::read(&mut conn, database).await?.unwrap_or_default();
    if let Some(damage) = contents.damage {
        return Err(Error::new(ErrorKind::Preflight, damage));
    }
    let description = contents.description.ok_or_else(|| journal::lost_ownership_error(database))?;
    let line = JobLine { plan: plan.clone(), ..description };
    journal::end_catch_up(&mut conn, database, job, owner, &line).await?;
    conn.exec("COMMIT").await.map(drop)
}
