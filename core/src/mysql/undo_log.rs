//! The record of what the sink has created in the target database.
//!
//! Only what a statement of this sink created belongs to it. The log notes each item before its CREATE runs, so that the
//! clean-up also finds items whose answer was lost. It withdraws the item when the server reports that the statement
//! created nothing, for example because another session's object has that name.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::journal;
use crate::catalog::{Definition, ObjectKind, ObjectRef, Printable};
use crate::error::{Error, ErrorKind};
use crate::sink::UndoRecorder;

const INTERRUPTED: u16 = 1317;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum CreatedItem {
    Database,
    Object(ObjectRef),
    /// The rows of an existing table.
    Rows(String),
    Journal,
    /// The temporary database in which definitions are tried.
    TrialDatabase(String),
    /// A trigger or an event that was removed, and is made again.
    Removed(Box<Definition>),
    /// The default collation of the database, which changes while a routine is created. The value is the original one.
    Collation(String),
}

impl CreatedItem {
    pub(super) fn describe(&self, database: &str) -> String {
        match self {
            Self::Database => format!("database {}", Printable(database)),
            Self::Object(object) => object.to_string(),
            Self::Rows(table) => format!("the rows of table {}", Printable(table)),
            Self::Journal => format!("table {}", journal::TABLE_NAME),
            Self::Removed(definition) => format!("{}, which was removed", definition.object),
            Self::TrialDatabase(name) => format!("database {}", Printable(name)),
            Self::Collation(_) => format!("the default collation of database {}", Printable(database)),
        }
    }
}

/// A record of the log, as the [`UndoRecorder`] receives it.
#[derive(Serialize, Deserialize)]
enum UndoRecord {
    /// The statement that creates the item is about to run.
    Intended(CreatedItem),
    Created(CreatedItem),
    /// The server did not create the item.
    Withdrawn(CreatedItem),
    /// The journal has the items, and this token of the process that may write.
    Owner(String),
}

/// A created item that is not withdrawn.
pub(super) struct UndoEntry {
    pub(super) item: CreatedItem,
    /// Whether the server has confirmed the creation.
    pub(super) confirmed: bool,
}

/// The items created, in order.
#[derive(Default)]
pub(super) struct UndoLog {
    recorder: OnceLock<UndoRecorder>,
    entries: Mutex<Vec<UndoEntry>>,
    /// The token of the process that created the items, once the journal has it.
    owner: Mutex<Option<String>>,
    /// The records that the journal does not have yet.
    unsaved: Mutex<Vec<Value>>,
    /// Whether one of them may be that of a statement that is about to run.
    unsaved_intentions: AtomicBool,
}

impl UndoLog {
    pub(super) fn entries(&self) -> MutexGuard<'_, Vec<UndoEntry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that the statement that creates the item is about to run.
    pub(super) fn intend(&self, item: CreatedItem) {
        self.add_record(UndoRecord::Intended(item));
        self.unsaved_intentions.store(true, Ordering::Relaxed);
    }

    /// Records an item that exists, or that must be undone in any case.
    pub(super) fn add(&self, item: CreatedItem) {
        self.add_record(UndoRecord::Created(item));
    }

    /// Removes an item that does not exist, or that must not be undone.
    pub(super) fn withdraw(&self, item: CreatedItem) {
        self.add_record(UndoRecord::Withdrawn(item));
    }

    /// Records the token that the journal has now.
    pub(super) fn set_owner(&self, owner: &str) {
        self.record(UndoRecord::Owner(owner.to_owned()));
    }

