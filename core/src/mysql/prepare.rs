//! Prepares the target for the rows: creates the database, sequences and tables, and removes conflicting objects.

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
        self.undo_log.record_creation(CreatedItem::Database, conn.exec(&sql)).await.map(drop)
    }

    /// Removes the existing object that conflicts with a new one, if the option `if_exists` allows it.
    async fn remove_conflict(&self, conn: &mut Conn, object: &ObjectRef, existing: &ExistingObjects) -> Result<()> {
        let Some(other) = existing.conflicts_with(object) else { return Ok(()) };
        if self.options.if_exists == IfExists::Fail {
            return Err(Error::new(ErrorKind::Preflight, format!("{other} already exists: see --if-exists")));
        }
        conn.exec(&create_objects::drop_statement(other)).await.map(drop)
    }

    /// Creates a table, with these foreign keys in its definition.
    async fn create_table(
        &self,
        conn: &mut Conn,
        table: &TablePlan,
        rewriter: &DefinitionRewriter,
        keys: &[ForeignKey],
    ) -> Result<()> {
        let object = table.table.object();
        let mut ddl = ddl::split_table(&table.table.create, Dialect::default())
            .map_err(|error| Error::new(ErrorKind::Unsupported, "its definition cannot be parsed").caused_by(error))?;
        for key in &mut ddl.foreign_keys {
            let short = foreign_key_defects::with_short_name(key);
            if short != *key {
                self.state().notes.push(foreign_key_defects::rename_note(&object, key, &short));
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
        let (create, note) = rewriter.rename_database(&object, ddl.create.clone(), Dialect::default());
        self.undo_log.record_creation(CreatedItem::Object(object.clone()), execute_ddl(conn, &create)).await?;
        let mut state = self.state();
        state.notes.extend(note);
        let left = ddl.removed_options.iter();
        state.notes.extend(
            left.map(|option| Note::not_carried(&object, "option", format!("{option}, which belongs to its machine"))),
        );
        state.table_ddl.insert(object.name, ddl);
        Ok(())
    }

    /// Creates sequences and missing tables, and empties the others.
    pub(super) async fn create_tables(&self, conn: &mut Conn, plan: &Plan) -> Result<()> {
        let existing = ExistingObjects::read(conn, &self.address.database).await?;
        let rewriter = self.definition_rewriter(plan);
        for definition in &plan.definitions {
            self.remove_conflict(conn, &definition.object, &existing).await?;
        }
        for definition in plan.definitions.iter().filter(|d| d.object.kind == ObjectKind::Sequence) {
            create_objects::create_sequence(conn, definition, &self.undo_log).await?;
        }
        // Sequentially: MariaDB refuses to drop or truncate two tables of a foreign key at the same time.
        let mut missing = Vec::new();
        for table in &plan.tables {
            let object = table.table.object();
            let named = |error: Error| error.with("table", Printable(&object.name));
            let keep = !plan.schema || self.options.if_exists == IfExists::Truncate;
            if keep && existing.has_table(&object.name) {
                self.empty_table(conn, table).await.map_err(named)?;
            } else if !plan.schema {
                return Err(named(Error::new(
                    ErrorKind::Preflight,
                    "the target has no such table: create it, or clone the definitions too",
                )));
            } else {
                self.remove_conflict(conn, &object, &existing).await.map_err(named)?;
                missing.push(table);
            }
        }
        let first = self.find_defective_keys(plan, &missing, conn.server.flavor);
        for (name, keys) in &first {
            if let Some(table) = missing.iter().find(|table| table.table.name == *name) {
                self.create_table_on_own_connection(table, &rewriter, keys).await?;
            }
        }
        missing.retain(|table| !first.iter().any(|(name, _)| *name == table.table.name));
        let tables =
            missing.into_iter().map(|table| self.create_table_on_own_connection(table, &rewriter, &[]).boxed());
        stream::iter(tables.collect::<Vec<_>>()).buffer_unordered(self.options.threads).try_collect::<()>().await
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
        rewriter: &DefinitionRewriter,
        keys: &[ForeignKey],
    ) -> Result<()> {
        let mut conn = self.ddl_session().await?;
        let made = self.create_table(&mut conn, table, rewriter, keys).await;
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
        self.undo_log.add(CreatedItem::Rows(table.table.name.clone()));
        Ok(())
    }
}
