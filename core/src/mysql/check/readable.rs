//! Whether rows can be read: tried on each table, without reading any.

use super::party::Party;
use super::words::{list, named, names, plural};
use super::{facts, words};
use crate::catalog::{Catalog, ObjectKind, ObjectRef, Printable, Table};
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::connect::Conn;
use crate::mysql::ddl::quote_name;
use crate::mysql::introspect;
use crate::plan::Selection;
use crate::report::Finding;

/// How many tables are tried by one statement.
const AT_ONCE: usize = 32;

/// An object and a statement that needs the rights that reading it needs.
struct Trial {
    object: ObjectRef,
    sql: String,
}

/// The selected tables and sequences that cannot be read.
pub(super) async fn check(
    conn: &mut Conn,
    party: &Party,
    catalog: &Catalog,
    selection: &Selection,
) -> Result<Vec<Finding>> {
    let database = &catalog.database.name;
    let mut trials = Vec::new();
    if selection.rows {
        let chosen = selection.tables.iter().filter_map(|chosen| catalog.table(&chosen.name));
        trials.extend(chosen.map(|table| of_table(database, table)));
    }
    let sequences = selection.objects.iter().filter(|object| object.kind == ObjectKind::Sequence);
    trials.extend(sequences.map(|object| trial(database, object.clone(), "next_not_cached_value")));
    let mut refused = undefined(conn, catalog, selection).await?;
    trials.retain(|trial| !refused.iter().any(|(object, _)| *object == trial.object));
    for some in trials.chunks(AT_ONCE) {
        refused.extend(failures(conn, some).await?);
    }
    Ok(findings(party, database, &refused))
}

/// The selected tables that have no definition in the catalog, and why.
async fn undefined(conn: &mut Conn, catalog: &Catalog, selection: &Selection) -> Result<Vec<(ObjectRef, Error)>> {
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

/// The selected tables whose rows no transaction holds still.
pub(super) async fn unheld(conn: &mut Conn, catalog: &Catalog, selection: &Selection) -> Result<Vec<Finding>> {
    let engines = facts::engines(conn).await?;
    let chosen = selection.tables.iter().filter_map(|chosen| catalog.table(&chosen.name));
    let chosen = chosen.filter(|table| !table.create.is_empty());
    let loose: Vec<&Table> =
        chosen.filter(|table| engines.get(&table.engine.to_ascii_uppercase()) == Some(&false)).collect();
    if loose.is_empty() {
        return Ok(Vec::new());
    }
    let listed = list(loose.iter().map(|table| format!("{} ({})", named(&table.name), table.engine)));
    let message = format!(
        "{} {listed} {} no transactions, so {} rows may be of a later moment than those of the others: keep writers \
         away meanwhile, or change the engine to InnoDB",
        plural(loose.len(), "table", "tables"),
        plural(loose.len(), "knows", "know"),
        plural(loose.len(), "its", "their"),
    );
    Ok(vec![Finding::warning(message)])
}

fn of_table(database: &str, table: &Table) -> Trial {
    let columns: Vec<String> = table.stored_columns().map(|column| quote_name(&column.name)).collect();
    let columns = if columns.is_empty() { "1".to_owned() } else { columns.join(", ") };
    trial(database, table.object(), &columns)
}

/// Every column is named, as rights may be given on single ones; whatever the columns, the answer has one.
fn trial(database: &str, object: ObjectRef, columns: &str) -> Trial {
    let from = format!("{}.{}", quote_name(database), quote_name(&object.name));
    Trial { sql: format!("SELECT 1 FROM (SELECT {columns} FROM {from} LIMIT 0) AS trial"), object }
}

/// Tries all at once; only if that fails, which is rare, each alone.
async fn failures(conn: &mut Conn, trials: &[Trial]) -> Result<Vec<(ObjectRef, Error)>> {
    let all: Vec<&str> = trials.iter().map(|trial| trial.sql.as_str()).collect();
    match conn.rows(&all.join(" UNION ALL ")).await {
        Ok(_) => return Ok(Vec::new()),
        Err(error) if error.code().is_none() || error.is_retryable() => return Err(error),
        Err(_) => {}
    }
    let mut failed = Vec::new();
    for trial in trials {
        match conn.rows(&trial.sql).await {
            Ok(_) => {}
            Err(error) if error.code().is_none() || error.is_retryable() => return Err(error),
            Err(error) => failed.push((trial.object.clone(), error)),
        }
    }
    Ok(failed)
}

/// One line for all that the account may not read, and one for each that is broken.
fn findings(party: &Party, database: &str, refused: &[(ObjectRef, Error)]) -> Vec<Finding> {
    let (denied, broken): (Vec<_>, Vec<_>) =
        refused.iter().partition(|(_, error)| error.kind() == ErrorKind::Permission);
    let mut findings = Vec::new();
    if !denied.is_empty() {
        findings.push(Finding::error(format!(
            "the account may not read {} {} of database {}: {}",
            plural(denied.len(), "table", "tables"),
            names(denied.iter().map(|(object, _)| &object.name)),
            named(database),
            party.remedy_in("SELECT", database),
        )));
    }
    findings.extend(broken.iter().map(|(object, error)| unreadable(object, error)));
    findings
}

/// What is said of something that its server cannot show.
pub(super) fn unreadable(object: &ObjectRef, error: &Error) -> Finding {
    let error = error.to_string();
    Finding::error(format!(
        "{} cannot be read: {}: repair it, or leave it out by --exclude",
        words::object(object),
        Printable(&error)
    ))
}

/// The selected objects that are no tables and whose definitions the server cannot show, and why.
pub(super) async fn broken(
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
