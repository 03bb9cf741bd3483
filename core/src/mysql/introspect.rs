//! Reads the catalog of a database from `information_schema` and `SHOW CREATE`.

use std::collections::{BTreeMap, BTreeSet};

use super::capability::{self, Capability};
use super::connect::{Conn, Row};
use super::ddl::{DefinitionHeader, Dialect, correct_header, decode_definition, quote_name, quote_text};
use super::lock_wait::{is_lock_wait, shorten_lock_wait};
use super::{check, column, four_byte_text, late_timestamps};
use crate::catalog::{Catalog, Column, Database, Definition, Flavor, ObjectKind, ObjectRef, Printable, Table};
use crate::error::{Error, ErrorKind, Result};

/// The SQL condition that a column of `information_schema` equals this name byte by byte.
///
/// By default, MariaDB ignores case and accents in the database names of triggers and events.
pub(super) fn equals_name(column: &str, name: &str) -> String {
    let name = quote_text(name);
    format!("{column} = {name} AND CAST({column} AS BINARY) = CAST({name} AS BINARY)")
}

/// Reads the definitions of all objects of `database`.
pub(super) async fn read_catalog(conn: &mut Conn, database: &str) -> Result<Catalog> {
    let found = require_database(conn, database, "source").await?;
    let database = found.name.as_str();
    // Definitions omit the database of a name only if it is the current database.
    conn.exec(&format!("USE {}", quote_name(database))).await?;
    let kinds = list_tables(conn, database).await?;
    let mut columns = read_columns(conn, database).await?;
    let tables = read_tables(conn, database, &kinds, &mut columns).await?;
    let mut definitions = Vec::new();
    for kind in ObjectKind::ALL.into_iter().filter(|kind| *kind != ObjectKind::Table) {
        for listed in list_objects(conn, database, kind, &kinds).await? {
            let columns = if kind == ObjectKind::View { columns.remove(&listed.object.name) } else { None };
            definitions
                .push(Definition { columns: columns.unwrap_or_default(), ..read_definition(conn, listed).await? });
        }
    }
    Ok(Catalog { server: conn.server.clone(), database: found, tables, definitions })
}

/// Reads the base tables of `database` only.
pub(super) async fn read_base_tables(conn: &mut Conn, database: &str) -> Result<Vec<Table>> {
    conn.exec(&format!("USE {}", quote_name(database))).await?;
    let kinds = list_tables(conn, database).await?;
    let mut columns = read_columns(conn, database).await?;
    read_tables(conn, database, &kinds, &mut columns).await
}

/// Reads the database and its defaults.
///
/// # Errors
/// `Usage` if no such database exists at this side of the clone.
pub(super) async fn require_database(conn: &mut Conn, name: &str, side: &str) -> Result<Database> {
    if let Some(database) = read_database(conn, name).await? {
        return Ok(database);
    }
    let hint = check::inactive_roles_hint(conn).await?;
    let right = format!("GRANT SELECT ON {}.*", Printable(&quote_name(name)));
    Err(Error::usage(format!(
        "there is no database {} at the {side}, or the account may not see it: see SHOW DATABASES, or {right} TO the \
         account{hint}",
        Printable(name)
    )))
}

/// Reads the database and its defaults; `None` if no such database exists.
pub(super) async fn read_database(conn: &mut Conn, name: &str) -> Result<Option<Database>> {
    let comment = if capability::has(&conn.server, Capability::DatabaseComments) { "SCHEMA_COMMENT" } else { "''" };
    let sql = format!(
        "SELECT SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME, {comment} \
         FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}",
        quote_text(name)
    );
    let row = conn.row(&sql).await?;
    Ok(row.map(|row| Database {
        name: row.string(0),
        charset: row.string(1),
        collation: row.string(2),
        comment: row.string(3),
    }))
}

/// Lists the tables, views and sequences in `information_schema.TABLES`.
async fn list_tables(conn: &mut Conn, database: &str) -> Result<Vec<Row>> {
    let sql = format!(
        "SELECT TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_ROWS, DATA_LENGTH, INDEX_LENGTH FROM information_schema.TABLES \
         WHERE {} ORDER BY TABLE_NAME",
        equals_name("TABLE_SCHEMA", database)
    );
    conn.rows(&sql).await
}

fn is_table(row: &Row) -> bool {
    matches!(row.string(1).as_str(), "BASE TABLE" | "SYSTEM VERSIONED")
}

