//! The place in the log that a reader has reached.

use super::gtid_set::{Gtid, GtidSet};
use crate::change::LogPosition;

/// The longest name of a log file.
const MAX_FILE_NAME: usize = 512;

/// A place in the log of one server.
#[derive(Debug, Clone)]
pub(super) struct LogPlace {
    pub(super) server: String,
    pub(super) file: String,
    pub(super) offset: u64,
    pub(super) gtids: Option<GtidSet>,
}

impl LogPlace {
    /// Goes to another file. Returns `None` if this is no name of a file.
    pub(super) fn rotate(&mut self, offset: u64, file: &[u8]) -> Option<()> {
        if file.is_empty() || file.len() > MAX_FILE_NAME {
            return None;
        }
        self.file = String::from_utf8(file.to_vec()).ok()?;
        self.offset = offset;
        Some(())
    }

    /// Goes to the end of an event. Events hold the lower 32 bits of positions; 0 stands for events outside of the file.
    pub(super) fn advance(&mut self, log_position: u32) {
        const BITS: u64 = 1 << 32;
        if log_position == 0 {
            return;
        }
        let same_upper_bits = self.offset / BITS * BITS + u64::from(log_position);
        self.offset = if same_upper_bits < self.offset { same_upper_bits + BITS } else { same_upper_bits };
    }

    /// Adds the transaction that ends here.
    pub(super) fn add_transaction(&mut self, gtid: Option<&Gtid>) {
        match (&mut self.gtids, gtid) {
            (Some(gtids), Some(gtid)) => gtids.add(gtid),
            // From here on, the GTIDs do not tell the place any more.
            (gtids, None) => *gtids = None,
            (None, Some(_)) => {}
        }
    }

    pub(super) fn position(&self) -> LogPosition {
        LogPosition {
            server: self.server.clone(),
            file: self.file.clone(),
            offset: self.offset,
            gtids: self.gtids.as_ref().map(ToString::to_string),
            prepared_since: None,
            prepared_changes_since: None,
        }
    }

    /// Whether the place is after another one; `None` in another log, where that is not known.
    pub(super) fn is_after(&self, other: &LogPosition) -> Option<bool> {
        let log = |file: &str| file.rsplit_once('.').map(|(log, _)| log.to_owned());
        let is_same = self.server == other.server && log(&self.file) == log(&other.file);
        let own = LogPosition { file: self.file.clone(), offset: self.offset, ..LogPosition::default() };
        is_same.then(|| own.order() > other.order())
    }

    /// Whether the place is before another one in the log of the same server.
    pub(super) fn is_before(&self, other: &LogPosition) -> bool {
        // Names of files end in numbers, which grow by digits.
        let order = |file: &str, offset: u64| (file.len(), file.to_owned(), offset);
        self.server == other.server && order(&self.file, self.offset) < order(&other.file, other.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Flavor;

    fn place() -> LogPlace {
        LogPlace { server: "s".into(), file: "binlog.000009".into(), offset: 4, gtids: None }
    }

    #[test]
    fn positions_after_four_gigabytes_keep_growing() {
        let mut place = place();
        for (log_position, offset) in [(100, 100), (0, 100), (u32::MAX, (1 << 32) - 1), (50, (1 << 32) + 50)] {
            place.advance(log_position);
            assert_eq!(place.offset, offset);
        }
    }

    #[test]
    fn places_are_ordered_by_file_and_offset() {
        let mut later = place();
        later.rotate(4, b"binlog.000010").unwrap();
        assert!(place().is_before(&later.position()));
        assert!(!later.is_before(&place().position()));
        assert_eq!(later.rotate(4, b""), None);
        assert_eq!(later.is_after(&place().position()), Some(true));
        assert_eq!(later.is_after(&later.position()), Some(false));
        assert_eq!(place().is_after(&later.position()), Some(false));
        later.rotate(4, b"other.000010").unwrap();
        assert_eq!(later.is_after(&place().position()), None);
    }

    #[test]
    fn an_anonymous_transaction_ends_the_gtids() {
        let mut place = place();
        place.gtids = GtidSet::parse("0-1-5", Flavor::MariaDb);
        place.add_transaction(Some(&Gtid::MariaDb { domain: 0, server_id: 1, number: 6 }));
        assert_eq!(place.position().gtids.as_deref(), Some("0-1-6"));
        place.add_transaction(None);
        assert_eq!(place.position().gtids, None);
    }
}
