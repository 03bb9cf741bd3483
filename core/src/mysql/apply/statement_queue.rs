//! Statements that wait to be run, in an order that may differ from the log's where that makes no difference.
//!
//! Each row has a level: the first one after those of all rows with which it shares a key. Rows of one level do not depend on
//! each other, so that those of one table and form share statements, from whichever transactions they are.

use std::collections::HashMap;

use super::row_statement::RowStatement;
use super::row_text::{RowText, StatementForm};
use crate::change::ChangeKind;
use crate::conflict_hasher::ConflictKey;
use crate::error::Result;

/// The most rows and bytes of one statement, unless one row has more.
const MAX_ROWS: u64 = 200;
const MAX_BYTES: usize = 128 << 10;
/// The bytes that separate two rows, at most.
const SEPARATOR_BYTES: usize = 4;

/// What rows have in common that share a statement.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowGroup<'a> {
    pub(super) table: u32,
    pub(super) kind: ChangeKind,
    /// The columns of the images, as indexes into the stored columns.
    pub(super) columns: &'a [u32],
}

#[derive(Debug)]
struct LeveledStatement {
    level: usize,
    form: StatementForm,
    columns: Vec<u32>,
    statement: RowStatement,
}

impl LeveledStatement {
    /// Whether these rows can be added. They have `bytes` with their separators.
    fn takes(&self, group: RowGroup<'_>, form: StatementForm, (rows, bytes): (u64, usize), max_bytes: usize) -> bool {
        self.form == form
            && form != StatementForm::SingleRow
            && self.statement.table == group.table
            && self.columns == group.columns
            && self.statement.rows + rows <= MAX_ROWS
            && self.statement.sql.len() + bytes < max_bytes
    }

    fn push(&mut self, text: &[u8]) {
        if self.statement.rows > 0 {
            let separator: &[u8] = if self.form == StatementForm::DeleteByConditions { b" OR " } else { b"," };
            self.statement.sql.extend_from_slice(separator);
        }
        self.statement.sql.extend_from_slice(text);
        self.statement.rows += 1;
    }
}

/// The last level at which a key is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LastUse {
    level: usize,
    /// The statement that uses it there; `None` if several do.
    statement: Option<usize>,
}

impl LastUse {
    /// The later one of two uses.
    fn later(self, other: Self) -> Self {
        match self.level.cmp(&other.level) {
            std::cmp::Ordering::Less => other,
            std::cmp::Ordering::Greater => self,
            std::cmp::Ordering::Equal => {
                Self { level: self.level, statement: self.statement.filter(|one| Some(*one) == other.statement) }
            }
        }
    }
}

#[derive(Debug, Default)]
struct KeyUses {
    exclusive: Option<LastUse>,
    shared: Option<LastUse>,
}

/// Where rows may be placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// The first level after all rows that must not be overtaken.
    level: usize,
    /// The only statement of the level before that has such rows. Its rows take effect in their order, so that others can be
    /// added.
    statement: Option<usize>,
}

/// Statements that wait, and the keys of their rows.
#[derive(Debug)]
pub(super) struct StatementQueue {
    /// The most bytes of one statement, unless one row has more.
    max_bytes: usize,
    statements: Vec<LeveledStatement>,
    /// The last statement of each level, table and form.
    latest: HashMap<(usize, u32, StatementForm), usize>,
    uses: HashMap<u64, KeyUses>,
    bytes: usize,
}

impl StatementQueue {
    /// Creates a queue for a server that takes statements of this length.
    pub(super) fn new(max_length: usize) -> Self {
        let (statements, latest, uses) = (Vec::new(), HashMap::new(), HashMap::new());
        Self { max_bytes: MAX_BYTES.min(max_length), statements, latest, uses, bytes: 0 }
    }

    /// The bytes of all statements.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Finds the place of rows that use these keys.
    fn place(&self, keys: &[ConflictKey]) -> Place {
        let mut last: Option<LastUse> = None;
        for key in keys {
            let Some(uses) = self.uses.get(&key.hash) else { continue };
            let shared = uses.shared.filter(|_| !key.is_shared);
            for used in uses.exclusive.into_iter().chain(shared) {
                last = Some(last.map_or(used, |last| last.later(used)));
            }
        }
        match last {
            Some(last) => Place { level: last.level + 1, statement: last.statement },
            None => Place { level: 0, statement: None },
        }
    }

