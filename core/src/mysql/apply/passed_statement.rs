//! Passes a statement of the source's log that was run at the target by hand: decides which tables it has changed, and which
//! definitions they have after it.
//!
//! The source's definitions are those of now, and later statements of its log may have changed them too. A target of the same
//! family has each table as the statement leaves it. The log has no names of columns, so that a table with other columns, or
//! with the same ones in another order, is refused.

use super::MySqlApplier;
use super::definition::folds_names;
use super::planned_change::{Names, can_follow, dialect, refers_to, table_plan};
use super::table::read_tables;
use crate::catalog::{Column, ObjectKind, Printable, Table};
use crate::change_applier::LoggedDefinition;
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::column_comparison::{describe_column, holds_same};
use crate::mysql::ddl::{
    DatabaseRename, LeftColumn, StatementSubject, TableChange, columns_after, keep_columns, statement_subject,
    table_parts,
};
use crate::mysql::introspect;
use crate::mysql::row_filter::RowFilter;
use crate::plan::{OmittedObject, Plan, TablePlan};

impl MySqlApplier {
    pub(super) async fn pass_statement(&self, definition: &LoggedDefinition, current: &Plan) -> Result<()> {
        let state = self.state();
        let database = &state.target.address.database;
        let mut conn = state.target.journal_session(&state.plan.job.id).await?;
        let names = Names { ignores_case: folds_names(&mut conn, &state.plan).await? };
        let found = introspect::read_base_tables(&mut conn, database).await?;
        let is_same_family = conn.server.flavor == state.plan.server.flavor;
        let is_same_release = conn.server.is_same_release(&state.plan.server);
        let before = &state.plan;
        let passed = PassedStatement { before, current, found: &found, names, is_same_family, is_same_release };
        let plan = passed.plan_after(definition)?;
        for table in read_tables(&mut conn, database, &plan).await? {
            table.check()?;
        }
        self.record_end(&mut conn, definition, plan, &state.journal()?).await
    }
}

/// What is known when a statement is passed that was run by hand.
struct PassedStatement<'a> {
    /// The plan before it.
    before: &'a Plan,
    /// The plan of the source as it is now.
    current: &'a Plan,
    /// The tables of the target.
    found: &'a [Table],
    names: Names,
    is_same_family: bool,
    is_same_release: bool,
}

/// The statement, as far as its form is known.
#[derive(Clone, Copy)]
struct KnownStatement<'a> {
    definition: &'a LoggedDefinition,
    change: Option<&'a TableChange>,
    /// The tables whose definitions it may change.
    named: &'a [String],
}

