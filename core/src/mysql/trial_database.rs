//! Tries definitions in a temporary database of the target, so that refusals are known before anything is written.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use super::connect::Conn;
use super::create_objects::run_with_settings;
use super::ddl::{self, DefinerRewrite, Dialect, quote_name};
use super::define::execute_ddl;
use super::definition_rewriter::DefinitionRewriter;
use super::preflight_remains::{self, TRIAL_PREFIX};
use super::session;
use super::target::TargetDatabase;
use super::undo_log::CreatedItem;
use crate::catalog::{Catalog, Definition, ObjectKind, ObjectRef, Table};
use crate::error::{Error, ErrorKind, Result};
use crate::fidelity::{FidelityIssue, Severity};

const INDEX_TOO_LONG: u16 = 1709;
/// The errors of code that refers to what is not there, or that the account may not create: no matter of the release. Other
/// checks report them.
const UNRELATED: [u16; 8] = [1049, 1054, 1146, 1305, 1356, 1418, 1419, 1449];

/// What a trial creates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TrialScope {
    /// The tables, each by itself.
    Tables,
    /// The tables, and then the views, routines, triggers and events.
    Everything,
}

impl TargetDatabase {
    /// Returns the tables to try if both servers are of one release.
    ///
    /// These are all tables if the target has another default row format. Otherwise they are the tables whose defaults use a
    /// sequence, which may be missing.
    pub(super) async fn tables_to_try(&self, catalog: &Catalog) -> Result<Vec<Table>> {
        let mut conn = session::open_control(&self.address).await?;
        let usual = row_format(&mut conn).await?.eq_ignore_ascii_case("dynamic");
        let asks = |table: &&Table| {
            let words = ["NEXTVAL", "LASTVAL", "SETVAL"];
            !usual || ddl::tokenize(&table.create, Dialect::default()).iter().any(|token| token.is_any_word(&words))
        };
        Ok(catalog.tables.iter().filter(asks).cloned().collect())
    }

