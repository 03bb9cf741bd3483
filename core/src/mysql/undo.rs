//! What this sink has made, and how it is removed again when the clone fails.
//!
//! Only what a statement of ours made is ours: each is noted before its CREATE, so that a lost answer or a kill is undone
//! too, and taken back when the server says that it made nothing, as where somebody else's is there.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::connect::Conn;
use super::ddl::{quote_name, quote_text};
use super::refusal::{is_lock_wait, wait_shorter};
use super::target::{Target, There};
use super::{apply, journal, session};
use crate::catalog::{ObjectKind, ObjectRef, Printable};
use crate::error::{Error, ErrorKind, Result};
use crate::retry::RetryPolicy;
use crate::sink::UndoRecorder;

const UNKNOWN_DATABASE: u16 = 1049;
const UNKNOWN_TABLE: u16 = 1146;
const INTERRUPTED: u16 = 1317;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum CreatedItem {
    Database,
    Object(ObjectRef),
    /// The rows of a table that was there.
    Rows(String),
    Journal,
    /// A database of ours in which definitions are tried.
    Trial(String),
    /// Another default collation of the database, for the moment in which a routine is made; this was the one before.
    Collation(String),
}

impl CreatedItem {
    fn describe(&self, database: &str) -> String {
        match self {
            Self::Database => format!("database {}", Printable(database)),
            Self::Object(object) => object.to_string(),
            Self::Rows(table) => format!("the rows of table {}", Printable(table)),
            Self::Journal => format!("table {}", journal::NAME),
            Self::Trial(name) => format!("database {}", Printable(name)),
            Self::Collation(_) => format!("the default collation of database {}", Printable(database)),
        }
    }
}

/// A record of the log, as the [`UndoRecorder`] receives it.
#[derive(Serialize, Deserialize)]
enum Record {
    /// The statement that makes it is sent.
    Intended(CreatedItem),
    Created(CreatedItem),
    /// The server did not make it.
    Withdrawn(CreatedItem),
}

struct Entry {
    made: CreatedItem,
    /// False while the server has not answered.
    certain: bool,
}

/// What was made, in order.
#[derive(Default)]
pub(super) struct UndoLog {
    recorder: OnceLock<UndoRecorder>,
    entries: Mutex<Vec<Entry>>,
}

impl UndoLog {
    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the statement that makes something.
    pub(super) async fn making<T>(&self, made: CreatedItem, create: impl Future<Output = Result<T>>) -> Result<T> {
        self.record(Record::Intended(made.clone()));
        let created = create.await;
        match &created {
            Ok(_) => self.record(Record::Created(made)),
            Err(error) if is_refusal(error) => self.withdraw(made),
            // Nobody knows.
            Err(_) => {}
        }
        created
    }

    /// Notes what was made, or what is to be undone in any case.
    pub(super) fn add(&self, made: CreatedItem) {
        self.record(Record::Created(made));
    }

    /// Takes back what is not there, or not to be undone.
    pub(super) fn withdraw(&self, made: CreatedItem) {
        self.record(Record::Withdrawn(made));
    }

    pub(super) fn contains(&self, made: &CreatedItem) -> bool {
        self.is_certain(made).is_some()
    }

    /// Whether the server said that it made it; `None` when that was never tried, or refused.
    pub(super) fn is_certain(&self, made: &CreatedItem) -> Option<bool> {
        self.entries().iter().rev().find(|entry| entry.made == *made).map(|entry| entry.certain)
    }

    /// The collation that the database had before routines were made.
    pub(super) fn collation(&self) -> Option<String> {
        self.entries().iter().find_map(|entry| match &entry.made {
            CreatedItem::Collation(home) => Some(home.clone()),
            _ => None,
        })
    }

    /// Everything that was made is to stay.
    pub(super) fn clear(&self) {
        self.entries().clear();
    }

    /// Passes every record to `recorder` before it enters the log.
    pub(super) fn set_recorder(&self, recorder: UndoRecorder) {
        // Only one coordinator exists, so only the first recorder counts.
        let _ = self.recorder.set(recorder);
    }

    /// Enters the records of a sink in another process.
    pub(super) fn adopt(&self, records: Vec<Value>) {
        records
            .into_iter()
            .filter_map(|record| serde_json::from_value(record).ok())
            .for_each(|record| self.note(record));
    }