    /// Adds rows that use these keys, after all that use one of them. `head` is the beginning of a new statement.
    pub(super) fn add(
        &mut self,
        group: RowGroup<'_>,
        keys: &[ConflictKey],
        rows: &[RowText],
        head: impl Fn(StatementForm) -> Result<Vec<u8>>,
    ) -> Result<()> {
        let (place, bytes) = (self.place(keys), rows.iter().map(|row| row.text.len() + SEPARATOR_BYTES).sum());
        let joined = place.statement.filter(|index| {
            let takes = |found: &LeveledStatement| {
                rows.iter().all(|row| found.takes(group, row.form, (rows.len() as u64, bytes), self.max_bytes))
            };
            self.statements.get(*index).is_some_and(takes)
        });
        self.bytes += bytes;
        if let Some(index) = joined
            && let Some(found) = self.statements.get_mut(index)
        {
            rows.iter().for_each(|row| found.push(&row.text));
            let level = found.level;
            self.record(keys, LastUse { level, statement: Some(index) });
            return Ok(());
        }
        let mut used: Option<LastUse> = None;
        for row in rows {
            let index = self.statement_for(place.level, group, row, &head)?;
            if let Some(found) = self.statements.get_mut(index) {
                found.push(&row.text);
            }
            let here = LastUse { level: place.level, statement: Some(index) };
            used = Some(used.map_or(here, |used| used.later(here)));
        }
        used.iter().for_each(|used| self.record(keys, *used));
        Ok(())
    }

    /// The statement of this level that the row is added to.
    fn statement_for(
        &mut self,
        level: usize,
        group: RowGroup<'_>,
        row: &RowText,
        head: impl Fn(StatementForm) -> Result<Vec<u8>>,
    ) -> Result<usize> {
        let slot = (level, group.table, row.form);
        let found = self.latest.get(&slot).copied();
        let takes = |index: &usize| {
            let found = self.statements.get(*index);
            found.is_some_and(|found| {
                found.takes(group, row.form, (1, row.text.len() + SEPARATOR_BYTES), self.max_bytes)
            })
        };
        if let Some(index) = found.filter(takes) {
            return Ok(index);
        }
        let statement = RowStatement { table: group.table, kind: group.kind, sql: head(row.form)?, rows: 0, key: None };
        self.bytes += statement.sql.len();
        let columns = group.columns.to_vec();
        self.statements.push(LeveledStatement { level, form: row.form, columns, statement });
        self.latest.insert(slot, self.statements.len() - 1);
        Ok(self.statements.len() - 1)
    }

    fn record(&mut self, keys: &[ConflictKey], used: LastUse) {
        for key in keys {
            let uses = self.uses.entry(key.hash).or_default();
            let last = if key.is_shared { &mut uses.shared } else { &mut uses.exclusive };
            *last = Some(last.map_or(used, |last| last.later(used)));
        }
    }

