//! Removes what the sink has created when the clone fails.

use std::collections::BTreeMap;
use std::time::Duration;

use super::connect::Conn;
use super::ddl::{quote_name, quote_text};
use super::existing_objects::ExistingObjects;
use super::journal::{self, DatabaseOrigin};
use super::lock_wait::{is_lock_wait, shorten_lock_wait};
use super::ownership::CleanupRules;
use super::target::TargetDatabase;
use super::undo_log::{CreatedItem, UndoEntry};
use super::{create_objects, introspect, removed_objects, session};
use crate::catalog::{ObjectKind, ObjectRef, Printable};
use crate::error::{Error, ErrorKind, Result};
use crate::retry::RetryPolicy;

const UNKNOWN_DATABASE: u16 = 1049;
const UNKNOWN_TABLE: u16 = 1146;
/// How long a killed connection of this process may keep the lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

impl TargetDatabase {
    /// Kills running statements, and removes the created items in reverse order.
    ///
    /// A failed step does not prevent the others, and is retried for a quarter of a minute. The error names the items that
    /// are left. `Incomplete` if all is undone, but an event is not as it was.
    pub(super) async fn undo_all(&self) -> Result<()> {
        let undo = Undo { left: std::mem::take(&mut *self.undo_log.entries()), rules: None };
        let undo = tokio::sync::Mutex::new(undo);
        RetryPolicy::for_cleanup().run(|| async { self.undo_round(&mut *undo.lock().await).await }, |_| ()).await?;
        removed_objects::passed_error(&std::mem::take(&mut self.state().passed_events)).map_or(Ok(()), Err)
    }

    /// Kills running statements, and leaves what the journal records. A clone without a journal is undone: no later process
    /// would find what it made.
    pub(super) async fn suspend(&self) -> Result<()> {
        if self.undo_log.owner().is_some() {
            self.release_lock();
            return self.connections.kill_all().await;
        }
        self.undo_all().await
    }

    /// Releases the lock: its connection must not be made again after it is killed.
    fn release_lock(&self) {
        self.state().lock = None;
    }

    /// Takes the lock again, and makes sure that no other process has taken over what is about to be removed.
    async fn check_undo_right(&self, conn: &mut Conn, left: &[UndoEntry]) -> Result<()> {
        if left.iter().all(|entry| matches!(entry.item, CreatedItem::TrialDatabase(_))) {
            return Ok(());
        }
        let database = &self.address.database;
        journal::acquire_lock(conn, database, LOCK_TIMEOUT).await?;
        let is_ours = match (journal::owner(conn, database).await?, self.undo_log.owner()) {
            (Some(owner), own) => own == Some(owner),
            // An earlier round may have removed the journal. Otherwise another process has, when it finished the clone or
            // abandoned it.
            (None, Some(_)) => self.state().has_undone || introspect::read_database(conn, database).await?.is_none(),
            (None, None) => true,
        };
        if !is_ours {
            return Err(journal::lost_ownership_error(database));
        }
        self.state().has_undone = true;
        Ok(())
    }

    /// Marks the database as holding the remains of an earlier clone, whose journal this one replaced.
    async fn mark_remains(&self, conn: &mut Conn) -> Result<()> {
        let database = &self.address.database;
        if self.state().replaced_journal && journal::exists(conn, database).await? {
            journal::create(conn, database, "none", DatabaseOrigin::Remains).await?;
        }
        Ok(())
    }

