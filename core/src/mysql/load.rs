//! Loads one batch by `LOAD DATA`, or by `INSERT` if the server does not accept that.

use super::connect::{Conn, OkPacket};
use super::ddl::quote_name;
use super::generated::SessionSettings;
use super::{column, session};
use crate::batch::Batch;
use crate::catalog::{Column, Table};
use crate::codec::{Field, split_rows};
use crate::error::{Error, ErrorKind, Result};

/// The approximate length of an INSERT. Longer statements are no faster.
const TARGET_INSERT_BYTES: usize = 1 << 20;
/// The field of an ENUM's error value.
const ERROR_VALUE: Field<'_> = Field::Escaped(b"0");

/// The options for loading rows.
#[derive(Debug, Clone, Default)]
pub(super) struct LoadOptions {
    /// Accepts warnings. Only for rows that are known to fit, so that the warnings come from expressions that the server
    /// computes.
    pub(super) lenient: bool,
    /// Loads by INSERT, also where LOAD DATA works: for few rows.
    pub(super) by_insert: bool,
    /// The session settings on which generated columns depend.
    pub(super) settings: SessionSettings,
}

impl LoadOptions {
    /// Applies the settings to the session, with lenient modes if the batch needs them.
    pub(super) async fn set_up_session(&self, conn: &mut Conn, lenient: bool) -> Result<()> {
        if !lenient && self.settings == SessionSettings::default() {
            return Ok(());
        }
        let modes = if lenient { session::LENIENT_MODES } else { session::STRICT_MODES };
        conn.exec(&format!("SET SESSION {}", self.settings.assignments(modes))).await.map(drop)
    }

    /// Restores the usual settings of the session.
    pub(super) async fn reset_session(&self, conn: &mut Conn, lenient: bool) -> Result<()> {
        if !lenient && self.settings == SessionSettings::default() {
            return Ok(());
        }
        conn.exec(&format!("SET SESSION {}", self.settings.default_assignments(session::STRICT_MODES))).await.map(drop)
    }

    /// The expression that converts a field's bytes to the column's value; `None` if they need no conversion.
    fn load_expression(&self, column: &Column, value: &str) -> Option<String> {
        if column.data_type == "timestamp" && self.settings.changes_time_zone() {
            // Fields hold times in UTC. A zero date has no offset.
            return Some(format!("IF({value} LIKE '0000%', {value}, CONCAT({value}, '+00:00'))"));
        }
        column::load_expression(column, value)
    }
}

/// Loads the batch by one `LOAD DATA LOCAL`.
///
/// LOCAL alone turns errors into warnings and skips rows that it cannot load; with REPLACE they are errors. A replaced row
/// or a warning means that the target differs from the source, and is an error too.
pub(super) async fn load_data(
    conn: &mut Conn,
    database: &str,
    table: &Table,
    batch: &Batch,
    options: &LoadOptions,
) -> Result<()> {
    let wrong = count_error_values(table, batch);
    let lenient = options.lenient || wrong > 0;
    options.set_up_session(conn, lenient).await?;
    let done = conn.load(&load_data_statement(database, table, options), &batch.data).await?;
    let counts = parse_counts(&done.info);
    if counts.get(..3) != Some(&[batch.rows, 0, 0]) {
        let message = format!("the target took {} of {} rows: {}", done.affected, batch.rows, done.info);
        return Err(Error::new(ErrorKind::Data, message));
    }
    let warnings = counts.get(3).copied().unwrap_or(u64::from(done.warnings));
    if !options.lenient {
        check_warnings(conn, table, warnings, wrong).await?;
    }
    options.reset_session(conn, lenient).await
}

/// Counts the fields of the batch that hold an ENUM's error value, which a strict session refuses.
fn count_error_values(table: &Table, batch: &Batch) -> u64 {
    let enums: Vec<bool> =
        table.stored_columns().map(|column| !column.generated && column::warns_of_error_value(column)).collect();
    if !enums.contains(&true) {
        return 0;
    }
    let of_row = |row| Iterator::zip(row, &enums).filter(|(field, is_enum)| **is_enum && *field == ERROR_VALUE).count();
    split_rows(&batch.data).map(|row| of_row(row) as u64).sum()
}

