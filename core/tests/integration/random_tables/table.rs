//! Tables: columns, keys and rows.

use std::fmt;

use dbgraft_testkit::Flavor;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::column_type::{ColumnType, KeyUse, Values, column_types};
use crate::common::quoted;
use crate::common::seeded_random::SeededRandom;

const NAMES: [&str; 16] = [
    "a",
    "b`c",
    "the \"x\"",
    "order ",
    "größe",
    "c'd",
    "e.f",
    "100%",
    "表",
    "\\",
    "x;y",
    "-- ",
    "/* */",
    "#",
    "A",
    "new\nline",
];
/// What makes a table big enough to be cut.
const FILLER: &str = "`filler` VARCHAR(8000) CHARACTER SET latin1";

#[derive(Clone)]
pub(crate) struct Table {
    flavor: Flavor,
    name: &'static str,
    columns: Vec<Column>,
    primary: Vec<Part>,
    keys: Vec<(bool, Vec<Part>)>,
    engine: &'static str,
    partitions: Option<u8>,
    /// Whether a column counts.
    counts: bool,
    /// Whether the table is big.
    filled: bool,
    /// One seed for each row.
    rows: Vec<u64>,
}

#[derive(Clone, Debug)]
struct Column {
    name: &'static str,
    column_type: ColumnType,
    nullable: bool,
    hidden: bool,
    computed: Option<(Computed, bool)>,
    seed: u64,
}

/// How a column is computed from another.
#[derive(Clone, Copy, Debug)]
enum Computed {
    Length,
    Hex,
    Copy,
}

/// A column of a key, by any number, and whether it is descending and a prefix.
type Part = (usize, bool, bool);

fn seed() -> impl Strategy<Value = u64> {
    any::<u64>().no_shrink()
}

pub(crate) fn tables(flavor: Flavor) -> impl Strategy<Value = Table> {
    let engine = prop_oneof![8 => Just("InnoDB"), 1 => Just("MyISAM"), 1 => Just("MEMORY")];
    let part = || (0_usize..8, any::<bool>(), any::<bool>());
    let primary = prop_oneof![1 => Just(Vec::new()), 3 => vec(part(), 1..=3)];
    let keys = vec((any::<bool>(), vec(part(), 1..=3)), 0..=2);
    // Equal rows are rare otherwise.
    let row = prop_oneof![9 => seed(), 1 => 0..4_u64];
    let sizes = (option::weighted(0.15, 1_u8..=5), any::<bool>(), prop::bool::weighted(0.12), vec(row, 0..=200));
    let shape = (select(NAMES.to_vec()), vec(column(flavor), 1..=8), primary, keys, engine);
    (shape, sizes).prop_map(move |((name, columns, primary, keys, engine), (partitions, counts, filled, rows))| Table {
        flavor,
        name,
        columns,
        primary,
        keys,
        engine,
        partitions,
        counts,
        filled,
        rows,
    })
}

fn column(flavor: Flavor) -> impl Strategy<Value = Column> {
    let computed = select(vec![Computed::Length, Computed::Hex, Computed::Copy]);
    let computed = option::weighted(0.15, (computed, any::<bool>()));
    (select(NAMES.to_vec()), column_types(flavor), any::<bool>(), prop::bool::weighted(0.1), computed, seed()).prop_map(
        |(name, column_type, nullable, hidden, computed, seed)| Column {
            name,
            column_type,
            nullable,
            hidden,
            computed,
            seed,
        },
    )
}

impl Table {
    /// The statements that make and fill it.
    pub(crate) fn sql(&self, number: usize) -> String {
        let name = quoted(&self.name(number));
        let partitioned = self.partition();
        let primary = self.parts(&self.primary, true);
        let mut lines: Vec<String> = (0..self.columns.len()).map(|at| self.definition(at)).collect();
        if self.filled {
            lines.push(FILLER.to_owned());
        }
        if !primary.is_empty() {
            lines.push(format!("PRIMARY KEY ({})", self.written(&primary)));
        }
        for (unique, parts) in &self.keys {
            let parts = self.parts(parts, false);
            if !parts.is_empty() {
                let unique = if *unique && partitioned.is_none() { "UNIQUE " } else { "" };
                lines.push(format!("{unique}KEY ({})", self.written(&parts)));
            }
        }
        let (engine, partitioned) = (self.engine(), partitioned.unwrap_or_default());
        let analyze = if self.filled { format!("ANALYZE NO_WRITE_TO_BINLOG TABLE {name};\n") } else { String::new() };
        format!("CREATE TABLE {name} (\n  {}\n) ENGINE={engine}{partitioned};\n", lines.join(",\n  "))
            + &self.inserts(&name)
            + &analyze
    }

    /// Its name, when it is the table of this number.
    pub(crate) fn name(&self, number: usize) -> String {
        format!("{}{number}", self.name)
    }

    fn name_of(&self, at: usize) -> String {
        quoted(&format!("{}{at}", self.columns[at].name))
    }

    /// The column that this one is computed from, if it is.
    fn base(&self, at: usize) -> Option<usize> {
        self.columns[at].computed?;
        (0..at).find(|other| self.columns[*other].computed.is_none())
    }

