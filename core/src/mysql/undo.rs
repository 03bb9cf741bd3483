//! What this sink has made, and how it is removed again when the clone fails.
//!
//! Only what a statement of ours made is ours: each is noted before its CREATE, so that a lost answer or a kill is undone
//! too, and taken back when the server says that it made nothing, as where somebody else's is there.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::connect::Conn;
use super::ddl::quote_name;
use super::target::{Target, There};
use super::{apply, journal, session};
use crate::catalog::{ObjectKind, ObjectRef, Printable};
use crate::error::{Error, ErrorKind, Result};
use crate::retry::RetryPolicy;
use crate::sink::Witness;

const UNKNOWN_DATABASE: u16 = 1049;
const UNKNOWN_TABLE: u16 = 1146;
const INTERRUPTED: u16 = 1317;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Made {
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

impl Made {
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

/// One entry of the log, as a [`Witness`] hears of it.
#[derive(Serialize, Deserialize)]
enum Record {
    /// The statement that makes it is sent.
    Intended(Made),
    Made(Made),
    /// The server did not make it.
    Withdrawn(Made),
}

struct Entry {
    made: Made,
    /// False while the server has not answered.
    certain: bool,
}

/// What was made, in order.
#[derive(Default)]
pub(super) struct UndoLog {
    witness: OnceLock<Witness>,
    entries: Mutex<Vec<Entry>>,
}

impl UndoLog {
    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the statement that makes something.
    pub(super) async fn making<T>(&self, made: Made, create: impl Future<Output = Result<T>>) -> Result<T> {
        self.record(Record::Intended(made.clone()));
        let created = create.await;
        match &created {
            Ok(_) => self.record(Record::Made(made)),
            Err(error) if is_refusal(error) => self.withdraw(made),
            // Nobody knows.
            Err(_) => {}
        }
        created
    }

    /// Notes what was made, or what is to be undone in any case.
    pub(super) fn add(&self, made: Made) {
        self.record(Record::Made(made));
    }

    /// Takes back what is not there, or not to be undone.
    pub(super) fn withdraw(&self, made: Made) {
        self.record(Record::Withdrawn(made));
    }

    pub(super) fn contains(&self, made: &Made) -> bool {
        self.is_certain(made).is_some()
    }

    /// Whether the server said that it made it; `None` when that was never tried, or refused.
    pub(super) fn is_certain(&self, made: &Made) -> Option<bool> {
        self.entries().iter().rev().find(|entry| entry.made == *made).map(|entry| entry.certain)
    }

    /// The collation that the database had before routines were made.
    pub(super) fn collation(&self) -> Option<String> {
        self.entries().iter().find_map(|entry| match &entry.made {
            Made::Collation(home) => Some(home.clone()),
            _ => None,
        })
    }

    /// Everything that was made is to stay.
    pub(super) fn clear(&self) {
        self.entries().clear();
    }

    pub(super) fn testify(&self, witness: Witness) {
        // There is one coordinator.
        let _ = self.witness.set(witness);
    }

    /// Takes for its own what another process has testified to.
    pub(super) fn take_over(&self, records: Vec<Value>) {
        records
            .into_iter()
            .filter_map(|record| serde_json::from_value(record).ok())
            .for_each(|record| self.note(record));
    }

    fn record(&self, record: Record) {
        if let Some(witness) = self.witness.get() {
            witness(json!(record));
        }
        self.note(record);
    }

    fn note(&self, record: Record) {
        let mut entries = self.entries();
        match record {
            Record::Intended(made) => entries.push(Entry { made, certain: false }),
            Record::Made(made) => match entries.iter_mut().rev().find(|entry| entry.made == made) {
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
                if let Err(error) = self.undo_whole(&mut conn, left).await {
                    failed.because(&Made::Database, &self.address.database, error);
                } else {
                    for entry in std::mem::take(left).into_iter().rev() {
                        if let Err(error) = self.undo_one(&mut conn, &entry).await {
                            failed.because(&entry.made, &self.address.database, error);
                            left.insert(0, entry);
                        }
                    }
                }
            }
            Err(error) => {
                let whole = left.iter().find(|entry| entry.made == Made::Database);
                let names = whole.map_or_else(|| left.iter().collect(), |whole| vec![whole]);
                let names: Vec<String> =
                    names.iter().map(|entry| entry.made.describe(&self.address.database)).collect();
                failed.because_of_all(&names.join(", "), error);
            }
        }
        failed.verdict().and(killed)
    }

    /// Removes the whole database, if it is ours and nothing in it is somebody else's.
    async fn undo_whole(&self, conn: &mut Conn, left: &mut Vec<Entry>) -> Result<()> {
        if left.iter().any(|entry| entry.made == Made::Database) && self.strangers(conn, left).await?.is_empty() {
            conn.exec(&format!("DROP DATABASE IF EXISTS {}", quote_name(&self.address.database))).await?;
            left.retain(|entry| matches!(entry.made, Made::Trial(_)));
        }
        Ok(())
    }

    /// What is in the database and was not made here.
    async fn strangers(&self, conn: &mut Conn, ours: &[Entry]) -> Result<Vec<ObjectRef>> {
        let mut known = vec![ObjectRef::new(ObjectKind::Table, journal::NAME)];
        for entry in ours {
            match &entry.made {
                Made::Object(object) if entry.certain || !self.has_rows(conn, object).await? => {
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

    async fn undo_one(&self, conn: &mut Conn, entry: &Entry) -> Result<()> {
        let name = quote_name(&self.address.database);
        let removed = match &entry.made {
            Made::Database => {
                // What was ours in it is gone by now.
                let strangers = self.strangers(conn, &[]).await?;
                if !strangers.is_empty() {
                    let names: Vec<String> = strangers.iter().map(ToString::to_string).collect();
                    return Err(stays(format!("somebody else made {} in it", names.join(", "))));
                }
                conn.exec(&format!("DROP DATABASE IF EXISTS {name}")).await
            }
            Made::Collation(home) => conn.exec(&format!("ALTER DATABASE {name} COLLATE {home}")).await,
            Made::Trial(database) => conn.exec(&format!("DROP DATABASE IF EXISTS {}", quote_name(database))).await,
            Made::Journal => return journal::remove(conn, &self.address.database).await,
            Made::Rows(table) => conn.exec(&format!("TRUNCATE TABLE {name}.{}", quote_name(table))).await,
            Made::Object(object) => {
                // The answer to its CREATE was lost; there were no rows yet.
                if !entry.certain && self.has_rows(conn, object).await? {
                    return Err(stays("it has rows, and nobody knows who made it".to_owned()));
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
}

impl Failed {
    fn because(&mut self, made: &Made, database: &str, error: Error) {
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
        let error = Error::new(ErrorKind::Server, format!("left at the target: {}", lines.join("; ")));
        Err(if self.again { error.retryable() } else { error })
    }
}
