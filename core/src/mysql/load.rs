//! Writes one batch: by `LOAD DATA`, or by `INSERT` where the server does not take that.

use super::connect::{Conn, OkPacket};
use super::ddl::quote_name;
use super::generated::Settings;
use super::{column, session};
use crate::batch::Batch;
use crate::catalog::{Column, Table};
use crate::codec::{Field, split_rows};
use crate::error::{Error, ErrorKind, Result};

/// An INSERT is cut at about this length: longer ones gain nothing.
const INSERT_BYTES: usize = 1 << 20;
/// How an ENUM's error value travels.
const ERROR_VALUE: Field<'_> = Field::Escaped(b"0");

/// How rows are loaded.
#[derive(Debug, Clone, Default)]
pub(super) struct Loading {
    /// Takes what the server warns of: only where the rows themselves are known to fit, and the warnings are of what it
    /// computes from them.
    pub(super) lenient: bool,
    /// The settings that generated columns depend on.
    pub(super) settings: Settings,
}

impl Loading {
    /// Sets up the session; `lenient` where the batch needs it.
    async fn enter(&self, conn: &mut Conn, lenient: bool) -> Result<()> {
        if !lenient && self.settings == Settings::default() {
            return Ok(());
        }
        let modes = if lenient { session::LENIENT } else { session::STRICT };
        conn.exec(&format!("SET SESSION {}", self.settings.assignments(modes))).await.map(drop)
    }

    /// Sets the session back.
    pub(super) async fn leave(&self, conn: &mut Conn, lenient: bool) -> Result<()> {
        if !lenient && self.settings == Settings::default() {
            return Ok(());
        }
        conn.exec(&format!("SET SESSION {}", self.settings.defaults(session::STRICT))).await.map(drop)
    }

    /// The expression that makes the column's value of the field's bytes, where they are not taken as they are.
    fn expression(&self, column: &Column, value: &str) -> Option<String> {
        if column.data_type == "timestamp" && self.settings.moves_time() {
            // Times travel in UTC. A zero has no offset.
            return Some(format!("IF({value} LIKE '0000%', {value}, CONCAT({value}, '+00:00'))"));
        }
        column::load_expression(column, value)
    }
}

/// Loads the batch by one `LOAD DATA LOCAL`.
///
/// LOCAL alone would turn errors into warnings and skip what it cannot take; with REPLACE they are errors. A row that
/// did replace another, or any warning, means that the target is not what was read, and is an error too.
pub(super) async fn by_file(
    conn: &mut Conn,
    database: &str,
    table: &Table,
    batch: &Batch,
    loading: &Loading,
) -> Result<()> {
    let wrong = error_values(table, batch);
    let lenient = loading.lenient || wrong > 0;
    loading.enter(conn, lenient).await?;
    let done = conn.load(&statement(database, table, loading), &batch.data).await?;
    let counts = counts(&done.info);
    if counts.get(..3) != Some(&[batch.rows, 0, 0]) {
        let message = format!("the target took {} of {} rows: {}", done.affected, batch.rows, done.info);
        return Err(Error::new(ErrorKind::Data, message));
    }
    let warnings = counts.get(3).copied().unwrap_or(u64::from(done.warnings));
    if !loading.lenient {
        explain_warnings(conn, table, warnings, wrong).await?;
    }
    loading.leave(conn, lenient).await
}

/// How many fields of the batch hold an ENUM's error value. A strict session refuses it.
fn error_values(table: &Table, batch: &Batch) -> u64 {
    let enums: Vec<bool> =
        table.stored_columns().map(|column| !column.generated && column::warns_of_index_zero(column)).collect();
    if !enums.contains(&true) {
        return 0;
    }
    let of_row = |row| Iterator::zip(row, &enums).filter(|(field, is_enum)| **is_enum && *field == ERROR_VALUE).count();
    split_rows(&batch.data).map(|row| of_row(row) as u64).sum()
}