    fn record(&self, record: Record) {
        if let Some(send) = self.recorder.get() {
            send(json!(record));
        }
        self.note(record);
    }

    fn note(&self, record: Record) {
        let mut entries = self.entries();
        match record {
            Record::Intended(made) => entries.push(Entry { made, certain: false }),
            Record::Created(made) => match entries.iter_mut().rev().find(|entry| entry.made == made) {
                Some(entry) => entry.certain = true,
                None => entries.push(Entry { made, certain: true }),
            },
            Record::Withdrawn(made) => {
                if let Some(last) = entries.iter().rposition(|entry| entry.made == made) {
                    entries.remove(last);
                }
            }
        }
    }
}

/// Whether the server said that it made nothing. Who was killed in the middle does not know.
fn is_refusal(error: &Error) -> bool {
    error.code().is_some_and(|code| code != INTERRUPTED) && error.kind() != ErrorKind::Connection
}

impl Target {
    /// Ends what still runs and removes what was made, last first. Each step is tried by itself, and again for a quarter of
    /// a minute; what is left then is named in the error.
    pub(super) async fn undo(&self) -> Result<()> {
        let left = tokio::sync::Mutex::new(std::mem::take(&mut *self.undo_log.entries()));
        RetryPolicy::for_cleanup().run(|| async { self.undo_round(&mut *left.lock().await).await }, |_| ()).await
    }

    async fn undo_round(&self, left: &mut Vec<Entry>) -> Result<()> {
        // What still runs could make more.
        let killed = self.running.kill_all().await;
        if left.is_empty() {
            return killed;
        }
        let mut failed = Failed::default();
        match session::definer(&self.address, &self.options).await {
            Ok(mut conn) => {
                // A connection that breaks is told by the next step.
                let _ = wait_shorter(&mut conn).await;
                if let Err(error) = self.undo_whole(&mut conn, left).await {
                    let error = self.explained(error).await;
                    failed.because(&CreatedItem::Database, &self.address.database, error);
                } else {
                    let mut is_locked = false;
                    for entry in std::mem::take(left).into_iter().rev() {
                        let Err(mut error) = self.undo_one(&mut conn, &entry, left).await else { continue };
                        if is_lock_wait(&error) && !is_locked {
                            is_locked = true;
                            error = self.explained(error).await;
                            // What else is locked must not add up to minutes.
                            let _ = conn.exec("SET SESSION lock_wait_timeout = 1").await;
                        }
                        failed.because(&entry.made, &self.address.database, error);
                        left.insert(0, entry);
                    }
                }
            }
            Err(error) => {
                let whole = left.iter().find(|entry| entry.made == CreatedItem::Database);
                let names = whole.map_or_else(|| left.iter().collect(), |whole| vec![whole]);
                let names: Vec<String> =
                    names.iter().map(|entry| entry.made.describe(&self.address.database)).collect();
                failed.is_unreachable = error.kind() == ErrorKind::Connection;
                failed.because_of_all(&names.join(", "), error);
            }
        }
        failed.verdict().and(killed)
    }

    /// Removes the whole database, if it is ours and nothing in it is somebody else's.
    async fn undo_whole(&self, conn: &mut Conn, left: &mut Vec<Entry>) -> Result<()> {
        if left.iter().any(|entry| entry.made == CreatedItem::Database) && self.strangers(conn, left).await?.is_empty()
        {
            conn.exec(&format!("DROP DATABASE IF EXISTS {}", quote_name(&self.address.database))).await?;
            left.retain(|entry| matches!(entry.made, CreatedItem::Trial(_)));
        }
        Ok(())
    }

    /// What is in the database and was not made here.
    async fn strangers(&self, conn: &mut Conn, ours: &[Entry]) -> Result<Vec<ObjectRef>> {
        let mut known = vec![ObjectRef::new(ObjectKind::Table, journal::NAME)];
        for entry in ours {
            match &entry.made {
                CreatedItem::Object(object) if entry.certain || !self.has_rows(conn, object).await? => {
                    known.push(object.clone())
                }
                _ => {}
            }
        }
        Ok(There::look(conn, &self.address.database).await?.others_than(&known))
    }

