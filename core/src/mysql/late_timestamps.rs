//! Finds TIMESTAMP columns with values after the end of the usual range, as far as an index tells at once.

use std::collections::BTreeSet;

use super::capability::{self, Capability};
use super::connect::Conn;
use super::ddl::quote_name;
use crate::catalog::Column;
use crate::error::Result;

/// Reads the first column of each index that is sorted, as pairs of table and column, where `condition` holds for the database.
/// Empty if no column of the server can hold a late TIMESTAMP.
pub(super) async fn read_indexed_columns(conn: &mut Conn, condition: &str) -> Result<BTreeSet<(String, String)>> {
    if !capability::has(&conn.server, Capability::LongTimestamps) {
        return Ok(BTreeSet::new());
    }
    let sql = format!(
        "SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.STATISTICS WHERE {condition} AND SEQ_IN_INDEX = 1 \
         AND INDEX_TYPE = 'BTREE'"
    );
    conn.rows(&sql).await?.iter().map(|row| Ok((row.utf8_text(0)?, row.utf8_text(1)?))).collect()
}

/// Finds the indexed columns whose greatest TIMESTAMP is after the end of the usual range.
pub(super) async fn find(
    conn: &mut Conn,
    table: &str,
    columns: &[Column],
    indexed: &BTreeSet<(String, String)>,
) -> Result<Vec<String>> {
    let mut late = Vec::new();
    for column in columns.iter().filter(|column| column.data_type == "timestamp" && !column.generated) {
        if !indexed.contains(&(table.to_owned(), column.name.clone())) {
            continue;
        }
        let name = quote_name(&column.name);
        let sql = format!("SELECT MAX({name}) > '2038-01-19 03:14:08' FROM {}", quote_name(table));
        match conn.row(&sql).await {
            Err(error) if error.code().is_none() => return Err(error),
            // The preflight tells why a table cannot be read.
            Err(_) => {}
            Ok(row) => late.extend(row.filter(|row| row.number(0) == 1).map(|_| column.name.clone())),
        }
    }
    Ok(late)
}