    /// The token that the journal has as long as no other process has taken the clone over; `None` without a journal.
    pub(super) fn owner(&self) -> Option<String> {
        self.owner.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn contains(&self, item: &CreatedItem) -> bool {
        self.is_confirmed(item).is_some()
    }

    /// Whether a trigger of this name is among the items.
    pub(super) fn has_trigger(&self, name: &str) -> bool {
        let is_it = |item: &CreatedItem| matches!(item, CreatedItem::Object(object) if object.kind == ObjectKind::Trigger && object.name == name);
        self.entries().iter().any(|entry| is_it(&entry.item))
    }

    /// Whether the server has confirmed the creation of the item; `None` if it was never tried, or refused.
    pub(super) fn is_confirmed(&self, item: &CreatedItem) -> Option<bool> {
        self.entries().iter().rev().find(|entry| entry.item == *item).map(|entry| entry.confirmed)
    }

    /// The collation that the database had before routines were created.
    pub(super) fn original_collation(&self) -> Option<String> {
        self.entries().iter().find_map(|entry| match &entry.item {
            CreatedItem::Collation(home) => Some(home.clone()),
            _ => None,
        })
    }

    /// Empties the log, so that all created items stay.
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
        parse_records(records).for_each(|record| self.apply_record(record));
    }

    /// Enters the records of an earlier process, whose work this one goes on with.
    pub(super) fn continue_from(&self, records: Vec<Value>) {
        parse_records(records).for_each(|record| self.record(record));
    }

    /// Whether the journal lacks an item whose CREATE is about to run.
    pub(super) fn has_unsaved_intention(&self) -> bool {
        self.unsaved_intentions.load(Ordering::Relaxed)
    }

    /// Takes the records that the journal does not have yet.
    pub(super) fn take_unsaved(&self) -> Vec<Value> {
        self.unsaved_intentions.store(false, Ordering::Relaxed);
        std::mem::take(&mut self.unsaved.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts back records that could not be saved.
    pub(super) fn put_back_unsaved(&self, records: Vec<Value>) {
        self.unsaved.lock().unwrap_or_else(PoisonError::into_inner).splice(..0, records);
        self.unsaved_intentions.store(true, Ordering::Relaxed);
    }

    fn add_record(&self, record: UndoRecord) {
        self.unsaved.lock().unwrap_or_else(PoisonError::into_inner).push(json!(record));
        self.record(record);
    }

    fn record(&self, record: UndoRecord) {
        if let Some(send) = self.recorder.get() {
            send(json!(record));
        }
        self.apply_record(record);
    }

    fn apply_record(&self, record: UndoRecord) {
        let mut entries = self.entries();
        match record {
            UndoRecord::Intended(item) => match entries.iter().any(|entry| entry.item == item) {
                true => {}
                false => entries.push(UndoEntry { item, confirmed: false }),
            },
            UndoRecord::Created(item) => match entries.iter_mut().rev().find(|entry| entry.item == item) {
                Some(entry) => entry.confirmed = true,
                None => entries.push(UndoEntry { item, confirmed: true }),
            },
            UndoRecord::Withdrawn(item) => {
                if let Some(last) = entries.iter().rposition(|entry| entry.item == item) {
                    entries.remove(last);
                }
            }
            UndoRecord::Owner(owner) => *self.owner.lock().unwrap_or_else(PoisonError::into_inner) = Some(owner),
        }
    }
}

fn parse_records(records: Vec<Value>) -> impl Iterator<Item = UndoRecord> {
    records.into_iter().filter_map(|record| serde_json::from_value(record).ok())
}

/// The records of a database and a journal that a clone created, as [`UndoLog::adopt`] takes them.
pub(super) fn first_records(made_database: bool) -> Vec<Value> {
    let database = made_database.then_some(CreatedItem::Database);
    created_records(database.into_iter().chain([CreatedItem::Journal]))
}

/// The record of the token that the journal has.
pub(super) fn owner_record(owner: &str) -> Value {
    json!(UndoRecord::Owner(owner.to_owned()))
}

/// The records of items that exist.
pub(super) fn created_records(items: impl IntoIterator<Item = CreatedItem>) -> Vec<Value> {
    items.into_iter().map(|item| json!(UndoRecord::Created(item))).collect()
}

/// Whether the error proves that the statement created nothing. An interrupted statement proves nothing.
pub(super) fn proves_no_creation(error: &Error) -> bool {
    error.code().is_some_and(|code| code != INTERRUPTED) && error.kind() != ErrorKind::Connection
}
