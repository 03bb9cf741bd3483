//! Decides what a statement of the source's log changes in a plan. No I/O.

use std::collections::BTreeSet;

use crate::catalog::{Flavor, ObjectKind, Printable, Table};
use crate::change_applier::LoggedDefinition;
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::capability::{self, Capability};
use crate::mysql::ddl::{DatabaseRename, Dialect, TableChange, quote_name, read_table_statement, split_table};
use crate::mysql::generated;
use crate::mysql::write::is_transactional;
use crate::plan::{Chunk, Plan, TablePlan};

/// What a statement changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlannedChange {
    /// The statement for the target; `None` if it concerns nothing that is followed.
    pub(super) sql: Option<String>,
    /// Whether it creates a table, by the defaults of the database.
    pub(super) creates: bool,
    /// Whether it has the same effect if it runs twice.
    pub(super) is_repeatable: bool,
    /// The tables that it concerns, by their names before and after it.
    pub(super) concerned: BTreeSet<String>,
    /// The names that it gives to tables.
    pub(super) new_names: Vec<String>,
    /// The tables after it, each with its number before it.
    tables: Vec<(Option<u32>, String)>,
    dropped: Vec<String>,
}

/// Decides what a statement changes that is to run in `database` of a server.
///
/// # Errors
/// The reason why it cannot be applied.
pub(super) fn plan_change(
    plan: &Plan,
    definition: &LoggedDefinition,
    database: &str,
    flavor: Flavor,
) -> Result<PlannedChange, String> {
    if plan.server.flavor != flavor {
        return Err("the source and the target are of different families".to_owned());
    }
    if definition.with_rows {
        return Err("it fills the table too".to_owned());
    }
    let ignores_case = plan.server.folds_names;
    let rename = DatabaseRename { from: plan.database.name.clone(), to: database.to_owned(), ignores_case };
    let statement = read_table_statement(&definition.sql, dialect(definition), &definition.database, &rename)?;
    let mut change = PlannedChange {
        sql: Some(statement.sql),
        creates: false,
        is_repeatable: false,
        concerned: BTreeSet::new(),
        new_names: Vec::new(),
        tables: plan.tables.iter().map(|table| (Some(table.number), table.table.name.clone())).collect(),
        dropped: Vec::new(),
    };
    let logs_timestamp_rule =
        definition.settings.iter().any(|setting| setting.starts_with("explicit_defaults_for_timestamp = "));
    if statement.has_implicit_timestamp && !logs_timestamp_rule {
        return Err("it has a TIMESTAMP without NULL, or without NOT NULL and DEFAULT, whose meaning depends on \
                    explicit_defaults_for_timestamp, which the source does not log"
            .to_owned());
    }
    if let Some(obstacle) = &definition.obstacle {
        return Err(obstacle.clone());
    }
    if statement.cascades && !capability::has(&plan.server, Capability::LoggedCascades) {
        return Err("it adds a foreign key whose changes of rows the source does not log".to_owned());
    }
    let names = Names { ignores_case };
    match &statement.change {
        TableChange::Create { table } => {
            change.creates = true;
            if names.find(&change.tables, table).is_none() {
                change.tables.push((None, table.clone()));
                change.new_names.push(table.clone());
            }
            change.concerned.insert(table.clone());
        }
        TableChange::Alter { table, renamed } => {
            let index = names.require(&change.tables, table)?;
            let has_key = plan.tables.get(index).is_some_and(|table| !table.table.primary_key.is_empty());
            if statement.numbers_rows && !has_key {
                return Err(
                    "it numbers the rows of a table without a primary key, in another order at each server".to_owned()
                );
            }
            change.concerned.insert(table.clone());
            if let Some(renamed) = renamed {
                change.rename(plan, names, index, renamed)?;
            }
        }
        TableChange::Rename { pairs } => {
            let before: BTreeSet<String> = change.tables.iter().map(|(_, name)| name.clone()).collect();
            for (from, to) in pairs {
                let index = names.require(&change.tables, from)?;
                change.concerned.insert(from.clone());
                change.rename(plan, names, index, to)?;
            }
            if change.tables.iter().map(|(_, name)| name.clone()).collect::<BTreeSet<_>>() == before {
                return Err(
                    "it exchanges names, so that after a crash nothing would tell whether it had run".to_owned()
                );
            }
        }
        TableChange::Truncate { table } => {
            names.require(&change.tables, table)?;
            change.concerned.insert(table.clone());
        }
        TableChange::Drop { tables } => {
            for table in tables {
                if let Some(index) = names.find(&change.tables, table) {
                    change.dropped.push(change.tables.remove(index).1);
                }
            }
            let quoted = |name: &String| format!("{}.{}", quote_name(database), quote_name(name));
            let dropped: Vec<String> = change.dropped.iter().map(quoted).collect();
            change.sql = (!dropped.is_empty()).then(|| format!("DROP TABLE IF EXISTS {}", dropped.join(", ")));
            change.is_repeatable = true;
            change.concerned.extend(change.dropped.iter().cloned());
        }
    }
    for table in &statement.references {
        names.require(&change.tables, table)?;
    }
    let is_concerned = |name: &str| change.concerned.iter().any(|concerned| names.is_same(concerned, name));
    let mut filtered = plan.tables.iter().filter(|planned| planned.filter.is_some());
    if let Some(planned) = filtered.find(|planned| is_concerned(&planned.table.name)) {
        return Err(format!("table {} is cloned with a row filter", Printable(&planned.table.name)));
    }
    Ok(change)
}