/// Reads the base tables. Moves their columns out of `columns`, which keeps those of the views.
async fn read_tables(
    conn: &mut Conn,
    database: &str,
    kinds: &[Row],
    columns: &mut BTreeMap<String, Vec<Column>>,
) -> Result<Vec<Table>> {
    let histories = find_system_versioned(conn, database, columns).await?;
    let mut keys = read_primary_keys(conn, database).await?;
    let indexed = late_timestamps::read_indexed_columns(conn, &equals_name("TABLE_SCHEMA", database)).await?;
    let mut tables = Vec::new();
    // A conversion would damage literals in other character sets.
    conn.exec("SET character_set_results = NULL").await?;
    for row in kinds.iter().filter(|row| is_table(row)) {
        let name = row.utf8_text(0)?;
        let create = match conn.row(&format!("SHOW CREATE TABLE {}", quote_name(&name))).await {
            Err(error) if error.code().is_none() => return Err(error.with("table", Printable(&name))),
            // If the table is selected, the preflight names the holder of the lock.
            Err(error) if is_lock_wait(&error) => {
                shorten_lock_wait(conn).await?;
                None
            }
            // The table is broken, or the account may not see it. If it is selected, the preflight gives the reason.
            Err(_) => None,
            Ok(row) => row,
        };
        let columns = columns.remove(&name).unwrap_or_default();
        let mut table = Table {
            engine: row.string(2),
            history: histories.contains(&name),
            late_timestamps: late_timestamps::find(conn, &name, &columns, &indexed).await?,
            columns,
            primary_key: keys.remove(&name).unwrap_or_default(),
            rows_estimate: row.number(3),
            data_bytes: row.number(4),
            index_bytes: row.number(5),
            create: create.and_then(|row| decode_definition(row.bytes(1), Dialect::default())).unwrap_or_default(),
            name,
        };
        four_byte_text::restore_definition(conn, &mut table).await?;
        tables.push(table);
    }
    conn.exec("SET character_set_results = utf8mb4").await?;
    Ok(tables)
}

pub(super) async fn read_columns(conn: &mut Conn, database: &str) -> Result<BTreeMap<String, Vec<Column>>> {
    let generation = match capability::has(&conn.server, Capability::GeneratedColumns) {
        true => "GENERATION_EXPRESSION",
        false => "NULL",
    };
    let sql = format!(
        "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, CHARACTER_SET_NAME, COLLATION_NAME, IS_NULLABLE, \
         {generation}, EXTRA FROM information_schema.COLUMNS WHERE {} ORDER BY TABLE_NAME, ORDINAL_POSITION",
        equals_name("TABLE_SCHEMA", database)
    );
    let mut tables: BTreeMap<String, Vec<Column>> = BTreeMap::new();
    for row in conn.rows(&sql).await? {
        tables.entry(row.utf8_text(0)?).or_default().push(Column {
            name: row.utf8_text(1)?,
            data_type: row.string(2).to_ascii_lowercase(),
            column_type: row.string(3),
            charset: row.text(4),
            collation: row.text(5),
            nullable: row.string(6) == "YES",
            generated: row.text(7).is_some_and(|expression| !expression.is_empty()),
            // Period columns of system-versioned tables have the same text.
            stored: row.string(8).starts_with("STORED GENERATED") && !row.string(7).starts_with("ROW "),
        });
    }
    Ok(tables)
}

/// Finds the system-versioned tables whose periods are timestamps, and adds their hidden period columns to `columns`.
///
/// Tables whose periods are transaction IDs are not included, because the IDs mean nothing to another server.
pub(super) async fn find_system_versioned(
    conn: &mut Conn,
    database: &str,
    columns: &mut BTreeMap<String, Vec<Column>>,
) -> Result<BTreeSet<String>> {
    let mut histories = BTreeSet::new();
    if conn.server.flavor == Flavor::MySql {
        return Ok(histories);
    }
    let of = |view: &str, condition: &str| {
        let names = "SELECT TABLE_NAME, DATA_TYPE, COLUMN_NAME FROM information_schema";
        format!("{names}.{view} WHERE {} AND {condition}", equals_name("TABLE_SCHEMA", database))
    };
    let shown = conn.rows(&of("COLUMNS", "GENERATION_EXPRESSION IN ('ROW START', 'ROW END')")).await?;
    let versioned = of("TABLES", "TABLE_TYPE = 'SYSTEM VERSIONED'").replace("DATA_TYPE, COLUMN_NAME", "1, 2");
    for table in conn.rows(&versioned).await? {
        let name = table.utf8_text(0)?;
        let periods: Vec<&Row> = shown.iter().filter(|row| row.string(0) == name).collect();
        if periods.iter().any(|row| row.string(1) != "timestamp") {
            continue;
        }
        let columns = columns.entry(name.clone()).or_default();
        for period in &periods {
            let of_period = |column: &&mut Column| column.name == period.string(2);
            columns.iter_mut().find(of_period).into_iter().for_each(|column| column.generated = false);
        }
        if periods.is_empty() {
            columns.extend(column::HIDDEN_PERIOD_COLUMNS.map(column::hidden_period_column));
        }
        histories.insert(name);
    }
    Ok(histories)
}

