//! Reads the position in a server's binary log.

use super::connect::Conn;
use crate::catalog::Flavor;
use crate::error::Result;
use crate::plan::{Position, SnapshotMethod};

/// Reads the current position in the binary log, if the server has one and the account may see it.
pub(super) async fn read_position(conn: &mut Conn, method: SnapshotMethod) -> Result<Position> {
    let mut position = Position::unknown(method);
    // The statement was renamed in MySQL 8.2; MariaDB keeps the old name.
    for sql in ["SHOW BINARY LOG STATUS", "SHOW MASTER STATUS"] {
        match conn.row(sql).await {
            Ok(Some(row)) => {
                position.binlog_file = row.text(0);
                position.binlog_position = Some(row.number(1));
                position.gtid = row.text(4).filter(|gtid| !gtid.is_empty());
                break;
            }
            Ok(None) => break,
            Err(error) if error.code().is_none() => return Err(error),
            Err(_) => {}
        }
    }
    if conn.server.flavor == Flavor::MariaDb
        && let Ok(Some(row)) = conn.row("SELECT @@gtid_binlog_pos").await
    {
        position.gtid = row.text(0).filter(|gtid| !gtid.is_empty());
    }
    if position.binlog_file.is_some() {
        position.log_server = Some(log_server(conn).await?);
    }
    Ok(position)
}

/// The databases whose changes alone are in the log, and those whose changes are not.
pub(super) struct LogFilters {
    pub(super) only: Vec<String>,
    pub(super) ignored: Vec<String>,
}

/// Reads which databases the log holds; `None` if the account may not see it.
pub(super) async fn read_log_filters(conn: &mut Conn) -> Result<Option<LogFilters>> {
    for sql in ["SHOW BINARY LOG STATUS", "SHOW MASTER STATUS"] {
        let names = |list: String| list.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        match conn.row(sql).await {
            Ok(row) => {
                return Ok(row.map(|row| LogFilters { only: names(row.string(2)), ignored: names(row.string(3)) }));
            }
            Err(error) if error.code().is_none() => return Err(error),
            Err(_) => {}
        }
    }
    Ok(None)
}

/// Reads the identity of the server that writes the binary log.
pub(super) async fn log_server(conn: &mut Conn) -> Result<String> {
    let sql = match conn.server.flavor {
        Flavor::MySql => "SELECT @@GLOBAL.server_uuid",
        Flavor::MariaDb => "SELECT CONCAT(@@GLOBAL.server_id, '@', @@GLOBAL.hostname, ':', @@GLOBAL.port)",
    };
    Ok(conn.row(sql).await?.map(|row| row.string(0)).unwrap_or_default())
}
