//! Changes that were committed at a source after its snapshot, as plain data: what following applies to a target.
//!
//! A source turns its binary log into a stream of [`LogEvent`]s. Row values are the codec's text (see [`crate::codec`]), the
//! same as in batches. Events of tables that the plan does not contain are not part of the stream.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A place between two transactions in the source's binary log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPosition {
    /// The identity of the server that wrote the log: `@@server_uuid` (MySQL), or its server ID, host and port (MariaDB). File
    /// and offset have a meaning only there.
    pub server: String,
    /// The binary log file.
    pub file: String,
    /// The position in that file, in bytes.
    pub offset: u64,
    /// The set of executed GTIDs (MySQL) or the last GTID of each domain (MariaDB) up to here; `None` without GTIDs.
    pub gtids: Option<String>,
    /// The place before the first XA transaction that is prepared here, and neither committed nor rolled back: reading after
    /// this position begins there, for the rows of these transactions. `None` if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepared_since: Option<Box<LogPosition>>,
    /// The same for the first of those that changed followed tables, or may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepared_changes_since: Option<Box<LogPosition>>,
}

/// The files of a server's log from a place on, as they are at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogExtent {
    /// The identity of the server, as in [`LogPosition::server`].
    pub server: String,
    /// The name of each file and its bytes, in order. The first is the file of the place.
    pub files: Vec<(String, u64)>,
}

/// An event of a source's change stream. The events of a transaction are between its `Begin` and its `Commit`;
/// transactions come in the order of their commits.
///
/// All events but `Rows` can be serialized.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogEvent {
    /// A transaction with changes of followed tables begins.
    Begin {
        /// Its GTID; `None` without GTIDs.
        gtid: Option<String>,
    },
    /// Rows of one table changed.
    #[serde(skip)]
    Rows(RowChanges),
    /// The transaction was committed.
    Commit {
        /// The place after the transaction.
        end: LogPosition,
        /// When it was committed, in milliseconds since 1970, by the source's clock.
        committed_at_ms: u64,
    },
    /// The transaction was rolled back: its rows count for nothing. Rare: the log keeps such a transaction only if it made
    /// temporary tables or changed tables without transactions.
    Rollback,
    /// A statement that changes the definition of a followed table or of another object of the database, or makes one. It is a transaction by itself, without
    /// `Begin` and `Commit`.
    Definition {
        /// The statement.
        sql: String,
        /// The database in which it ran; may be empty.
        database: String,
        /// The session settings that decide its meaning, as assignments for `SET SESSION`.
        settings: Vec<String>,
        /// The place before the statement, where following can be taken up.
        start: LogPosition,
        /// The place after it.
        end: LogPosition,
        /// Whether the statement filled the table too (`CREATE TABLE … SELECT`). These rows are not part of the stream.
        with_rows: bool,
        /// Why the statement would mean something else if it ran under these settings; `None` if it would not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        obstacle: Option<String>,
    },
    /// Nothing that is followed happened up to here. Sent at the end of the log, and from time to time while other
    /// databases change.
    Idle {
        /// The place.
        end: LogPosition,
        /// The time of the last event of the log, in milliseconds since 1970; `None` if the end of the log is reached.
        logged_at_ms: Option<u64>,
    },
}

/// What happened to rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ChangeKind {
    /// Rows were inserted: there is only `after`.
    Insert,
    /// Rows were updated: each line of `before` became the line of `after` of the same number.
    Update,
    /// Rows were deleted: there is only `before`.
    Delete,
}

/// Changes of rows of one table by one statement, in the order in which they were made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowChanges {
    /// The number of the table in the plan.
    pub table: u32,
    /// What happened.
    pub kind: ChangeKind,
    /// The number of rows.
    pub rows: u64,
    /// The rows before the change; `None` for an insert.
    pub before: Option<RowImages>,
    /// The rows after it; `None` for a delete.
    pub after: Option<RowImages>,
    /// Whether foreign keys may have changed further rows, by `CASCADE` or `SET NULL`, which the stream does not have. The
    /// foreign keys of the target change them then.
    pub with_cascades: bool,
}

impl RowChanges {
    /// The bytes of the row images.
    pub(crate) fn text_bytes(&self) -> usize {
        self.before.iter().chain(&self.after).map(|images| images.text.len()).sum()
    }

    /// The bytes of memory that the changes take, at most.
    pub(crate) fn memory_bytes(&self) -> usize {
        /// A number of a column, as text in a frame.
        const COLUMN_BYTES: usize = 8;
        let columns: usize = self.before.iter().chain(&self.after).map(|images| images.columns.len()).sum();
        self.text_bytes() + columns * COLUMN_BYTES
    }
}

/// One image of each row of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowImages {
    /// The columns that the log holds, as indexes into [`Table::stored_columns`](crate::catalog::Table::stored_columns), in
    /// order. A minimal image holds the key, or what changed.
    pub columns: Vec<u32>,
    /// A line for each row, with a field for each of these columns. Where a source reserved memory for the bytes, dropping
    /// the last clone of them releases it.
    pub text: Bytes,
}
