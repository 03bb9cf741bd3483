//! MariaDB takes a negative zero for zero. A FLOAT becomes one all the same when it is too small; a DOUBLE never does.

use super::target::State;
use crate::batch::Batch;
use crate::catalog::{ObjectKind, ObjectRef, Table};
use crate::codec::{BatchBuilder, Field, split_rows};
use crate::fidelity::{FidelityIssue, Severity};
use crate::report::Note;

const ZEROS: [Field<'_>; 3] = [Field::Escaped(b"-0e0"), Field::Escaped(b"-0"), Field::Escaped(b"-0.0")];
/// Too small for a FLOAT.
const TINY: &[u8] = b"-1e-46";

/// The batch with every negative zero of a FLOAT written so that it stays one, and the DOUBLE columns that have some,
/// with how many; `None` where there is none.
pub(super) fn signed(table: &Table, batch: &Batch) -> Option<(Batch, Vec<(String, u64)>)> {
    let columns: Vec<(&str, &str)> = table
        .stored_columns()
        // What the target computes is not loaded.
        .map(|c| (c.name.as_str(), if c.generated { "" } else { c.data_type.as_str() }))
        .collect();
    let is_real = |(_, kind): &(&str, &str)| matches!(*kind, "float" | "double");
    let is_negative = |(field, column): (Field<'_>, &(&str, &str))| ZEROS.contains(&field) && is_real(column);
    let has_one = || split_rows(&batch.data).any(|row| row.zip(&columns).any(is_negative));
    if !columns.iter().any(is_real) || !has_one() {
        return None;
    }
    let mut counts = vec![0; columns.len()];
    let mut image = BatchBuilder::with_capacity(batch.data.len());
    for row in split_rows(&batch.data) {
        for ((field, (_, kind)), count) in row.zip(&columns).zip(&mut counts) {
            *count += u64::from(ZEROS.contains(&field) && *kind == "double");
            match field {
                Field::Null => image.push_null(),
                zero if ZEROS.contains(&zero) && *kind == "float" => image.push_unescaped(TINY),
                Field::Escaped(text) => image.push_unescaped(text),
            }
        }
        image.end_row();
    }
    let lost = columns.iter().zip(counts).filter(|(_, count)| *count > 0);
    let lost = lost.map(|((name, _), count)| ((*name).to_owned(), count)).collect();
    Some((image.finish(batch.id), lost))
}

impl State {
    /// Counts what was lost.
    pub(super) fn lost_signs(&mut self, table: &str, lost: &[(String, u64)]) {
        for (column, count) in lost {
            *self.signs.entry((table.to_owned(), column.clone())).or_default() += count;
        }
    }
}

/// What the report says of a column.
pub(super) fn told(((table, column), count): (&(String, String), &u64)) -> Note {
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
    fn the_sign_of_zero_stays_where_it_can_and_is_counted_where_it_cannot() {
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
        assert!(signed(&table, &batch(&[[b"0e0", b"-1e0", b"-0e0"]])).is_none());
        let (image, lost) = signed(&table, &batch(&[[b"-0e0", b"-0e0", b"-0e0"], [b"1e0", b"2e0", b"\t"]])).unwrap();
        assert_eq!(&image.data[..], b"-1e-46\t-0e0\t-0e0\n1e0\t2e0\t\\t\n");
        assert_eq!((image.rows, lost), (2, vec![("d".to_owned(), 1)]));
    }
}
