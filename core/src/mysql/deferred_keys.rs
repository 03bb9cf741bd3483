//! Adds the keys that were deferred until after the rows: indexes when their table is complete, foreign keys at the end.

use super::connect::Conn;
use super::ddl::{self, KeyKind, TableDdl, quote_name};
use super::define::execute_ddl;
use super::existing_objects::ExistingObjects;
use super::lock_wait::{is_lock_wait, shorten_lock_wait};
use super::session;
use super::target::TargetDatabase;
use crate::catalog::{Flavor, ObjectKind, ObjectRef, Printable};
use crate::error::{Error, Result};
use crate::fidelity::Severity;
use crate::plan::TablePlan;
use crate::report::Note;

const DUPLICATE_KEY_NAME: u16 = 1061;

impl TargetDatabase {
    /// Adds the missing deferred keys of a table in as few passes over the rows as the server allows.
    pub(super) async fn add_keys(&self, conn: &mut Conn, table: &TablePlan, ddl: &TableDdl) -> Result<()> {
        // The server computes the expressions of the keys now, under the settings of the rows' generated columns.
        let settings = self.table_settings(table, &conn.server);
        let name = &table.table.name;
        conn.exec(&format!("SET SESSION {}", settings.assignments(session::DDL_MODES))).await?;
        if conn.server.flavor == Flavor::MySql && self.is_last_build(name) {
            let all = |variable: &str, most: u32| {
                let threads = self.options.threads;
                format!("{variable} = CAST(LEAST({most}, GREATEST({threads}, @@GLOBAL.{variable})) AS SIGNED)")
            };
            let (build, read) = (all("innodb_ddl_threads", 64), all("innodb_parallel_read_threads", 256));
            conn.try_set_each(&[build.as_str(), read.as_str()]).await?;
        }
        match self.add_missing_keys(conn, name, ddl).await {
            // An earlier statement, whose answer was lost, has finished meanwhile.
            Err(error) if error.code() == Some(DUPLICATE_KEY_NAME) => self.add_missing_keys(conn, name, ddl).await?,
            other => other?,
        }
        conn.exec(&format!("SET SESSION {}", settings.default_assignments(session::DDL_MODES))).await.map(drop)
    }

    /// Whether no other table waits for its keys, so that this one may use all threads of the server.
    fn is_last_build(&self, name: &str) -> bool {
        let state = self.state();
        let waits =
            |other: &String, ddl: &TableDdl| !ddl.deferred_keys.is_empty() && !state.indexed_tables.contains(other);
        !state.table_ddl.iter().any(|(other, ddl)| other != name && waits(other, ddl))
    }

    async fn add_missing_keys(&self, conn: &mut Conn, name: &str, ddl: &TableDdl) -> Result<()> {
        let there = conn.rows(&format!("SHOW KEYS FROM {}", quote_name(name))).await?;
        let missing = ddl.deferred_keys.iter().filter(|key| !there.iter().any(|row| row.string(2) == key.name));
        let (together, alone): (Vec<_>, Vec<_>) = missing.partition(|key| key.kind != KeyKind::Fulltext);
        let mut each: Vec<Vec<_>> = alone.into_iter().map(|key| vec![key]).collect();
        each.splice(..0, (!together.is_empty()).then_some(together));
        // `pop` takes the last element first. A refused key does not prevent the others.
        each.reverse();
        while let Some(keys) = each.pop() {
            let Err(error) = execute_ddl(conn, &ddl::add_keys(name, &keys)).await else { continue };
            match keys.as_slice() {
                _ if error.code().is_none() || error.is_retryable() || error.code() == Some(DUPLICATE_KEY_NAME) => {
                    return Err(error);
                }
                [key] => {
                    let (table, what) =
                        (ObjectRef::new(ObjectKind::Table, name), format!("index {}", Printable(&key.name)));
                    let note = self.refusal_note(&table, &what, Severity::Warning, error).await?;
                    self.state().notes.push(note);
                }
                _ => each.extend(keys.into_iter().rev().map(|key| vec![key])),
            }
        }
        Ok(())
    }

    /// Adds the foreign keys of all tables.
    ///
    /// Omits a foreign key to a missing table, because it would refuse every new row.
    pub(super) async fn add_foreign_keys(&self, conn: &mut Conn) -> Result<Vec<Note>> {
        let existing = ExistingObjects::read(conn, &self.address.database).await?;
        let tables = self.state().table_ddl.clone();
        // An earlier try, whose connection was lost, may have added some.
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
                |key: &ddl::ForeignKey| key.referenced_database.is_some() || existing.has_table(&key.referenced_table);
            let (keys, orphans): (Vec<_>, Vec<_>) = ddl.foreign_keys.into_iter().partition(is_there);
            notes.extend(orphans.iter().map(|key| {
                let why = format!("left out, as table {} is not there", Printable(&key.referenced_table));
                Note::not_carried(&object, key_label(key), why)
            }));
            let is_made = |key: &ddl::ForeignKey| {
                made.iter().any(|row| existing.is_same_name(&row.string(0), &name) && Some(row.string(1)) == key.name)
            };
            let keys: Vec<_> = keys.into_iter().filter(|key| !is_made(key)).collect();
            if keys.is_empty() {
                continue;
            }
            match execute_ddl(conn, &ddl::add_foreign_keys(&name, &keys)).await {
                Ok(_) => continue,
                Err(error) if is_lock_wait(&error) => {
                    shorten_lock_wait(conn).await?;
                    let names: Vec<_> = keys.iter().map(key_label).collect();
                    notes.push(self.refusal_note(&object, &names.join(", "), Severity::Warning, error).await?);
                    continue;
                }
                Err(error) if error.code().is_none() || error.is_retryable() => return Err(error),
                Err(_) => {}
            }
            // A refused foreign key does not prevent the others.
            for key in keys {
                if let Err(error) = execute_ddl(conn, &ddl::add_foreign_keys(&name, std::slice::from_ref(&key))).await {
                    notes.push(self.refused_foreign_key_note(&object, &key, error).await?);
                }
            }
        }
        Ok(notes)
    }

    /// Reports a foreign key that the server refuses. A foreign key that is defective at the source too is no failure.
    async fn refused_foreign_key_note(&self, table: &ObjectRef, key: &ddl::ForeignKey, error: Error) -> Result<Note> {
        let name = key.name.clone().unwrap_or_default();
        let what = key_label(key);
        if self.state().defective_keys.contains(&(table.name.clone(), name)) && error.code().is_some() {
            return Ok(Note::not_carried(
                table,
                what,
                format!("left out, as the target refuses what the source keeps: {error}"),
            ));
        }
        self.refusal_note(table, &what, Severity::Warning, error.with("foreign keys of table", Printable(&table.name)))
            .await
    }
}

fn key_label(key: &ddl::ForeignKey) -> String {
    format!(
        "foreign key {}",
        Printable(key.name.as_deref().filter(|name| !name.is_empty()).unwrap_or("without a name"))
    )
}
