//! Cuts big tables into ranges of the key by which their rows lie.

use super::border::KeyColumn;
use super::connect::{Conn, Row};
use super::ddl::quote_name;
use super::halve::{Cutter, Key};
use crate::catalog::{Flavor, Table};
use crate::error::Result;
use crate::plan::Chunk;

/// A table is not cut into more than about this many chunks.
const MOST: u64 = 1024;

/// A table's chunks and the columns whose ranges they are.
pub(super) struct Chunking {
    pub(super) key: Vec<String>,
    pub(super) chunks: Vec<Chunk>,
}

impl Chunking {
    fn whole() -> Self {
        Self { key: Vec::new(), chunks: vec![Chunk::whole()] }
    }

    /// The ranges that end at these borders. The last one is open.
    fn of(key: Vec<String>, borders: Vec<Option<Vec<String>>>) -> Self {
        if borders.len() < 2 {
            return Self::whole();
        }
        let afters = std::iter::once(None).chain(borders.clone());
        let ranges = (0..).zip(afters.zip(borders));
        Self { key, chunks: ranges.map(|(number, (after, until))| Chunk { number, after, until }).collect() }
    }
}

/// Cuts a table into ranges of its clustered key, none meant to be smaller than `smallest` bytes of the table.
///
/// Borders are values of real rows, written so that the server compares them as it compares the column: each row is in
/// one range, whatever the collation, and whichever rows come and go. Estimates and guesses only decide how even the
/// ranges are. Reading by any other key would fetch row by row, and the rows of an engine without transactions are only
/// still as long as one statement runs: such tables are one chunk, and so are those with a history.
pub(super) async fn cut(conn: &mut Conn, database: &str, table: &Table, smallest: u64) -> Result<Chunking> {
    let versioned = table.create.contains("WITH SYSTEM VERSIONING");
    if table.engine != "InnoDB" || versioned || table.data_bytes < 2 * smallest {
        return Ok(Chunking::whole());
    }
    let name = format!("{}.{}", quote_name(database), quote_name(&table.name));
    let Some(key) = clustered_key(conn, &name, table).await? else { return Ok(Chunking::whole()) };
    let wanted = (table.data_bytes / smallest).clamp(2, MOST);
    let size = (table.rows_estimate / wanted).max(2);
    let names = key.columns.iter().map(|column| column.name.clone()).collect();
    match (Cutter { conn, name, key, size }).cut(table.rows_estimate, wanted).await {
        Ok(borders) => Ok(Chunking::of(names, borders)),
        // A guess that this server does not take, say. The table can be read as it is.
        Err(error) if error.code().is_some() => Ok(Chunking::whole()),
        Err(error) => Err(error),
    }
}

/// The primary key, or what InnoDB takes in its place: the first unique key over whole columns without NULL.
async fn clustered_key(conn: &mut Conn, name: &str, table: &Table) -> Result<Option<Key>> {
    let rows = conn.rows(&format!("SHOW KEYS FROM {name}")).await?;
    let index = |row: &Row| row.string(2);
    // A part that is no column is an expression; one with a length is the beginning of a column.
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
    // MySQL says whether the index is visible, MariaDB whether it is ignored.
    if parts.iter().any(|row| row.string(10) != "BTREE" || row.string(13) == hidden) {
        return Ok(None);
    }
    let column = |row: &&Row| {
        let column = table.columns.iter().find(|column| column.name == row.string(4))?;
        if whole(row) && !column.generated { KeyColumn::of(column) } else { None }
    };
    let columns: Vec<KeyColumn> = parts.iter().map_while(column).collect();
    Ok(if columns.is_empty() { None } else { Some(Key { index: quote_name(&name), columns }) })
}

