//! Takes a snapshot at a known place in the log without any lock: the log shows that the tables did not change while the
//! transactions of the readers began.
//!
//! MySQL adds a GTID to `gtid_executed` after it has committed the transaction, and writes the transaction into the log
//! before. So a snapshot holds all transactions of `gtid_executed` as it was before, and none behind the end of the log as it
//! is after. MariaDB tells the place of each snapshot itself (`Binlog_snapshot_file`, `Binlog_snapshot_position`, see
//! <https://mariadb.com/kb/en/enhancements-for-start-transaction-with-consistent-snapshot/>), but a snapshot may lack XA
//! transactions whose XA COMMIT is before that place: measured on 10.11 and 11.8 beside four writers, 4 of 1,500 snapshots, and
//! 297 of 12,000 that began behind the end of the log; XA RECOVER listed each of these transactions. So the place of an earlier
//! snapshot is taken, once what was prepared then is decided.

use std::time::{Duration, Instant};

use futures::future::try_join_all;

use super::binlog::{self, SearchedLog};
use super::connect::{Conn, ServerAddress};
use super::connection_registry::ConnectionRegistry;
use super::ddl::quote_text;
use super::{log_position, prepared_transactions, session};
use crate::catalog::Flavor;
use crate::change::LogPosition;
use crate::error::Result;
use crate::memory::MemoryBudget;
use crate::options::CloneOptions;
use crate::plan::{Plan, Position, SnapshotMethod};

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// Begins a transaction of each reader, so that all see the same rows of the plan's tables. Returns their place in the log, or
/// why there is none. Tries for as long as `--lock-wait` says.
pub(super) async fn begin_unlocked(
    conn: &mut Conn,
    readers: &mut [Conn],
    plan: &Plan,
    (address, options): (&ServerAddress, &CloneOptions),
    connections: &ConnectionRegistry,
) -> Result<Result<Position, String>> {
    let until = Instant::now() + Duration::from_secs(options.lock_wait);
    // The log is read between two of its statements.
    conn.exec("SET SESSION wait_timeout = DEFAULT").await?;
    let mut tries = 0;
    loop {
        let (start, end) = match begin_all(conn, readers, (address, connections)).await? {
            Ok(places) => places,
            Err(why) => return Ok(Err(why)),
        };
        let (Some(from), Some(to)) = (start.log_position(), end.log_position()) else {
            return Ok(Err("the account may not see the position in the binary log".to_owned()));
        };
        let change = match find_change(plan, &from, &to, (address, options), connections).await {
            Ok(SearchedLog::Unchanged(_)) => return Ok(Ok(start)),
            Ok(SearchedLog::Changed(change)) => change,
            Err(error) if error.code().is_some() => return Ok(Err(error.to_string())),
            Err(error) if error.is_retryable() => return Err(error),
            // Such as the XA COMMIT of a transaction that was prepared before.
            Err(error) => error.to_string(),
        };
        tries += 1;
        if Instant::now() >= until {
            return Ok(Err(format!("the tables changed meanwhile in each of {tries} tries, in the last: {change}")));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Begins the transactions. Returns a place up to which each of them has all changes, and one behind which none has any.
async fn begin_all(
    conn: &mut Conn,
    readers: &mut [Conn],
    (address, connections): (&ServerAddress, &ConnectionRegistry),
) -> Result<Result<(Position, Position), String>> {
    let method = SnapshotMethod::UnchangedLog;
    if conn.server.flavor == Flavor::MariaDb {
        let server = log_position::log_server(conn).await?;
        let untold = || Ok(Err("the server does not tell the places of snapshots in its binary log".to_owned()));
        conn.exec(session::BEGIN_SNAPSHOT).await?;
        let first = read_snapshot_place(conn, &server).await?;
        conn.exec("COMMIT").await?;
        let Some(first) = first else { return untold() };
        match prepared_transactions::are_committed(conn, address, connections, &first).await {
            Ok(true) => {}
            Ok(false) => return Ok(Err("an XA transaction stays prepared whose XA COMMIT the log has".to_owned())),
            Err(error) if error.code().is_some() => return Ok(Err(error.to_string())),
            Err(error) => return Err(error),
        }
        try_join_all(readers.iter_mut().map(|reader| reader.exec(session::BEGIN_SNAPSHOT))).await?;
        let places = try_join_all(readers.iter_mut().map(|reader| read_snapshot_place(reader, &server))).await?;
        let places: Option<Vec<LogPosition>> = places.into_iter().collect();
        let last = places.and_then(|places| places.into_iter().max_by_key(LogPosition::order));
        let Some(last) = last else { return untold() };
        let sql = format!("SELECT BINLOG_GTID_POS({}, {})", quote_text(&first.file), first.offset);
        let gtids = conn.row(&sql).await.ok().flatten().and_then(|row| row.text(0)).filter(|gtids| !gtids.is_empty());
        let first = LogPosition { gtids, ..first };
        return Ok(Ok((Position::unknown(method).at(&first), Position::unknown(method).at(&last))));
    }
    let mode = conn.row("SELECT @@GLOBAL.gtid_mode").await;
    if !mode.ok().flatten().is_some_and(|row| row.string(0).eq_ignore_ascii_case("ON")) {
        return Ok(Err("the source has no GTIDs (gtid_mode), which tell what a snapshot holds".to_owned()));
    }
    let start = log_position::read_position(conn, method).await?;
    try_join_all(readers.iter_mut().map(|reader| reader.exec(session::BEGIN_SNAPSHOT))).await?;
    let end = log_position::read_position(conn, method).await?;
    // An empty set is one, too.
    let gtid = start.gtid.clone().unwrap_or_default();
    Ok(Ok((Position { gtid: Some(gtid), ..start }, end)))
}

/// Reads the place of a reader's snapshot in MariaDB's log; `None` without one.
async fn read_snapshot_place(reader: &mut Conn, server: &str) -> Result<Option<LogPosition>> {
    let rows = reader.rows("SHOW STATUS LIKE 'binlog_snapshot_%'").await?;
    let value = |name: &str| rows.iter().find(|row| row.string(0).eq_ignore_ascii_case(name)).map(|row| row.string(1));
    let file = value("Binlog_snapshot_file").filter(|file| !file.is_empty());
    let offset = value("Binlog_snapshot_position").and_then(|offset| offset.parse().ok());
    let place = |(file, offset)| LogPosition { server: server.to_owned(), file, offset, ..LogPosition::default() };
    Ok(file.zip(offset).map(place))
}

/// Searches the log between the places for a change of the tables.
async fn find_change(
    plan: &Plan,
    from: &LogPosition,
    end: &LogPosition,
    (address, options): (&ServerAddress, &CloneOptions),
    connections: &ConnectionRegistry,
) -> Result<SearchedLog> {
    if plan.server.flavor == Flavor::MariaDb && from.order() == end.order() {
        return Ok(SearchedLog::Unchanged(from.clone()));
    }
    let memory = MemoryBudget::new(options.memory, 1);
    binlog::find_change((address, connections), plan, from, end, &memory).await
}
