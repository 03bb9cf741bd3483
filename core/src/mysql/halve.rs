//! Cuts a range of keys in two, and the halves again, until the server takes each for small enough.

use super::border::{KeyColumn, Value};
use super::connect::Conn;
use crate::catalog::Flavor;
use crate::error::Result;

/// A statement asks at most this many questions.
const AT_ONCE: usize = 64;
/// A part is a poor one below this share of the other.
const POOR: u64 = 16;
/// A range is left as it is after so many poor cuts in a row.
const PATIENCE: u32 = 24;

/// The index that the rows are stored by.
pub(super) struct Key {
    /// Its name, quoted.
    pub(super) index: String,
    /// Those of its first columns that borders can be made of.
    pub(super) columns: Vec<KeyColumn>,
}

/// A range of keys: the rows after those of the range before it.
#[derive(Debug, Clone)]
struct Range {
    /// Its last key, or the first columns of it; `None` where it is open.
    border: Option<Vec<String>>,
    /// About how many rows it has.
    rows: u64,
    /// The values of the first columns, where all its rows share them.
    shared: Vec<String>,
    /// The column by which it may be cut: the next one. `None` where there is no such.
    column: Option<KeyColumn>,
    /// The column's values are greater than this.
    after: Option<Value>,
    /// The greatest of the column's values, once it is known.
    until: Option<Value>,
    /// How many poor cuts in a row made it.
    poor: u32,
}

impl Range {
    /// The range in two, behind this value. Only the proportion of the estimates counts: their sum may be far off.
    fn cut(self, value: Value, estimates: (u64, u64)) -> Vec<Self> {
        let sum = u128::from(estimates.0) + u128::from(estimates.1);
        let first = u128::from(self.rows) * u128::from(estimates.0) / sum.max(1);
        let first = u64::try_from(first).unwrap_or(self.rows);
        let rows = (first, self.rows.saturating_sub(first));
        let (fewer, more) = (rows.0.min(rows.1), rows.0.max(rows.1));
        let poor = if fewer.saturating_mul(POOR) < more { self.poor + 1 } else { 0 };
        let border = self.shared.iter().chain([&value.literal]).cloned().collect();
        let until = Some(value.clone());
        vec![
            Self { border: Some(border), rows: rows.0, until, poor, ..self.clone() },
            Self { rows: rows.1, after: Some(value), poor, ..self },
        ]
    }

    /// The same range, whose rows share one value more, to be cut by the column after that one.
    fn deeper(mut self, columns: &[KeyColumn]) -> Self {
        self.column = self.until.take().and_then(|value| {
            self.shared.push(value.literal);
            columns.get(self.shared.len()).cloned()
        });
        Self { after: None, poor: 0, ..self }
    }
}

/// Cuts ranges in two until the server takes each for small enough.
///
/// Many questions travel in one statement: the server may be far away, and nothing is read meanwhile.
pub(super) struct Cutter<'a> {
    pub(super) conn: &'a mut Conn,
    /// The table's name, quoted.
    pub(super) name: String,
    pub(super) key: Key,
    /// How many rows a chunk should have.
    pub(super) size: u64,
}

/// A question for the first value, in this order, of a range's column under a condition.
struct Lookup<'r> {
    range: &'r Range,
    condition: String,
    order: &'static str,
}

