//! Keeps negative zeros of FLOAT columns on MariaDB, and counts those of DOUBLE columns, which MariaDB cannot store.
//!
//! MariaDB parses a negative zero as zero. A negative number that is too small for a FLOAT becomes a negative zero.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::catalog::{Column, ObjectKind, ObjectRef, Table};
use crate::codec::{BatchBuilder, Digest, Field, row_texts, split_fields, split_rows};
use crate::fidelity::{FidelityIssue, Severity};
use crate::report::Note;

const NEGATIVE_ZEROS: [Field<'_>; 3] = [Field::Escaped(b"-0e0"), Field::Escaped(b"-0"), Field::Escaped(b"-0.0")];
/// A negative number that is too small for a FLOAT.
const FLOAT_UNDERFLOW: &[u8] = b"-1e-46";

/// Zero, as a reader encodes it. MariaDB sends every negative zero as zero.
const ZERO: &[u8] = b"0e0";
const NULL: &[u8] = br"\N";

/// The negative zeros of a batch or of several ones: those of DOUBLE columns became zero, those of FLOAT columns are only
/// read back as zero.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LostZeroSigns {
    /// The number of lost ones, by column.
    columns: BTreeMap<String, u64>,
    /// The digest of the rows as the source has them, minus that of the rows as the target returns them.
    correction: Digest,
}

impl LostZeroSigns {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (column, count) in &other.columns {
            *self.columns.entry(column.clone()).or_default() += count;
        }
        self.correction.add(&other.correction);
    }

    /// Corrects the digest of these rows, as they are stored, to that of the rows as they were read: lost signs are reported
    /// already.
    pub(super) fn correct(&self, digest: &mut Digest) {
        digest.add(&self.correction);
    }

    /// Reports the negative zeros that each column of the table has lost.
    pub(super) fn notes(&self, table: &str) -> impl Iterator<Item = Note> {
        self.columns.iter().map(move |(column, count)| {
            Note::Fidelity(FidelityIssue {
                object: ObjectRef::new(ObjectKind::Table, table),
                what: format!("column {column}"),
                severity: Severity::Warning,
                source: format!("-0 in {count} rows"),
                target: "0, as MariaDB has no other in a DOUBLE".to_owned(),
            })
        })
    }
}

/// Whether the column has negative zeros that are loaded. Generated columns are not.
fn has_negative_zeros(column: &Column) -> bool {
    !column.generated && matches!(column.data_type.as_str(), "float" | "double")
}

/// Whether the field is a negative zero of its column.
pub(super) fn is_negative_zero(column: &Column, field: Field<'_>) -> bool {
    has_negative_zeros(column) && NEGATIVE_ZEROS.contains(&field)
}

/// Encodes the negative zeros of FLOAT columns so that they stay negative. Also returns the negative zeros of DOUBLE columns.
/// Returns `None` if the batch has none of either.
pub(super) fn encode_negative_zeros(table: &Table, batch: &Batch) -> Option<(Batch, LostZeroSigns)> {
    let columns: Vec<&Column> = table.stored_columns().collect();
    let is_one = |(field, column): (Field<'_>, &&Column)| is_negative_zero(column, field);
    let has_one = || split_rows(&batch.data).any(|row| row.zip(&columns).any(is_one));
    if !columns.iter().any(|column| has_negative_zeros(column)) || !has_one() {
        return None;
    }
    let mut encoded = BatchBuilder::with_capacity(batch.data.len());
    let mut lost = LostZeroSigns::default();
    for row in row_texts(&batch.data) {
        let mut stored = BatchBuilder::default();
        for (field, column) in split_fields(row).zip(&columns) {
            let (image, read_back) = match field {
                zero if is_negative_zero(column, zero) && column.data_type == "float" => (FLOAT_UNDERFLOW, ZERO),
                zero if is_negative_zero(column, zero) => {
                    *lost.columns.entry(column.name.clone()).or_default() += 1;
                    (ZERO, ZERO)
                }
                Field::Null => (NULL, NULL),
                Field::Escaped(text) => (text, text),
            };
            encoded.push_unescaped(image);
            stored.push_unescaped(read_back);
        }
        lost.correction.replace_row(stored.row_text(), row);
        encoded.end_row();
    }
    Some((encoded.finish(batch.id), lost))
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
        assert_eq!(&encoded.data[..], b"-1e-46\t0e0\t-0e0\n1e0\t2e0\t\\t\n");
        assert_eq!((encoded.rows, &lost.columns), (2, &BTreeMap::from([("d".to_owned(), 1)])));
        let mut digest = Digest::from_text(b"0e0\t0e0\t-0e0\n1e0\t2e0\t\\t\n");
        digest.add(&lost.correction);
        assert_eq!(digest, Digest::from_text(b"-0e0\t-0e0\t-0e0\n1e0\t2e0\t\\t\n"));
    }
}
