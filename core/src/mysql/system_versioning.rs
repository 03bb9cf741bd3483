//! Adapts the rows of system-versioned tables to the target: to another end of time, or to a server without history.

use super::capability::{self, Capability};
use super::column::{self, HIDDEN_PERIOD_COLUMNS};
use super::ddl::{Dialect, TokenCursor, slice_tokens, split_at_commas, tokenize};
use crate::batch::Batch;
use crate::catalog::{Column, Server, Table};
use crate::codec::{BatchBuilder, Field, split_rows};

/// The end time of a current row, in servers whose TIMESTAMP ends in 2038 and in those with a longer range. Batches and
/// digests hold the first one.
const END_OF_TIME: [&str; 2] = ["2038-01-19 03:14:07.999999", "2106-02-07 06:28:15.999999"];

/// The expression that reads a column. The end of time becomes the one that batches hold.
pub(super) fn read_expression(table: &Table, column: &Column) -> String {
    let expression = column::read_expression(column);
    let [in_batches, longer] = END_OF_TIME;
    match period_columns(table) {
        Some([_, end]) if end == column.name => {
            format!("IF({expression} = TIMESTAMP'{longer}', TIMESTAMP'{in_batches}', {expression})")
        }
        _ => expression,
    }
}

/// Returns the batch with the server's own end of time; `None` if it has it already.
pub(super) fn with_end_of_time(table: &Table, batch: &Batch, server: &Server) -> Option<Batch> {
    let [_, end] = period_columns(table)?;
    let [short, long] = END_OF_TIME;
    let [other, own] = if capability::has(server, Capability::LongTimestamps) { [short, long] } else { [long, short] };
    let end = table.stored_columns().position(|column| column.name == end)?;
    let mut kept = BatchBuilder::with_capacity(batch.data.len());
    for row in split_rows(&batch.data) {
        for (index, field) in row.enumerate() {
            match field {
                Field::Null => kept.push_null(),
                Field::Escaped(text) if index == end && text == other.as_bytes() => kept.push_unescaped(own.as_bytes()),
                // The text is escaped already.
                Field::Escaped(text) => kept.push_unescaped(text),
            }
        }
        kept.end_row();
    }
    Some(kept.finish(batch.id))
}

/// The names of the period columns, begin and end; `None` if the rows are read without their history.
pub(super) fn period_columns(table: &Table) -> Option<[String; 2]> {
    table
        .history
        .then(|| declared_period_columns(&table.create).unwrap_or_else(|| HIDDEN_PERIOD_COLUMNS.map(str::to_owned)))
}

fn declared_period_columns(create: &str) -> Option<[String; 2]> {
    let all = tokenize(create, Dialect::default());
    let mut cursor = TokenCursor::new(&all);
    while !cursor.eat_words(&["PERIOD", "FOR", "SYSTEM_TIME"]) {
        cursor.next()?;
    }
    let group = cursor.eat_group()?;
    let names = split_at_commas(slice_tokens(&all, group));
    names.iter().filter_map(|name| TokenCursor::new(name).eat_name()).collect::<Vec<_>>().try_into().ok()
}

/// Returns the table without its period columns.
pub(super) fn without_period_columns(table: &Table, period: &[String; 2]) -> Table {
    let mut plain = Table { history: false, ..table.clone() };
    plain.columns.retain(|column| !period.contains(&column.name));
    plain
}

/// Returns the table without its period columns, and the current rows of the batch; `None` if the rows are read without
/// their history.
pub(super) fn keep_current_rows(table: &Table, batch: &Batch) -> Option<(Table, Batch)> {
    let period = period_columns(table)?;
    let of_period: Vec<bool> = table.stored_columns().map(|column| period.contains(&column.name)).collect();
    let [_, end] = &period;
    let end = table.stored_columns().position(|column| column.name == *end)?;
    let mut kept = BatchBuilder::with_capacity(batch.data.len());
    for row in split_rows(&batch.data) {
        let fields: Vec<Field<'_>> = row.collect();
        let is_current = |field: &Field<'_>| END_OF_TIME.iter().any(|end| *field == Field::Escaped(end.as_bytes()));
        if !fields.get(end).is_some_and(is_current) {
            continue;
        }
        for (field, _) in fields.iter().zip(&of_period).filter(|(_, of_period)| !**of_period) {
            match field {
                Field::Null => kept.push_null(),
                // The text is escaped already.
                Field::Escaped(text) => kept.push_unescaped(text),
            }
        }
        kept.end_row();
    }
    Some((without_period_columns(table, &period), kept.finish(batch.id)))
}