/// The numbers of `Records: 2  Deleted: 0  Skipped: 0  Warnings: 0`.
fn counts(info: &str) -> Vec<u64> {
    info.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

fn statement(database: &str, table: &Table, loading: &Loading) -> String {
    let mut targets = Vec::new();
    let mut assignments = Vec::new();
    let assigns = table.loaded_columns().any(|column| loading.expression(column, "").is_some());
    for (index, column) in table.stored_columns().enumerate() {
        let name = quote_name(&column.name);
        let variable = format!("@dbgraft_{index}");
        if column.generated {
            // What was read of it is for comparison.
            targets.push(variable);
            continue;
        }
        match loading.expression(column, &variable) {
            // In a statement with a SET, MariaDB forgets that a field was given for this column: 0 would be a new number.
            None if assigns && counts_itself(table, &name) => {
                assignments.push(format!("{name} = {variable}"));
                targets.push(variable);
            }
            None => targets.push(name),
            Some(expression) => {
                assignments.push(format!("{name} = {expression}"));
                targets.push(variable);
            }
        }
    }
    if targets.is_empty() {
        // An empty list would mean all columns.
        targets.push("@dbgraft_none".to_owned());
    }
    let set = if assignments.is_empty() { String::new() } else { format!(" SET {}", assignments.join(", ")) };
    format!(
        "LOAD DATA LOCAL INFILE 'dbgraft' REPLACE INTO TABLE {}.{} CHARACTER SET binary \
         FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' LINES TERMINATED BY '\\n' ({}){set}",
        quote_name(database),
        quote_name(&table.name),
        targets.join(", ")
    )
}

/// Whether the column of this quoted name is an AUTO_INCREMENT. A comment that says so does no harm.
fn counts_itself(table: &Table, name: &str) -> bool {
    let definition = table.create.split_once(&format!("\n  {name} ")).map(|(_, rest)| rest);
    definition.and_then(|rest| rest.lines().next()).is_some_and(|line| line.contains(" AUTO_INCREMENT"))
}

/// The only warning that may pass is that of an ENUM's error value, which is what was read: exactly one for each. The
/// server may not keep all of them to be looked at, but it counts them all.
async fn explain_warnings(conn: &mut Conn, table: &Table, count: u64, expected: u64) -> Result<()> {
    if count == 0 && expected == 0 {
        return Ok(());
    }
    let enums: Vec<&str> =
        table.loaded_columns().filter(|column| column::warns_of_index_zero(column)).map(|c| c.name.as_str()).collect();
    for warning in conn.rows("SHOW WARNINGS").await? {
        let message = warning.string(2);
        let known = warning.number(1) == 1265 && enums.iter().any(|name| message.contains(&format!("'{name}'")));
        if !known {
            return Err(Error::new(ErrorKind::Data, format!("the target would change a value: {message}")));
        }
    }
    if count == expected {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Data, format!("the target gave {count} warnings where {expected} were to be expected")))
}

/// Loads the batch by multi-row INSERTs, each at most `packet` bytes long unless a single row is longer.
pub(super) async fn by_insert(
    conn: &mut Conn,
    database: &str,
    table: &Table,
    batch: &Batch,
    packet: usize,
    loading: &Loading,
) -> Result<()> {
    let columns: Vec<&Column> = table.stored_columns().collect();
    let names: Vec<String> = table.loaded_columns().map(|column| quote_name(&column.name)).collect();
    let head =
        format!("INSERT INTO {}.{} ({}) VALUES ", quote_name(database), quote_name(&table.name), names.join(", "));
    let limit = INSERT_BYTES.min(packet / 2);
    let mut sql = head.clone().into_bytes();
    let (mut inserted, mut wrong) = (0, 0);
    let lenient = loading.lenient || error_values(table, batch) > 0;
    loading.enter(conn, lenient).await?;
    for row in split_rows(&batch.data) {
        if sql.len() > limit {
            inserted += insert(conn, table, &sql, std::mem::take(&mut wrong), loading).await?;
            sql.truncate(head.len());
        }
        if sql.len() > head.len() {
            sql.push(b',');
        }
        let before = sql.len();
        wrong += push_row(&mut sql, &columns, row, loading);
        let needed = head.len() + sql.len() - before + 1;
        if needed > packet {
            return Err(too_long(needed, packet));
        }
    }
    inserted += insert(conn, table, &sql, wrong, loading).await?;
    loading.leave(conn, lenient).await?;
    if inserted == batch.rows {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Data, format!("the target took {inserted} of {} rows", batch.rows)))
}

/// The server would only close the connection.
fn too_long(needed: usize, packet: usize) -> Error {
    let message = format!(
        "a row is {needed} bytes long as an INSERT, and the target's max_allowed_packet is {packet}: SET GLOBAL \
         max_allowed_packet to more there, or SET GLOBAL local_infile = 1, which loads rows of any length"
    );
    Error::new(ErrorKind::Data, message)
}

