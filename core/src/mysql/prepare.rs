//! Prepares the target for the rows: creates the database, sequences and tables, and removes conflicting objects.

use std::collections::BTreeSet;

use futures::{FutureExt, StreamExt, TryStreamExt, stream};

use super::connect::Conn;
use super::create_objects;
use super::ddl::{self, Dialect, ForeignKey, TableDdl, quote_name};
use super::define::execute_ddl;
use super::definition_rewriter::DefinitionRewriter;
use super::existing_objects::ExistingObjects;
use super::target::TargetDatabase;
use super::undo_log::CreatedItem;
use super::{foreign_key_defects, introspect, session};
use crate::catalog::{Database, Flavor, ObjectKind, ObjectRef, Printable};
use crate::error::{Error, ErrorKind, Result};
use crate::options::IfExists;
use crate::plan::{Plan, TablePlan};
use crate::report::Note;

/// Smaller tables get their indexes at once, because adding them later takes longer than loading the rows.
const MIN_DEFERRED_BYTES: u64 = 1 << 20;

impl TargetDatabase {
    /// Creates the database, unless it exists and may stay.
    pub(super) async fn create_database(&self, like: &Database) -> Result<()> {
        let mut conn = self.connections.register(session::open_ddl(&self.address, &self.options).await?).await?;
        let name = quote_name(&self.address.database);
        let exists = introspect::read_database(&mut conn, &self.address.database).await?;
        if exists.is_some() && !self.options.recreate_database {
            return Ok(());
        }
        if exists.is_some() {
            conn.exec(&format!("DROP DATABASE {name}")).await?;
        }
        let mut sql = format!("CREATE DATABASE {name} CHARACTER SET {} COLLATE {}", like.charset, like.collation);
        if conn.server.flavor == Flavor::MariaDb && !like.comment.is_empty() {
            // The session interprets backslashes, and the clause accepts only a plain string.
            let comment = like.comment.replace('\\', "\\\\").replace('\'', "''");
            sql.push_str(&format!(" COMMENT '{comment}'"));
        }
        self.record_creation(CreatedItem::Database, conn.exec(&sql)).await.map(drop)
    }

    /// Removes the existing object that conflicts with a new one, if the option `if_exists` allows it.
    async fn remove_conflict(&self, conn: &mut Conn, object: &ObjectRef, existing: &ExistingObjects) -> Result<()> {
        let Some(other) = existing.conflicts_with(object) else { return Ok(()) };
        if self.options.if_exists == IfExists::Fail {
            return Err(Error::new(ErrorKind::Preflight, format!("{other} already exists: see --if-exists")));
        }
        conn.exec(&create_objects::drop_statement(other)).await.map(drop)
    }

    /// Divides a table's definition into what is created now and what is added later. With foreign keys, these are created
    /// now. Also returns the notes about it.
    fn divide_definition(&self, table: &TablePlan, keys: &[ForeignKey]) -> Result<(TableDdl, Vec<Note>)> {
        let object = table.table.object();
        let mut ddl = ddl::split_table(&table.table.create, Dialect::default())
            .map_err(|error| Error::new(ErrorKind::Unsupported, "its definition cannot be parsed").caused_by(error))?;
        let mut notes = Vec::new();
        for key in &mut ddl.foreign_keys {
            let short = foreign_key_defects::with_short_name(key);
            if short != *key {
                notes.push(foreign_key_defects::rename_note(&object, key, &short));
                *key = short;
            }
        }
        if !keys.is_empty() {
            // The foreign keys need their indexes at once.
            ddl.create = ddl.create_with_foreign_keys(keys);
            ddl.deferred_keys.clear();
        } else if table.table.data_bytes < MIN_DEFERRED_BYTES && !ddl.always_defers() {
            ddl.create.clone_from(&ddl.create_with_keys);
            ddl.deferred_keys.clear();
        }
        let left = ddl.removed_options.iter();
        notes.extend(
            left.map(|option| Note::not_carried(&object, "option", format!("{option}, which belongs to its machine"))),
        );
        Ok((ddl, notes))
    }

    /// Creates a table, unless it is there already, with these foreign keys in its definition.
    async fn create_table(
        &self,
        conn: &mut Conn,
        table: &TablePlan,
        is_there: bool,
        rewriter: &DefinitionRewriter,
        keys: &[ForeignKey],
    ) -> Result<()> {
        let object = table.table.object();
        let (ddl, notes) = self.divide_definition(table, keys)?;
        let (create, note) = rewriter.rename_database(&object, ddl.create.clone(), Dialect::default());
        if !is_there {
            self.record_creation(CreatedItem::Object(object.clone()), execute_ddl(conn, &create)).await?;
        }
        let mut state = self.state();
        state.notes.extend(notes.into_iter().chain(note));
        state.table_ddl.insert(object.name, ddl);
        Ok(())
    }