    async fn undo_round(&self, undo: &mut Undo) -> Result<()> {
        let Undo { left, rules } = undo;
        self.release_lock();
        // Running statements could create further objects.
        let killed = self.connections.kill_all().await;
        if left.is_empty() {
            return killed;
        }
        let mut failures = CleanupFailures::default();
        match session::open_ddl(&self.address, &self.options).await {
            Ok(mut conn) => {
                // The next step reports a lost connection.
                let _ = shorten_lock_wait(&mut conn).await;
                let begun = match self.check_undo_right(&mut conn, left).await {
                    Ok(()) => self.read_cleanup_rules(left, rules.take()).await,
                    Err(error) => Err(error),
                };
                let begun = match begun {
                    Ok(found) => self.drop_own_database(&mut conn, left, rules.insert(found)).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = begun {
                    let error = self.explain_lock_wait(error).await;
                    failures.add(&CreatedItem::Database, &self.address.database, error);
                } else {
                    let rules = rules.get_or_insert_default();
                    let mut is_locked = false;
                    for entry in std::mem::take(left).into_iter().rev() {
                        // As long as something is left, the journal tells a later process.
                        if entry.item == CreatedItem::Journal && !left.is_empty() {
                            left.insert(0, entry);
                            continue;
                        }
                        let Err(mut error) = self.undo_entry(&mut conn, &entry, left, rules).await else { continue };
                        if is_lock_wait(&error) && !is_locked {
                            is_locked = true;
                            error = self.explain_lock_wait(error).await;
                            // The waits for further locks must not add up to minutes.
                            let _ = conn.exec("SET SESSION lock_wait_timeout = 1").await;
                        }
                        failures.add(&entry.item, &self.address.database, error);
                        left.insert(0, entry);
                    }
                    if let Err(error) = self.mark_remains(&mut conn).await {
                        failures.add(&CreatedItem::Journal, &self.address.database, error);
                    }
                }
            }
            Err(error) => {
                let whole = left.iter().find(|entry| entry.item == CreatedItem::Database);
                let names = whole.map_or_else(|| left.iter().collect(), |whole| vec![whole]);
                let names: Vec<String> =
                    names.iter().map(|entry| entry.item.describe(&self.address.database)).collect();
                failures.is_unreachable = error.kind() == ErrorKind::Connection;
                failures.add_all(&names.join(", "), error);
            }
        }
        failures.into_result().and(killed)
    }

    /// Drops the whole database, if this sink has created it and it contains no object of another session.
    async fn drop_own_database(&self, conn: &mut Conn, left: &mut Vec<UndoEntry>, rules: &CleanupRules) -> Result<()> {
        if rules.skips_binlog {
            conn.exec("SET SESSION sql_log_bin = 0").await?;
        }
        if left.iter().any(|entry| entry.item == CreatedItem::Database)
            && self.unrelated_objects(conn, left, rules).await?.is_empty()
        {
            conn.exec(&format!("DROP DATABASE IF EXISTS {}", quote_name(&self.address.database))).await?;
            left.retain(|entry| matches!(entry.item, CreatedItem::TrialDatabase(_)));
        }
        Ok(())
    }

    /// Lists the objects in the database that this sink has not created.
    async fn unrelated_objects(
        &self,
        conn: &mut Conn,
        ours: &[UndoEntry],
        rules: &CleanupRules,
    ) -> Result<Vec<ObjectRef>> {
        let mut known = vec![ObjectRef::new(ObjectKind::Table, journal::TABLE_NAME)];
        for entry in ours {
            match &entry.item {
                CreatedItem::Object(object) if rules.reason_to_stay(&entry.item).is_none() => {
                    known.push(object.clone());
                }
                _ => {}
            }
        }
        Ok(ExistingObjects::read(conn, &self.address.database).await?.all_except(&known))
    }

    /// The names of the triggers on the object, which DROP TABLE would drop too.
    pub(super) async fn triggers_on(&self, conn: &mut Conn, object: &ObjectRef) -> Result<Vec<String>> {
        if object.kind != ObjectKind::Table {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS \
             WHERE EVENT_OBJECT_SCHEMA = {} AND EVENT_OBJECT_TABLE = {}",
            quote_text(&self.address.database),
            quote_text(&object.name)
        );
        Ok(conn.rows(&sql).await?.iter().map(|row| row.string(0)).collect())
    }

    async fn undo_entry(
        &self,
        conn: &mut Conn,
        entry: &UndoEntry,
        left: &[UndoEntry],
        rules: &CleanupRules,
    ) -> Result<()> {
        if let Some(reason) = rules.reason_to_stay(&entry.item) {
            return Err(reason);
        }
        let name = quote_name(&self.address.database);
        let removed = match &entry.item {
            CreatedItem::Database => {
                // The sink's own objects are dropped by now, or must stay.
                if !self.unrelated_objects(conn, &[], rules).await?.is_empty() {
                    let unrelated_objects = self.unrelated_objects(conn, left, rules).await?;
                    let names: Vec<String> = unrelated_objects.iter().map(ToString::to_string).collect();
                    return Err(keep_error(match names.as_slice() {
                        [] => "it is not empty".to_owned(),
                        names => format!("somebody else made {} in it", names.join(", ")),
                    }));
                }
                conn.exec(&format!("DROP DATABASE IF EXISTS {name}")).await
            }
            CreatedItem::Collation(home) => conn.exec(&format!("ALTER DATABASE {name} COLLATE {home}")).await,
            CreatedItem::TrialDatabase(database) => {
                conn.exec(&format!("DROP DATABASE IF EXISTS {}", quote_name(database))).await
            }
            CreatedItem::Removed(definition) => return removed_objects::restore(conn, self, definition).await,
            CreatedItem::Journal => return journal::remove(conn, &self.address.database).await,
            CreatedItem::Rows(table) => conn.exec(&format!("TRUNCATE TABLE {name}.{}", quote_name(table))).await,
            CreatedItem::Object(object) => {
                // The sink's own triggers are dropped before.
                if let Some(trigger) = self.triggers_on(conn, object).await?.first() {
                    return Err(keep_error(format!("somebody else made trigger {} on it", Printable(trigger))));
                }
                match conn.exec(&format!("USE {name}")).await {
                    Ok(_) => conn.exec(&create_objects::drop_statement(object)).await,
                    refused => refused,
                }
            }
        };
        match removed {
            Err(error) if matches!(error.code(), Some(UNKNOWN_DATABASE | UNKNOWN_TABLE)) => Ok(()),
            other => other.map(drop),
        }
    }
}

/// What is left to remove.
struct Undo {
    left: Vec<UndoEntry>,
    /// The rules that the last look has found.
    rules: Option<CleanupRules>,
}

/// The error of an item that must not be removed. Another try would have the same result.
fn keep_error(why: String) -> Error {
    Error::new(ErrorKind::Changed, why)
}

/// The items that could not be removed, by reason.
#[derive(Default)]
struct CleanupFailures {
    reasons: BTreeMap<String, Vec<String>>,
    is_retryable: bool,
    /// Whether the server could not be reached.
    is_unreachable: bool,
}

impl CleanupFailures {
    fn add(&mut self, item: &CreatedItem, database: &str, error: Error) {
        self.add_all(&item.describe(database), error);
    }

    fn add_all(&mut self, names: &str, error: Error) {
        self.is_retryable |= error.kind() != ErrorKind::Changed;
        self.reasons.entry(error.to_string()).or_default().push(names.to_owned());
    }

    fn into_result(self) -> Result<()> {
        if self.reasons.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> =
            self.reasons.iter().map(|(reason, names)| format!("{} ({reason})", names.join(", "))).collect();
        let kind = if self.is_unreachable { ErrorKind::Connection } else { ErrorKind::Server };
        let error = Error::new(kind, format!("left at the target: {}", lines.join("; ")));
        Err(if self.is_retryable { error.retryable() } else { error })
    }
}
