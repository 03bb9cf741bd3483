//! Measures the binary log of a server, over a connection of its own.

use tokio::sync::Mutex;

use super::connect::{Conn, ServerAddress};
use super::{log_position, session};
use crate::change::{LogExtent, LogPosition};
use crate::error::Result;
use crate::plan::SnapshotMethod;

/// Reads the sizes of the files of a log.
#[derive(Default)]
pub(super) struct LogMonitor(Mutex<Option<Conn>>);

impl LogMonitor {
    /// Returns the files of the log from a place on; `None` if they are not known.
    pub(super) async fn measure(&self, address: &ServerAddress, from: &LogPosition) -> Result<Option<LogExtent>> {
        let mut monitor = self.0.lock().await;
        // A connection with an error is not used again.
        let mut conn = match monitor.take() {
            Some(conn) => conn,
            None => session::open_control(address).await?,
        };
        let extent = read_extent(&mut conn, from).await?;
        *monitor = Some(conn);
        Ok(extent)
    }
}

async fn read_extent(conn: &mut Conn, from: &LogPosition) -> Result<Option<LogExtent>> {
    let position = log_position::read_position(conn, SnapshotMethod::None).await?;
    let Some(end) = position.log_position().filter(|end| end.server == from.server) else { return Ok(None) };
    let mut files = vec![(end.file, end.offset)];
    // The server opens each of its files to tell their sizes: it is asked only if there are several.
    if files.iter().all(|(name, _)| *name != from.file) {
        files = match conn.rows("SHOW BINARY LOGS").await {
            Ok(rows) => rows.iter().map(|row| (row.string(0), row.number(1))).collect(),
            Err(error) if error.code().is_none() => return Err(error),
            // The account may not see them.
            Err(_) => return Ok(None),
        };
    }
    let first = files.iter().position(|(name, _)| *name == from.file);
    let files = first.map_or_else(Vec::new, |first| files.split_off(first));
    // A file of this name that ends before the place is another one.
    let has_place = files.first().is_some_and(|(_, bytes)| *bytes >= from.offset);
    Ok(has_place.then_some(LogExtent { server: end.server, files }))
}