async fn read_primary_keys(conn: &mut Conn, database: &str) -> Result<BTreeMap<String, Vec<String>>> {
    let sql = format!(
        "SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.STATISTICS WHERE {} AND INDEX_NAME = 'PRIMARY' \
         ORDER BY TABLE_NAME, SEQ_IN_INDEX",
        equals_name("TABLE_SCHEMA", database)
    );
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in conn.rows(&sql).await? {
        keys.entry(row.utf8_text(0)?).or_default().push(row.utf8_text(1)?);
    }
    Ok(keys)
}

/// An object in a list of `information_schema`, with the parts of its header.
struct ObjectListing {
    object: ObjectRef,
    definer: String,
    comment: String,
}

/// Lists the objects of one kind other than tables, in the order of their creation.
async fn list_objects(conn: &mut Conn, database: &str, kind: ObjectKind, kinds: &[Row]) -> Result<Vec<ObjectListing>> {
    let of_type = |name: &str| {
        let rows = kinds.iter().filter(|row| row.string(1) == name);
        let listed =
            |name| ObjectListing { object: ObjectRef::new(kind, name), definer: String::new(), comment: String::new() };
        rows.map(|row| Ok(listed(row.utf8_text(0)?))).collect()
    };
    let routine = |name: &str| {
        format!(
            "SELECT ROUTINE_NAME, NULL, DEFINER, ROUTINE_COMMENT FROM information_schema.ROUTINES \
             WHERE {} AND ROUTINE_TYPE = '{name}' ORDER BY ROUTINE_NAME",
            equals_name("ROUTINE_SCHEMA", database)
        )
    };
    let sql = match kind {
        ObjectKind::Table => return Ok(Vec::new()),
        ObjectKind::Sequence => return of_type("SEQUENCE"),
        ObjectKind::View => return of_type("VIEW"),
        ObjectKind::Package | ObjectKind::PackageBody if conn.server.flavor == Flavor::MySql => return Ok(Vec::new()),
        ObjectKind::Library if !capability::has(&conn.server, Capability::Libraries) => return Ok(Vec::new()),
        ObjectKind::Library => format!(
            "SELECT LIBRARY_NAME, NULL, '', '' FROM information_schema.LIBRARIES WHERE {} ORDER BY LIBRARY_NAME",
            equals_name("LIBRARY_SCHEMA", database)
        ),
        ObjectKind::Function => routine("FUNCTION"),
        ObjectKind::Procedure => routine("PROCEDURE"),
        ObjectKind::Package => routine("PACKAGE"),
        ObjectKind::PackageBody => routine("PACKAGE BODY"),
        // Triggers of one table and event fire in the order of their creation.
        ObjectKind::Trigger => format!(
            "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE, DEFINER, '' FROM information_schema.TRIGGERS WHERE {} \
             ORDER BY EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER",
            equals_name("TRIGGER_SCHEMA", database)
        ),
        ObjectKind::Event => format!(
            "SELECT EVENT_NAME, NULL, DEFINER, EVENT_COMMENT FROM information_schema.EVENTS WHERE {} \
             ORDER BY EVENT_NAME",
            equals_name("EVENT_SCHEMA", database)
        ),
    };
    let rows = conn.rows(&sql).await?;
    let listed = |row: &Row| {
        let object = ObjectRef { kind, name: row.utf8_text(0)?, table: row.text(1) };
        Ok(ObjectListing { object, definer: row.string(2), comment: row.string(3) })
    };
    rows.iter().map(listed).collect()
}

/// The columns in the result of a `SHOW CREATE` statement. A column that does not exist reads as NULL.
struct ShowCreateLayout {
    statement: &'static str,
    create: usize,
    sql_mode: usize,
    client: usize,
    time_zone: usize,
}

const NO_COLUMN: usize = usize::MAX;

