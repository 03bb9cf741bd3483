//! Looks for XA transactions that are prepared at a server: a log that is read from now on does not have their rows.

use std::time::{Duration, Instant};

use super::binlog;
use super::connect::{Conn, ServerAddress};
use super::connection_registry::ConnectionRegistry;
use super::xa_recover::{Prepared, read_prepared};
use crate::catalog::Printable;
use crate::change::LogPosition;
use crate::error::Result;
use crate::report::Finding;

const INTERVAL: Duration = Duration::from_millis(100);
/// How long XA transactions may stay prepared before they are looked up.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a transaction may stay prepared before its XA COMMIT is looked for in the log.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(1);

/// Waits until those are committed or rolled back that are prepared now. Returns those that are not after `timeout`. An
/// account that may not see them waits for none.
pub(super) async fn wait_until_decided(conn: &mut Conn, timeout: Duration) -> Result<Prepared> {
    let until = Instant::now() + timeout;
    let mut lasting: Option<Prepared> = None;
    loop {
        let Some(mut left) = read_prepared(conn).await? else { return Ok(Prepared::new()) };
        left.retain(|name, _| lasting.as_ref().is_none_or(|before| before.contains_key(name)));
        if left.is_empty() || Instant::now() >= until {
            return Ok(left);
        }
        lasting = Some(left);
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Adds the finding that refuses those that stay prepared: neither the snapshot nor the log that is read holds their rows.
pub(super) async fn refuse(conn: &mut Conn, mut findings: Vec<Finding>) -> Result<Vec<Finding>> {
    let lasting = wait_until_decided(conn, TIMEOUT).await?;
    findings.extend((!lasting.is_empty()).then(|| refusal(&lasting)));
    Ok(findings)
}

/// Searches a place in the log from which it has the rows of all that stay prepared, and puts it in the place of `start`.
/// Refuses those that the log does not have.
pub(super) async fn search(
    conn: &mut Conn,
    address: &ServerAddress,
    connections: &ConnectionRegistry,
    start: &mut Option<LogPosition>,
) -> Result<Option<Finding>> {
    let lasting = wait_until_decided(conn, TIMEOUT).await?;
    if lasting.is_empty() {
        return Ok(None);
    }
    match binlog::find_prepared(address, connections, lasting.keys().cloned().collect()).await {
        Ok(Some(place)) => {
            *start = Some(place);
            Ok(None)
        }
        Err(error) if error.is_retryable() => Err(error),
        // An account that may not read the log is told by another check.
        Ok(None) | Err(_) => Ok(Some(refusal(&lasting))),
    }
}

/// Whether a snapshot from now on has every transaction that the log has before a place. MariaDB logs an XA COMMIT, shows it in
/// the place of snapshots, and commits it then; until then the transaction is prepared.
pub(super) async fn are_committed(
    conn: &mut Conn,
    address: &ServerAddress,
    connections: &ConnectionRegistry,
    before: &LogPosition,
) -> Result<bool> {
    for name in wait_until_decided(conn, COMMIT_TIMEOUT).await?.keys() {
        if binlog::find_commit(address, connections, name, before).await?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn refusal(lasting: &Prepared) -> Finding {
    let names: Vec<String> = lasting.values().map(|name| Printable(name).to_string()).collect();
    Finding::error(format!(
        "XA transactions are prepared at the source, and neither the snapshot nor the log that is read holds their rows: {}: end \
         them by XA COMMIT or XA ROLLBACK (XA RECOVER lists them)",
        names.join(", ")
    ))
}
