//! Row filters on the changes of a log: whether a row is chosen by its table's filter, before a change and after it.
//!
//! Only such filters are evaluated here whose value needs no server: comparisons of integer columns with integers, `IS NULL`,
//! `AND`, `OR` and `NOT`. They are compared as numbers are, so that no character set, collation, time zone, SQL mode or
//! release has a part in it.
//!
//! | file | verb |
//! | --- | --- |
//! | `parser` | read a filter, or say why it is none of these |
//! | `chosen_changes` | leave out of changes what the filter does not choose |

mod chosen_changes;
mod parser;
#[cfg(test)]
mod tests;

pub(super) use chosen_changes::UnknownRow;

use crate::codec::{Field, split_fields};

/// A filter of one table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RowFilter {
    condition: Condition,
    /// The columns that it reads.
    columns: Vec<FilterColumn>,
    /// The columns of a whole row, as in an image.
    whole_row: Vec<u32>,
}

/// A column that a filter reads.
#[derive(Debug, PartialEq, Eq)]
struct FilterColumn {
    name: String,
    /// Its index into the stored columns of the table.
    stored: u32,
    is_integer: bool,
}

/// A part of a filter. Columns are indexes into those of the filter.
#[derive(Debug, PartialEq, Eq)]
enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    IsNull(usize),
    Compare(Term, Comparison, i64),
    Between(Term, i64, i64),
    In(Term, Vec<i64>),
}

/// A column, or its remainder after a division.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Term {
    column: usize,
    divisor: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// The value of a column in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    Null,
    Integer(i128),
    /// A value of another type, of which only counts that it is not NULL.
    Other,
}

impl RowFilter {
    /// The names of the columns on which it depends.
    pub(super) fn column_names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }

    /// Whether it chooses a row: a condition that is unknown, because a value is NULL, does not.
    fn chooses(&self, row: &[Value]) -> bool {
        self.condition.evaluate(row) == Some(true)
    }
}

impl Condition {
    /// The value for a row; `None` if it is unknown.
    fn evaluate(&self, row: &[Value]) -> Option<bool> {
        match self {
            Self::All(parts) => join(parts, row, false),
            Self::Any(parts) => join(parts, row, true),
            Self::Not(part) => part.evaluate(row).map(|value| !value),
            Self::IsNull(column) => row.get(*column).map(|value| *value == Value::Null),
            Self::Compare(term, comparison, number) => {
                let order = term.value(row)?.cmp(&i128::from(*number));
                Some(match comparison {
                    Comparison::Equal => order.is_eq(),
                    Comparison::NotEqual => order.is_ne(),
                    Comparison::Less => order.is_lt(),
                    Comparison::LessOrEqual => order.is_le(),
                    Comparison::Greater => order.is_gt(),
                    Comparison::GreaterOrEqual => order.is_ge(),
                })
            }
            Self::Between(term, least, greatest) => {
                Some((i128::from(*least)..=i128::from(*greatest)).contains(&term.value(row)?))
            }
            Self::In(term, numbers) => {
                let value = term.value(row)?;
                Some(numbers.iter().any(|number| i128::from(*number) == value))
            }
        }
    }
}

/// The value of conditions that are joined by OR, if `decisive` is true, or by AND.
fn join(parts: &[Condition], row: &[Value], decisive: bool) -> Option<bool> {
    let mut joined = Some(!decisive);
    for part in parts {
        match part.evaluate(row) {
            Some(value) if value == decisive => return Some(decisive),
            Some(_) => {}
            None => joined = None,
        }
    }
    joined
}

impl Term {
    fn value(self, row: &[Value]) -> Option<i128> {
        let Some(Value::Integer(value)) = row.get(self.column).copied() else { return None };
        match self.divisor {
            // The remainder has the sign of the dividend, at the servers too.
            Some(divisor) => value.checked_rem(i128::from(divisor)),
            None => Some(value),
        }
    }
}

impl FilterColumn {
    /// The value of a field; `None` if it is not one of the column's type.
    fn value(&self, field: Field<'_>) -> Option<Value> {
        match field {
            Field::Null => Some(Value::Null),
            Field::Escaped(text) if self.is_integer => std::str::from_utf8(text).ok()?.parse().ok().map(Value::Integer),
            Field::Escaped(_) => Some(Value::Other),
        }
    }
}

/// Where an image has the columns of a filter: the number of the field, for each that it has.
struct ColumnPlaces(Vec<Option<usize>>);

impl ColumnPlaces {
    fn find(filter: &RowFilter, image: &[u32]) -> Self {
        let place = |column: &FilterColumn| image.iter().position(|stored| *stored == column.stored);
        Self(filter.columns.iter().map(place).collect())
    }

    /// Reads the values that a row's text has. Returns false if one is not of its column's type.
    fn read(&self, filter: &RowFilter, line: &[u8], row: &mut [Value]) -> bool {
        for (number, field) in split_fields(line).enumerate() {
            for ((place, column), value) in self.0.iter().zip(&filter.columns).zip(row.iter_mut()) {
                if *place == Some(number) {
                    match column.value(field) {
                        Some(read) => *value = read,
                        None => return false,
                    }
                }
            }
        }
        true
    }
}
