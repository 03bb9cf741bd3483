//! Splits ranges of keys in two until the server estimates each to be small enough.

use super::capability::{self, Capability};
use super::connect::Conn;
use super::key_value::{KeyColumn, KeyColumnValue};
use crate::catalog::Flavor;
use crate::error::Result;

/// The most lookups or estimates in one statement.
const MAX_QUERIES: usize = 64;
/// A split is uneven if one part has this many times the rows of the other.
const UNEVEN_RATIO: u64 = 16;
/// The consecutive uneven splits after which a range stays as it is.
const MAX_UNEVEN_SPLITS: u32 = 24;

/// The index in whose order InnoDB stores the rows.
pub(super) struct ClusteredKey {
    /// The quoted name.
    pub(super) index: String,
    /// The leading columns whose values can bound a range.
    pub(super) columns: Vec<KeyColumn>,
}

/// A range of keys. It begins after the end of the range before it.
#[derive(Debug, Clone)]
struct KeyRange {
    /// The last key, or the leading columns of it; `None` if the range has no upper end.
    end: Option<Vec<String>>,
    /// The estimated number of rows.
    rows: u64,
    /// The values of the leading columns that all rows of the range have in common.
    prefix: Vec<String>,
    /// The column after the prefix, by which the range can be split; `None` after the last column.
    column: Option<KeyColumn>,
    /// All values of the column are greater than this.
    lower_bound: Option<KeyColumnValue>,
    /// The greatest value of the column, once it is known.
    upper_bound: Option<KeyColumnValue>,
    /// The consecutive uneven splits that produced the range.
    uneven_splits: u32,
}

impl KeyRange {
    /// Splits the range after this value.
    ///
    /// Only the proportion of the estimates counts, because their sum may be far off.
    fn split_at(self, value: KeyColumnValue, estimates: (u64, u64)) -> Vec<Self> {
        let sum = u128::from(estimates.0) + u128::from(estimates.1);
        let first = u128::from(self.rows) * u128::from(estimates.0) / sum.max(1);
        let first = u64::try_from(first).unwrap_or(self.rows);
        let rows = (first, self.rows.saturating_sub(first));
        let (fewer, more) = (rows.0.min(rows.1), rows.0.max(rows.1));
        let uneven_splits = if fewer.saturating_mul(UNEVEN_RATIO) < more { self.uneven_splits + 1 } else { 0 };
        let end = self.prefix.iter().chain([&value.literal]).cloned().collect();
        let upper_bound = Some(value.clone());
        vec![
            Self { end: Some(end), rows: rows.0, upper_bound, uneven_splits, ..self.clone() },
            Self { rows: rows.1, lower_bound: Some(value), uneven_splits, ..self },
        ]
    }

    /// Moves a range of a single value to the next column: the value joins the prefix.
    fn into_next_column(mut self, columns: &[KeyColumn]) -> Self {
        self.column = self.upper_bound.take().and_then(|value| {
            self.prefix.push(value.literal);
            columns.get(self.prefix.len()).cloned()
        });
        Self { lower_bound: None, uneven_splits: 0, ..self }
    }
}

/// Splits the key range of a table.
///
/// One statement looks up many values, because each round trip to a distant server delays the clone.
pub(super) struct RangeSplitter<'a> {
    pub(super) conn: &'a mut Conn,
    /// The quoted name of the table.
    pub(super) name: String,
    pub(super) key: ClusteredKey,
    /// The number of rows that a range should have.
    pub(super) rows_per_range: u64,
}

/// Asks for the first value of a range's column in this order, among the rows that meet a condition.
struct KeyLookup<'r> {
    range: &'r KeyRange,
    condition: String,
    order: &'static str,
}