impl PassedStatement<'_> {
    /// The plan after the statement.
    ///
    /// # Errors
    /// `Preflight` if the target is not as the statement leaves it.
    fn plan_after(&self, definition: &LoggedDefinition) -> Result<Plan> {
        let database = self.before.database.name.clone();
        let ignores_case = self.before.server.folds_names;
        let rename = DatabaseRename { from: database.clone(), to: database, ignores_case };
        let subject = statement_subject(&definition.sql, dialect(definition), &definition.database, &rename);
        let (named, added) = match &subject {
            StatementSubject::Others => (Vec::new(), Vec::new()),
            StatementSubject::Tables(change) => self.check_names(change)?,
            StatementSubject::Names(names) => {
                let current = self.current.tables.iter().map(|planned| &planned.table.name);
                (names.clone(), current.filter(|name| self.is_among(name, names)).cloned().collect())
            }
        };
        let change = if let StatementSubject::Tables(change) = &subject { Some(change) } else { None };
        let statement = KnownStatement { definition, change, named: &named };
        let mut tables: Vec<(Table, Option<&TablePlan>)> = Vec::new();
        for planned in &self.before.tables {
            let is_named = |name: &str| self.is_among(name, &named);
            if !is_named(&planned.table.name) && !refers_to(&planned.table, is_named) {
                tables.push((planned.table.clone(), Some(planned)));
                continue;
            }
            self.check_filter(planned, statement)?;
            if let Some(table) = self.table_after(Some(planned), &planned.table.name, statement)? {
                tables.push((table, Some(planned)));
            }
        }
        for name in &added {
            let is_planned = self.before.tables.iter().any(|planned| self.names.is_same(&planned.table.name, name));
            if is_planned || self.is_left_out(name) {
                continue;
            }
            match self.table_after(None, name, statement)? {
                Some(table) => tables.push((table, None)),
                None => return Err(wrong(name, "is not at the target")),
            }
        }
        let tables = (0_u32..).zip(tables).map(|(number, (table, before))| match before {
            Some(before) if before.table == table => TablePlan { number, ..before.clone() },
            before => table_plan(number, table, before),
        });
        let tables = tables.collect();
        // Tables that are gone by now still have rows in the part of the log that comes.
        let mut left_out = self.before.left_out.clone();
        let is_new = |omitted: &&OmittedObject| !left_out.iter().any(|other| other.object == omitted.object);
        let new: Vec<OmittedObject> = self.current.left_out.iter().filter(is_new).cloned().collect();
        left_out.extend(new);
        Ok(Plan { tables, left_out, ..self.current.clone() })
    }

    /// Checks that the tables of the target have the names that the statement leaves. Returns the names of the tables whose
    /// definitions may have changed, and those that are new.
    fn check_names(&self, change: &TableChange) -> Result<(Vec<String>, Vec<String>)> {
        let (named, added): (Vec<String>, Vec<String>) = match change.clone() {
            TableChange::Create { table } => (vec![table.clone()], vec![table]),
            TableChange::Alter { table, renamed } => {
                (std::iter::once(table).chain(renamed.clone()).collect(), renamed.into_iter().collect())
            }
            TableChange::Truncate { .. } => (Vec::new(), Vec::new()),
            TableChange::Drop { tables } => (tables, Vec::new()),
            TableChange::Rename { pairs } => {
                let names = pairs.iter().flat_map(|(from, to)| [from.clone(), to.clone()]);
                (names.collect(), pairs.iter().map(|(_, to)| to.clone()).collect())
            }
        };
        let removed = match change {
            TableChange::Drop { tables } => tables.clone(),
            TableChange::Alter { table, renamed: Some(_) } => vec![table.clone()],
            TableChange::Rename { pairs } => pairs.iter().map(|(from, _)| from.clone()).collect(),
            _ => Vec::new(),
        };
        let is_planned =
            |name: &&String| self.before.tables.iter().any(|planned| self.names.is_same(&planned.table.name, name));
        let mut left = removed.iter().filter(is_planned).filter(|name| !self.is_among(name, &added));
        match left.find(|name| self.find(self.found, name).is_some()) {
            Some(name) => Err(wrong(name, "is still at the target")),
            None => Ok((named, added)),
        }
    }

    /// The definition of a table after the statement; `None` if the target does not have it.
    fn table_after(
        &self,
        before: Option<&TablePlan>,
        name: &str,
        statement: KnownStatement<'_>,
    ) -> Result<Option<Table>> {
        let is_known = statement.change.is_some() && self.is_among(name, statement.named);
        let Some(at_target) = self.find(self.found, name) else { return Ok(None) };
        let mut at_source = self.current.tables.iter().map(|planned| &planned.table);
        let at_source = at_source.find(|table| self.names.is_same(&table.name, name));
        let is_changed = before.is_none_or(|before| parts(&before.table) != parts(at_target));
        let table = match (at_source, before) {
            (Some(at_source), _) if at_source.columns == at_target.columns => at_source,
            _ if self.is_same_family && is_changed => at_target,
            (_, Some(before)) if self.is_same_family && !is_known => &before.table,
            (Some(at_source), _) if self.has_other_types(at_source, at_target) => {
                return Err(wrong(name, "has columns of other types at the target"));
            }
            (Some(at_source), _) => at_source,
            (None, _) => return Err(wrong(name, "is at the target, and not at the source any more")),
        };
        // The source decides whether a rollback undoes changes of the table.
        if !can_follow(table) || at_source.is_some_and(|table| !can_follow(table)) {
            return Err(wrong(name, "cannot be followed as it is now: clone anew"));
        }
        self.check_columns(name, table, at_source, statement)?;
        Ok(Some(Table { name: name.to_owned(), ..table.clone() }))
    }

    /// Checks that a table has the columns that the statement leaves, in this order.
    fn check_columns(
        &self,
        name: &str,
        table: &Table,
        at_source: Option<&Table>,
        statement: KnownStatement<'_>,
    ) -> Result<()> {
        let origin = self.origin(statement.change, name).map(|planned| &planned.table);
        let Some(left) = self.left_columns(name, origin, statement) else {
            let has_same = |other: &Table| {
                let mut pairs = table.columns.iter().zip(&other.columns);
                table.columns.len() == other.columns.len()
                    && pairs.all(|(one, other)| has_name(one, &other.name) && holds_same(one, other))
            };
            let is_known = origin.is_some_and(has_same) || at_source.is_some_and(has_same);
            return if is_known { Ok(()) } else { Err(wrong(name, "has other columns than at the source")) };
        };
        let has_all = left.len() == table.columns.len();
        if !has_all || left.iter().zip(&table.columns).any(|(left, column)| !has_name(column, &left.name)) {
            let names: Vec<String> = left.iter().map(|left| Printable(&left.name).to_string()).collect();
            let what =
                format!("does not have the columns {} in this order, as the statement leaves them", names.join(", "));
            return Err(wrong(name, &what));
        }
        for (left, column) in left.iter().zip(&table.columns) {
            let before = left.kept.and_then(|index| origin?.columns.get(index));
            let now = || at_source?.columns.iter().find(|now| has_name(now, &left.name));
            if let Some(other) = before.or_else(now).filter(|other| !holds_same(column, other)) {
                let (name_of_column, there, here) =
                    (Printable(&column.name), describe_column(column), describe_column(other));
                let what = format!(
                    "has column {name_of_column} as {there}, and the source as {here} (if a later statement of the source \
                     changes it once more, clone anew)"
                );
                return Err(wrong(name, &what));
            }
        }
        Ok(())
    }

    /// The table before the statement whose name is this one after it.
    fn origin(&self, change: Option<&TableChange>, name: &str) -> Option<&TablePlan> {
        let from = match change {
            Some(TableChange::Alter { table, renamed: Some(renamed) }) if self.names.is_same(renamed, name) => table,
            Some(TableChange::Rename { pairs }) => pairs
                .iter()
                .rev()
                .fold(name, |name, (from, to)| if self.names.is_same(to, name) { from.as_str() } else { name }),
            _ => name,
        };
        self.before.tables.iter().find(|planned| self.names.is_same(&planned.table.name, from))
    }

    /// The columns of a table after the statement; `None` if that is not known for certain.
    fn left_columns(
        &self,
        name: &str,
        origin: Option<&Table>,
        statement: KnownStatement<'_>,
    ) -> Option<Vec<LeftColumn>> {
        let names = |table: &Table| table.columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>();
        let before = origin.map(names);
        if !self.is_among(name, statement.named) {
            return before.as_deref().map(keep_columns);
        }
        let change = statement.change?;
        let subject = origin.map_or(name, |origin| origin.name.as_str());
        if let TableChange::Create { table } | TableChange::Alter { table, .. } = change
            && !self.names.is_same(table, subject)
        {
            return before.as_deref().map(keep_columns);
        }
        let (sql, dialect) = (&statement.definition.sql, dialect(statement.definition));
        let columns_of = |other: &str| self.origin(None, other).map(|planned| names(&planned.table));
        columns_after(sql, dialect, change, before.as_deref(), columns_of)
    }

    /// Checks that the statement leaves the columns as they are on which the row filter of a table depends: it would choose
    /// other rows than those that are at the target.
    fn check_filter(&self, planned: &TablePlan, statement: KnownStatement<'_>) -> Result<()> {
        let name = &planned.table.name;
        let Some(filter) = planned.filter.as_ref().filter(|_| self.is_among(name, statement.named)) else {
            return Ok(());
        };
        let refused = |what: String| {
            let message =
                format!("the statement changes {what}, on which the row filter of the table depends: clone anew");
            Err(Error::new(ErrorKind::Preflight, message).with("table", Printable(name)))
        };
        let left = match statement.change {
            Some(TableChange::Create { .. } | TableChange::Alter { renamed: None, .. }) => {
                self.left_columns(name, Some(&planned.table), statement)
            }
            _ => None,
        };
        let Some(left) = left else { return refused("the table in a way".to_owned()) };
        let filter = RowFilter::parse(filter, &planned.table)
            .map_err(|reason| Error::new(ErrorKind::Unsupported, reason).with("table", Printable(name)))?;
        let is_kept = |column: &str| {
            let columns = left.iter().filter_map(|left| planned.table.columns.get(left.kept?));
            columns.into_iter().any(|kept| has_name(kept, column))
        };
        match filter.column_names().find(|column| !is_kept(column)) {
            Some(column) => refused(format!("column {}", Printable(column))),
            None => Ok(()),
        }
    }

    /// Whether the columns of both have the same names, and different types. Other releases write some types in other words.
    fn has_other_types(&self, at_source: &Table, at_target: &Table) -> bool {
        let names = |table: &Table| table.columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>();
        self.is_same_release && names(at_source) == names(at_target)
    }

    fn find<'t>(&self, tables: &'t [Table], name: &str) -> Option<&'t Table> {
        tables.iter().find(|table| self.names.is_same(&table.name, name))
    }

    fn is_among(&self, name: &str, names: &[String]) -> bool {
        names.iter().any(|other| self.names.is_same(name, other))
    }

    fn is_left_out(&self, name: &str) -> bool {
        let mut left_out = self.before.left_out.iter().chain(&self.current.left_out).map(|omitted| &omitted.object);
        left_out.any(|object| object.kind == ObjectKind::Table && self.names.is_same(&object.name, name))
    }
}

fn has_name(column: &Column, name: &str) -> bool {
    column.name.to_lowercase() == name.to_lowercase()
}

fn parts(table: &Table) -> impl PartialEq + use<> {
    table_parts(&table.create)
}

fn wrong(table: &str, what: &str) -> Error {
    let message =
        format!("the table {what}: run at the target what was run at the source, and nothing that comes later");
    Error::new(ErrorKind::Preflight, message).with("table", Printable(table))
}