    /// Whether it is a table with rows in it.
    async fn has_rows(&self, conn: &mut Conn, object: &ObjectRef) -> Result<bool> {
        if object.kind != ObjectKind::Table {
            return Ok(false);
        }
        let (database, name) = (quote_name(&self.address.database), quote_name(&object.name));
        match conn.row(&format!("SELECT 1 FROM {database}.{name} LIMIT 1")).await {
            Err(error) if matches!(error.code(), Some(UNKNOWN_DATABASE | UNKNOWN_TABLE)) => Ok(false),
            found => Ok(found?.is_some()),
        }
    }

    /// A trigger on the table. Ours are gone before their table goes; another would go with it.
    async fn trigger_on(&self, conn: &mut Conn, object: &ObjectRef) -> Result<Option<String>> {
        if object.kind != ObjectKind::Table {
            return Ok(None);
        }
        let sql = format!(
            "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS \
             WHERE EVENT_OBJECT_SCHEMA = {} AND EVENT_OBJECT_TABLE = {} LIMIT 1",
            quote_text(&self.address.database),
            quote_text(&object.name)
        );
        Ok(conn.row(&sql).await?.and_then(|row| row.text(0)))
    }

    async fn undo_one(&self, conn: &mut Conn, entry: &Entry, left: &[Entry]) -> Result<()> {
        let name = quote_name(&self.address.database);
        let removed = match &entry.made {
            CreatedItem::Database => {
                // What was ours in it is gone by now, or is to stay.
                if !self.strangers(conn, &[]).await?.is_empty() {
                    let strangers = self.strangers(conn, left).await?;
                    let names: Vec<String> = strangers.iter().map(ToString::to_string).collect();
                    return Err(stays(match names.as_slice() {
                        [] => "it is not empty".to_owned(),
                        names => format!("somebody else made {} in it", names.join(", ")),
                    }));
                }
                conn.exec(&format!("DROP DATABASE IF EXISTS {name}")).await
            }
            CreatedItem::Collation(home) => conn.exec(&format!("ALTER DATABASE {name} COLLATE {home}")).await,
            CreatedItem::Trial(database) => {
                conn.exec(&format!("DROP DATABASE IF EXISTS {}", quote_name(database))).await
            }
            CreatedItem::Journal => return journal::remove(conn, &self.address.database).await,
            CreatedItem::Rows(table) => conn.exec(&format!("TRUNCATE TABLE {name}.{}", quote_name(table))).await,
            CreatedItem::Object(object) => {
                // The answer to its CREATE was lost; there were no rows yet.
                if !entry.certain && self.has_rows(conn, object).await? {
                    return Err(stays("it has rows, and nobody knows who made it".to_owned()));
                }
                if let Some(trigger) = self.trigger_on(conn, object).await? {
                    return Err(stays(format!("somebody else made trigger {} on it", Printable(&trigger))));
                }
                match conn.exec(&format!("USE {name}")).await {
                    Ok(_) => conn.exec(&apply::drop_statement(object)).await,
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

/// What must not be removed; another try would find the same.
fn stays(why: String) -> Error {
    Error::new(ErrorKind::Changed, why)
}

/// The steps that failed, by reason.
#[derive(Default)]
struct Failed {
    reasons: BTreeMap<String, Vec<String>>,
    again: bool,
    /// Whether the server could not even be asked.
    is_unreachable: bool,
}

impl Failed {
    fn because(&mut self, made: &CreatedItem, database: &str, error: Error) {
        self.because_of_all(&made.describe(database), error);
    }

    fn because_of_all(&mut self, names: &str, error: Error) {
        self.again |= error.kind() != ErrorKind::Changed;
        self.reasons.entry(error.to_string()).or_default().push(names.to_owned());
    }

    fn verdict(self) -> Result<()> {
        if self.reasons.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> =
            self.reasons.iter().map(|(reason, names)| format!("{} ({reason})", names.join(", "))).collect();
        let kind = if self.is_unreachable { ErrorKind::Connection } else { ErrorKind::Server };
        let error = Error::new(kind, format!("left at the target: {}", lines.join("; ")));
        Err(if self.again { error.retryable() } else { error })
    }
}