/// Whether changes of the table can be followed.
pub(super) fn can_follow(table: &Table) -> bool {
    is_transactional(table) && !table.history && !generated::depends_on_settings(table)
}

/// Whether the table has a foreign key to one of these: a statement that renames what it refers to changes the key too.
pub(super) fn refers_to(table: &Table, is_changed: impl Fn(&str) -> bool) -> bool {
    let ddl = split_table(&table.create, Dialect::default());
    ddl.is_ok_and(|ddl| ddl.foreign_keys.iter().any(|key| is_changed(&key.referenced_table)))
}

/// The plan of a table whose definition a statement has changed.
pub(super) fn table_plan(number: u32, table: Table, before: Option<&TablePlan>) -> TablePlan {
    TablePlan {
        number,
        table,
        filter: before.and_then(|before| before.filter.clone()),
        chunk_key: Vec::new(),
        chunks: vec![Chunk::whole()],
        position: before.and_then(|before| before.position.clone()),
    }
}

/// How the modes of the statement's session split it into tokens.
pub(super) fn dialect(definition: &LoggedDefinition) -> Dialect {
    let mode = definition.settings.iter().find_map(|setting| setting.strip_prefix("sql_mode = ")?.parse().ok());
    Dialect::from_mode_bits(mode.unwrap_or(0))
}

/// How names are compared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    pub(super) ignores_case: bool,
}

impl Names {
    pub(super) fn is_same(self, one: &str, other: &str) -> bool {
        one == other || self.ignores_case && one.to_lowercase() == other.to_lowercase()
    }

    fn find(self, tables: &[(Option<u32>, String)], name: &str) -> Option<usize> {
        tables.iter().position(|(_, table)| self.is_same(table, name))
    }

    fn require(self, tables: &[(Option<u32>, String)], name: &str) -> Result<usize, String> {
        self.find(tables, name).ok_or_else(|| format!("table {} is not followed", Printable(name)))
    }
}

impl PlannedChange {
    /// The tables that have a new name after the statement, each with its name before; `None` for a new table.
    pub(super) fn newly_named<'p>(&self, plan: &'p Plan) -> impl Iterator<Item = (&str, Option<&'p str>)> {
        let tables = self.tables.iter().filter(|(_, name)| self.new_names.contains(name));
        tables.map(|(before, name)| {
            let before = before.and_then(|number| plan.tables.get(number as usize));
            (name.as_str(), before.map(|planned| planned.table.name.as_str()))
        })
    }

    fn rename(&mut self, plan: &Plan, names: Names, index: usize, to: &str) -> Result<(), String> {
        let Some((_, from)) = self.tables.get(index) else { return Ok(()) };
        let is_of_table = |table: &String| names.is_same(table, from);
        let mut triggers = plan.definitions.iter().filter(|definition| definition.object.kind == ObjectKind::Trigger);
        if triggers.any(|trigger| trigger.object.table.as_ref().is_some_and(is_of_table)) {
            return Err(format!("table {} has triggers, which the cut-over makes by its old name", Printable(from)));
        }
        if names.find(&self.tables, to).is_some_and(|other| other != index) {
            return Err(format!("there is a table {} already", Printable(to)));
        }
        if let Some((_, name)) = self.tables.get_mut(index) {
            to.clone_into(name);
        }
        self.concerned.insert(to.to_owned());
        self.new_names.push(to.to_owned());
        Ok(())
    }

    /// The plan after the statement, with the definitions that the target has now.
    ///
    /// # Errors
    /// `Unsupported` if a table is not as the statement says, or cannot be followed.
    pub(super) fn new_plan(&self, plan: &Plan, found: &[Table], folds_names: bool) -> Result<Plan> {
        let wrong = |table: &str, what: &str| {
            let message = format!("a statement of the source has run at the target, and the table {what}: clone anew");
            Err(Error::new(ErrorKind::Unsupported, message).with("table", Printable(table)))
        };
        let names = Names { ignores_case: folds_names };
        if let Some(left) = self.dropped.iter().find(|name| found.iter().any(|table| names.is_same(&table.name, name)))
        {
            return wrong(left, "is still there");
        }
        let mut tables = Vec::new();
        for (number, (before, name)) in (0_u32..).zip(&self.tables) {
            let planned = before.and_then(|before| plan.tables.get(before as usize));
            let is_concerned = |name: &str| self.concerned.iter().any(|concerned| names.is_same(concerned, name));
            if let Some(planned) = planned
                && !is_concerned(name)
                && !refers_to(&planned.table, is_concerned)
            {
                tables.push(TablePlan { number, ..planned.clone() });
                continue;
            }
            let Some(table) = found.iter().find(|table| names.is_same(&table.name, name)) else {
                return wrong(name, "is missing");
            };
            let table = Table { name: name.clone(), ..table.clone() };
            if !can_follow(&table) {
                return wrong(name, "cannot be followed as it is now");
            }
            tables.push(table_plan(number, table, planned));
        }
        let mut definitions = plan.definitions.clone();
        definitions.retain(|definition| {
            let table = definition.object.table.as_ref();
            !table.is_some_and(|table| self.dropped.iter().any(|dropped| names.is_same(dropped, table)))
        });
        Ok(Plan { tables, definitions, ..plan.clone() })
    }
}
