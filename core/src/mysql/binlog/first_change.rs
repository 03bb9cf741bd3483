//! Finds the first change of a plan's tables in a part of a log.

use futures::TryStreamExt as _;

use super::change_stream::open_changes;
use super::log_reader::UnknownTables;
use super::statement::may_change_tables;
use crate::catalog::Printable;
use crate::change::{LogEvent, LogPosition, RowChanges};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::MemoryBudget;
use crate::mysql::connect::ServerAddress;
use crate::mysql::connection_registry::ConnectionRegistry;
use crate::plan::Plan;

/// What a part of a log has.
pub(in crate::mysql) enum SearchedLog {
    /// No change. The position is its end, or a later one without a change in between.
    Unchanged(LogPosition),
    /// A change, in words.
    Changed(String),
}

/// Searches the log between two places, each of them between two transactions.
///
/// # Errors
/// Those of reading the log.
pub(in crate::mysql) async fn find_change(
    (address, connections): (&ServerAddress, &ConnectionRegistry),
    plan: &Plan,
    from: &LogPosition,
    end: &LogPosition,
    memory: &MemoryBudget,
) -> Result<SearchedLog> {
    let is_followed =
        |name: &str| plan.tables.iter().any(|planned| planned.table.name.to_lowercase() == name.to_lowercase());
    let mut events = open_changes((address, connections), plan, from, memory, UnknownTables::Passed).await?;
    // Of the transaction that is read. Its place is known at its end.
    let mut change = None;
    let (reached, change) = loop {
        let event = events.try_next().await?;
        match event.ok_or_else(|| Error::new(ErrorKind::Connection, "the binary log has ended"))? {
            LogEvent::Begin { .. } | LogEvent::Rollback => change = None,
            LogEvent::Rows(changes) => change = change.or_else(|| Some(describe_rows(plan, &changes))),
            LogEvent::Definition { sql, end: reached, .. } if may_change_tables(&sql, is_followed) => {
                break (reached, Some(format!("a definition: {}", Printable(&sql))));
            }
            LogEvent::Commit { end: reached, .. } if change.is_some() || reached.has_reached(end) => {
                break (reached, change);
            }
            LogEvent::Idle { end: reached, .. } if reached.has_reached(end) => break (reached, None),
            LogEvent::Commit { .. } | LogEvent::Idle { .. } | LogEvent::Definition { .. } => {}
        }
    };
    // What ends behind the part has begun behind it.
    Ok(match change.filter(|_| end.has_reached(&reached)) {
        Some(change) => SearchedLog::Changed(change),
        None => SearchedLog::Unchanged(reached),
    })
}

fn describe_rows(plan: &Plan, changes: &RowChanges) -> String {
    let planned = plan.tables.iter().find(|planned| planned.number == changes.table);
    format!("the rows of table {}", Printable(planned.map_or("", |planned| &planned.table.name)))
}