impl RangeSplitter<'_> {
    /// Returns the ends of about `wanted` ranges, in key order, for a table of `rows` rows.
    pub(super) async fn split(mut self, rows: u64, wanted: u64) -> Result<Vec<Option<Vec<String>>>> {
        let (column, prefix) = (self.key.columns.first().cloned(), Vec::new());
        let mut ranges =
            vec![KeyRange { end: None, rows, prefix, column, lower_bound: None, upper_bound: None, uneven_splits: 0 }];
        let enough = usize::try_from(4 * wanted).unwrap_or(usize::MAX);
        let rows_per_range = self.rows_per_range;
        let is_big = |range: &KeyRange| {
            range.rows >= rows_per_range && range.uneven_splits < MAX_UNEVEN_SPLITS && range.column.is_some()
        };
        while ranges.len() < enough && ranges.iter().any(is_big) {
            let big = ranges.iter().filter(|range| is_big(range)).cloned().collect();
            let mut halves = self.split_each(big).await?.into_iter();
            let parts = |range| if is_big(&range) { halves.next().unwrap_or_default() } else { vec![range] };
            ranges = ranges.into_iter().flat_map(parts).collect();
        }
        Ok(merge_small(ranges, rows_per_range).into_iter().map(|range| range.end).collect())
    }

    /// Splits each range in two, or moves it to the next column if it has a single value.
    async fn split_each(&mut self, mut ranges: Vec<KeyRange>) -> Result<Vec<Vec<KeyRange>>> {
        let unknown = |range: &&KeyRange| range.upper_bound.is_none();
        let ask = |range| KeyLookup { range, condition: "TRUE".to_owned(), order: "DESC" };
        let lasts = self.look_up(ranges.iter().filter(unknown).map(ask).collect()).await?;
        ranges
            .iter_mut()
            .filter(|range| range.upper_bound.is_none())
            .zip(lasts)
            .for_each(|(range, last)| range.upper_bound = last);
        let ends = |range| ["ASC", "DESC"].map(|order| KeyLookup { range, condition: below_last_value(range), order });
        let ends = self.look_up(ranges.iter().flat_map(ends).collect()).await?;
        let ends: Vec<Vec<KeyColumnValue>> =
            ends.chunks(2).map(|ends| ends.iter().flatten().cloned().collect()).collect();
        let candidates: Vec<Vec<String>> =
            ranges.iter().zip(&ends).map(|(range, ends)| split_candidates(range, ends)).collect();
        let mut sides = self.estimate_sides(&ranges, &candidates).await?.into_iter();
        let best = candidates.into_iter().map(|candidates| {
            let candidates = candidates.into_iter().zip(sides.by_ref());
            candidates.min_by_key(|(_, (until, after))| until.abs_diff(*after))
        });
        let best: Vec<_> = best.collect();
        let found = ranges.iter().zip(&best).map(|(range, best)| {
            let at_least = |(candidate, _): &(String, _)| format!(" AND {} >= {candidate}", split_column(range));
            let condition = below_last_value(range) + &best.as_ref().map_or(String::new(), at_least);
            KeyLookup { range, condition, order: "ASC" }
        });
        let found = self.look_up(found.collect()).await?;
        let parts = ranges.into_iter().zip(found).zip(ends).zip(best).map(|(((range, found), mut ends), best)| {
            // No key is as great as this probe point, so the last key takes its place.
            match (found.or_else(|| ends.pop()), best) {
                (Some(end), Some((_, estimates))) => range.split_at(end, estimates),
                _ => vec![range.into_next_column(&self.key.columns)],
            }
        });
        Ok(parts.collect())
    }

    /// Runs the lookups, and returns their results in the same order.
    async fn look_up(&mut self, lookups: Vec<KeyLookup<'_>>) -> Result<Vec<Option<KeyColumnValue>>> {
        let Self { conn, name, key: ClusteredKey { index, columns }, .. } = self;
        let mut values = vec![None; lookups.len()];
        for (some, values) in lookups.chunks(MAX_QUERIES).zip(values.chunks_mut(MAX_QUERIES)) {
            let query = |(place, lookup): (usize, &KeyLookup<'_>)| {
                let KeyLookup { range, condition, order } = lookup;
                let column = range.column.as_ref()?;
                let (read, range, by) = (column.select_expression(), range_condition(range, columns), &column.quoted);
                Some(format!(
                    "(SELECT {place}, {read} FROM {name} FORCE INDEX ({index}) WHERE {range} AND {condition} \
                     ORDER BY {by} {order} LIMIT 1)"
                ))
            };
            let queries: Vec<String> = some.iter().enumerate().filter_map(query).collect();
            for row in conn.rows(&queries.join(" UNION ALL ")).await? {
                let place = usize::try_from(row.number(0)).unwrap_or(usize::MAX);
                let column = some.get(place).and_then(|lookup| lookup.range.column.as_ref());
                if let (Some(value), Some(column), Some(text)) = (values.get_mut(place), column, row.text(1)) {
                    *value = Some(column.parse_value(&text));
                }
            }
        }
        Ok(values)
    }

    /// Estimates how many rows each range has up to each candidate, and after it. All estimates form one list.
    async fn estimate_sides(&mut self, ranges: &[KeyRange], candidates: &[Vec<String>]) -> Result<Vec<(u64, u64)>> {
        let Self { conn, name, key: ClusteredKey { index, columns }, .. } = self;
        let mut queries = Vec::new();
        for (range, candidates) in ranges.iter().zip(candidates) {
            let (by, range) = (split_column(range), range_condition(range, columns));
            for literal in candidates {
                // With FORCE INDEX, MySQL does not look into the only index of a table, and estimates 1 row.
                queries.extend(["<=", ">"].map(|side| {
                    format!("SELECT {by} FROM {name} USE INDEX ({index}) WHERE {range} AND {by} {side} {literal}")
                }));
            }
        }
        let format = if conn.server.flavor == Flavor::MySql { " FORMAT=TRADITIONAL" } else { "" };
        let rows = if capability::has(&conn.server, Capability::ExplainPartitions) { 9 } else { 8 };
        let mut estimates: Vec<u64> = Vec::new();
        for some in queries.chunks(MAX_QUERIES) {
            let answers = conn.rows(&format!("EXPLAIN{format} {}", some.join(" UNION ALL "))).await?;
            let rows = answers.iter().map(|row| row.number(rows)).chain(std::iter::repeat(0));
            estimates.extend(rows.take(some.len()));
        }
        let pairs = estimates.iter().step_by(2).zip(estimates.iter().skip(1).step_by(2));
        Ok(pairs.map(|(until, after)| (*until, *after)).collect())
    }
}

