//! Tries definitions in a temporary database of the target, so that refusals are known before anything is written.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use super::connect::Conn;
use super::ddl::{self, Dialect, quote_name};
use super::define::execute_ddl;
use super::session;
use super::target::TargetDatabase;
use super::undo_log::CreatedItem;
use crate::catalog::{Catalog, ObjectKind, Table};
use crate::error::Result;
use crate::fidelity::{FidelityIssue, Severity};

const INDEX_TOO_LONG: u16 = 1709;

impl TargetDatabase {
    /// Returns the tables to try if both servers are of one family.
    ///
    /// These are all tables if the target has another release or another default row format. Otherwise they are the tables
    /// whose defaults use a sequence, which may be missing.
    pub(super) async fn tables_to_try(&self, catalog: &Catalog) -> Result<Vec<Table>> {
        let mut conn = session::open_control(&self.address).await?;
        let usual = row_format(&mut conn).await?.eq_ignore_ascii_case("dynamic");
        let all = !usual || !catalog.server.is_same_release(&conn.server);
        let asks = |table: &&Table| {
            let words = ["NEXTVAL", "LASTVAL", "SETVAL"];
            all || ddl::tokenize(&table.create, Dialect::default()).iter().any(|token| token.is_any_word(&words))
        };
        Ok(catalog.tables.iter().filter(asks).cloned().collect())
    }

    /// Returns the tables that the target refuses. Without the privilege to create a database, no table is tried.
    pub(super) async fn try_tables(&self, catalog: &Catalog) -> Result<Vec<FidelityIssue>> {
        let mut conn = self.connections.register(session::open_ddl(&self.address, &self.options).await?).await?;
        // Keeps the trial out of the binary log, if the account may do that.
        conn.try_set_each(&["sql_log_bin = 0"]).await?;
        let random = RandomState::new().build_hasher().finish();
        let name = format!("_dbgraft_trial_{random:016x}");
        self.undo_log.add(CreatedItem::TrialDatabase(name.clone()));
        let tried = try_each(&mut conn, &name, catalog).await;
        let dropped = conn.exec(&format!("DROP DATABASE IF EXISTS {}", quote_name(&name))).await;
        if tried.as_ref().err().or(dropped.as_ref().err()).is_some_and(|error| error.code().is_none()) {
            // The connection is lost, so another one removes the trial database.
            self.undo_all().await?;
        }
        self.undo_log.withdraw(CreatedItem::TrialDatabase(name));
        self.connections.close(conn);
        tried
    }
}

async fn try_each(conn: &mut Conn, name: &str, catalog: &Catalog) -> Result<Vec<FidelityIssue>> {
    let database = quote_name(name);
    match conn.exec(&format!("CREATE DATABASE {database}")).await {
        Err(error) if error.code().is_none() => return Err(error),
        Err(_) => return Ok(Vec::new()),
        Ok(_) => conn.exec(&format!("USE {database}")).await?,
    };
    let mut refused = Vec::new();
    let rename = ddl::DatabaseRename {
        from: catalog.database.name.clone(),
        to: name.to_owned(),
        ignores_case: catalog.server.folds_names,
    };
    for sequence in catalog.definitions.iter().filter(|definition| definition.object.kind == ObjectKind::Sequence) {
        // If the target refuses the sequence, it also refuses the tables that use it.
        conn.try_exec_each(&[&ddl::rename_database(&sequence.create, Dialect::default(), &rename).0]).await?;
    }
    for table in &catalog.tables {
        match try_table(conn, table, &rename).await {
            Err(error) if error.code().is_none() => return Err(error),
            Err(mut error) => refused.push(FidelityIssue {
                object: table.object(),
                what: "definition".to_owned(),
                severity: Severity::Error,
                source: {
                    if error.code() == Some(INDEX_TOO_LONG) {
                        error = error.with("innodb_default_row_format", row_format(conn).await?);
                    }
                    format!("the target does not take it: {error}")
                },
                target: String::new(),
            }),
            Ok(()) => {}
        }
    }
    Ok(refused)
}

/// The default row format of InnoDB tables; empty if the server does not report it.
async fn row_format(conn: &mut Conn) -> Result<String> {
    let row = conn.row("SHOW VARIABLES LIKE 'innodb_default_row_format'").await?;
    Ok(row.map(|row| row.string(1)).unwrap_or_default())
}

async fn try_table(conn: &mut Conn, table: &Table, rename: &ddl::DatabaseRename) -> Result<()> {
    // Other checks report a definition that cannot be parsed.
    let Ok(ddl) = ddl::split_table(&table.create, Dialect::default()) else { return Ok(()) };
    execute_ddl(conn, &ddl::rename_database(&ddl.create_with_keys, Dialect::default(), rename).0).await?;
    conn.exec(&format!("DROP TABLE {}", quote_name(&table.name))).await.map(drop)
}