fn show_create_layout(kind: ObjectKind) -> ShowCreateLayout {
    let routine = |statement| ShowCreateLayout { statement, create: 2, sql_mode: 1, client: 3, time_zone: NO_COLUMN };
    match kind {
        ObjectKind::Table | ObjectKind::Sequence => ShowCreateLayout {
            statement: "CREATE SEQUENCE",
            create: 1,
            sql_mode: NO_COLUMN,
            client: NO_COLUMN,
            time_zone: NO_COLUMN,
        },
        ObjectKind::View => ShowCreateLayout {
            statement: "CREATE VIEW",
            create: 1,
            sql_mode: NO_COLUMN,
            client: 2,
            time_zone: NO_COLUMN,
        },
        ObjectKind::Library => ShowCreateLayout {
            statement: "CREATE LIBRARY",
            create: 2,
            sql_mode: 1,
            client: NO_COLUMN,
            time_zone: NO_COLUMN,
        },
        ObjectKind::Function => routine("CREATE FUNCTION"),
        ObjectKind::Procedure => routine("CREATE PROCEDURE"),
        ObjectKind::Package => routine("CREATE PACKAGE"),
        ObjectKind::PackageBody => routine("CREATE PACKAGE BODY"),
        ObjectKind::Trigger => routine("CREATE TRIGGER"),
        ObjectKind::Event => {
            ShowCreateLayout { statement: "CREATE EVENT", create: 3, sql_mode: 1, client: 4, time_zone: 2 }
        }
    }
}

/// Returns the error that hides the definition of an object; `None` if the account may not see it.
pub(super) async fn find_read_error(conn: &mut Conn, database: &str, object: &ObjectRef) -> Result<Option<Error>> {
    let ShowCreateLayout { statement, create, .. } = show_create_layout(object.kind);
    match conn.row(&format!("SHOW {statement} {}.{}", quote_name(database), quote_name(&object.name))).await {
        Err(error) if error.code().is_none() || error.is_retryable() => Err(error),
        Err(error) if matches!(error.code(), Some(1142 | 1227 | 1305 | 1370)) => Ok(None),
        Err(error) => Ok(Some(error)),
        Ok(row) if row.as_ref().is_none_or(|row| row.bytes(create).is_empty()) => Ok(None),
        Ok(_) => Ok(Some(Error::new(ErrorKind::Unsupported, "its definition is not valid text"))),
    }
}

async fn read_definition(conn: &mut Conn, listed: ObjectListing) -> Result<Definition> {
    let ObjectListing { object, definer, comment } = &listed;
    let ShowCreateLayout { statement, create, sql_mode, client, time_zone } = show_create_layout(object.kind);
    let name = quote_name(&object.name);
    let row = conn.row(&format!("SHOW {statement} {name}")).await;
    let row = match row {
        // The account may not see the object, or the server cannot show it. If it is selected, the preflight gives the
        // reason.
        Err(error) if error.code().is_some() && !error.is_retryable() => None,
        other => other.map_err(|error| error.with("object", object))?,
    };
    let state = match object.kind {
        ObjectKind::Sequence => read_sequence_state(conn, &name).await?,
        _ => None,
    };
    let text = |index: usize| row.as_ref().map(|row| row.string(index)).unwrap_or_default();
    let dialect = Dialect::from_sql_mode(&text(sql_mode));
    let printed = row.as_ref().and_then(|row| decode_definition(row.bytes(create), dialect)).unwrap_or_default();
    let header = DefinitionHeader { name: &object.name, table: object.table.as_deref(), definer, comment };
    Ok(Definition {
        create: match object.kind {
            ObjectKind::View | ObjectKind::Sequence => printed,
            _ => correct_header(&printed, dialect, &header),
        },
        sql_mode: text(sql_mode),
        character_set_client: text(client),
        collation_connection: text(client.saturating_add(1)),
        database_collation: if object.kind == ObjectKind::View {
            String::new()
        } else {
            text(client.saturating_add(2))
        },
        time_zone: text(time_zone),
        columns: Vec::new(),
        state,
        object: listed.object,
    })
}

/// Reads the arguments of a `SETVAL` that continues the sequence: its next value and its cycle count.
async fn read_sequence_state(conn: &mut Conn, quoted: &str) -> Result<Option<String>> {
    let row = conn.row(&format!("SELECT next_not_cached_value, cycle_count FROM {quoted}")).await?;
    Ok(row.map(|row| format!("{}, 0, {}", row.string(0), row.string(1))))
}
