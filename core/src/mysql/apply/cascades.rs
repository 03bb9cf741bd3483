//! Foreign keys that change further rows by `CASCADE` or `SET NULL`, where the source's log does not hold these changes.
//! The target has the same keys, and changes the rows by itself, as a replica does.

use std::collections::BTreeSet;

use xxhash_rust::xxh3::xxh3_64;

use crate::catalog::{Printable, Table};
use crate::conflict_hasher::CascadingChanges;
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::cascade_chains;
use crate::mysql::ddl::{ForeignKey, ReferentialAction, TableKeys, table_keys};

const UNLOGGED: &str = "which the source does not log";

/// What the foreign keys that refer to a table do when its rows change.
#[derive(Debug, Clone, Default)]
pub(super) struct Cascades {
    pub(super) changes: CascadingChanges,
    /// Why the target would not do the same as the source.
    defect: Option<String>,
}

/// What the two servers do.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ServerCascades {
    /// The source logs what foreign keys change, so that nothing of this is expected to be used.
    pub(super) are_logged: bool,
    /// The target leaves rows as they were if changes go on to a third table.
    pub(super) are_incomplete: bool,
}

/// Finds what changes of each table do, from the source's tables and the target's keys.
///
/// # Errors
/// `Preflight` if the target would not do the same as the source.
pub(super) fn find_cascades(tables: &[(&Table, &TableKeys)], servers: ServerCascades) -> Result<Vec<Cascades>> {
    let is_logged = servers.are_logged;
    let mut found = vec![Cascades::default(); tables.len()];
    let all = || tables.iter().flat_map(|(table, keys)| keys.foreign.iter().map(move |key| (*table, key)));
    // For each table, the first one of those that are connected with it.
    let mut groups: Vec<usize> = (0..tables.len()).collect();
    for (child, (table, keys)) in tables.iter().enumerate() {
        let (source, target) = (table_keys(&table.create).foreign, &keys.foreign);
        for key in source.iter().chain(target) {
            if let Some(parent) = find_parent(tables, key) {
                connect(&mut groups, child, parent);
            }
        }
        for key in source.iter().filter(|key| key.changes_rows()) {
            let name = describe(table, key);
            let parent = find_parent(tables, key);
            match parent.and_then(|parent| Some((tables.get(parent)?.0, found.get_mut(parent)?))) {
                Some((parent, cascades)) => {
                    cascades.add(key, parent);
                    if !target.iter().any(|other| is_same(key, other)) {
                        cascades.defect =
                            Some(format!("{name}, {UNLOGGED}, and the target does not have the same key: add it"));
                    }
                    if servers.are_incomplete
                        && let Some((next, key)) = cascade_chains::find_next((table, key), all())
                    {
                        let (next, remedy) = (describe(next, key), cascade_chains::REMEDY);
                        cascades.defect = Some(format!("{name}, and {next} then: {remedy}"));
                    }
                }
                None if is_logged => {}
                None => {
                    let message =
                        format!("{name}, {UNLOGGED}, and the table that it refers to is not followed: clone it too");
                    return Err(Error::new(ErrorKind::Preflight, message));
                }
            }
        }
        for key in target.iter().filter(|key| key.changes_rows() && !source.iter().any(|other| is_same(key, other))) {
            if let Some(cascades) = find_parent(tables, key).and_then(|parent| found.get_mut(parent)) {
                let name = describe(table, key);
                cascades.defect =
                    Some(format!("{name} at the target, and the source does not have the same key: drop it"));
            }
        }
    }
    for cascades in found.iter().filter(|cascades| cascades.is_active() && !is_logged) {
        cascades.check()?;
    }
    let active: BTreeSet<usize> =
        groups.iter().zip(&found).filter(|(_, cascades)| cascades.is_active()).map(|(group, _)| *group).collect();
    for (group, cascades) in groups.iter().zip(&mut found).filter(|(group, _)| active.contains(group)) {
        cascades.changes.connected = Some(xxh3_64(format!("connected\0{group}").as_bytes()));
    }
    Ok(found)
}

/// The place of the table that a key refers to.
fn find_parent(tables: &[(&Table, &TableKeys)], key: &ForeignKey) -> Option<usize> {
    if key.referenced_database.is_some() {
        return None;
    }
    let name = &key.referenced_table;
    let exact = tables.iter().position(|(table, _)| table.name == *name);
    exact.or_else(|| tables.iter().position(|(table, _)| table.name.to_lowercase() == name.to_lowercase()))
}

/// Makes one group of the groups of two tables.
fn connect(groups: &mut [usize], one: usize, other: usize) {
    let (Some(one), Some(other)) = (groups.get(one).copied(), groups.get(other).copied()) else { return };
    groups.iter_mut().filter(|group| **group == other).for_each(|group| *group = one);
}

/// Whether two keys do the same, whatever their names are.
fn is_same(one: &ForeignKey, other: &ForeignKey) -> bool {
    let parts = |key: &ForeignKey| {
        let names = key.columns.iter().chain([&key.referenced_table]).chain(&key.referenced_columns);
        (names.map(|name| name.to_lowercase()).collect::<Vec<_>>(), key.on_delete, key.on_update)
    };
    parts(one) == parts(other) && one.referenced_database == other.referenced_database
}

fn describe(table: &Table, key: &ForeignKey) -> String {
    format!(
        "foreign key {} of table {} changes rows by CASCADE or SET NULL",
        Printable(key.name.as_deref().unwrap_or_default()),
        Printable(&table.name)
    )
}