/// Parses the numbers in `Records: 2  Deleted: 0  Skipped: 0  Warnings: 0`.
pub(super) fn parse_counts(info: &str) -> Vec<u64> {
    info.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

fn load_data_statement(database: &str, table: &Table, options: &LoadOptions) -> String {
    let mut targets = Vec::new();
    let mut assignments = Vec::new();
    let assigns = table.loaded_columns().any(|column| options.load_expression(column, "").is_some());
    for (index, column) in table.stored_columns().enumerate() {
        let name = quote_name(&column.name);
        let variable = format!("@dbgraft_{index}");
        if column.generated {
            // The value from the source serves comparisons only.
            targets.push(variable);
            continue;
        }
        match options.load_expression(column, &variable) {
            // In a statement with SET, MariaDB ignores that the column has a field, and would replace 0 by a new number.
            None if assigns && is_auto_increment(table, &name) => {
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
        // An empty list stands for all columns.
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

/// Whether the column of this quoted name is AUTO_INCREMENT. A comment with this word may match too, which has no effect.
fn is_auto_increment(table: &Table, name: &str) -> bool {
    let definition = table.create.split_once(&format!("\n  {name} ")).map(|(_, rest)| rest);
    definition.and_then(|rest| rest.lines().next()).is_some_and(|line| line.contains(" AUTO_INCREMENT"))
}

/// Fails unless all warnings are those of ENUM error values that were read from the source, one for each.
///
/// The server may not store the text of every warning, but it counts them all.
pub(super) async fn check_warnings(conn: &mut Conn, table: &Table, count: u64, expected: u64) -> Result<()> {
    if count == 0 && expected == 0 {
        return Ok(());
    }
    let enums: Vec<&str> =
        table.loaded_columns().filter(|column| column::warns_of_error_value(column)).map(|c| c.name.as_str()).collect();
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
    Err(Error::new(ErrorKind::Data, format!("the target raised {count} warnings, but {expected} were expected")))
}

/// Loads the batch by multi-row INSERTs, each at most `packet` bytes long unless a single row is longer.
pub(super) async fn insert_rows(
    conn: &mut Conn,
    database: &str,
    table: &Table,
    batch: &Batch,
    packet: usize,
    options: &LoadOptions,
) -> Result<()> {
    let columns: Vec<&Column> = table.stored_columns().collect();
    let head = insert_head(&format!("{}.{}", quote_name(database), quote_name(&table.name)), &columns);
    let limit = TARGET_INSERT_BYTES.min(packet / 2);
    let mut sql = head.clone();
    let (mut inserted, mut wrong) = (0, 0);
    let lenient = options.lenient || count_error_values(table, batch) > 0;
    options.set_up_session(conn, lenient).await?;
    for row in split_rows(&batch.data) {
        if sql.len() > limit {
            inserted += run_insert(conn, table, &sql, std::mem::take(&mut wrong), options).await?;
            sql.truncate(head.len());
        }
        if sql.len() > head.len() {
            sql.push(b',');
        }
        let before = sql.len();
        wrong += push_row(&mut sql, &columns, row, options);
        let needed = head.len() + sql.len() - before + 1;
        if needed > packet {
            return Err(row_too_long(needed, packet));
        }
    }
    inserted += run_insert(conn, table, &sql, wrong, options).await?;
    options.reset_session(conn, lenient).await?;
    if inserted == batch.rows {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Data, format!("the target took {inserted} of {} rows", batch.rows)))
}

/// The error of a row that does not fit into a packet. The server would only close the connection.
fn row_too_long(needed: usize, packet: usize) -> Error {
    let message = format!(
        "a row is {needed} bytes long as an INSERT, and the target's max_allowed_packet is {packet}: SET GLOBAL \
         max_allowed_packet to more there, or SET GLOBAL local_infile = 1, which loads rows of any length"
    );
    Error::new(ErrorKind::Data, message)
}

/// Runs an INSERT in which `wrong` fields hold an ENUM's error value. Returns the number of rows.
async fn run_insert(conn: &mut Conn, table: &Table, sql: &[u8], wrong: u64, options: &LoadOptions) -> Result<u64> {
    let OkPacket { affected, warnings, info, .. } = conn.exec_bytes(sql).await?;
    // The text is `Records: 2  Duplicates: 0  Warnings: 2` if there are several rows.
    let warnings = parse_counts(&info).get(2).copied().unwrap_or(u64::from(warnings));
    if !options.lenient {
        check_warnings(conn, table, warnings, wrong).await?;
    }
    Ok(affected)
}

/// The beginning of an INSERT into the table of this quoted name, up to its rows.
pub(super) fn insert_head(table: &str, columns: &[&Column]) -> Vec<u8> {
    let loaded = columns.iter().filter(|column| !column.generated);
    let names: Vec<String> = loaded.map(|column| quote_name(&column.name)).collect();
    format!("INSERT INTO {table} ({}) VALUES ", names.join(", ")).into_bytes()
}

/// Adds a row to the statement. Returns how many of its fields hold an ENUM's error value.
pub(super) fn push_row<'a>(
    sql: &mut Vec<u8>,
    columns: &[&Column],
    row: impl Iterator<Item = Field<'a>>,
    options: &LoadOptions,
) -> u64 {
    let mut wrong = 0;
    sql.push(b'(');
    let loaded = columns.iter().zip(row).filter(|(column, _)| !column.generated);
    for (index, (column, field)) in loaded.enumerate() {
        if index > 0 {
            sql.push(b',');
        }
        wrong += push_value(sql, column, field, options);
    }
    sql.push(b')');
    wrong
}

/// Adds the expression of a field's value. Returns 1 for an ENUM's error value, otherwise 0.
pub(super) fn push_value(sql: &mut Vec<u8>, column: &Column, field: Field<'_>, options: &LoadOptions) -> u64 {
    match (field, options.load_expression(column, "\0")) {
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
    u64::from(field == ERROR_VALUE && column::warns_of_error_value(column))
}

/// Adds a string literal. It has the escapes of LOAD DATA, and needs escaped quotes as well.
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
            late_timestamps: Vec::new(),
            primary_key: Vec::new(),
            rows_estimate: 0,
            data_bytes: 0,
            index_bytes: 0,
            create: String::new(),
        }
    }

    #[test]
    fn generated_columns_are_omitted_and_special_types_converted() {
        let generated = Column { generated: true, ..column("g", "int") };
        let sql = load_data_statement(
            "d",
            &table(vec![column("a", "int"), generated, column("j", "json")]),
            &LoadOptions::default(),
        );
        assert!(sql.ends_with("(`a`, @dbgraft_1) SET `j` = CONVERT(@dbgraft_1 USING utf8mb4)"), "{sql}");
        assert!(load_data_statement("d", &table(vec![]), &LoadOptions::default()).ends_with("(@dbgraft_none)"));
        let counted =
            |columns| Table { create: "CREATE TABLE `t` (\n  `a` int AUTO_INCREMENT,\n".to_owned(), ..table(columns) };
        let sql =
            load_data_statement("d", &counted(vec![column("a", "int"), column("u", "uuid")]), &LoadOptions::default());
        assert!(sql.contains("(@dbgraft_0, @dbgraft_1) SET `a` = @dbgraft_0, `u` = "), "{sql}");
        assert!(
            load_data_statement("d", &counted(vec![column("a", "int")]), &LoadOptions::default()).ends_with("(`a`)")
        );
    }

    #[test]
    fn a_row_becomes_literals() {
        let columns = [column("a", "varchar"), column("b", "int"), column("e", "enum")];
        let mut sql = Vec::new();
        let fields = [Field::Escaped(br"it's\t\\"), Field::Null, Field::Escaped(b"2")];
        assert_eq!(push_row(&mut sql, &columns.each_ref(), fields.into_iter(), &LoadOptions::default()), 0);
        assert_eq!(String::from_utf8(sql).unwrap(), r"(_binary'it\'s\t\\',NULL,CAST(_binary'2' AS UNSIGNED))");
    }
}
