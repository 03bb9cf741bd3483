//! Makes the target ready for the rows: the database, sequences, tables; and room for them where something is there.

use futures::{FutureExt, StreamExt, TryStreamExt, stream};

use super::apply::{self, Rewriting};
use super::connect::Conn;
use super::ddl::{self, Dialect, ForeignKey, TableDdl, quote_name};
use super::define::define;
use super::target::{Target, There};
use super::undo::CreatedItem;
use super::{introspect, loose_key, session};
use crate::catalog::{Database, Flavor, ObjectKind, ObjectRef, Printable};
use crate::error::{Error, ErrorKind, Result};
use crate::options::IfExists;
use crate::plan::{Plan, TablePlan};
use crate::report::Note;

/// A smaller table gets its indexes at once: altering it later would take longer than its rows.
const WORTH_WAITING: u64 = 1 << 20;

impl Target {
    /// Makes the database, unless it is there and may stay.
    pub(super) async fn make_database(&self, like: &Database) -> Result<()> {
        let mut conn = self.running.watch(session::definer(&self.address, &self.options).await?).await?;
        let name = quote_name(&self.address.database);
        let exists = introspect::database(&mut conn, &self.address.database).await?;
        if exists.is_some() && !self.options.recreate_database {
            return Ok(());
        }
        if exists.is_some() {
            conn.exec(&format!("DROP DATABASE {name}")).await?;
        }
        let mut sql = format!("CREATE DATABASE {name} CHARACTER SET {} COLLATE {}", like.charset, like.collation);
        if conn.server.flavor == Flavor::MariaDb && !like.comment.is_empty() {
            // The session takes backslashes for escapes, and the clause takes nothing but a plain string.
            let comment = like.comment.replace('\\', "\\\\").replace('\'', "''");
            sql.push_str(&format!(" COMMENT '{comment}'"));
        }
        self.undo_log.making(CreatedItem::Database, conn.exec(&sql)).await.map(drop)
    }

    /// Makes room for an object that will be created, as `if_exists` says.
    async fn make_room(&self, conn: &mut Conn, object: &ObjectRef, there: &There) -> Result<()> {
        let Some(other) = there.in_the_way_of(object) else { return Ok(()) };
        if self.options.if_exists == IfExists::Fail {
            return Err(Error::new(ErrorKind::Preflight, format!("{other} is already there: see --if-exists")));
        }
        conn.exec(&apply::drop_statement(other)).await.map(drop)
    }

    /// Makes a table, with these foreign keys in its definition.
    async fn make_table(
        &self,
        conn: &mut Conn,
        table: &TablePlan,
        rewriting: &Rewriting,
        keys: &[ForeignKey],
    ) -> Result<()> {
        let object = table.table.object();
        let mut ddl = ddl::split_table(&table.table.create, Dialect::default())
            .map_err(|error| Error::new(ErrorKind::Unsupported, "its definition is not understood").caused_by(error))?;
        for key in &mut ddl.foreign_keys {
            let short = loose_key::with_short_name(key);
            if short != *key {
                self.state().notes.push(loose_key::renamed(&object, key, &short));
                *key = short;
            }
        }
        if !keys.is_empty() {
            // A key that the foreign key needs cannot wait.
            ddl.create = ddl.create_with_foreign_keys(keys);
            ddl.deferred_keys.clear();
        } else if table.table.data_bytes < WORTH_WAITING {
            ddl.create.clone_from(&ddl.create_with_keys);
            ddl.deferred_keys.clear();
        }
        let (create, note) = rewriting.renamed(&object, ddl.create.clone(), Dialect::default());
        self.undo_log.making(CreatedItem::Object(object.clone()), define(conn, &create)).await?;
        let mut state = self.state();
        state.notes.extend(note);
        let left = ddl.removed_options.iter();
        state.notes.extend(
            left.map(|option| Note::not_carried(&object, "option", format!("{option}, which belongs to its machine"))),
        );
        state.tables.insert(object.name, ddl);
        Ok(())
    }