/// Returns the values at which the range could be split: the first, the last below the greatest, and probe points
/// between them. The list is empty if all rows share one value.
fn split_candidates(range: &KeyRange, ends: &[KeyColumnValue]) -> Vec<String> {
    let mut candidates: Vec<String> = ends.iter().map(|end| end.literal.clone()).collect();
    if let (Some(column), [low, high]) = (&range.column, ends) {
        candidates.extend(column.probe_points(low, high, range.uneven_splits % 2 == 1));
    }
    candidates
}

fn split_column(range: &KeyRange) -> &str {
    range.column.as_ref().map_or("NULL", |column| &column.quoted)
}

/// The SQL condition that the rows of a range meet.
fn range_condition(range: &KeyRange, columns: &[KeyColumn]) -> String {
    let mut conditions = vec!["TRUE".to_owned()];
    let prefix = columns.iter().zip(&range.prefix);
    conditions.extend(prefix.map(|(column, literal)| format!("{} = {literal}", column.quoted)));
    if let Some(column) = &range.column {
        let side = |operator: &str, value: &KeyColumnValue| format!("{} {operator} {}", column.quoted, value.literal);
        conditions.extend(range.lower_bound.iter().map(|value| side(">", value)));
        conditions.extend(range.upper_bound.iter().map(|value| side("<=", value)));
    }
    conditions.join(" AND ")
}

/// The SQL condition that a row of the range has less than its greatest value.
fn below_last_value(range: &KeyRange) -> String {
    match (&range.column, &range.upper_bound) {
        (Some(column), Some(upper_bound)) => format!("{} < {}", column.quoted, upper_bound.literal),
        _ => "FALSE".to_owned(),
    }
}

/// Merges neighbouring ranges that have at most `rows_per_range` rows together.
fn merge_small(ranges: Vec<KeyRange>, rows_per_range: u64) -> Vec<KeyRange> {
    let mut merged: Vec<KeyRange> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if last.rows.saturating_add(range.rows) <= rows_per_range => {
                last.rows += range.rows;
                last.end = range.end;
            }
            _ => merged.push(range),
        }
    }
    merged
}
