//! The texts of rows in the statements that insert, update and delete them.

use super::condition::{TextComparison, key_literal, push_conditions};
use super::table::AppliedTable;
use crate::catalog::{Column, Flavor};
use crate::change::RowImages;
use crate::codec::{Field, split_fields};
use crate::error::Result;
use crate::mysql::ddl::quote_name;
use crate::mysql::load::{self, LoadOptions};
use crate::mysql::negative_zero::is_negative_zero;

/// The form of a statement. Rows of one form share a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum StatementForm {
    /// `INSERT INTO t (…) VALUES (…),(…)`
    Insert,
    /// `DELETE FROM t WHERE key IN (…,…)`
    DeleteByValues,
    /// `DELETE FROM t WHERE (…) OR (…)`
    DeleteByConditions,
    /// A statement of one row.
    SingleRow,
}

/// A row in a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RowText {
    pub(super) form: StatementForm,
    pub(super) text: Vec<u8>,
}

/// The statement that updates a row where it is.
pub(super) struct UpdateText {
    pub(super) row: RowText,
    /// The number of values that are an ENUM's error value, which a strict session refuses.
    pub(super) error_values: u64,
}

/// Writes texts of rows of one table.
pub(super) struct RowWriter<'a> {
    pub(super) table: &'a AppliedTable,
    /// The family of the target.
    pub(super) flavor: Flavor,
    /// The longest statement, in bytes.
    pub(super) max_length: usize,
}

