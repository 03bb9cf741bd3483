//! A trial: makes a table in the target's database and drops it again.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use super::super::words::named;
use super::{Target, settable};
use crate::catalog::Printable;
use crate::error::Result;
use crate::mysql::connect::Conn;
use crate::mysql::ddl::quote_name;
use crate::report::Finding;

/// Only where the database is there and stays, and where the grants promise that the table can be dropped.
pub(super) async fn check(conn: &mut Conn, target: &Target<'_>) -> Result<Option<Finding>> {
    let Some(database) = target.stored.as_deref().filter(|_| !target.options.recreate_database) else {
        return Ok(None);
    };
    let quiet = target.options.skip_binlog && settable(conn, target, "sql_log_bin", "OFF").await?;
    if quiet {
        conn.exec("SET SESSION sql_log_bin = OFF").await?;
    }
    let random = RandomState::new().build_hasher().finish();
    let probe = format!("{}.`_dbgraft_probe_{random:016x}`", quote_name(database));
    let made = conn.exec(&format!("CREATE TABLE {probe} (a INT NOT NULL PRIMARY KEY)")).await;
    let dropped = conn.exec(&format!("DROP TABLE IF EXISTS {probe}")).await;
    if quiet {
        conn.exec(&format!("SET SESSION sql_log_bin = {}", target.party.settings.text("sql_log_bin"))).await?;
    }
    for result in [made, dropped] {
        match result {
            Ok(_) => {}
            Err(error) if error.code().is_none() => return Err(error),
            Err(error) => {
                let error = error.to_string();
                return Ok(Some(Finding::error(format!(
                    "no table can be made and dropped in database {} of the target: {}",
                    named(database),
                    Printable(&error)
                ))));
            }
        }
    }
    Ok(None)
}
