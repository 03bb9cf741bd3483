//! The SQL statements that read and count the rows of a chunk.
//!
//! Source and target use the same expressions, so that their rows can be compared.

use super::ddl::quote_name;
use super::{chunk, system_versioning};
use crate::plan::{Chunk, TablePlan};

/// The clause `FROM …` that selects the rows of a chunk, in the order in which the source reads them.
pub(super) fn from_clause(database: &str, table: &TablePlan, chunk: &Chunk) -> String {
    build_from_clause(database, table, chunk, reads_in_key_order(table))
}

/// The statement that reads the rows of a `FROM` clause.
pub(super) fn select_statement(table: &TablePlan, rows: &str) -> String {
    format!("SELECT {} {rows}", select_list(table))
}

/// The statement that reads a chunk in any order. It also works if the target's table has other keys.
pub(super) fn unordered_select_statement(database: &str, table: &TablePlan, chunk: &Chunk) -> String {
    select_statement(table, &build_from_clause(database, table, chunk, false))
}

/// The statement that counts the rows of a chunk.
pub(super) fn count_statement(database: &str, table: &TablePlan, chunk: &Chunk) -> String {
    format!("SELECT COUNT(*) {}", build_from_clause(database, table, chunk, false))
}

/// The statement that counts the rows of a chunk, up to a limit.
pub(super) fn bounded_count_statement(database: &str, table: &TablePlan, chunk: &Chunk, limit: u64) -> String {
    let rows = build_from_clause(database, table, chunk, false);
    format!("SELECT COUNT(*) FROM (SELECT 1 {rows} LIMIT {limit}) AS counted")
}

fn select_list(table: &TablePlan) -> String {
    let read = |column| system_versioning::read_expression(&table.table, column);
    let columns: Vec<String> = table.table.stored_columns().map(read).collect();
    // A row without stored columns still counts as a row. Its line is empty.
    if columns.is_empty() { "''".to_owned() } else { columns.join(", ") }
}

fn build_from_clause(database: &str, table: &TablePlan, chunk: &Chunk, ordered: bool) -> String {
    let mut sql = format!("FROM {}.{}", quote_name(database), quote_name(&table.table.name));
    if table.table.history {
        sql.push_str(" FOR SYSTEM_TIME ALL");
    }
    if ordered {
        sql.push_str(" FORCE INDEX (PRIMARY)");
    }
    let range = chunk::chunk_condition(&table.chunk_key, chunk);
    let filter = table.filter.as_ref().map(|filter| format!("({filter}\n)"));
    let conditions: Vec<String> = range.into_iter().chain(filter).collect();
    if !conditions.is_empty() {
        sql.push_str(" WHERE ");
        sql.push_str(&conditions.join(" AND "));
    }
    sql
}

/// Whether the statement forces the clustered index, so that rows come in its order.
///
/// ORDER BY would sort the rows if parts of the key descend, and merge the rows of partitions. With a filter, the server
/// may know a better index.
fn reads_in_key_order(table: &TablePlan) -> bool {
    table.filter.is_none() && !table.table.primary_key.is_empty() && table.table.engine == "InnoDB"
}
