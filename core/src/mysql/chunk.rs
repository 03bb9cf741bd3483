//! Cuts big tables into key ranges.

use super::connect::Conn;
use super::ddl::quote_name;
use crate::catalog::{Column, Flavor, Table};
use crate::error::Result;
use crate::plan::Chunk;

/// A chunk is not cut smaller than this many bytes of the table.
const SMALLEST: u64 = 16 << 20;
/// A table is not cut into more than about this many chunks.
const MOST: u64 = 1024;

/// A table's chunks and the columns whose ranges they are.
pub(super) struct Chunking {
    pub(super) key: Vec<String>,
    pub(super) chunks: Vec<Chunk>,
}

/// Cuts a table by the first column of its primary key where that is an integer; other tables are one chunk.
///
/// The server's estimates only decide how even the chunks are: the ranges always cover all keys, the first and the last
/// being open.
pub(super) async fn cut(conn: &mut Conn, database: &str, table: &Table) -> Result<Chunking> {
    let whole = Chunking { key: Vec::new(), chunks: vec![Chunk::whole()] };
    let Some(column) = integer_key(table) else { return Ok(whole) };
    if table.data_bytes < 2 * SMALLEST {
        return Ok(whole);
    }
    let name = format!("{}.{}", quote_name(database), quote_name(&table.name));
    let key = quote_name(&column.name);
    let ends = conn.row(&format!("SELECT MIN({key}), MAX({key}) FROM {name}")).await?;
    let end = |index| ends.as_ref().and_then(|row| row.text(index)?.parse::<i128>().ok());
    let (Some(lowest), Some(highest)) = (end(0), end(1)) else { return Ok(whole) };
    let wanted = (table.data_bytes / SMALLEST).clamp(2, MOST);
    let rows = (table.rows_estimate / wanted).max(2);
    let mut cutter = Cutter { conn, name, key, rows, cuts: Vec::new(), pending: 0 };
    cutter.split(lowest - 1, highest).await?;
    Ok(Chunking { key: vec![column.name.clone()], chunks: chunks(&cutter.cuts) })
}

fn integer_key(table: &Table) -> Option<&Column> {
    let first = table.primary_key.first()?;
    let column = table.columns.iter().find(|column| column.name == *first)?;
    let integers = ["tinyint", "smallint", "mediumint", "int", "bigint"];
    integers.contains(&column.data_type.as_str()).then_some(column)
}

/// Chunks with these inner borders, both ends open.
fn chunks(cuts: &[i128]) -> Vec<Chunk> {
    let border = |cut: Option<&i128>| cut.map(|cut| vec![cut.to_string()]);
    let ends = std::iter::once(None).chain(cuts.iter().map(Some));
    let nexts = cuts.iter().map(Some).chain(std::iter::once(None));
    let ranges = ends.zip(nexts);
    (0..)
        .zip(ranges)
        .map(|(number, (after, until))| Chunk { number, after: border(after), until: border(until) })
        .collect()
}

/// Halves a range until the server takes each part for small enough. Halving, not dividing: keys may have huge gaps and
/// lie in heaps.
struct Cutter<'a> {
    conn: &'a mut Conn,
    name: String,
    key: String,
    /// How many rows a chunk should have.
    rows: u64,
    cuts: Vec<i128>,
    /// About how many rows there are after the last cut.
    pending: u64,
}

impl Cutter<'_> {
    /// Cuts the keys in `(after, until]`.
    async fn split(&mut self, after: i128, until: i128) -> Result<()> {
        // On a stack, lowest range on top: parts come off in key order.
        let mut ranges = vec![(after, until)];
        while let Some((after, until)) = ranges.pop() {
            let rows = self.estimate(after, until).await?;
            // InnoDB never says more than half of the table.
            if rows >= self.rows && until - after > 1 {
                let middle = after + (until - after) / 2;
                ranges.push((middle, until));
                ranges.push((after, middle));
            } else {
                // Small neighbours make one chunk.
                if self.pending > 0 && self.pending + rows > self.rows {
                    self.cuts.push(after);
                    self.pending = 0;
                }
                self.pending += rows;
            }
        }
        Ok(())
    }

    async fn estimate(&mut self, after: i128, until: i128) -> Result<u64> {
        let format = match self.conn.server.flavor {
            Flavor::MySql => " FORMAT=TRADITIONAL",
            Flavor::MariaDb => "",
        };
        let Self { name, key, .. } = self;
        // Not FORCE INDEX: MySQL would not look into an index that is the only one, and say 1.
        let sql = format!(
            "EXPLAIN{format} SELECT {key} FROM {name} USE INDEX (PRIMARY) WHERE {key} > {after} AND {key} <= {until}"
        );
        let rows = match self.conn.server.flavor {
            Flavor::MySql => 9,
            Flavor::MariaDb => 8,
        };
        Ok(self.conn.row(&sql).await?.map_or(0, |row| row.number(rows)))
    }
}

/// The condition that a chunk's rows meet, or `None` for all rows.
pub(super) fn condition(key: &[String], chunk: &Chunk) -> Option<String> {
    let side = |operator: &str, border: &Option<Vec<String>>| {
        let value = border.as_ref()?.first()?;
        Some(format!("{} {operator} {value}", quote_name(key.first()?)))
    };
    match (side(">", &chunk.after), side("<=", &chunk.until)) {
        (Some(after), Some(until)) => Some(format!("{after} AND {until}")),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cover_all_keys_once() {
        let chunks = chunks(&[-5, 7]);
        let key = vec!["a`b".to_owned()];
        let conditions: Vec<_> = chunks.iter().map(|chunk| condition(&key, chunk).unwrap()).collect();
        assert_eq!(conditions, ["`a``b` <= -5", "`a``b` > -5 AND `a``b` <= 7", "`a``b` > 7"]);
        assert_eq!(condition(&key, &Chunk::whole()), None);
    }
}
