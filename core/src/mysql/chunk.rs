//! Divides large tables into chunks: ranges of the key in whose order the rows are stored.

use super::connect::{Conn, Row};
use super::ddl::quote_name;
use super::key_value::KeyColumn;
use super::split::{ClusteredKey, RangeSplitter};
use crate::catalog::{Flavor, Table};
use crate::error::Result;
use crate::plan::Chunk;

/// The approximate maximum number of chunks of a table.
const MAX_CHUNKS: u64 = 1024;

/// The chunks of a table, and the key columns that bound them.
pub(super) struct TableChunks {
    pub(super) key: Vec<String>,
    pub(super) chunks: Vec<Chunk>,
}

impl TableChunks {
    fn whole() -> Self {
        Self { key: Vec::new(), chunks: vec![Chunk::whole()] }
    }

    /// Creates the chunks that end at these keys. The last chunk has no end.
    fn from_boundaries(key: Vec<String>, boundaries: Vec<Option<Vec<String>>>) -> Self {
        if boundaries.len() < 2 {
            return Self::whole();
        }
        let afters = std::iter::once(None).chain(boundaries.clone());
        let ranges = (0..).zip(afters.zip(boundaries));
        Self { key, chunks: ranges.map(|(number, (after, until))| Chunk { number, after, until }).collect() }
    }
}

/// Divides a table into ranges of its clustered key of at least about `smallest` bytes each.
///
/// The bounds are keys of real rows, written so that the server compares them as it compares the column. So each row is
/// in exactly one range, whatever the collation is and whichever rows are inserted or deleted meanwhile. Estimates and
/// probe points only decide how even the ranges are.
///
/// Some tables stay one chunk: those without a usable clustered key, because reading by another key would fetch row by
/// row; those of an engine without transactions, whose rows are consistent only within one statement; and those with
/// system versioning.
pub(super) async fn chunk_table(conn: &mut Conn, database: &str, table: &Table, smallest: u64) -> Result<TableChunks> {
    let versioned = table.create.contains("WITH SYSTEM VERSIONING");
    if table.engine != "InnoDB" || versioned || table.data_bytes < 2 * smallest {
        return Ok(TableChunks::whole());
    }
    let name = format!("{}.{}", quote_name(database), quote_name(&table.name));
    let Some(key) = clustered_key(conn, &name, table).await? else { return Ok(TableChunks::whole()) };
    let wanted = (table.data_bytes / smallest).clamp(2, MAX_CHUNKS);
    let rows_per_range = (table.rows_estimate / wanted).max(2);
    let names = key.columns.iter().map(|column| column.name.clone()).collect();
    match (RangeSplitter { conn, name, key, rows_per_range }).split(table.rows_estimate, wanted).await {
        Ok(boundaries) => Ok(TableChunks::from_boundaries(names, boundaries)),
        // The server may refuse a probe point, for example. The table is then read as one chunk.
        Err(error) if error.code().is_some() => Ok(TableChunks::whole()),
        Err(error) => Err(error),
    }
}

/// Finds the primary key, or what InnoDB uses in its place: the first unique key over whole columns without NULL.
async fn clustered_key(conn: &mut Conn, name: &str, table: &Table) -> Result<Option<ClusteredKey>> {
    let rows = conn.rows(&format!("SHOW KEYS FROM {name}")).await?;
    let index = |row: &Row| row.string(2);
    // A key part without a column name is an expression; one with a length is a prefix of a column.
    let whole = |row: &Row| row.text(4).is_some() && row.text(7).is_none() && row.string(9) != "YES";
    let whole_index = |name: &str| rows.iter().filter(|row| index(row) == name).all(whole);
    let primary = rows.iter().find(|row| index(row) == "PRIMARY");
    let instead = rows.iter().find(|row| row.number(1) == 0 && whole_index(&index(row)));
    let Some(name) = primary.or(instead).map(index) else { return Ok(None) };
    let parts: Vec<&Row> = rows.iter().filter(|row| index(row) == name).collect();
    let hidden = match conn.server.flavor {
        Flavor::MySql => "NO",
        Flavor::MariaDb => "YES",
    };
    // This column is `Visible` in MySQL and `Ignored` in MariaDB.
    if parts.iter().any(|row| row.string(10) != "BTREE" || row.string(13) == hidden) {
        return Ok(None);
    }
    let column = |row: &&Row| {
        let column = table.columns.iter().find(|column| column.name == row.string(4))?;
        if whole(row) && !column.generated { KeyColumn::from_column(column) } else { None }
    };
    let columns: Vec<KeyColumn> = parts.iter().map_while(column).collect();
    Ok(if columns.is_empty() { None } else { Some(ClusteredKey { index: quote_name(&name), columns }) })
}