impl Cascades {
    /// Adds a key that refers to this table.
    fn add(&mut self, key: &ForeignKey, parent: &Table) {
        self.changes.on_delete |= key.on_delete != ReferentialAction::Restrict;
        if key.on_update != ReferentialAction::Restrict {
            let is_referenced =
                |name: &str| key.referenced_columns.iter().any(|column| column.to_lowercase() == name.to_lowercase());
            let columns = (0..).zip(parent.stored_columns()).filter(|(_, column)| is_referenced(&column.name));
            self.changes.on_update.extend(columns.map(|(index, _)| index));
        }
    }

    fn is_active(&self) -> bool {
        self.changes.on_delete || !self.changes.on_update.is_empty()
    }

    /// Fails if the target would not do the same as the source.
    pub(super) fn check(&self) -> Result<()> {
        match &self.defect {
            Some(defect) => Err(Error::new(ErrorKind::Preflight, defect.clone())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::catalog::Column;
    use crate::change::{ChangeKind, RowChanges, RowImages};

    fn table(name: &str, keys: &str) -> Table {
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
            name: name.to_owned(),
            columns: ["id", "p"].map(column).to_vec(),
            engine: "InnoDB".to_owned(),
            history: false,
            late_timestamps: Vec::new(),
            primary_key: Vec::new(),
            rows_estimate: 0,
            data_bytes: 0,
            index_bytes: 0,
            create: format!("CREATE TABLE `{name}` (\n  `id` int NOT NULL{keys}\n)"),
        }
    }

    fn find(tables: &[(&Table, &Table)]) -> Result<Vec<Cascades>> {
        find_with(tables, ServerCascades::default())
    }

    fn find_with(tables: &[(&Table, &Table)], servers: ServerCascades) -> Result<Vec<Cascades>> {
        let keys: Vec<TableKeys> = tables.iter().map(|(_, target)| table_keys(&target.create)).collect();
        let pairs: Vec<_> = tables.iter().map(|(source, _)| *source).zip(&keys).collect();
        find_cascades(&pairs, servers)
    }

    fn changes(kind: ChangeKind, before: &str, after: &str) -> RowChanges {
        let image = |text: &str| Some(RowImages { columns: vec![0, 1], text: Bytes::from(format!("{text}\n")) });
        RowChanges { table: 0, kind, rows: 1, before: image(before), after: image(after), with_cascades: true }
    }

    #[test]
    fn only_changes_of_referenced_rows_act() {
        let parent = table("p", "");
        let child = table(
            "c",
            ",\n  CONSTRAINT `f` FOREIGN KEY (`p`) REFERENCES `P` (`id`) ON DELETE SET NULL ON UPDATE CASCADE",
        );
        let (sibling, other) =
            (table("s", ",\n  CONSTRAINT `g` FOREIGN KEY (`p`) REFERENCES `c` (`id`)"), table("o", ""));
        let found = find(&[(&parent, &parent), (&child, &child), (&sibling, &sibling), (&other, &other)]).unwrap();
        let [of_parent, of_child, of_sibling, of_other] = &found[..] else { panic!() };
        assert!(of_parent.changes.act_on(&changes(ChangeKind::Delete, "1\t2", "")));
        assert!(of_parent.changes.act_on(&changes(ChangeKind::Update, "1\t2", "3\t2")));
        assert!(!of_parent.changes.act_on(&changes(ChangeKind::Update, "1\t2", "1\t3")));
        assert!(!of_parent.changes.act_on(&changes(ChangeKind::Insert, "", "1\t3")));
        assert!(
            !of_parent.changes.act_on(&RowChanges { with_cascades: false, ..changes(ChangeKind::Delete, "1\t2", "") })
        );
        assert!(!of_child.changes.act_on(&changes(ChangeKind::Delete, "1\t2", "")));
        assert!(of_parent.changes.connected.is_some() && of_parent.changes.connected == of_sibling.changes.connected);
        assert_eq!((of_parent.changes.connected, of_other.changes.connected), (of_child.changes.connected, None));
    }

    #[test]
    fn a_target_that_would_do_something_else_is_refused() {
        let parent = table("p", "");
        let key =
            |action: &str| table("c", &format!(",\n  CONSTRAINT `f` FOREIGN KEY (`p`) REFERENCES `p` (`id`){action}"));
        let (cascade, restrict) = (key(" ON DELETE CASCADE"), key(""));
        let error = find(&[(&parent, &parent), (&cascade, &restrict)]).unwrap_err().to_string();
        assert!(error.contains("foreign key f of table c") && error.contains("target does not have"), "{error}");
        assert!(find(&[(&parent, &parent), (&restrict, &cascade)]).is_ok(), "its checks stay off");
        let error = find(&[(&cascade, &cascade)]).unwrap_err().to_string();
        assert!(error.contains("foreign key f of table c") && error.contains("is not followed"), "{error}");
    }

    #[test]
    fn a_target_that_loses_changes_of_several_steps_is_refused() {
        let parent = table("p", "");
        let child = table("c", ",\n  CONSTRAINT `f` FOREIGN KEY (`p`) REFERENCES `p` (`id`) ON DELETE CASCADE");
        let last = |action: &str| {
            let action = format!(",\n  CONSTRAINT `g` FOREIGN KEY (`p`) REFERENCES `c` (`id`) ON {action}");
            table("d", &action)
        };
        let servers = ServerCascades { are_logged: false, are_incomplete: true };
        let check = |last: &Table| find_with(&[(&parent, &parent), (&child, &child), (last, last)], servers);
        let error = check(&last("DELETE SET NULL")).unwrap_err().to_string();
        assert!(error.contains("key f of table c") && error.contains("key g of table d"), "{error}");
        assert!(check(&last("DELETE RESTRICT")).is_ok());
        assert!(check(&last("UPDATE CASCADE")).is_ok(), "the referenced column keeps its value");
    }
}
