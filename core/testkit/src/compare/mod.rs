//! Compares two databases without code of dbgraft: `mysql_async` reads both.

mod definitions;
mod portable;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::thread;

use crate::database::Database;
use crate::error::{Error, Result};
use rows::TableRows;

/// The parts that are compared.
#[derive(Clone, Debug)]
pub struct CompareOptions {
    /// Compare the rows of tables. Default: true.
    pub rows: bool,
    /// Compare definitions of every kind; if false, only names. Default: true.
    pub definitions: bool,
    /// Compare triggers, routines and events. Default: true.
    pub programs: bool,
    /// Compare definers. Default: false.
    pub definers: bool,
    /// Compare the next values of AUTO_INCREMENT. Default: false.
    pub auto_increment: bool,
    /// Compare the order of a table's indexes and constraints. Default: false.
    pub key_order: bool,
    /// The servers are of two series of one family: of definitions compare only what both say in one way. Default: false.
    pub series: bool,
    /// The servers are of two families: compare only what both can say, so JSON by its text and rows as they are now.
    /// Default: false.
    pub across: bool,
    /// Only these tables and views (and their triggers). Default: all.
    pub only: Option<Vec<String>>,
}

impl Default for CompareOptions {
    fn default() -> Self {
        Self {
            rows: true,
            definitions: true,
            programs: true,
            definers: false,
            auto_increment: false,
            key_order: false,
            series: false,
            across: false,
            only: None,
        }
    }
}

impl CompareOptions {
    /// All that databases of these two servers can have in common: within a series everything, within a family rows and
    /// what both say of definitions, else rows and the names of objects.
    pub fn between(a: &Database, b: &Database) -> Self {
        let one_family = a.flavor == b.flavor;
        let series = one_family && series_of(&a.version) != series_of(&b.version);
        Self { definitions: one_family, series, across: !one_family, ..Self::default() }
    }
}

/// The first two numbers of a version.
fn series_of(version: &str) -> Vec<&str> {
    version.split(|c: char| !c.is_ascii_digit()).take(2).collect()
}

/// The contents of a database: definitions as text, and a digest of every row. Equal contents give equal dumps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dump {
    definitions: BTreeMap<String, String>,
    rows: BTreeMap<String, TableRows>,
}

impl Dump {
    /// The number of rows of a table; `None` if it does not exist.
    pub fn row_count(&self, table: &str) -> Option<usize> {
        self.rows.get(table).map(TableRows::count)
    }

    /// The names of all objects, as `table orders` or `trigger orders_log`.
    pub fn objects(&self) -> impl Iterator<Item = &str> {
        self.definitions.keys().map(String::as_str)
    }

    /// The names of all that differs, as `table orders`, `column orders.id` or `rows of orders`.
    pub fn differing(&self, other: &Self) -> Vec<String> {
        let names: BTreeSet<&String> = self.definitions.keys().chain(other.definitions.keys()).collect();
        let differs = |name: &&&String| self.definitions.get(**name) != other.definitions.get(**name);
        let definitions = names.iter().filter(differs).map(|name| (**name).clone());
        let rows =
            self.rows.iter().filter(|(table, rows)| other.rows.get(*table).is_some_and(|others| others != *rows));
        definitions.chain(rows.map(|(table, _)| format!("rows of {table}"))).collect()
    }

    /// Describes the differences; empty without differences.
    pub fn differences(&self, other: &Self) -> String {
        let mut text = String::new();
        for (name, definition) in &self.definitions {
            match other.definitions.get(name) {
                None => text.push_str(&format!("{name}: only in the first\n")),
                Some(same) if same == definition => {}
                Some(different) => differing_lines(&mut text, name, definition, different),
            }
        }
        for name in other.definitions.keys().filter(|name| !self.definitions.contains_key(*name)) {
            text.push_str(&format!("{name}: only in the second\n"));
        }
        for (table, rows) in &self.rows {
            if let Some(others) = other.rows.get(table).filter(|others| *others != rows) {
                let (first, second) = rows.differing(others);
                let _ = writeln!(
                    text,
                    "rows of {table}: {} in the first, {} in the second; {} only in the first, {} only in the second",
                    rows.count(),
                    others.count(),
                    first.len(),
                    second.len()
                );
            }
        }
        text
    }
}

fn differing_lines(text: &mut String, name: &str, first: &str, second: &str) {
    let _ = writeln!(text, "{name}:");
    let only_in = |one: &str, other: &str| -> Vec<String> {
        let others: Vec<&str> = other.lines().collect();
        one.lines().filter(|line| !others.contains(line)).map(str::to_owned).collect()
    };
    let (minus, plus) = (only_in(first, second), only_in(second, first));
    for (sign, lines) in [('-', &minus), ('+', &plus)] {
        for line in lines {
            let _ = writeln!(text, "  {sign} {line}");
        }
    }
    if minus.is_empty() && plus.is_empty() {
        let _ = writeln!(text, "  the same lines in another order:\n{first}\n{second}");
    }
}

/// Reads everything that is in the database `name`.
pub fn dump(server: &Database, name: &str, options: &CompareOptions) -> Result<Dump> {
    let mut definitions = match options.series || options.across {
        true => portable::read(server, name, options)?,
        false => definitions::read(server, name, options)?,
    };
    if !options.definitions {
        definitions.values_mut().for_each(String::clear);
    }
    let rows = if options.rows { rows::read(server, name, options)? } else { BTreeMap::new() };
    Ok(Dump { definitions, rows })
}

/// Compares two databases as far as their servers can have them in common: [`CompareOptions::between`].
///
/// # Errors
/// A description of the differences, if there are any.
pub fn compare(a: &Database, name_a: &str, b: &Database, name_b: &str) -> Result<()> {
    compare_with(a, name_a, b, name_b, &CompareOptions::between(a, b))
}

/// Compares the parts of two databases that the options select.
///
/// # Errors
/// A description of the differences, if there are any.
pub fn compare_with(a: &Database, name_a: &str, b: &Database, name_b: &str, options: &CompareOptions) -> Result<()> {
    let (first, second) = thread::scope(|scope| {
        let first = scope.spawn(|| dump(a, name_a, options));
        (first.join(), dump(b, name_b, options))
    });
    let first = first.map_err(|_| Error::new("reading the first database panicked"))??;
    let second = second?;
    let mut text = first.differences(&second);
    if text.is_empty() {
        return Ok(());
    }
    for (table, rows) in &first.rows {
        let Some(others) = second.rows.get(table).filter(|others| *others != rows) else { continue };
        let (only_first, only_second) = rows.differing(others);
        text.push_str(&rows::examples('-', a, name_a, table, &only_first, options.across)?);
        text.push_str(&rows::examples('+', b, name_b, table, &only_second, options.across)?);
    }
    Err(Error::new(format!("{name_a} and {name_b} differ\n{text}")))
}

/// `name` as an identifier in SQL.
pub(crate) fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// `text` as a string in SQL.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Sets the variables on which results depend. Without `ALLOW_INVALID_DATES`, MySQL computes virtual columns of invalid
/// dates inconsistently.
fn with_fixed_settings(query: &str) -> String {
    let settings = "time_zone = '+00:00', sql_mode = 'ALLOW_INVALID_DATES', sql_quote_show_create = 1";
    format!("SET SESSION {settings};\n{query}")
}

impl CompareOptions {
    fn includes(&self, object: &str) -> bool {
        self.only.as_ref().is_none_or(|names| names.iter().any(|name| name == object))
    }
}