    /// Makes sequences, and every table ready for its rows.
    pub(super) async fn make_tables(&self, conn: &mut Conn, plan: &Plan) -> Result<()> {
        let there = There::look(conn, &self.address.database).await?;
        let rewriting = self.rewriting(plan);
        for definition in &plan.definitions {
            self.make_room(conn, &definition.object, &there).await?;
        }
        for definition in plan.definitions.iter().filter(|d| d.object.kind == ObjectKind::Sequence) {
            apply::sequence(conn, definition, &self.undo_log).await?;
        }
        // One after the other: MariaDB refuses to drop or truncate tables of one foreign key at the same time.
        let mut missing = Vec::new();
        for table in &plan.tables {
            let object = table.table.object();
            let named = |error: Error| error.with("table", Printable(&object.name));
            let keep = !plan.schema || self.options.if_exists == IfExists::Truncate;
            if keep && there.has_table(&object.name) {
                self.empty(conn, table).await.map_err(named)?;
            } else if !plan.schema {
                return Err(named(Error::new(ErrorKind::Preflight, "there is no such table to take the rows")));
            } else {
                self.make_room(conn, &object, &there).await.map_err(named)?;
                missing.push(table);
            }
        }
        let first = self.loose_keys(plan, &missing, conn.server.flavor);
        for (name, keys) in &first {
            if let Some(table) = missing.iter().find(|table| table.table.name == *name) {
                self.make_aside(table, &rewriting, keys).await?;
            }
        }
        missing.retain(|table| !first.iter().any(|(name, _)| *name == table.table.name));
        let tables = missing.into_iter().map(|table| self.make_aside(table, &rewriting, &[]).boxed());
        stream::iter(tables.collect::<Vec<_>>()).buffer_unordered(self.options.threads).try_collect::<()>().await
    }

    /// Notes the foreign keys that the server may refuse later, and says which tables are to be made before the others, with
    /// the keys that it takes only then.
    fn loose_keys(&self, plan: &Plan, tables: &[&TablePlan], flavor: Flavor) -> Vec<(String, Vec<ForeignKey>)> {
        let split = |table: &&TablePlan| ddl::split_table(&table.table.create, Dialect::default()).ok();
        let ddls: Vec<Option<TableDdl>> = tables.iter().map(split).collect();
        let both = tables.iter().zip(&ddls).filter_map(|(table, ddl)| Some((&table.table, ddl.as_ref()?)));
        let loose = loose_key::find(&both.collect::<Vec<_>>(), plan.server.folds_names);
        let named = loose
            .iter()
            .map(|key| (key.child.name.clone(), loose_key::with_short_name(key.key).name.unwrap_or_default()));
        self.state().loose_keys.extend(named);
        loose_key::created_first(flavor, &loose)
    }

    /// Makes one table over a connection of its own.
    async fn make_aside(&self, table: &TablePlan, rewriting: &Rewriting, keys: &[ForeignKey]) -> Result<()> {
        let mut conn = self.definer().await?;
        let made = self.make_table(&mut conn, table, rewriting, keys).await;
        made.map_err(|error| error.with("table", Printable(&table.table.name)))?;
        self.state().definers.push(conn);
        Ok(())
    }

    /// Readies a table that keeps its definition.
    async fn empty(&self, conn: &mut Conn, table: &TablePlan) -> Result<()> {
        let name = quote_name(&table.table.name);
        if self.options.if_exists == IfExists::Truncate {
            conn.exec(&format!("TRUNCATE TABLE {name}")).await?;
        } else if conn.row(&format!("SELECT 1 FROM {name} LIMIT 1")).await?.is_some() {
            return Err(Error::new(ErrorKind::Preflight, "the table is not empty: say --if-exists truncate"));
        }
        self.undo_log.add(CreatedItem::Rows(table.table.name.clone()));
        Ok(())
    }
}
