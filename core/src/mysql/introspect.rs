//! Reads the catalog: what a database holds, from `information_schema` and `SHOW CREATE`.

use std::collections::{BTreeMap, BTreeSet};

use super::connect::{Conn, Row};
use super::ddl::{DefinitionHeader, Dialect, correct_header, decode_definition, quote_name, quote_text};
use super::refusal::{is_lock_wait, wait_shorter};
use super::{check, column, replaced};
use crate::catalog::{Catalog, Column, Database, Definition, Flavor, ObjectKind, ObjectRef, Printable, Server, Table};
use crate::error::{Error, ErrorKind, Result};

/// The condition that a column of `information_schema` is this name.
///
/// To the byte: MariaDB compares the names of triggers' and events' databases without regard to case and accents.
pub(super) fn is(column: &str, name: &str) -> String {
    let name = quote_text(name);
    format!("{column} = {name} AND CAST({column} AS BINARY) = CAST({name} AS BINARY)")
}

/// Reads everything that `database` holds.
pub(super) async fn catalog(conn: &mut Conn, database: &str) -> Result<Catalog> {
    let found = existing_database(conn, database, "source").await?;
    let database = found.name.as_str();
    // Names in definitions are printed without the database only where it is the current one.
    conn.exec(&format!("USE {}", quote_name(database))).await?;
    let kinds = names(conn, database).await?;
    let mut columns = columns(conn, database).await?;
    let tables = tables(conn, database, &kinds, &mut columns).await?;
    let mut definitions = Vec::new();
    for kind in ObjectKind::ALL.into_iter().filter(|kind| *kind != ObjectKind::Table) {
        for listed in list(conn, database, kind, &kinds).await? {
            let columns = if kind == ObjectKind::View { columns.remove(&listed.object.name) } else { None };
            definitions.push(Definition { columns: columns.unwrap_or_default(), ..definition(conn, listed).await? });
        }
    }
    Ok(Catalog { server: conn.server.clone(), database: found, tables, definitions })
}

/// The base tables of `database`, as the catalog holds them.
pub(super) async fn base_tables(conn: &mut Conn, database: &str) -> Result<Vec<Table>> {
    conn.exec(&format!("USE {}", quote_name(database))).await?;
    let kinds = names(conn, database).await?;
    let mut columns = columns(conn, database).await?;
    tables(conn, database, &kinds, &mut columns).await
}

