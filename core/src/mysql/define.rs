//! Runs a statement that defines a table or its keys, under the modes that it needs.

use super::connect::{Conn, OkPacket};
use super::ddl;
use crate::catalog::Flavor;
use crate::error::Result;

/// What a server says of an expression, or of a partition's bound, that it takes only where numbers without a sign are
/// subtracted into ones with it.
const WANTS_SIGN: [u16; 2] = [1563, 1901];

/// Runs the statement. A server keeps what needs a mode, and shows it without saying so.
pub(super) async fn define(conn: &mut Conn, sql: &str) -> Result<OkPacket> {
    let leftover = match conn.server.flavor {
        Flavor::MariaDb => ddl::uncomment_unknown_options(sql),
        Flavor::MySql => None,
    };
    let (sql, modes) = match &leftover {
        Some(sql) => (sql.as_str(), ",IGNORE_BAD_TABLE_OPTIONS"),
        None => (sql, ""),
    };
    match run_under(conn, modes, sql).await {
        Err(error) if error.code().is_some_and(|code| WANTS_SIGN.contains(&code)) => {
            let again = run_under(conn, &format!("{modes},NO_UNSIGNED_SUBTRACTION"), sql).await;
            again.map_err(|second| if second.code().is_some() { error } else { second })
        }
        other => other,
    }
}

/// Runs the statement with these modes beside the session's own.
async fn run_under(conn: &mut Conn, modes: &str, sql: &str) -> Result<OkPacket> {
    if modes.is_empty() {
        return conn.exec(sql).await;
    }
    let set = "SET @dbgraft_modes = @@SESSION.sql_mode, SESSION sql_mode = CONCAT(@@SESSION.sql_mode, ";
    conn.exec(&format!("{set}'{modes}')")).await?;
    let done = conn.exec(sql).await;
    if done.as_ref().is_err_and(|error| error.code().is_none()) {
        return done;
    }
    conn.exec("SET SESSION sql_mode = @dbgraft_modes").await?;
    done
}
