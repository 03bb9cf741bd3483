//! Keeps negative zeros of FLOAT columns on MariaDB, and counts those of DOUBLE columns, which MariaDB cannot store.
//!
//! MariaDB parses a negative zero as zero. A negative number that is too small for a FLOAT becomes a negative zero.

use super::target::TargetState;
use crate::batch::{Batch, BatchId};
use crate::catalog::{ObjectKind, ObjectRef, Table};
use crate::codec::{BatchBuilder, Field, split_rows};
use crate::fidelity::{FidelityIssue, Severity};
use crate::report::Note;

const NEGATIVE_ZEROS: [Field<'_>; 3] = [Field::Escaped(b"-0e0"), Field::Escaped(b"-0"), Field::Escaped(b"-0.0")];
/// A negative number that is too small for a FLOAT.
const FLOAT_UNDERFLOW: &[u8] = b"-1e-46";

/// Encodes the negative zeros of FLOAT columns so that they stay negative. Also returns the number of negative zeros in
/// each DOUBLE column. Returns `None` if the batch has none of either.
pub(super) fn encode_negative_zeros(table: &Table, batch: &Batch) -> Option<(Batch, Vec<(String, u64)>)> {
    let columns: Vec<(&str, &str)> = table
        .stored_columns()
        // Generated columns are not loaded.
        .map(|c| (c.name.as_str(), if c.generated { "" } else { c.data_type.as_str() }))
        .collect();
    let is_real = |(_, kind): &(&str, &str)| matches!(*kind, "float" | "double");
    let is_negative = |(field, column): (Field<'_>, &(&str, &str))| NEGATIVE_ZEROS.contains(&field) && is_real(column);
    let has_one = || split_rows(&batch.data).any(|row| row.zip(&columns).any(is_negative));
    if !columns.iter().any(is_real) || !has_one() {
        return None;
    }
    let mut counts = vec![0; columns.len()];
    let mut encoded = BatchBuilder::with_capacity(batch.data.len());
    for row in split_rows(&batch.data) {
        for ((field, (_, kind)), count) in row.zip(&columns).zip(&mut counts) {
            *count += u64::from(NEGATIVE_ZEROS.contains(&field) && *kind == "double");
            match field {
                Field::Null => encoded.push_null(),
                zero if NEGATIVE_ZEROS.contains(&zero) && *kind == "float" => encoded.push_unescaped(FLOAT_UNDERFLOW),
                Field::Escaped(text) => encoded.push_unescaped(text),
            }
        }
        encoded.end_row();
    }
    let lost = columns.iter().zip(counts).filter(|(_, count)| *count > 0);
    let lost = lost.map(|((name, _), count)| ((*name).to_owned(), count)).collect();
    Some((encoded.finish(batch.id), lost))
}

impl TargetState {
    /// Notes the negative zeros of a batch, or of a part of it, that the target cannot store.
    pub(super) fn note_lost_signs(&mut self, batch: BatchId, lost: &[(String, u64)]) {
        for (column, count) in lost {
            let losing = self.losing_zero_signs.entry(batch).or_default();
            *losing.entry(column.clone()).or_default() += count;
        }
    }

    /// Counts the noted negative zeros of a batch that is durable now.
    pub(super) fn count_lost_signs(&mut self, table: &str, batch: BatchId) {
        for (column, count) in self.losing_zero_signs.remove(&batch).unwrap_or_default() {
            *self.lost_zero_signs.entry((table.to_owned(), column)).or_default() += count;
        }
    }
}

/// Reports the negative zeros that a column has lost.
pub(super) fn lost_sign_note(((table, column), count): (&(String, String), &u64)) -> Note {
    Note::Fidelity(FidelityIssue {
        object: ObjectRef::new(ObjectKind::Table, table),
        what: format!("column {column}"),
        severity: Severity::Warning,
        source: format!("-0 in {count} rows"),
        target: "0, as MariaDB has no other in a DOUBLE".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::BatchId;
    use crate::catalog::Column;

    #[test]
    fn negative_zeros_of_floats_stay_and_those_of_doubles_are_counted() {
        let column = |name: &str, kind: &str| Column {
            name: name.to_owned(),
            data_type: kind.to_owned(),
            column_type: kind.to_owned(),
            charset: None,
            collation: None,
            nullable: true,
            generated: false,
            stored: false,
        };
        let table = Table {
            name: "t".to_owned(),
            engine: "InnoDB".to_owned(),
            columns: vec![column("f", "float"), column("d", "double"), column("t", "text")],
            history: false,
            late_timestamps: Vec::new(),
            primary_key: Vec::new(),
            rows_estimate: 0,
            data_bytes: 0,
            index_bytes: 0,
            create: String::new(),
        };
        let batch = |rows: &[[&[u8]; 3]]| {
            let mut builder = BatchBuilder::default();
            for row in rows {
                row.iter().for_each(|value| builder.push_value(value));
                builder.end_row();
            }
            builder.finish(BatchId { table: 0, chunk: 0, batch: 0 })
        };
        assert!(encode_negative_zeros(&table, &batch(&[[b"0e0", b"-1e0", b"-0e0"]])).is_none());
        let (encoded, lost) =
            encode_negative_zeros(&table, &batch(&[[b"-0e0", b"-0e0", b"-0e0"], [b"1e0", b"2e0", b"\t"]])).unwrap();
        assert_eq!(&encoded.data[..], b"-1e-46\t-0e0\t-0e0\n1e0\t2e0\t\\t\n");
        assert_eq!((encoded.rows, lost), (2, vec![("d".to_owned(), 1)]));
    }
}
