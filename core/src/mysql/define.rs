//! Runs DDL statements for tables and keys under the SQL modes that they need.

use super::connect::{Conn, OkPacket};
use super::ddl;
use crate::catalog::Flavor;
use crate::error::Result;

/// The errors of an expression or partition bound that the server accepts only if the subtraction of unsigned numbers
/// has a signed result.
const NEEDS_SIGNED_SUBTRACTION: [u16; 2] = [1563, 1901];

/// Runs the statement, and tries it again under modes that it may need.
///
/// A server keeps definitions that need such a mode, and `SHOW CREATE` does not print the mode.
pub(super) async fn execute_ddl(conn: &mut Conn, sql: &str) -> Result<OkPacket> {
    let leftover = match conn.server.flavor {
        Flavor::MariaDb => ddl::uncomment_unknown_options(sql),
        Flavor::MySql => None,
    };
    let (sql, modes) = match &leftover {
        Some(sql) => (sql.as_str(), ",IGNORE_BAD_TABLE_OPTIONS"),
        None => (sql, ""),
    };
    match run_with_modes(conn, modes, sql).await {
        Err(error) if error.code().is_some_and(|code| NEEDS_SIGNED_SUBTRACTION.contains(&code)) => {
            let again = run_with_modes(conn, &format!("{modes},NO_UNSIGNED_SUBTRACTION"), sql).await;
            again.map_err(|second| if second.code().is_some() { error } else { second })
        }
        other => other,
    }
}

/// Runs the statement with these modes in addition to the session's own.
async fn run_with_modes(conn: &mut Conn, modes: &str, sql: &str) -> Result<OkPacket> {
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