/// The database and its defaults.
///
/// # Errors
/// `Usage` where there is none of that name at this side of the clone.
pub(super) async fn existing_database(conn: &mut Conn, name: &str, side: &str) -> Result<Database> {
    if let Some(database) = database(conn, name).await? {
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

/// The database and its defaults, or `None` where there is none of that name.
pub(super) async fn database(conn: &mut Conn, name: &str) -> Result<Option<Database>> {
    // MariaDB has comments since 10.5.
    let comment = if conn.server.flavor == Flavor::MariaDb { "SCHEMA_COMMENT" } else { "''" };
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

/// Libraries came with MySQL 9.2.
pub(super) fn has_libraries(server: &Server) -> bool {
    server.flavor == Flavor::MySql && server.version_numbers() >= (9, 2, 0)
}

/// What `information_schema.TABLES` lists: tables, views and sequences.
async fn names(conn: &mut Conn, database: &str) -> Result<Vec<Row>> {
    let sql = format!(
        "SELECT TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_ROWS, DATA_LENGTH, INDEX_LENGTH FROM information_schema.TABLES \
         WHERE {} ORDER BY TABLE_NAME",
        is("TABLE_SCHEMA", database)
    );
    conn.rows(&sql).await
}

fn is_table(row: &Row) -> bool {
    matches!(row.string(1).as_str(), "BASE TABLE" | "SYSTEM VERSIONED")
}

/// The base tables; their columns are taken out of `columns`, which keeps those of the views.
async fn tables(
    conn: &mut Conn,
    database: &str,
    kinds: &[Row],
    columns: &mut BTreeMap<String, Vec<Column>>,
) -> Result<Vec<Table>> {
    let histories = histories(conn, database, columns).await?;
    let mut keys = primary_keys(conn, database).await?;
    let mut tables = Vec::new();
    // Literals in the character sets of others would not survive a conversion.
    conn.exec("SET character_set_results = NULL").await?;
    for row in kinds.iter().filter(|row| is_table(row)) {
        let name = row.utf8_text(0)?;
        let create = match conn.row(&format!("SHOW CREATE TABLE {}", quote_name(&name))).await {
            Err(error) if error.code().is_none() => return Err(error.with("table", Printable(&name))),
            // If it is chosen, the preflight says who holds it.
            Err(error) if is_lock_wait(&error) => {
                wait_shorter(conn).await?;
                None
            }
            // A broken table, or one that the account may not see: if it is chosen, the preflight says why.
            Err(_) => None,
            Ok(row) => row,
        };
        let columns = columns.remove(&name).unwrap_or_default();
        let mut table = Table {
            engine: row.string(2),
            history: histories.contains(&name),
            columns,
            primary_key: keys.remove(&name).unwrap_or_default(),
            rows_estimate: row.number(3),
            data_bytes: row.number(4),
            index_bytes: row.number(5),
            create: create.and_then(|row| decode_definition(row.bytes(1), Dialect::default())).unwrap_or_default(),
            name,
        };
        replaced::restore(conn, &mut table).await?;
        tables.push(table);
    }
    conn.exec("SET character_set_results = utf8mb4").await?;
    Ok(tables)
}

pub(super) async fn columns(conn: &mut Conn, database: &str) -> Result<BTreeMap<String, Vec<Column>>> {
    let sql = format!(
        "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, CHARACTER_SET_NAME, COLLATION_NAME, IS_NULLABLE, \
         GENERATION_EXPRESSION, EXTRA FROM information_schema.COLUMNS WHERE {} ORDER BY TABLE_NAME, ORDINAL_POSITION",
        is("TABLE_SCHEMA", database)
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
            // The periods of a history are called so too.
            stored: row.string(8).starts_with("STORED GENERATED") && !row.string(7).starts_with("ROW "),
        });
    }
    Ok(tables)
}

/// The system-versioned tables whose rows say when they were valid, which is in columns that the table may not show.
///
/// Not those that say by which transactions: the numbers mean nothing to another server.
pub(super) async fn histories(
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
        format!("{names}.{view} WHERE {} AND {condition}", is("TABLE_SCHEMA", database))
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
            columns.extend(column::HIDDEN_PERIOD.map(column::period));
        }
        histories.insert(name);
    }
    Ok(histories)
}

async fn primary_keys(conn: &mut Conn, database: &str) -> Result<BTreeMap<String, Vec<String>>> {
    let sql = format!(
        "SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.STATISTICS WHERE {} AND INDEX_NAME = 'PRIMARY' \
         ORDER BY TABLE_NAME, SEQ_IN_INDEX",
        is("TABLE_SCHEMA", database)
    );
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in conn.rows(&sql).await? {
        keys.entry(row.utf8_text(0)?).or_default().push(row.utf8_text(1)?);
    }
    Ok(keys)
}

/// An object, and what the catalog knows of its header.
struct Listed {
    object: ObjectRef,
    definer: String,
    comment: String,
}

/// The objects of one kind that is not a table, in the order in which they are to be created.
async fn list(conn: &mut Conn, database: &str, kind: ObjectKind, kinds: &[Row]) -> Result<Vec<Listed>> {
    let of_type = |name: &str| {
        let rows = kinds.iter().filter(|row| row.string(1) == name);
        let listed =
            |name| Listed { object: ObjectRef::new(kind, name), definer: String::new(), comment: String::new() };
        rows.map(|row| Ok(listed(row.utf8_text(0)?))).collect()
    };
    let routine = |name: &str| {
        format!(
            "SELECT ROUTINE_NAME, NULL, DEFINER, ROUTINE_COMMENT FROM information_schema.ROUTINES \
             WHERE {} AND ROUTINE_TYPE = '{name}' ORDER BY ROUTINE_NAME",
            is("ROUTINE_SCHEMA", database)
        )
    };
    let sql = match kind {
        ObjectKind::Table => return Ok(Vec::new()),
        ObjectKind::Sequence => return of_type("SEQUENCE"),
        ObjectKind::View => return of_type("VIEW"),
        ObjectKind::Package | ObjectKind::PackageBody if conn.server.flavor == Flavor::MySql => return Ok(Vec::new()),
        ObjectKind::Library if !has_libraries(&conn.server) => return Ok(Vec::new()),
        ObjectKind::Library => format!(
            "SELECT LIBRARY_NAME, NULL, '', '' FROM information_schema.LIBRARIES WHERE {} ORDER BY LIBRARY_NAME",
            is("LIBRARY_SCHEMA", database)
        ),
        ObjectKind::Function => routine("FUNCTION"),
        ObjectKind::Procedure => routine("PROCEDURE"),
        ObjectKind::Package => routine("PACKAGE"),
        ObjectKind::PackageBody => routine("PACKAGE BODY"),
        // Triggers of one table and event fire in the order of their creation.
        ObjectKind::Trigger => format!(
            "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE, DEFINER, '' FROM information_schema.TRIGGERS WHERE {} \
             ORDER BY EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER",
            is("TRIGGER_SCHEMA", database)
        ),
        ObjectKind::Event => format!(
            "SELECT EVENT_NAME, NULL, DEFINER, EVENT_COMMENT FROM information_schema.EVENTS WHERE {} \
             ORDER BY EVENT_NAME",
            is("EVENT_SCHEMA", database)
        ),
    };
    let rows = conn.rows(&sql).await?;
    let listed = |row: &Row| {
        let object = ObjectRef { kind, name: row.utf8_text(0)?, table: row.text(1) };
        Ok(Listed { object, definer: row.string(2), comment: row.string(3) })
    };
    rows.iter().map(listed).collect()
}

