//! A trial: makes a table in the target's database and drops it again.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use super::super::words::named;
use super::{Target, settable};
use crate::catalog::Printable;
use crate::error::Result;
use crate::mysql::connect::{Address, Conn, Done};
use crate::mysql::ddl::quote_name;
use crate::mysql::session;
use crate::report::Finding;

/// Only where the database is there and stays, and where the grants promise that the table can be dropped.
pub(super) async fn check(conn: &mut Conn, address: &Address, target: &Target<'_>) -> Result<Option<Finding>> {
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
    let drop = format!("DROP TABLE IF EXISTS {probe}");
    let dropped = conn.exec(&drop).await;
    let lost = |result: &Result<Done>| result.as_ref().is_err_and(|error| error.code().is_none());
    if (lost(&made) || lost(&dropped))
        && let Ok(mut other) = session::open_ddl(address, target.options).await
    {
        // The table may be there, and would stay.
        let _ = other.exec(&drop).await;
    }
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