impl Cutter<'_> {
    /// The borders at which the ranges of a table of so many rows end, in key order, about as many as wanted.
    pub(super) async fn cut(mut self, rows: u64, wanted: u64) -> Result<Vec<Option<Vec<String>>>> {
        let (column, shared) = (self.key.columns.first().cloned(), Vec::new());
        let mut ranges = vec![Range { border: None, rows, shared, column, after: None, until: None, poor: 0 }];
        let enough = usize::try_from(4 * wanted).unwrap_or(usize::MAX);
        let size = self.size;
        let is_big = |range: &Range| range.rows >= size && range.poor < PATIENCE && range.column.is_some();
        while ranges.len() < enough && ranges.iter().any(is_big) {
            let big = ranges.iter().filter(|range| is_big(range)).cloned().collect();
            let mut halves = self.halves(big).await?.into_iter();
            let parts = |range| if is_big(&range) { halves.next().unwrap_or_default() } else { vec![range] };
            ranges = ranges.into_iter().flat_map(parts).collect();
        }
        Ok(joined(ranges, size).into_iter().map(|range| range.border).collect())
    }

    /// Each range in two, or deeper in the key.
    async fn halves(&mut self, mut ranges: Vec<Range>) -> Result<Vec<Vec<Range>>> {
        let unknown = |range: &&Range| range.until.is_none();
        let ask = |range| Lookup { range, condition: "TRUE".to_owned(), order: "DESC" };
        let lasts = self.values(ranges.iter().filter(unknown).map(ask).collect()).await?;
        ranges.iter_mut().filter(|range| range.until.is_none()).zip(lasts).for_each(|(range, last)| range.until = last);
        let ends = |range| ["ASC", "DESC"].map(|order| Lookup { range, condition: below(range), order });
        let ends = self.values(ranges.iter().flat_map(ends).collect()).await?;
        let ends: Vec<Vec<Value>> = ends.chunks(2).map(|ends| ends.iter().flatten().cloned().collect()).collect();
        let places: Vec<Vec<String>> = ranges.iter().zip(&ends).map(|(range, ends)| places(range, ends)).collect();
        let mut sides = self.sides(&ranges, &places).await?.into_iter();
        let best = places.into_iter().map(|places| {
            let places = places.into_iter().zip(sides.by_ref());
            places.min_by_key(|(_, (until, after))| until.abs_diff(*after))
        });
        let best: Vec<_> = best.collect();
        let found = ranges.iter().zip(&best).map(|(range, best)| {
            let at_least = |(place, _): &(String, _)| format!(" AND {} >= {place}", quoted(range));
            let condition = below(range) + &best.as_ref().map_or(String::new(), at_least);
            Lookup { range, condition, order: "ASC" }
        });
        let found = self.values(found.collect()).await?;
        let parts = ranges.into_iter().zip(found).zip(ends).zip(best).map(|(((range, found), mut ends), best)| {
            // A guess that lies behind all keys stands for the last of them.
            match (found.or_else(|| ends.pop()), best) {
                (Some(border), Some((_, estimates))) => range.cut(border, estimates),
                _ => vec![range.deeper(&self.key.columns)],
            }
        });
        Ok(parts.collect())
    }

    /// The values found, each in the order of its question.
    async fn values(&mut self, lookups: Vec<Lookup<'_>>) -> Result<Vec<Option<Value>>> {
        let Self { conn, name, key: Key { index, columns }, .. } = self;
        let mut values = vec![None; lookups.len()];
        for (some, values) in lookups.chunks(AT_ONCE).zip(values.chunks_mut(AT_ONCE)) {
            let question = |(place, lookup): (usize, &Lookup<'_>)| {
                let Lookup { range, condition, order } = lookup;
                let column = range.column.as_ref()?;
                let (read, range, by) = (column.read(), within(range, columns), &column.quoted);
                Some(format!(
                    "(SELECT {place}, {read} FROM {name} FORCE INDEX ({index}) WHERE {range} AND {condition} \
                     ORDER BY {by} {order} LIMIT 1)"
                ))
            };
            let questions: Vec<String> = some.iter().enumerate().filter_map(question).collect();
            for row in conn.rows(&questions.join(" UNION ALL ")).await? {
                let place = usize::try_from(row.number(0)).unwrap_or(usize::MAX);
                let column = some.get(place).and_then(|lookup| lookup.range.column.as_ref());
                if let (Some(value), Some(column), Some(text)) = (values.get_mut(place), column, row.text(1)) {
                    *value = Some(column.value(&text));
                }
            }
        }
        Ok(values)
    }

    /// About how many rows each range has up to each of its places and after it, all in one list.
    async fn sides(&mut self, ranges: &[Range], places: &[Vec<String>]) -> Result<Vec<(u64, u64)>> {
        let Self { conn, name, key: Key { index, columns }, .. } = self;
        let mut questions = Vec::new();
        for (range, places) in ranges.iter().zip(places) {
            let (by, range) = (quoted(range), within(range, columns));
            for literal in places {
                // Not FORCE INDEX: MySQL would not look into an index that is the only one, and say 1.
                questions.extend(["<=", ">"].map(|side| {
                    format!("SELECT {by} FROM {name} USE INDEX ({index}) WHERE {range} AND {by} {side} {literal}")
                }));
            }
        }
        let (format, rows) = match conn.server.flavor {
            Flavor::MySql => (" FORMAT=TRADITIONAL", 9),
            Flavor::MariaDb => ("", 8),
        };
        let mut estimates: Vec<u64> = Vec::new();
        for some in questions.chunks(AT_ONCE) {
            let answers = conn.rows(&format!("EXPLAIN{format} {}", some.join(" UNION ALL "))).await?;
            let rows = answers.iter().map(|row| row.number(rows)).chain(std::iter::repeat(0));
            estimates.extend(rows.take(some.len()));
        }
        let pairs = estimates.iter().step_by(2).zip(estimates.iter().skip(1).step_by(2));
        Ok(pairs.map(|(until, after)| (*until, *after)).collect())
    }
}

/// The values at which the range could be cut: the first, the last but the greatest, and guesses between them. None where
/// all its rows share one value.
fn places(range: &Range, ends: &[Value]) -> Vec<String> {
    let mut places: Vec<String> = ends.iter().map(|end| end.literal.clone()).collect();
    if let (Some(column), [low, high]) = (&range.column, ends) {
        places.extend(column.guesses(low, high, range.poor % 2 == 1));
    }
    places
}

fn quoted(range: &Range) -> &str {
    range.column.as_ref().map_or("NULL", |column| &column.quoted)
}

/// The condition of a range's rows.
fn within(range: &Range, columns: &[KeyColumn]) -> String {
    let mut conditions = vec!["TRUE".to_owned()];
    let shared = columns.iter().zip(&range.shared);
    conditions.extend(shared.map(|(column, literal)| format!("{} = {literal}", column.quoted)));
    if let Some(column) = &range.column {
        let side = |operator: &str, value: &Value| format!("{} {operator} {}", column.quoted, value.literal);
        conditions.extend(range.after.iter().map(|value| side(">", value)));
        conditions.extend(range.until.iter().map(|value| side("<=", value)));
    }
    conditions.join(" AND ")
}

/// The condition of a range's rows that have not its greatest value.
fn below(range: &Range) -> String {
    match (&range.column, &range.until) {
        (Some(column), Some(until)) => format!("{} < {}", column.quoted, until.literal),
        _ => "FALSE".to_owned(),
    }
}

/// Small neighbours make one range.
fn joined(ranges: Vec<Range>, size: u64) -> Vec<Range> {
    let mut joined: Vec<Range> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.rows.saturating_add(range.rows) <= size => {
                last.rows += range.rows;
                last.border = range.border;
            }
            _ => joined.push(range),
        }
    }
    joined
}