/// Where `SHOW CREATE` puts what; an index that no kind has is NULL.
struct Layout {
    statement: &'static str,
    create: usize,
    sql_mode: usize,
    client: usize,
    time_zone: usize,
}

const NOWHERE: usize = usize::MAX;

fn layout(kind: ObjectKind) -> Layout {
    let routine = |statement| Layout { statement, create: 2, sql_mode: 1, client: 3, time_zone: NOWHERE };
    match kind {
        ObjectKind::Table | ObjectKind::Sequence => {
            Layout { statement: "CREATE SEQUENCE", create: 1, sql_mode: NOWHERE, client: NOWHERE, time_zone: NOWHERE }
        }
        ObjectKind::View => {
            Layout { statement: "CREATE VIEW", create: 1, sql_mode: NOWHERE, client: 2, time_zone: NOWHERE }
        }
        ObjectKind::Library => {
            Layout { statement: "CREATE LIBRARY", create: 2, sql_mode: 1, client: NOWHERE, time_zone: NOWHERE }
        }
        ObjectKind::Function => routine("CREATE FUNCTION"),
        ObjectKind::Procedure => routine("CREATE PROCEDURE"),
        ObjectKind::Package => routine("CREATE PACKAGE"),
        ObjectKind::PackageBody => routine("CREATE PACKAGE BODY"),
        ObjectKind::Trigger => routine("CREATE TRIGGER"),
        ObjectKind::Event => Layout { statement: "CREATE EVENT", create: 3, sql_mode: 1, client: 4, time_zone: 2 },
    }
}

/// Why an object has no definition in the catalog; `None` where the account may not see it.
pub(super) async fn why_unreadable(conn: &mut Conn, database: &str, object: &ObjectRef) -> Result<Option<Error>> {
    let Layout { statement, create, .. } = layout(object.kind);
    match conn.row(&format!("SHOW {statement} {}.{}", quote_name(database), quote_name(&object.name))).await {
        Err(error) if error.code().is_none() || error.is_retryable() => Err(error),
        Err(error) if matches!(error.code(), Some(1142 | 1227 | 1305 | 1370)) => Ok(None),
        Err(error) => Ok(Some(error)),
        Ok(row) if row.as_ref().is_none_or(|row| row.bytes(create).is_empty()) => Ok(None),
        Ok(_) => Ok(Some(Error::new(ErrorKind::Unsupported, "its definition is not valid text"))),
    }
}

async fn definition(conn: &mut Conn, listed: Listed) -> Result<Definition> {
    let Listed { object, definer, comment } = &listed;
    let Layout { statement, create, sql_mode, client, time_zone } = layout(object.kind);
    let name = quote_name(&object.name);
    let row = conn.row(&format!("SHOW {statement} {name}")).await;
    let row = match row {
        // The account may not see it, or the server cannot show it: if it is chosen, the preflight says why.
        Err(error) if error.code().is_some() && !error.is_retryable() => None,
        other => other.map_err(|error| error.with("object", object))?,
    };
    let state = match object.kind {
        ObjectKind::Sequence => sequence_state(conn, &name).await?,
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

/// What `SETVAL` needs to go on where the sequence stands: its next value and its round.
async fn sequence_state(conn: &mut Conn, quoted: &str) -> Result<Option<String>> {
    let row = conn.row(&format!("SELECT next_not_cached_value, cycle_count FROM {quoted}")).await?;
    Ok(row.map(|row| format!("{}, 0, {}", row.string(0), row.string(1))))
}