    /// Returns the objects that the target refuses. Without the privilege to create a database, nothing is tried.
    pub(super) async fn try_definitions(&self, catalog: &Catalog, scope: TrialScope) -> Result<Vec<FidelityIssue>> {
        let mut conn = self.connections.register(session::open_ddl(&self.address, &self.options).await?).await?;
        // Keeps the trial out of the binary log, if the account may do that.
        conn.try_set_each(&["sql_log_bin = 0"]).await?;
        let random = RandomState::new().build_hasher().finish();
        let name = format!("{TRIAL_PREFIX}{random:016x}");
        self.undo_log.add(CreatedItem::TrialDatabase(name.clone()));
        let tried = try_all(&mut conn, &name, &self.address.database, catalog, scope).await;
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

/// Tries the objects in a new database of this name. `target` is the database of the clone.
async fn try_all(
    conn: &mut Conn,
    name: &str,
    target: &str,
    catalog: &Catalog,
    scope: TrialScope,
) -> Result<Vec<FidelityIssue>> {
    let database = quote_name(name);
    match conn.exec(&format!("CREATE DATABASE {database}")).await {
        Err(error) if error.code().is_none() => return Err(error),
        Err(_) => return Ok(Vec::new()),
        Ok(_) => conn.exec(&format!("USE {database}")).await?,
    };
    preflight_remains::mark_trial(conn, name, target).await?;
    let mut refused = Vec::new();
    let rename = ddl::DatabaseRename {
        from: catalog.database.name.clone(),
        to: name.to_owned(),
        ignores_case: catalog.server.folds_names,
    };
    let of = |kind: ObjectKind| catalog.definitions.iter().filter(move |definition| definition.object.kind == kind);
    for sequence in of(ObjectKind::Sequence) {
        // If the target refuses the sequence, it also refuses the tables that use it.
        let create = ddl::rename_database(&sequence.create, Dialect::default(), &rename).0;
        refused.extend(refusal(&sequence.object, conn.exec(&create).await.map(drop))?);
    }
    for table in &catalog.tables {
        let mut tried = try_table(conn, table, &rename, scope).await;
        if let Err(error) = tried.as_mut()
            && error.code() == Some(INDEX_TOO_LONG)
        {
            let with_format = |error: Error, format| error.with("innodb_default_row_format", format);
            let format = row_format(conn).await?;
            tried = tried.map_err(|error| with_format(error, format));
        }
        refused.extend(refusal(&table.object(), tried)?);
    }
    if scope == TrialScope::Everything {
        refused.extend(try_code(conn, catalog, rename).await?);
    }
    Ok(refused)
}

/// The issue of a refused object. An error without a code is a lost connection.
fn refusal(object: &ObjectRef, tried: Result<()>) -> Result<Option<FidelityIssue>> {
    match tried {
        Ok(()) => Ok(None),
        Err(error) if error.code().is_none() && error.kind() != ErrorKind::Unsupported => Err(error),
        Err(error) => Ok(Some(FidelityIssue {
            object: object.clone(),
            what: "definition".to_owned(),
            severity: Severity::Error,
            source: format!("the target does not take it: {error}"),
            target: String::new(),
        })),
    }
}

/// The default row format of InnoDB tables; empty if the server does not report it.
async fn row_format(conn: &mut Conn) -> Result<String> {
    let row = conn.row("SHOW VARIABLES LIKE 'innodb_default_row_format'").await?;
    Ok(row.map(|row| row.string(1)).unwrap_or_default())
}

/// Creates a table. It stays if code is tried too, which may refer to it.
async fn try_table(conn: &mut Conn, table: &Table, rename: &ddl::DatabaseRename, scope: TrialScope) -> Result<()> {
    // Other checks report a definition that cannot be parsed.
    let Ok(ddl) = ddl::split_table(&table.create, Dialect::default()) else { return Ok(()) };
    execute_ddl(conn, &ddl::rename_database(&ddl.create_with_keys, Dialect::default(), rename).0).await?;
    match scope {
        TrialScope::Tables => conn.exec(&format!("DROP TABLE {}", quote_name(&table.name))).await.map(drop),
        TrialScope::Everything => Ok(()),
    }
}

/// Creates routines, views, triggers and events beside the tables.
async fn try_code(conn: &mut Conn, catalog: &Catalog, rename: ddl::DatabaseRename) -> Result<Vec<FidelityIssue>> {
    // The account itself is the definer: another one may be missing, which other checks report.
    let rewriter = DefinitionRewriter { definer: DefinerRewrite::Strip, rename };
    let mut refused = Vec::new();
    let code = |wanted: fn(ObjectKind) -> bool| {
        let present = move |definition: &&Definition| wanted(definition.object.kind) && !definition.create.is_empty();
        catalog.definitions.iter().filter(present)
    };
    for routine in code(ObjectKind::is_routine) {
        refused.extend(code_refusal(routine, try_object(conn, routine, &rewriter).await)?);
    }
    let mut left: Vec<&Definition> = code(|kind| kind == ObjectKind::View).collect();
    loop {
        let mut failed = Vec::new();
        for view in &left {
            if let Err(error) = try_object(conn, view, &rewriter).await {
                failed.push((*view, error));
            }
        }
        // Views refer to each other.
        if failed.is_empty() || failed.len() == left.len() {
            for (view, error) in failed {
                refused.extend(code_refusal(view, Err(error))?);
            }
            break;
        }
        left = failed.into_iter().map(|(view, _)| view).collect();
    }
    for object in code(|kind| matches!(kind, ObjectKind::Trigger | ObjectKind::Event)) {
        refused.extend(code_refusal(object, try_object(conn, object, &rewriter).await)?);
    }
    Ok(refused)
}

async fn try_object(conn: &mut Conn, definition: &Definition, rewriter: &DefinitionRewriter) -> Result<()> {
    let dialect = Dialect::from_sql_mode(&definition.sql_mode);
    let create = match definition.object.kind {
        ObjectKind::Event => ddl::disable_event(&definition.create, dialect).0,
        _ => definition.create.clone(),
    };
    let (text, _) = rewriter.rewrite(&Definition { create, ..definition.clone() });
    run_with_settings(conn, definition, &text, None).await
}

/// The [`refusal`] of code, unless another check reports the error.
fn code_refusal(definition: &Definition, tried: Result<()>) -> Result<Option<FidelityIssue>> {
    match tried {
        Err(error)
            if error.kind() == ErrorKind::Permission || error.code().is_some_and(|code| UNRELATED.contains(&code)) =>
        {
            Ok(None)
        }
        tried => refusal(&definition.object, tried),
    }
}
