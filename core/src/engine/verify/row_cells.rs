//! Decides which cells of rows differ for good while both sides change. No I/O.
//!
//! A look reads the source, waits until the target has passed what the source had committed by then, reads the target, and
//! reads the source again. A cell that is the same in both readings of the source must be the same at the target. One that
//! changed in between tells nothing: the target may have any value of that time, and gets the last one. A cell may also have
//! changed and changed back, so that several equal looks count only.

use std::collections::{BTreeSet, HashMap};

use super::row_diff::{RowKey, bucket};
use crate::codec::{Field, hash_row, row_texts, split_fields};
use crate::verification::{DifferingRow, RowLocation};

/// The number of equal looks at a cell after which its difference lasts.
const EQUAL_LOOKS: usize = 5;

/// The rows of one key at one side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct KeyRows {
    count: u64,
    /// The sum of the hashes of each column.
    sums: Vec<u128>,
    /// The key as text.
    text: String,
}

impl KeyRows {
    fn cell(&self, column: usize) -> (u64, u128) {
        (self.count, self.sums.get(column).copied().unwrap_or_default())
    }
}

/// The rows of one side whose keys are in some buckets.
#[derive(Debug, Clone, Default)]
pub(super) struct RowCells {
    keys: HashMap<u128, KeyRows>,
}

impl RowCells {
    /// Adds the rows of a batch.
    pub(super) fn add(&mut self, key: &RowKey<'_>, buckets: &BTreeSet<u32>, rows: &[u8]) {
        for row in row_texts(rows) {
            let hash = key.hash(row);
            if !buckets.contains(&bucket(hash)) {
                continue;
            }
            let rows = self.keys.entry(hash).or_default();
            if rows.count == 0 {
                rows.text = key.format(row);
            }
            rows.count += 1;
            for (column, field) in split_fields(row).enumerate() {
                let text = match field {
                    Field::Null => br"\N",
                    Field::Escaped(text) => text,
                };
                if column == rows.sums.len() {
                    rows.sums.push(0);
                }
                if let Some(sum) = rows.sums.get_mut(column) {
                    *sum = sum.wrapping_add(hash_row(text));
                }
            }
        }
    }

    fn cell(&self, key: u128, column: usize) -> (u64, u128) {
        self.keys.get(&key).map(|rows| rows.cell(column)).unwrap_or_default()
    }

    fn count(&self, key: u128) -> u64 {
        self.keys.get(&key).map_or(0, |rows| rows.count)
    }
}

/// The readings of a look, in their order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look<'a> {
    pub(super) before: &'a RowCells,
    pub(super) target: &'a RowCells,
    pub(super) after: &'a RowCells,
}

type Cell = (u64, u128);

/// A cell that was not equal yet.
#[derive(Debug, Clone, Copy, Default)]
struct SuspectCell {
    /// What both sides had at the last look, if it rested at the source.
    values: Option<(Cell, Cell)>,
    looks: usize,
}

/// A key with cells that were not equal yet.
#[derive(Debug, Clone)]
struct Suspect {
    text: String,
    cells: HashMap<usize, SuspectCell>,
    /// The number of rows at the source and at the target.
    counts: (u64, u64),
}

/// What several looks say together.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    keys: Option<HashMap<u128, Suspect>>,
}

impl Suspects {
    /// Adds a look. Returns false if no further one is needed.
    pub(super) fn add(&mut self, look: Look<'_>) -> bool {
        let keys = self.keys.get_or_insert_with(|| first_suspects(look));
        keys.retain(|key, suspect| {
            suspect.counts = (look.before.count(*key), look.target.count(*key));
            suspect.cells.retain(|column, cell| {
                let [before, target, after] =
                    [look.before, look.target, look.after].map(|cells| cells.cell(*key, *column));
                if target == before || target == after {
                    return false;
                }
                let values = (before == after).then_some((before, target));
                cell.looks = match values {
                    None => 0,
                    Some(_) if cell.values == values => cell.looks + 1,
                    Some(_) => 1,
                };
                cell.values = values;
                true
            });
            !suspect.cells.is_empty()
        });
        keys.values().any(|suspect| !suspect.lasts())
    }

    /// Returns the rows that differ for good, and the number of those that changed in each look.
    pub(super) fn into_rows(self) -> (Vec<DifferingRow>, u64) {
        let all: Vec<Suspect> = self.keys.unwrap_or_default().into_values().collect();
        let count = all.len();
        let mut rows: Vec<DifferingRow> = all.into_iter().filter(Suspect::lasts).map(Suspect::into_row).collect();
        rows.sort_by(|one, other| one.key.cmp(&other.key));
        let moving = count.saturating_sub(rows.len()) as u64;
        (rows, moving)
    }
}