/// The condition that a chunk's rows meet, or `None` for all rows.
pub(super) fn condition(key: &[String], chunk: &Chunk) -> Option<String> {
    let key: Vec<String> = key.iter().map(|column| quote_name(column)).collect();
    let sides = [(">", ">", &chunk.after), ("<", "<=", &chunk.until)];
    let conditions: Vec<String> =
        sides.into_iter().filter_map(|(side, last, border)| beside(&key, border.as_deref()?, side, last)).collect();
    if conditions.is_empty() { None } else { Some(conditions.join(" AND ")) }
}

/// The condition that a key lies on one side of a border, which may have fewer columns than the key. Written out,
/// because no server looks up ranges by a comparison of rows.
fn beside(key: &[String], border: &[String], side: &str, last: &str) -> Option<String> {
    let (column, further) = key.split_first()?;
    let (value, rest) = border.split_first()?;
    Some(match beside(further, rest, side, last) {
        None => format!("{column} {last} {value}"),
        Some(deeper) => format!("({column} {side} {value} OR ({column} = {value} AND {deeper}))"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn border(values: &[&str]) -> Option<Vec<String>> {
        Some(values.iter().map(|value| (*value).to_owned()).collect())
    }

    #[test]
    fn chunks_cover_all_keys_once() {
        let key = vec!["a`b".to_owned(), "c".to_owned()];
        let Chunking { key, chunks } = Chunking::of(key, vec![border(&["-5"]), border(&["7", "x'00'"]), None]);
        let conditions: Vec<_> = chunks.iter().map(|chunk| condition(&key, chunk).unwrap()).collect();
        let below = "(`a``b` < 7 OR (`a``b` = 7 AND `c` <= x'00'))";
        let above = "(`a``b` > 7 OR (`a``b` = 7 AND `c` > x'00'))";
        assert_eq!(conditions, ["`a``b` <= -5".to_owned(), format!("`a``b` > -5 AND {below}"), above.to_owned()]);
        assert_eq!(condition(&key, &Chunk::whole()), None);
    }

    /// Whether a key meets a condition that was written here of numbers and columns `a`, `b`, `c`.
    fn meets(words: &mut std::iter::Peekable<std::str::Split<'_, char>>, key: &[i64]) -> bool {
        let term = |words: &mut std::iter::Peekable<_>| match words.next().unwrap() {
            "(" => meets(words, key),
            column => {
                let value = key[["`a`", "`b`", "`c`"].iter().position(|name| *name == column).unwrap()];
                let (operator, border) = (words.next().unwrap(), words.next().unwrap().parse().unwrap());
                match operator {
                    "<" => value < border,
                    "<=" => value <= border,
                    "=" => value == border,
                    ">" => value > border,
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
    fn each_key_is_in_one_chunk_whatever_the_borders() {
        let keys: Vec<Vec<i64>> = (0..125).map(|n| vec![n / 25, n / 5 % 5, n % 5]).collect();
        for seed in 0..200_usize {
            // Some of the keys, in order, and of some only the beginning, as the last one that begins so.
            let length = |at: usize| match (seed + at) % 7 {
                0 if at % 25 == 24 => 1,
                1 | 2 if at % 5 == 4 => 2,
                _ => 3,
            };
            let chosen = (0..125).filter(|at| (at * at + at * seed + seed) % (seed % 11 + 2) == 0);
            let border = |at: usize| keys[at].iter().take(length(at)).map(i64::to_string).collect();
            let borders = chosen.map(|at| Some(border(at))).chain([None]).collect();
            let Chunking { key, chunks } = Chunking::of(["a", "b", "c"].map(str::to_owned).into(), borders);
            let conditions: Vec<_> = chunks.iter().filter_map(|chunk| condition(&key, chunk)).collect();
            let spaced = |text: &String| text.replace('(', "( ").replace(')', " )");
            for key in &keys {
                let met = conditions.iter().filter(|text| meets(&mut spaced(text).split(' ').peekable(), key)).count();
                assert!(met == 1 || conditions.is_empty(), "{key:?} meets {met} of {conditions:?}");
            }
        }
    }
}
