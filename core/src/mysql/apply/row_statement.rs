//! A statement that changes rows, and what its response must say.

use crate::change::ChangeKind;
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::connect::OkPacket;
use crate::mysql::load;

/// A statement that changes rows of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RowStatement {
    pub(super) table: u32,
    pub(super) kind: ChangeKind,
    pub(super) sql: Vec<u8>,
    /// The number of rows that the statement must find or insert.
    pub(super) rows: u64,
    /// The key of the row, for errors; `None` if there may be several rows.
    pub(super) key: Option<String>,
}

impl RowStatement {
    /// Fails unless the statement has found or inserted its rows.
    pub(super) fn check_rows(&self, ok: &OkPacket) -> Result<()> {
        let (rows, affected) = (self.rows, ok.affected);
        let (what, found) = match self.kind {
            ChangeKind::Insert => ("insert", affected),
            // An update that changes nothing matches its row all the same.
            ChangeKind::Update => ("update", load::parse_counts(&ok.info).first().copied().unwrap_or(affected)),
            ChangeKind::Delete => ("delete", affected),
        };
        if found == rows {
            return Ok(());
        }
        let message = match self.kind {
            ChangeKind::Insert => format!("the target took {found} of {rows} rows"),
            _ => format!(
                "the source's log says to {what} {rows} row(s), and the target has {found} of them: another session has \
                 changed the target"
            ),
        };
        Err(Error::new(ErrorKind::Data, message))
    }
}

/// The number of warnings. The text of the response may have a greater one than its field can hold:
/// `Rows matched: 1  Changed: 1  Warnings: 0` or `Records: 2  Duplicates: 0  Warnings: 0`.
pub(super) fn warnings(ok: &OkPacket) -> u64 {
    load::parse_counts(&ok.info).get(2).copied().unwrap_or(u64::from(ok.warnings))
}
