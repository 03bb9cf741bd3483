//! Removes the history of system-versioned tables for servers without system versioning.

use super::column::HIDDEN_PERIOD_COLUMNS;
use super::ddl::{Dialect, TokenCursor, slice_tokens, split_at_commas, tokenize};
use crate::batch::Batch;
use crate::catalog::Table;
use crate::codec::{BatchBuilder, Field, split_rows};

/// The end time of a current row, in older MariaDB servers and in those with a longer range of TIMESTAMP.
const FOREVER: [&[u8]; 2] = [b"2038-01-19 03:14:07.999999", b"2106-02-07 06:28:15.999999"];

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
        let is_current = |field: &Field<'_>| FOREVER.iter().any(|forever| *field == Field::Escaped(forever));
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