impl RowWriter<'_> {
    /// Writes the rows of an insert. Returns `None` if they need more than an INSERT in a strict session.
    pub(super) fn insert(&self, after: &RowImages, line: &[u8]) -> Result<Option<RowText>> {
        let columns = self.table.image_columns(after)?;
        let is_zero = |(column, field): (&&Column, Field<'_>)| is_negative_zero(column, field);
        if self.flavor == Flavor::MariaDb && columns.iter().zip(split_fields(line)).any(is_zero) {
            return Ok(None);
        }
        let mut text = Vec::with_capacity(2 * line.len());
        let error_values = load::push_row(&mut text, &columns, split_fields(line), &LoadOptions::default());
        let head = load::insert_head(&self.table.name, &columns);
        let is_plain = error_values == 0 && head.len() + text.len() <= self.max_length;
        Ok(is_plain.then_some(RowText { form: StatementForm::Insert, text }))
    }

    /// Writes the condition of a row that is deleted.
    pub(super) fn delete(&self, before: &RowImages, line: &[u8]) -> Result<RowText> {
        let columns = self.table.image_columns(before)?;
        let (places, is_key) = self.table.locator_places(before)?;
        let mut text = Vec::new();
        if !is_key {
            text.extend_from_slice(format!("DELETE FROM {} WHERE ", self.table.name).as_bytes());
            push_conditions(&mut text, &columns, &places, line, TextComparison::Bytes, self.flavor);
            text.extend_from_slice(b" LIMIT 1");
            return Ok(RowText { form: StatementForm::SingleRow, text });
        }
        if let [place] = places[..]
            && let (Some(column), Some(field)) = (columns.get(place), split_fields(line).nth(place))
            && let Some(literal) = key_literal(column, field, self.flavor)
        {
            return Ok(RowText { form: StatementForm::DeleteByValues, text: literal.into_bytes() });
        }
        text.push(b'(');
        push_conditions(&mut text, &columns, &places, line, TextComparison::Collation, self.flavor);
        text.push(b')');
        Ok(RowText { form: StatementForm::DeleteByConditions, text })
    }

    /// Writes the statement that updates a row where it is. Returns `None` if the row must be deleted and inserted. With
    /// `must_stay`, that is no way for a row without a key either.
    pub(super) fn update(
        &self,
        before: (&RowImages, &[u8]),
        after: (&RowImages, &[u8]),
        must_stay: bool,
    ) -> Result<Option<UpdateText>> {
        let ((before, old_line), (after, new_line)) = (before, after);
        let table = self.table;
        let (places, is_key) = table.locator_places(before)?;
        let (old_columns, new_columns) = (table.image_columns(before)?, table.image_columns(after)?);
        // MariaDB takes a negative zero in an INSERT only.
        let is_zero = |(column, field): (&&Column, Field<'_>)| is_negative_zero(column, field);
        let has_zero = || new_columns.iter().zip(split_fields(new_line)).any(is_zero);
        if !is_key && !must_stay || self.flavor == Flavor::MariaDb && has_zero() {
            return Ok(None);
        }
        let old: Vec<Field<'_>> = split_fields(old_line).collect();
        let mut text = format!("UPDATE {} SET ", table.name).into_bytes();
        let (mut is_first, mut error_values) = (true, 0);
        let mut begin = |text: &mut Vec<u8>, column: &Column| {
            let comma = if std::mem::take(&mut is_first) { "" } else { ", " };
            text.extend_from_slice(format!("{comma}{} = ", quote_name(&column.name)).as_bytes());
        };
        let options = LoadOptions::default();
        let mut assigned = Vec::new();
        for ((index, column), field) in after.columns.iter().zip(new_columns).zip(split_fields(new_line)) {
            let place = before.columns.iter().position(|there| there == index);
            let is_same = place.and_then(|place| old.get(place)) == Some(&field);
            if column.generated || is_same {
                continue;
            }
            begin(&mut text, column);
            error_values += load::push_value(&mut text, column, field, &options);
            assigned.push(*index);
        }
        // A column may have ON UPDATE CURRENT_TIMESTAMP.
        let is_time = |column: &&Column| matches!(column.data_type.as_str(), "timestamp" | "datetime");
        for (_, column) in (0..).zip(&table.columns).filter(|(index, c)| !assigned.contains(index) && is_time(c)) {
            if !column.generated {
                begin(&mut text, column);
                text.extend_from_slice(quote_name(&column.name).as_bytes());
            }
        }
        if is_first {
            // Nothing but a generated column has changed; the row must be there all the same.
            let Some(column) = table.columns.iter().find(|column| !column.generated) else { return Ok(None) };
            let name = quote_name(&column.name);
            text.extend_from_slice(format!("{name} = {name}").as_bytes());
        }
        text.extend_from_slice(b" WHERE ");
        let texts = if is_key { TextComparison::Collation } else { TextComparison::Bytes };
        push_conditions(&mut text, &old_columns, &places, old_line, texts, self.flavor);
        if !is_key {
            text.extend_from_slice(b" LIMIT 1");
        }
        let row = RowText { form: StatementForm::SingleRow, text };
        Ok((row.text.len() <= self.max_length).then_some(UpdateText { row, error_values }))
    }

    /// The beginning of a statement, before its first row.
    pub(super) fn head(&self, form: StatementForm, images: &RowImages) -> Result<Vec<u8>> {
        let name = &self.table.name;
        Ok(match form {
            StatementForm::Insert => load::insert_head(name, &self.table.image_columns(images)?),
            StatementForm::DeleteByConditions => format!("DELETE FROM {name} WHERE ").into_bytes(),
            StatementForm::DeleteByValues => {
                let (columns, (places, _)) = (self.table.image_columns(images)?, self.table.locator_places(images)?);
                let column = places.first().and_then(|place| columns.get(*place));
                let key = column.map(|column| quote_name(&column.name)).unwrap_or_default();
                format!("DELETE FROM {name} WHERE {key} IN (").into_bytes()
            }
            StatementForm::SingleRow => Vec::new(),
        })
    }

    /// Describes the key of a row: `id = 5`. `None` if only all columns tell rows apart.
    pub(super) fn key(&self, images: &RowImages, line: &[u8]) -> Option<String> {
        let (places, true) = self.table.locator_places(images).ok()? else { return None };
        let columns = self.table.image_columns(images).ok()?;
        let fields: Vec<Field<'_>> = split_fields(line).collect();
        let parts = places.iter().filter_map(|place| {
            let column = columns.get(*place)?;
            let value = key_literal(column, *fields.get(*place)?, self.flavor);
            Some(format!("{} = {}", column.name, value.unwrap_or_else(|| "…".to_owned())))
        });
        Some(parts.collect::<Vec<_>>().join(", "))
    }
}
