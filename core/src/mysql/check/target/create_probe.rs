//! Checks that a table can be created in the target's database and dropped again, by doing so.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use super::super::message_format::display_name;
use super::{PreflightContext, can_set_variable};
use crate::catalog::Printable;
use crate::error::Result;
use crate::mysql::connect::{Conn, OkPacket, ServerAddress};
use crate::mysql::ddl::quote_name;
use crate::mysql::preflight_remains::{PROBE_COMMENT, PROBE_PREFIX};
use crate::mysql::session;
use crate::report::Finding;

/// Probes a database that exists and is not dropped by the clone. The caller has checked the privilege to drop the
/// table.
pub(super) async fn check(
    conn: &mut Conn,
    address: &ServerAddress,
    target: &PreflightContext<'_>,
) -> Result<Option<Finding>> {
    let Some(database) = target.stored_name.as_deref().filter(|_| !target.options.recreate_database) else {
        return Ok(None);
    };
    let without_binlog = target.options.skip_binlog && can_set_variable(conn, target, "sql_log_bin", "OFF").await?;
    if without_binlog {
        conn.exec("SET SESSION sql_log_bin = OFF").await?;
    }
    let random = RandomState::new().build_hasher().finish();
    let probe = format!("{}.`{PROBE_PREFIX}{random:016x}`", quote_name(database));
    let created =
        conn.exec(&format!("CREATE TABLE {probe} (a INT NOT NULL PRIMARY KEY) COMMENT '{PROBE_COMMENT}'")).await;
    let drop = format!("DROP TABLE IF EXISTS {probe}");
    let dropped = conn.exec(&drop).await;
    let is_lost = |result: &Result<OkPacket>| result.as_ref().is_err_and(|error| error.code().is_none());
    if (is_lost(&created) || is_lost(&dropped))
        && let Ok(mut other) = session::open_ddl(address, target.options).await
    {
        // The table may exist, and would stay.
        let _ = other.exec(&drop).await;
    }
    if without_binlog {
        conn.exec(&format!("SET SESSION sql_log_bin = {}", target.account.variables.text("sql_log_bin"))).await?;
    }
    for result in [created, dropped] {
        match result {
            Ok(_) => {}
            Err(error) if error.code().is_none() => return Err(error),
            Err(error) => {
                let error = error.to_string();
                return Ok(Some(Finding::error(format!(
                    "no table can be made and dropped in database {} of the target: {}",
                    display_name(database),
                    Printable(&error)
                ))));
            }
        }
    }
    Ok(None)
}