/// Inserts rows of which so many fields hold an ENUM's error value.
async fn insert(conn: &mut Conn, table: &Table, sql: &[u8], wrong: u64, loading: &Loading) -> Result<u64> {
    let OkPacket { affected, warnings, info } = conn.exec_bytes(sql).await?;
    // `Records: 2  Duplicates: 0  Warnings: 2`, where there are several rows.
    let warnings = counts(&info).get(2).copied().unwrap_or(u64::from(warnings));
    if !loading.lenient {
        explain_warnings(conn, table, warnings, wrong).await?;
    }
    Ok(affected)
}

/// Adds a row, and says how many of its fields hold an ENUM's error value.
fn push_row<'a>(
    sql: &mut Vec<u8>,
    columns: &[&Column],
    row: impl Iterator<Item = Field<'a>>,
    loading: &Loading,
) -> u64 {
    let mut wrong = 0;
    sql.push(b'(');
    let loaded = columns.iter().zip(row).filter(|(column, _)| !column.generated);
    for (index, (column, field)) in loaded.enumerate() {
        if index > 0 {
            sql.push(b',');
        }
        wrong += u64::from(field == ERROR_VALUE && column::warns_of_index_zero(column));
        match (field, loading.expression(column, "\0")) {
            (Field::Null, _) => sql.extend_from_slice(b"NULL"),
            (Field::Escaped(text), None) => push_literal(sql, text),
            (Field::Escaped(text), Some(expression)) => {
                for (index, part) in expression.split('\0').enumerate() {
                    if index > 0 {
                        push_literal(sql, text);
                    }
                    sql.extend_from_slice(part.as_bytes());
                }
            }
        }
    }
    sql.push(b')');
    wrong
}

/// LOAD DATA's escapes are those of a string literal, which needs its quotes escaped as well.
fn push_literal(sql: &mut Vec<u8>, escaped: &[u8]) {
    sql.extend_from_slice(b"_binary'");
    for (index, part) in escaped.split(|&byte| byte == b'\'').enumerate() {
        if index > 0 {
            sql.extend_from_slice(b"\\'");
        }
        sql.extend_from_slice(part);
    }
    sql.push(b'\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, data_type: &str) -> Column {
        Column {
            name: name.to_owned(),
            data_type: data_type.to_owned(),
            column_type: data_type.to_owned(),
            charset: None,
            collation: None,
            nullable: true,
            generated: false,
            stored: false,
        }
    }

    fn table(columns: Vec<Column>) -> Table {
        Table {
            name: "t`".to_owned(),
            engine: "InnoDB".to_owned(),
            columns,
            history: false,
            primary_key: Vec::new(),
            rows_estimate: 0,
            data_bytes: 0,
            index_bytes: 0,
            create: String::new(),
        }
    }

    #[test]
    fn generated_columns_are_left_out_and_special_types_converted() {
        let generated = Column { generated: true, ..column("g", "int") };
        let sql = statement("d", &table(vec![column("a", "int"), generated, column("j", "json")]), &Loading::default());
        assert!(sql.ends_with("(`a`, @dbgraft_1) SET `j` = CONVERT(@dbgraft_1 USING utf8mb4)"), "{sql}");
        assert!(statement("d", &table(vec![]), &Loading::default()).ends_with("(@dbgraft_none)"));
        let counted =
            |columns| Table { create: "CREATE TABLE `t` (\n  `a` int AUTO_INCREMENT,\n".to_owned(), ..table(columns) };
        let sql = statement("d", &counted(vec![column("a", "int"), column("u", "uuid")]), &Loading::default());
        assert!(sql.contains("(@dbgraft_0, @dbgraft_1) SET `a` = @dbgraft_0, `u` = "), "{sql}");
        assert!(statement("d", &counted(vec![column("a", "int")]), &Loading::default()).ends_with("(`a`)"));
    }

    #[test]
    fn a_row_becomes_literals() {
        let columns = [column("a", "varchar"), column("b", "int"), column("e", "enum")];
        let mut sql = Vec::new();
        let fields = [Field::Escaped(br"it's\t\\"), Field::Null, Field::Escaped(b"2")];
        assert_eq!(push_row(&mut sql, &columns.each_ref(), fields.into_iter(), &Loading::default()), 0);
        assert_eq!(String::from_utf8(sql).unwrap(), r"(_binary'it\'s\t\\',NULL,CAST(_binary'2' AS UNSIGNED))");
    }
}
