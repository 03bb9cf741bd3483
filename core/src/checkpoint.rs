//! How far the changes of a source are applied to a target, as plain data.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::change::LogPosition;

/// The file and the offset of a place in a log.
pub(crate) type LogPlace = (String, u64);

impl LogPosition {
    /// The file and the offset.
    pub(crate) fn place(&self) -> LogPlace {
        (self.file.clone(), self.offset)
    }

    /// The position in an order of the places of one server's log. The files are numbered: `binlog.000012`.
    pub(crate) fn order(&self) -> (u64, u64) {
        let number = self.file.rsplit('.').next().and_then(|digits| digits.parse().ok());
        (number.unwrap_or(0), self.offset)
    }

    /// Formats as `binlog.000012:1234`.
    pub(crate) fn describe(&self) -> String {
        format!("{}:{}", self.file, self.offset)
    }
}

/// What is applied of a source's log.
///
/// A target keeps several: each applier writes its own with every transaction. `join` returns what all of
/// them say together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The low-water mark: every transaction that was committed up to here is applied.
    pub applied: LogPosition,
    /// The number of transactions up to there, from the snapshot on.
    pub transactions: u64,
    /// The ends of transactions after `applied` that are applied too.
    pub ahead: BTreeSet<(String, u64)>,
    /// When the last transaction up to `applied` was committed, in milliseconds since 1970, by the source's clock.
    pub committed_at_ms: u64,
    /// How far the target was behind when this was written, in milliseconds.
    pub lag_ms: u64,
    /// When this was written, in milliseconds since 1970, by the clock of the process that applies.
    pub written_at_ms: u64,
}

impl Checkpoint {
    /// The checkpoint of a target that has the rows of a snapshot.
    pub(crate) fn at_snapshot(applied: LogPosition) -> Self {
        Self { applied, ..Self::default() }
    }

    /// Joins the checkpoints of several appliers; `None` if there are none.
    pub(crate) fn join(all: impl IntoIterator<Item = Self>) -> Option<Self> {
        all.into_iter().reduce(|one, other| {
            let (mut newer, older) = match one.applied.order() < other.applied.order() {
                true => (other, one),
                false => (one, other),
            };
            newer.ahead.extend(older.ahead);
            if older.written_at_ms > newer.written_at_ms {
                (newer.written_at_ms, newer.lag_ms) = (older.written_at_ms, older.lag_ms);
            }
            newer
        })
    }

    /// Removes the transactions that `applied` contains.
    pub(crate) fn without_passed(mut self) -> Self {
        let passed = self.applied.order();
        let order = |(file, offset): &LogPlace| {
            LogPosition { file: file.clone(), offset: *offset, ..LogPosition::default() }.order()
        };
        self.ahead.retain(|place| order(place) > passed);
        self
    }
}

/// The state of a cut-over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CutOverState {
    /// It is asked for.
    Requested,
    /// Everything up to its position is applied, and nothing more will be. Triggers and events are being made.
    Finishing,
    /// The target is complete.
    Finished,
}

/// A cut-over, as the target records it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutOver {
    /// How far it is.
    pub state: CutOverState,
    /// The position up to which the target has what the source has, once it is known.
    pub position: Option<LogPosition>,
    /// The objects that the target refused.
    pub refused: Vec<String>,
    /// Whether another process has asked for it, and waits for its end.
    pub is_awaited: bool,
}

impl CutOver {
    pub(crate) fn requested() -> Self {
        Self { state: CutOverState::Requested, position: None, refused: Vec::new(), is_awaited: true }
    }
}

/// What a target records of following.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowRecord {
    /// What is applied.
    pub checkpoint: Checkpoint,
    /// Whether the cut-over has begun: nothing more is applied.
    pub is_cutting_over: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(offset: u64, ahead: &[u64]) -> Checkpoint {
        let place = |offset: &u64| ("log.000009".to_owned(), *offset);
        let applied = LogPosition { file: "log.000009".to_owned(), offset, ..LogPosition::default() };
        Checkpoint {
            transactions: offset,
            ahead: ahead.iter().map(place).collect(),
            ..Checkpoint::at_snapshot(applied)
        }
    }

    #[test]
    fn lines_together_say_what_is_applied() {
        assert_eq!(Checkpoint::join([]), None);
        let joined =
            Checkpoint::join([checkpoint(10, &[20, 30]), checkpoint(20, &[25]), checkpoint(5, &[10])]).unwrap();
        assert_eq!(joined.clone().without_passed(), checkpoint(20, &[25, 30]));
        let next = LogPosition { file: "log.000010".to_owned(), offset: 4, ..LogPosition::default() };
        assert!(next.order() > joined.applied.order());
        let million = LogPosition { file: "log.1000000".to_owned(), offset: 4, ..LogPosition::default() };
        assert!(million.order() > next.order());
    }
}