fn first_suspects(look: Look<'_>) -> HashMap<u128, Suspect> {
    let mut keys = HashMap::new();
    for (key, rows) in [look.before, look.target, look.after].into_iter().flat_map(|cells| &cells.keys) {
        // A row without columns has one cell: its number.
        let columns = 0..rows.sums.len().max(1);
        keys.entry(*key).or_insert_with(|| Suspect {
            text: rows.text.clone(),
            cells: columns.map(|column| (column, SuspectCell::default())).collect(),
            counts: (0, 0),
        });
    }
    keys
}

impl Suspect {
    /// Whether a cell differs for good.
    fn lasts(&self) -> bool {
        self.cells.values().any(|cell| cell.looks >= EQUAL_LOOKS)
    }

    fn into_row(self) -> DifferingRow {
        let (source, target) = self.counts;
        let place = match source.cmp(&target) {
            std::cmp::Ordering::Greater => RowLocation::Source,
            std::cmp::Ordering::Less => RowLocation::Target,
            std::cmp::Ordering::Equal => RowLocation::Both,
        };
        let times = source.abs_diff(target);
        let key = if times > 1 { format!("{} ({times} times)", self.text) } else { self.text };
        DifferingRow { key, place }
    }
}

#[cfg(test)]
mod tests {
    use super::super::row_diff::BUCKETS;
    use super::*;
    use crate::catalog::{Column, Table};

    fn table() -> Table {
        let column = |name: &str| Column {
            name: name.to_owned(),
            data_type: "int".to_owned(),
            column_type: "int".to_owned(),
            charset: None,
            collation: None,
            nullable: true,
            generated: false,
            stored: false,
        };
        Table {
            name: "t".to_owned(),
            engine: "InnoDB".to_owned(),
            columns: ["id", "a", "b"].map(column).to_vec(),
            history: false,
            late_timestamps: Vec::new(),
            primary_key: vec!["id".to_owned()],
            rows_estimate: 0,
            data_bytes: 0,
            index_bytes: 0,
            create: String::new(),
        }
    }

    /// The rows that differ after these looks, each a text for the source, the target and the source again.
    fn differing(looks: &[[&str; 3]]) -> (Vec<String>, u64, bool) {
        let (table, buckets) = (table(), (0..BUCKETS).collect());
        let key = RowKey::of_table(&table);
        let (mut suspects, mut goes_on) = (Suspects::default(), true);
        for look in looks {
            let [before, target, after] = look.map(|text| {
                let mut cells = RowCells::default();
                let lines: String =
                    text.split(';').filter(|row| !row.is_empty()).map(|row| format!("{row}\n")).collect();
                cells.add(&key, &buckets, lines.replace(',', "\t").as_bytes());
                cells
            });
            goes_on = suspects.add(Look { before: &before, target: &target, after: &after });
        }
        let (rows, moving) = suspects.into_rows();
        (rows.iter().map(ToString::to_string).collect(), moving, goes_on)
    }

    #[test]
    fn a_row_that_rests_and_differs_is_told_after_equal_looks() {
        let look = ["1,5,5;2,6,6;3,7,7", "1,5,0;3,7,7;4,1,1", "1,5,5;2,6,6;3,7,7"];
        assert_eq!(differing(&[look, look]), (vec![], 3, true));
        let expected = ["different: id = 1", "only at the source: id = 2", "only at the target: id = 4"];
        assert_eq!(differing(&[look; EQUAL_LOOKS]), (expected.map(str::to_owned).to_vec(), 0, false));
    }

    #[test]
    fn a_row_that_is_only_late_is_equal() {
        // It changed between the readings of the source, or was seen equal once.
        assert_eq!(differing(&[["1,5,5", "1,6,5", "1,6,5"]]), (vec![], 0, false));
        let toggled = ["1,5,5", "1,6,5", "1,5,5"];
        assert_eq!(differing(&[toggled, toggled, ["1,5,5", "1,5,5", "1,6,5"]]), (vec![], 0, false));
        assert_eq!(differing(&[toggled, ["1,7,5", "1,6,5", "1,7,5"], toggled]), (vec![], 1, true));
    }

    #[test]
    fn a_cell_of_a_row_that_changes_all_the_time_is_found() {
        let looks = [["1,1,5", "1,2,0", "1,3,5"], ["1,3,5", "1,4,0", "1,5,5"], ["1,5,5", "1,6,0", "1,7,5"]];
        let looks: Vec<_> = looks.into_iter().cycle().take(EQUAL_LOOKS).collect();
        assert_eq!(differing(&looks), (vec!["different: id = 1".to_owned()], 0, false));
        let counters = [["1,1,5", "1,2,5", "1,3,5"], ["1,3,5", "1,4,5", "1,5,5"], ["1,5,5", "1,6,5", "1,7,5"]];
        assert_eq!(differing(&counters), (vec![], 1, true));
    }
}