/// The SQL condition that the rows of a chunk meet; `None` for all rows.
pub(super) fn chunk_condition(key: &[String], chunk: &Chunk) -> Option<String> {
    let key: Vec<String> = key.iter().map(|column| quote_name(column)).collect();
    let sides = [(">", ">", &chunk.after), ("<", "<=", &chunk.until)];
    let conditions: Vec<String> = sides
        .into_iter()
        .filter_map(|(side, last, boundary)| compare_key(&key, boundary.as_deref()?, side, last))
        .collect();
    if conditions.is_empty() { None } else { Some(conditions.join(" AND ")) }
}

/// The SQL condition that a key lies on one side of a boundary, which may have fewer columns than the key.
///
/// The condition compares column by column, because no server looks up ranges by a comparison of row values.
fn compare_key(key: &[String], boundary: &[String], side: &str, last: &str) -> Option<String> {
    let (column, further) = key.split_first()?;
    let (value, rest) = boundary.split_first()?;
    Some(match compare_key(further, rest, side, last) {
        None => format!("{column} {last} {value}"),
        Some(deeper) => format!("({column} {side} {value} OR ({column} = {value} AND {deeper}))"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boundary(values: &[&str]) -> Option<Vec<String>> {
        Some(values.iter().map(|value| (*value).to_owned()).collect())
    }

    #[test]
    fn chunks_cover_all_keys_once() {
        let key = vec!["a`b".to_owned(), "c".to_owned()];
        let TableChunks { key, chunks } =
            TableChunks::from_boundaries(key, vec![boundary(&["-5"]), boundary(&["7", "x'00'"]), None]);
        let conditions: Vec<_> = chunks.iter().map(|chunk| chunk_condition(&key, chunk).unwrap()).collect();
        let below = "(`a``b` < 7 OR (`a``b` = 7 AND `c` <= x'00'))";
        let above = "(`a``b` > 7 OR (`a``b` = 7 AND `c` > x'00'))";
        assert_eq!(conditions, ["`a``b` <= -5".to_owned(), format!("`a``b` > -5 AND {below}"), above.to_owned()]);
        assert_eq!(chunk_condition(&key, &Chunk::whole()), None);
    }

    /// Evaluates a condition on numbers and the columns `a`, `b`, `c`.
    fn matches_key(words: &mut std::iter::Peekable<std::str::Split<'_, char>>, key: &[i64]) -> bool {
        let term = |words: &mut std::iter::Peekable<_>| match words.next().unwrap() {
            "(" => matches_key(words, key),
            column => {
                let value = key[["`a`", "`b`", "`c`"].iter().position(|name| *name == column).unwrap()];
                let (operator, boundary) = (words.next().unwrap(), words.next().unwrap().parse().unwrap());
                match operator {
                    "<" => value < boundary,
                    "<=" => value <= boundary,
                    "=" => value == boundary,
                    ">" => value > boundary,
                    _ => panic!("{operator}"),
                }
            }
        };
        let mut met = term(words);
        loop {
            match words.next() {
                Some("AND") => met &= term(words),
                Some("OR") => met |= term(words),
                _ => return met,
            }
        }
    }

    #[test]
    fn each_key_is_in_one_chunk_whatever_the_boundaries() {
        let keys: Vec<Vec<i64>> = (0..125).map(|n| vec![n / 25, n / 5 % 5, n % 5]).collect();
        for seed in 0..200_usize {
            // Some of the keys, in order. Of some only a prefix, which ends at the last key with that prefix.
            let length = |at: usize| match (seed + at) % 7 {
                0 if at % 25 == 24 => 1,
                1 | 2 if at % 5 == 4 => 2,
                _ => 3,
            };
            let chosen = (0..125).filter(|at| (at * at + at * seed + seed) % (seed % 11 + 2) == 0);
            let boundary = |at: usize| keys[at].iter().take(length(at)).map(i64::to_string).collect();
            let boundaries = chosen.map(|at| Some(boundary(at))).chain([None]).collect();
            let TableChunks { key, chunks } =
                TableChunks::from_boundaries(["a", "b", "c"].map(str::to_owned).into(), boundaries);
            let conditions: Vec<_> = chunks.iter().filter_map(|chunk| chunk_condition(&key, chunk)).collect();
            let spaced = |text: &String| text.replace('(', "( ").replace(')', " )");
            for key in &keys {
                let met =
                    conditions.iter().filter(|text| matches_key(&mut spaced(text).split(' ').peekable(), key)).count();
                assert!(met == 1 || conditions.is_empty(), "{key:?} meets {met} of {conditions:?}");
            }
        }
    }
}