    /// Takes all statements, in an order in which they may run.
    pub(super) fn take(&mut self) -> Vec<RowStatement> {
        self.latest.clear();
        self.uses.clear();
        self.bytes = 0;
        let mut statements = std::mem::take(&mut self.statements);
        // Stable: within a level by the order of the first rows.
        statements.sort_by_key(|found| found.level);
        let finish = |mut found: LeveledStatement| {
            if found.form == StatementForm::DeleteByValues {
                found.statement.sql.push(b')');
            }
            found.statement
        };
        statements.into_iter().map(finish).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn exclusive(hashes: &[u64]) -> Vec<ConflictKey> {
        hashes.iter().map(|hash| ConflictKey { hash: *hash, is_shared: false }).collect()
    }

    /// Adds a change of a row `id:value`, which uses both as keys.
    fn change(all: &mut StatementQueue, kind: ChangeKind, form: StatementForm, text: &str, hashes: &[u64]) {
        let group = RowGroup { table: 0, kind, columns: &[0, 1] };
        let rows = [RowText { form, text: text.as_bytes().to_vec() }];
        all.add(group, &exclusive(hashes), &rows, |_| Ok(Vec::new())).unwrap();
    }

    fn texts(all: &mut StatementQueue) -> Vec<String> {
        let statements = all.take().into_iter();
        statements.map(|statement| String::from_utf8(statement.sql).unwrap()).collect()
    }

    #[test]
    fn rows_of_several_transactions_share_statements() {
        let mut all = StatementQueue::new(usize::MAX);
        for id in 0..3 {
            let text = id.to_string();
            change(&mut all, ChangeKind::Update, StatementForm::SingleRow, &text, &[10 + id]);
            change(&mut all, ChangeKind::Delete, StatementForm::DeleteByValues, &text, &[id]);
            change(&mut all, ChangeKind::Insert, StatementForm::Insert, &text, &[id]);
        }
        assert_eq!(texts(&mut all), ["0", "0,1,2)", "1", "2", "0,1,2"]);
        assert!(all.take().is_empty() && all.bytes() == 0);
    }

    #[test]
    fn rows_that_depend_on_each_other_may_follow_each_other_in_one_statement() {
        let mut all = StatementQueue::new(usize::MAX);
        for id in 0..3 {
            // All of them take the key of the whole table.
            change(&mut all, ChangeKind::Insert, StatementForm::Insert, &id.to_string(), &[7]);
        }
        change(&mut all, ChangeKind::Delete, StatementForm::DeleteByConditions, "(1)", &[7]);
        change(&mut all, ChangeKind::Insert, StatementForm::Insert, "3", &[7]);
        assert_eq!(texts(&mut all), ["0,1,2", "(1)", "3"]);
        // The second row depends on rows of two statements.
        change(&mut all, ChangeKind::Insert, StatementForm::Insert, "0", &[1]);
        change(&mut all, ChangeKind::Update, StatementForm::SingleRow, "1", &[2]);
        change(&mut all, ChangeKind::Insert, StatementForm::Insert, "2", &[1, 2]);
        assert_eq!(texts(&mut all), ["0", "1", "2"]);
    }

    #[test]
    fn shared_keys_keep_the_order_to_exclusive_ones_only() {
        let mut all = StatementQueue::new(usize::MAX);
        let mut add = |form, text: &str, is_shared| {
            let group = RowGroup { table: 0, kind: ChangeKind::Update, columns: &[0] };
            let rows = [RowText { form, text: text.as_bytes().to_vec() }];
            all.add(group, &[ConflictKey { hash: 1, is_shared }], &rows, |_| Ok(Vec::new())).unwrap();
        };
        add(StatementForm::Insert, "child", true);
        add(StatementForm::Insert, "another child", true);
        add(StatementForm::SingleRow, "parent", false);
        add(StatementForm::Insert, "child of the new one", true);
        add(StatementForm::SingleRow, "parent again", false);
        assert_eq!(texts(&mut all), ["child,another child", "parent", "child of the new one", "parent again"]);
    }

    #[test]
    fn statements_are_bounded() {
        let mut all = StatementQueue::new(usize::MAX);
        for id in 0..450 {
            change(&mut all, ChangeKind::Insert, StatementForm::Insert, &id.to_string(), &[id]);
        }
        for id in 450..453 {
            change(&mut all, ChangeKind::Insert, StatementForm::Insert, &"x".repeat(100 << 10), &[id]);
        }
        assert!(all.bytes() > 300 << 10);
        let rows: Vec<u64> = all.take().iter().map(|statement| statement.rows).collect();
        assert_eq!(rows, [200, 200, 51, 1, 1]);
        let mut all = StatementQueue::new(100);
        for id in 100..198 {
            change(&mut all, ChangeKind::Delete, StatementForm::DeleteByConditions, &format!("(a = {id})"), &[id]);
        }
        let statements = all.take();
        assert!(statements.iter().all(|statement| (60..=100).contains(&statement.sql.len())), "{statements:?}");
    }

    /// A table with a key and a unique value.
    #[derive(Debug, Default, Clone, PartialEq)]
    struct Model(BTreeMap<u64, u64>);

    impl Model {
        fn has_value(&self, value: u64) -> bool {
            self.0.values().any(|there| *there == value)
        }

        /// Runs a statement as a server does, or returns false if that fails.
        fn run(&mut self, statement: &RowStatement) -> bool {
            let text = String::from_utf8(statement.sql.clone()).unwrap();
            let rows = text.trim_end_matches(')').split(',').map(|row| {
                let (id, value) = row.split_once(':').unwrap();
                (id.parse().unwrap(), value.parse().unwrap())
            });
            rows.into_iter().all(|(id, value)| match statement.kind {
                ChangeKind::Insert => !self.has_value(value) && self.0.insert(id, value).is_none(),
                ChangeKind::Delete => self.0.remove(&id) == Some(value),
                ChangeKind::Update => !self.has_value(value) && self.0.insert(id, value).is_some(),
            })
        }
    }

    proptest! {
        #[test]
        fn the_order_of_statements_has_the_effect_of_the_log(
            steps in prop::collection::vec((0_u64..3, 0_u64..6, 0_u64..6), 0..60),
        ) {
            let (mut expected, mut all, mut rows) = (Model::default(), StatementQueue::new(usize::MAX), 0);
            for (kind, id, value) in steps {
                let old = expected.0.get(&id).copied();
                let (kind, form, text, used) = match (kind, old) {
                    (0, None) if !expected.has_value(value) =>
                        (ChangeKind::Insert, StatementForm::Insert, format!("{id}:{value}"), BTreeSet::from([id, 100 + value])),
                    (1, Some(old)) =>
                        (ChangeKind::Delete, StatementForm::DeleteByValues, format!("{id}:{old}"), BTreeSet::from([id, 100 + old])),
                    (2, Some(old)) if !expected.has_value(value) =>
                        (ChangeKind::Update, StatementForm::SingleRow, format!("{id}:{value}"), BTreeSet::from([id, 100 + old, 100 + value])),
                    _ => continue,
                };
                match kind {
                    ChangeKind::Delete => expected.0.remove(&id),
                    _ => expected.0.insert(id, value),
                };
                rows += 1;
                change(&mut all, kind, form, &text, &used.into_iter().collect::<Vec<_>>());
            }
            let (mut model, statements) = (Model::default(), all.take());
            prop_assert_eq!(statements.iter().map(|statement| statement.rows).sum::<u64>(), rows);
            for statement in &statements {
                prop_assert!(model.run(statement), "{:?} of {:?}", statement, statements);
            }
            prop_assert_eq!(model, expected);
        }
    }
}
