//! Waits for XA transactions that are prepared at a server: a log that is read from now on does not have their rows.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::connect::Conn;
use crate::error::Result;

const INTERVAL: Duration = Duration::from_millis(500);

/// Waits until those are committed or rolled back that are prepared now. Returns the names of those that are not after
/// `timeout`. An account that may not see them waits for none.
pub(super) async fn wait_until_decided(conn: &mut Conn, timeout: Duration) -> Result<BTreeSet<String>> {
    let until = Instant::now() + timeout;
    let mut lasting: Option<BTreeSet<String>> = None;
    loop {
        let rows = match conn.rows("XA RECOVER").await {
            Ok(rows) => rows,
            Err(error) if error.code().is_none() => return Err(error),
            Err(_) => return Ok(BTreeSet::new()),
        };
        let now: BTreeSet<String> = rows.iter().map(|row| row.string(3)).collect();
        let left = lasting.map_or_else(|| now.clone(), |before| before.intersection(&now).cloned().collect());
        if left.is_empty() || Instant::now() >= until {
            return Ok(left);
        }
        lasting = Some(left);
        tokio::time::sleep(INTERVAL).await;
    }
}
