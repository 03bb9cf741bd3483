//! Tries definitions of the other family's on the target itself, in a database of their own that is gone at once: what
//! it refuses is known before anything is written.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use super::connect::Conn;
use super::ddl::{self, Dialect, quote_name};
use super::session;
use super::target::Target;
use super::undo::Made;
use crate::catalog::{Catalog, Table};
use crate::error::Result;
use crate::fidelity::{Fidelity, Severity};

impl Target {
    /// What the target does not take of these tables. Without the right to make a database nothing is tried.
    pub(super) async fn try_tables(&self, catalog: &Catalog) -> Result<Vec<Fidelity>> {
        let mut conn = self.running.watch(session::definer(&self.address, &self.options).await?).await?;
        // No replica needs to know of it, where the account may say so.
        conn.set_each(&["sql_log_bin = 0"]).await?;
        let random = RandomState::new().build_hasher().finish();
        let name = format!("_dbgraft_trial_{random:016x}");
        self.undo_log.add(Made::Trial(name.clone()));
        let tried = try_each(&mut conn, &name, catalog).await;
        let dropped = conn.exec(&format!("DROP DATABASE IF EXISTS {}", quote_name(&name))).await;
        if tried.as_ref().err().or(dropped.as_ref().err()).is_some_and(|error| error.code().is_none()) {
            // The connection is lost: another one is to clear up.
            self.undo().await?;
        }
        self.undo_log.withdraw(Made::Trial(name));
        self.running.close(conn);
        tried
    }
}

async fn try_each(conn: &mut Conn, name: &str, catalog: &Catalog) -> Result<Vec<Fidelity>> {
    let database = quote_name(name);
    match conn.exec(&format!("CREATE DATABASE {database}")).await {
        Err(error) if error.code().is_none() => return Err(error),
        Err(_) => return Ok(Vec::new()),
        Ok(_) => conn.exec(&format!("USE {database}")).await?,
    };
    let mut refused = Vec::new();
    for table in &catalog.tables {
        match try_table(conn, table).await {
            Err(error) if error.code().is_none() => return Err(error),
            Err(error) => refused.push(Fidelity {
                object: table.object(),
                what: "definition".to_owned(),
                severity: Severity::Error,
                source: format!("the target does not take it: {error}"),
                target: String::new(),
            }),
            Ok(()) => {}
        }
    }
    Ok(refused)
}

async fn try_table(conn: &mut Conn, table: &Table) -> Result<()> {
    // What is not understood here is named by the other checks.
    let Ok(ddl) = ddl::split_table(&table.create, Dialect::default()) else { return Ok(()) };
    conn.exec(&ddl.create_with_keys).await?;
    conn.exec(&format!("DROP TABLE {}", quote_name(&table.name))).await.map(drop)
}