    /// Creates sequences and missing tables, and empties the others. Of the tables `kept`, which an earlier process of this
    /// clone has begun or completed, only the state is prepared.
    pub(super) async fn create_tables(&self, conn: &mut Conn, plan: &Plan, kept: &BTreeSet<u32>) -> Result<()> {
        let existing = ExistingObjects::read(conn, &self.address.database).await?;
        let rewriter = self.definition_rewriter(plan);
        let is_ours = |object: &ObjectRef| self.undo_log.contains(&CreatedItem::Object(object.clone()));
        for definition in plan.definitions.iter().filter(|definition| !is_ours(&definition.object)) {
            self.remove_conflict(conn, &definition.object, &existing).await?;
        }
        for definition in plan.definitions.iter().filter(|d| d.object.kind == ObjectKind::Sequence) {
            create_objects::create_sequence(conn, definition, self).await?;
        }
        // Sequentially: MariaDB refuses to drop or truncate two tables of a foreign key at the same time.
        let mut created = Vec::new();
        for table in &plan.tables {
            let object = table.table.object();
            let named = |error: Error| error.with("table", Printable(&object.name));
            let keep = !plan.schema || self.options.if_exists == IfExists::Truncate;
            if kept.contains(&table.number) {
                created.extend(is_ours(&object).then_some(table));
            } else if keep && existing.has_table(&object.name) {
                self.empty_table(conn, table).await.map_err(named)?;
            } else if !plan.schema {
                return Err(named(Error::new(
                    ErrorKind::Preflight,
                    "the target has no such table: create it, or clone the definitions too",
                )));
            } else {
                self.remove_conflict(conn, &object, &existing).await.map_err(named)?;
                created.push(table);
            }
        }
        for table in created.iter().filter(|table| !kept.contains(&table.number)) {
            self.undo_log.intend(CreatedItem::Object(table.table.object()));
        }
        self.save_undo_records().await?;
        let first = self.find_defective_keys(plan, &created, conn.server.flavor);
        for (name, keys) in &first {
            if let Some(table) = created.iter().find(|table| table.table.name == *name) {
                let is_there = kept.contains(&table.number);
                self.create_table_on_own_connection(table, is_there, &rewriter, keys).await?;
            }
        }
        created.retain(|table| !first.iter().any(|(name, _)| *name == table.table.name));
        let tables = created.into_iter().map(|table| {
            self.create_table_on_own_connection(table, kept.contains(&table.number), &rewriter, &[]).boxed()
        });
        stream::iter(tables.collect::<Vec<_>>()).buffer_unordered(self.options.threads).try_collect::<()>().await?;
        self.save_undo_records().await?;
        let begun: Vec<&TablePlan> = plan.tables.iter().filter(|table| !kept.contains(&table.number)).collect();
        self.record_begun(&begun).await
    }

    /// Records the foreign keys that the server may refuse later.
    ///
    /// Returns the tables to create before the others, with the foreign keys that the server accepts only then.
    fn find_defective_keys(
        &self,
        plan: &Plan,
        tables: &[&TablePlan],
        flavor: Flavor,
    ) -> Vec<(String, Vec<ForeignKey>)> {
        let split = |table: &&TablePlan| ddl::split_table(&table.table.create, Dialect::default()).ok();
        let ddls: Vec<Option<TableDdl>> = tables.iter().map(split).collect();
        let both = tables.iter().zip(&ddls).filter_map(|(table, ddl)| Some((&table.table, ddl.as_ref()?)));
        let loose = foreign_key_defects::find_all(&both.collect::<Vec<_>>(), plan.server.folds_names);
        let named = loose.iter().map(|key| {
            (key.child.name.clone(), foreign_key_defects::with_short_name(key.key).name.unwrap_or_default())
        });
        self.state().defective_keys.extend(named);
        foreign_key_defects::order_early_tables(flavor, &loose)
    }

    /// Creates one table over its own connection.
    async fn create_table_on_own_connection(
        &self,
        table: &TablePlan,
        is_there: bool,
        rewriter: &DefinitionRewriter,
        keys: &[ForeignKey],
    ) -> Result<()> {
        let mut conn = self.ddl_session().await?;
        let made = self.create_table(&mut conn, table, is_there, rewriter, keys).await;
        made.map_err(|error| error.with("table", Printable(&table.table.name)))?;
        self.state().ddl_sessions.push(conn);
        Ok(())
    }

    /// Empties a table that keeps its definition, or checks that it is empty.
    async fn empty_table(&self, conn: &mut Conn, table: &TablePlan) -> Result<()> {
        let name = quote_name(&table.table.name);
        if self.options.if_exists == IfExists::Truncate {
            conn.exec(&format!("TRUNCATE TABLE {name}")).await?;
        } else if conn.row(&format!("SELECT 1 FROM {name} LIMIT 1")).await?.is_some() {
            return Err(Error::new(ErrorKind::Preflight, "the table is not empty: use --if-exists truncate"));
        }
        self.record_item(CreatedItem::Rows(table.table.name.clone())).await
    }
}
