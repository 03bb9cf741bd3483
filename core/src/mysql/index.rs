//! Adds what waited for the rows: secondary keys as soon as a table is complete, foreign keys at the end.

use super::connect::Conn;
use super::ddl::{self, KeyKind, TableDdl, quote_name};
use super::define::define;
use super::refusal::{is_lock_wait, wait_shorter};
use super::session;
use super::target::{Target, There};
use crate::catalog::{Flavor, ObjectKind, ObjectRef, Printable};
use crate::error::{Error, Result};
use crate::fidelity::Severity;
use crate::plan::TablePlan;
use crate::report::Note;

const DUPLICATE_KEY_NAME: u16 = 1061;

impl Target {
    /// Adds the keys that were kept back and are not there yet, in as few passes over the rows as the server allows.
    pub(super) async fn add_keys(&self, conn: &mut Conn, table: &TablePlan, ddl: &TableDdl) -> Result<()> {
        // What a key holds of an expression is computed now, as the rows' own generated columns were.
        let settings = self.settings_of(table, &conn.server);
        let name = &table.table.name;
        conn.exec(&format!("SET SESSION {}", settings.assignments(session::DEFINING))).await?;
        if conn.server.flavor == Flavor::MySql && self.is_last_build(name) {
            let all = |variable: &str, most: u32| {
                let threads = self.options.threads;
                format!("{variable} = CAST(LEAST({most}, GREATEST({threads}, @@GLOBAL.{variable})) AS SIGNED)")
            };
            let (build, read) = (all("innodb_ddl_threads", 64), all("innodb_parallel_read_threads", 256));
            conn.try_set_each(&[build.as_str(), read.as_str()]).await?;
        }
        match self.add_missing_keys(conn, name, ddl).await {
            // A statement whose answer was lost came to its end meanwhile.
            Err(error) if error.code() == Some(DUPLICATE_KEY_NAME) => self.add_missing_keys(conn, name, ddl).await?,
            other => other?,
        }
        conn.exec(&format!("SET SESSION {}", settings.defaults(session::DEFINING))).await.map(drop)
    }

    /// Whether no other table waits for its keys: then the threads that would build these are free.
    fn is_last_build(&self, name: &str) -> bool {
        let state = self.state();
        let waits = |other: &String, ddl: &TableDdl| !ddl.deferred_keys.is_empty() && !state.indexed.contains(other);
        !state.tables.iter().any(|(other, ddl)| other != name && waits(other, ddl))
    }

    async fn add_missing_keys(&self, conn: &mut Conn, name: &str, ddl: &TableDdl) -> Result<()> {
        let there = conn.rows(&format!("SHOW KEYS FROM {}", quote_name(name))).await?;
        let missing = ddl.deferred_keys.iter().filter(|key| !there.iter().any(|row| row.string(2) == key.name));
        let (together, alone): (Vec<_>, Vec<_>) = missing.partition(|key| key.kind != KeyKind::Fulltext);
        let mut each: Vec<Vec<_>> = alone.into_iter().map(|key| vec![key]).collect();
        each.splice(..0, (!together.is_empty()).then_some(together));
        // The last first. One that the server refuses does not keep the others from being built.
        each.reverse();
        while let Some(keys) = each.pop() {
            let Err(error) = define(conn, &ddl::add_keys(name, &keys)).await else { continue };
            match keys.as_slice() {
                _ if error.code().is_none() || error.is_retryable() || error.code() == Some(DUPLICATE_KEY_NAME) => {
                    return Err(error);
                }
                [key] => {
                    let (table, what) =
                        (ObjectRef::new(ObjectKind::Table, name), format!("index {}", Printable(&key.name)));
                    let note = self.late(&table, &what, Severity::Warning, error).await?;
                    self.state().notes.push(note);
                }
                _ => each.extend(keys.into_iter().rev().map(|key| vec![key])),
            }
        }
        Ok(())
    }

    /// Adds the foreign keys of all tables; one to a table that is not there would refuse every row from now on, and is
    /// left out.
    pub(super) async fn add_foreign_keys(&self, conn: &mut Conn) -> Result<Vec<Note>> {
        let there = There::look(conn, &self.address.database).await?;
        let tables = self.state().tables.clone();
        // Of an earlier try whose connection was lost.
        let made = conn
            .rows(
                "SELECT TABLE_NAME, CONSTRAINT_NAME FROM information_schema.TABLE_CONSTRAINTS \
                 WHERE TABLE_SCHEMA = DATABASE() AND CONSTRAINT_TYPE = 'FOREIGN KEY'",
            )
            .await?;
        let mut notes = Vec::new();
        for (name, ddl) in tables {
            let object = ObjectRef::new(ObjectKind::Table, &name);
            let is_there =
                |key: &ddl::ForeignKey| key.referenced_database.is_some() || there.has_table(&key.referenced_table);
            let (keys, orphans): (Vec<_>, Vec<_>) = ddl.foreign_keys.into_iter().partition(is_there);
            notes.extend(orphans.iter().map(|key| {
                let why = format!("left out, as table {} is not there", Printable(&key.referenced_table));
                Note::not_carried(&object, named(key), why)
            }));
            let is_made = |key: &ddl::ForeignKey| {
                made.iter().any(|row| there.same(&row.string(0), &name) && Some(row.string(1)) == key.name)
            };
            let keys: Vec<_> = keys.into_iter().filter(|key| !is_made(key)).collect();
            if keys.is_empty() {
                continue;
            }
            match conn.exec(&ddl::add_foreign_keys(&name, &keys)).await {
                Ok(_) => continue,
                Err(error) if is_lock_wait(&error) => {
                    wait_shorter(conn).await?;
                    let names: Vec<_> = keys.iter().map(named).collect();
                    notes.push(self.late(&object, &names.join(", "), Severity::Warning, error).await?);
                    continue;
                }
                Err(error) if error.code().is_none() || error.is_retryable() => return Err(error),
                Err(_) => {}
            }
            // One that the server refuses does not keep the others out.
            for key in keys {
                if let Err(error) = conn.exec(&ddl::add_foreign_keys(&name, std::slice::from_ref(&key))).await {
                    notes.push(self.refused_foreign_key(&object, &key, error).await?);
                }
            }
        }
        Ok(notes)
    }

    /// What is told of a foreign key that the server refuses. One that is loose at the source too costs nothing.
    async fn refused_foreign_key(&self, table: &ObjectRef, key: &ddl::ForeignKey, error: Error) -> Result<Note> {
        let name = key.name.clone().unwrap_or_default();
        let what = named(key);
        if self.state().loose_keys.contains(&(table.name.clone(), name)) && error.code().is_some() {
            return Ok(Note::not_carried(
                table,
                what,
                format!("left out, as the target refuses what the source keeps: {error}"),
            ));
        }
        self.late(table, &what, Severity::Warning, error.with("foreign keys of table", Printable(&table.name))).await
    }
}

fn named(key: &ddl::ForeignKey) -> String {
    format!(
        "foreign key {}",
        Printable(key.name.as_deref().filter(|name| !name.is_empty()).unwrap_or("without a name"))
    )
}