    fn definition(&self, at: usize) -> String {
        let Column { column_type, nullable, hidden, computed, .. } = &self.columns[at];
        let (name, hidden) = (self.name_of(at), if *hidden && at > 0 { " INVISIBLE" } else { "" });
        if let (Some(base), Some((how, stored))) = (self.base(at), computed) {
            let (of, stored) = (self.name_of(base), if *stored { "STORED" } else { "VIRTUAL" });
            let (sql, expression) = match (how, self.columns[base].column_type.values) {
                (_, Values::Shape(_) | Values::Vector(_)) => ("INT", format!("{of} IS NULL")),
                // A number that is too big for HEX would be a warning for each row.
                (Computed::Hex, Values::Text(..) | Values::Bytes(..)) => {
                    ("VARCHAR(60) CHARACTER SET latin1", format!("LEFT(HEX({of}), 60)"))
                }
                (Computed::Copy, _) => (self.columns[base].column_type.sql.as_str(), of),
                _ => ("BIGINT", format!("LENGTH({of})")),
            };
            return format!("{name} {sql} AS ({expression}) {stored}{hidden}");
        }
        let primary = self.parts(&self.primary, true);
        let in_primary = primary.iter().any(|(part, ..)| *part == at);
        let rest = match in_primary || !nullable {
            true if self.counts(at) => " NOT NULL AUTO_INCREMENT",
            true => " NOT NULL",
            false => &format!(" NULL{hidden}"),
        };
        format!("{name} {}{rest}", column_type.sql)
    }

    fn counts(&self, at: usize) -> bool {
        let first = self.parts(&self.primary, true).first().is_some_and(|(part, ..)| *part == at);
        let whole = matches!(self.columns[at].column_type.values, Values::Integer { .. });
        self.counts && first && whole && self.columns.iter().all(|column| column.computed.is_none())
    }

    fn engine(&self) -> &'static str {
        let endless = |column: &Column| !matches!(column.column_type.key_use(), KeyUse::Whole | KeyUse::WholeOrPrefix);
        let fits = !self.filled && self.columns.iter().all(|column| !endless(column) && column.computed.is_none());
        if self.engine == "MEMORY" && !fits { "InnoDB" } else { self.engine }
    }

    /// Those of the parts that a key of this table can have, each column once.
    fn parts(&self, parts: &[Part], primary: bool) -> Vec<Part> {
        let mut chosen: Vec<Part> = Vec::new();
        for (any, descending, prefix) in parts {
            let at = any % self.columns.len();
            let computed = self.base(at).is_some();
            let key_use = match (self.base(at), self.columns[at].computed) {
                (Some(base), Some((Computed::Copy, _))) => self.columns[base].column_type.key_use(),
                (Some(_), _) => KeyUse::Whole,
                _ => self.columns[at].column_type.key_use(),
            };
            let is_new = chosen.iter().all(|(other, ..)| *other != at);
            if is_new && key_use != KeyUse::No && !(computed && (primary || self.engine() != "InnoDB")) {
                let prefix = key_use == KeyUse::Prefix
                    || key_use == KeyUse::WholeOrPrefix && (*prefix || self.engine() == "MyISAM");
                chosen.push((at, *descending && self.engine() == "InnoDB", prefix));
            }
        }
        chosen
    }

    fn written(&self, parts: &[Part]) -> String {
        let part = |(at, descending, prefix): &Part| {
            let (prefix, order) = (if *prefix { "(7)" } else { "" }, if *descending { " DESC" } else { "" });
            format!("{}{prefix}{order}", self.name_of(*at))
        };
        parts.iter().map(part).collect::<Vec<_>>().join(", ")
    }

    /// By the primary key, or by a number where there is none.
    fn partition(&self) -> Option<String> {
        let count = self.partitions.filter(|_| self.engine() == "InnoDB")?;
        let primary = self.parts(&self.primary, true);
        let is_number = |at: &usize| {
            self.base(*at).is_none() && matches!(self.columns[*at].column_type.values, Values::Integer { .. })
        };
        let by = match primary.is_empty() {
            true => format!("HASH ({})", self.name_of((0..self.columns.len()).find(is_number)?)),
            false if primary.iter().any(|(.., prefix)| *prefix) => return None,
            false => "KEY ()".to_owned(),
        };
        Some(format!(" PARTITION BY {by} PARTITIONS {count}"))
    }

    fn inserts(&self, name: &str) -> String {
        let stored: Vec<usize> = (0..self.columns.len()).filter(|at| self.base(*at).is_none()).collect();
        let mut names: Vec<String> = stored.iter().map(|at| self.name_of(*at)).collect();
        names.extend(self.filled.then(|| "`filler`".to_owned()));
        let row = |seed: u64| {
            let mut values: Vec<String> = stored.iter().map(|at| self.value(*at, seed)).collect();
            values.extend(self.filled.then(|| format!("REPEAT('x', {})", 6000 + seed % 2000)));
            format!("({})", values.join(", "))
        };
        // A big table has a few rows for each.
        let times = if self.filled { 0..3 } else { 0..1 };
        let rows: Vec<String> =
            self.rows.iter().flat_map(|seed| times.clone().map(|time| row(seed.wrapping_add(time)))).collect();
        let insert = |rows: &[String]| {
            format!("INSERT IGNORE INTO {name} ({}) VALUES\n  {};\n", names.join(", "), rows.join(",\n  "))
        };
        rows.chunks(40).map(insert).collect()
    }

    fn value(&self, at: usize, row: u64) -> String {
        let Column { column_type, nullable, seed, .. } = &self.columns[at];
        let mut random = SeededRandom::new(&[*seed, row]);
        match *nullable && random.once_in(6) {
            true => "NULL".to_owned(),
            false => column_type.literal(&mut random, self.flavor),
        }
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sql(0))
    }
}
