//! Checks that the rows of each table can be read, by queries that return none.

use super::account::Account;
use super::message_format::{display_name, join_list, join_names, plural};
use super::{message_format, storage_engines};
use crate::catalog::{Catalog, ObjectKind, ObjectRef, Printable, Table};
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::connect::Conn;
use crate::mysql::ddl::quote_name;
use crate::mysql::introspect;
use crate::plan::Selection;
use crate::report::Finding;

/// The number of tables that one statement probes.
const TABLES_PER_STATEMENT: usize = 32;

/// An object, and a query that needs the same privileges as reading it.
struct ReadProbe {
    object: ObjectRef,
    sql: String,
}

/// Reports the selected tables and sequences that cannot be read.
pub(super) async fn check(
    conn: &mut Conn,
    account: &Account,
    catalog: &Catalog,
    selection: &Selection,
) -> Result<Vec<Finding>> {
    let database = &catalog.database.name;
    let mut probes = Vec::new();
    if selection.rows {
        let chosen = selection.tables.iter().filter_map(|chosen| catalog.table(&chosen.name));
        probes.extend(chosen.map(|table| table_probe(database, table)));
    }
    let sequences = selection.objects.iter().filter(|object| object.kind == ObjectKind::Sequence);
    probes.extend(sequences.map(|object| read_probe(database, object.clone(), "next_not_cached_value")));
    let mut refused = tables_without_definition(conn, catalog, selection).await?;
    probes.retain(|probe| !refused.iter().any(|(object, _)| *object == probe.object));
    for batch in probes.chunks(TABLES_PER_STATEMENT) {
        refused.extend(failed_probes(conn, batch).await?);
    }
    Ok(findings(account, database, &refused))
}

/// The selected tables without a definition in the catalog, each with the error that `SHOW CREATE TABLE` reports.
async fn tables_without_definition(
    conn: &mut Conn,
    catalog: &Catalog,
    selection: &Selection,
) -> Result<Vec<(ObjectRef, Error)>> {
    let mut refused = Vec::new();
    let chosen = selection.tables.iter().filter_map(|chosen| catalog.table(&chosen.name));
    for table in chosen.filter(|table| table.create.is_empty()) {
        let name = format!("{}.{}", quote_name(&catalog.database.name), quote_name(&table.name));
        let reason = match conn.row(&format!("SHOW CREATE TABLE {name}")).await {
            Err(error) if error.code().is_none() || error.is_retryable() => return Err(error),
            Err(error) => error,
            Ok(_) => Error::new(ErrorKind::Changed, "it had no definition a moment ago"),
        };
        refused.push((table.object(), reason));
    }
    Ok(refused)
}

/// Warns of selected tables of engines without transactions, whose rows may change during the clone.
pub(super) async fn check_transactional_engines(
    conn: &mut Conn,
    catalog: &Catalog,
    selection: &Selection,
) -> Result<Vec<Finding>> {
    let engines = storage_engines::usable_engines(conn).await?;
    let chosen = selection.tables.iter().filter_map(|chosen| catalog.table(&chosen.name));
    let chosen = chosen.filter(|table| !table.create.is_empty());
    let non_transactional: Vec<&Table> =
        chosen.filter(|table| engines.get(&table.engine.to_ascii_uppercase()) == Some(&false)).collect();
    if non_transactional.is_empty() {
        return Ok(Vec::new());
    }
    let listed =
        join_list(non_transactional.iter().map(|table| format!("{} ({})", display_name(&table.name), table.engine)));
    let message = format!(
        "{} {listed} {} no transactions, so {} rows may be of a later moment than those of the others: keep writers \
         away meanwhile, or change the engine to InnoDB",
        plural(non_transactional.len(), "table", "tables"),
        plural(non_transactional.len(), "knows", "know"),
        plural(non_transactional.len(), "its", "their"),
    );
    Ok(vec![Finding::warning(message)])
}

/// The probe of a table: it reads all stored columns.
fn table_probe(database: &str, table: &Table) -> ReadProbe {
    let columns: Vec<String> = table.stored_columns().map(|column| quote_name(&column.name)).collect();
    let columns = if columns.is_empty() { "1".to_owned() } else { columns.join(", ") };
    read_probe(database, table.object(), &columns)
}

/// The query names every column, as privileges may be granted on single ones, and returns one column.
fn read_probe(database: &str, object: ObjectRef, columns: &str) -> ReadProbe {
    let from = format!("{}.{}", quote_name(database), quote_name(&object.name));
    ReadProbe { sql: format!("SELECT 1 FROM (SELECT {columns} FROM {from} LIMIT 0) AS probe"), object }
}

/// Runs all probes as one statement, and each by itself if it fails.
async fn failed_probes(conn: &mut Conn, probes: &[ReadProbe]) -> Result<Vec<(ObjectRef, Error)>> {
    let all: Vec<&str> = probes.iter().map(|probe| probe.sql.as_str()).collect();
    match conn.rows(&all.join(" UNION ALL ")).await {
        Ok(_) => return Ok(Vec::new()),
        Err(error) if error.code().is_none() || error.is_retryable() => return Err(error),
        Err(_) => {}
    }
    let mut failed = Vec::new();
    for probe in probes {
        match conn.rows(&probe.sql).await {
            Ok(_) => {}
            Err(error) if error.code().is_none() || error.is_retryable() => return Err(error),
            Err(error) => failed.push((probe.object.clone(), error)),
        }
    }
    Ok(failed)
}

/// One finding for all objects that the account may not read, and one for each broken object.
fn findings(account: &Account, database: &str, refused: &[(ObjectRef, Error)]) -> Vec<Finding> {
    let (denied, broken): (Vec<_>, Vec<_>) =
        refused.iter().partition(|(_, error)| error.kind() == ErrorKind::Permission);
    let mut findings = Vec::new();
    if !denied.is_empty() {
        findings.push(Finding::error(format!(
            "the account may not read {} {} of database {}: {}",
            plural(denied.len(), "table", "tables"),
            join_names(denied.iter().map(|(object, _)| &object.name)),
            display_name(database),
            account.suggest_grant_on_database("SELECT", database),
        )));
    }
    findings.extend(broken.iter().map(|(object, error)| unreadable_finding(object, error)));
    findings
}

/// The finding for an object that its server cannot display.
pub(super) fn unreadable_finding(object: &ObjectRef, error: &Error) -> Finding {
    let error = error.to_string();
    Finding::error(format!(
        "{} cannot be read: {}: repair it, or leave it out by --exclude",
        message_format::display_object(object),
        Printable(&error)
    ))
}

/// The selected objects, tables aside, whose definitions the server cannot display, each with the error.
pub(super) async fn undisplayable_objects(
    conn: &mut Conn,
    catalog: &Catalog,
    selection: &Selection,
) -> Result<Vec<(ObjectRef, Error)>> {
    let mut broken = Vec::new();
    let chosen = catalog.definitions.iter().filter(|definition| selection.objects.contains(&definition.object));
    for definition in chosen.filter(|definition| definition.create.is_empty()) {
        let why = introspect::find_read_error(conn, &catalog.database.name, &definition.object).await?;
        broken.extend(why.map(|why| (definition.object.clone(), why)));
    }
    Ok(broken)
}
