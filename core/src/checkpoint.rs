//! How far the changes of a source are applied to a target, as plain data.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::change::{LogExtent, LogPosition};
use crate::options::Verify;

/// The file and the offset of a place in a log.
pub(crate) type LogPlace = (String, u64);

impl LogPosition {
    /// The file and the offset.
    pub(crate) fn place(&self) -> LogPlace {
        (self.file.clone(), self.offset)
    }

    /// Whether this place is at `goal` or after it. Places of different servers have no order, and none have those of files
    /// with different names: the numbers of a log that gets another name begin anew.
    pub(crate) fn has_reached(&self, goal: &Self) -> bool {
        self.is_of_log(goal) && self.order() >= goal.order()
    }

    /// Whether both places are in the log of one server, in files of one name.
    pub(crate) fn is_of_log(&self, other: &Self) -> bool {
        self.server == other.server && log_name(&self.file) == log_name(&other.file)
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

/// The name of a log, without the number of its file.
fn log_name(file: &str) -> &str {
    file.rsplit_once('.').map_or(file, |(log, _)| log)
}

impl LogExtent {
    /// The bytes of log after a position; `None` if the log is another server's, or has not the file of the position.
    pub(crate) fn bytes_after(&self, position: &LogPosition) -> Option<u64> {
        if self.server != position.server {
            return None;
        }
        match self.files.iter().position(|(name, _)| *name == position.file) {
            Some(index) => {
                let sizes = self.files.iter().skip(index).map(|(_, bytes)| *bytes);
                Some(sizes.sum::<u64>().saturating_sub(position.offset))
            }
            None => {
                let (name, _) = self.files.last()?;
                let last = LogPosition { file: name.clone(), ..LogPosition::default() };
                // The position is in a file that is newer than this extent.
                (position.order() > last.order()).then_some(0)
            }
        }
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
    /// The ends of transactions after `applied`, in the log of the same server, that are applied too.
    pub ahead: BTreeSet<(String, u64)>,
    /// When the last transaction up to `applied` was committed, in milliseconds since 1970, by the source's clock.
    pub committed_at_ms: u64,
    /// How far the target was behind when this was written, in milliseconds.
    pub lag_ms: u64,
    /// The bytes of log that the source had written after `applied` when it was last looked at; `None` if unknown.
    #[serde(default)]
    pub lag_bytes: Option<u64>,
    /// When this was written, in milliseconds since 1970, by the clock of the process that applies.
    pub written_at_ms: u64,
}

impl Checkpoint {
    /// The checkpoint of a target that has the rows of a snapshot.
    pub(crate) fn at_snapshot(applied: LogPosition) -> Self {
        Self { applied, ..Self::default() }
    }

    /// Whether this low-water mark is before another one of the same target. The logs of two servers have the same
    /// transactions, but not at the same places.
    fn is_before(&self, other: &Self) -> bool {
        let on_a_tie = match self.applied.is_of_log(&other.applied) {
            true => self.applied.order() < other.applied.order(),
            false => self.written_at_ms < other.written_at_ms,
        };
        self.transactions < other.transactions || self.transactions == other.transactions && on_a_tie
    }

    /// Joins the checkpoints of several appliers; `None` if there are none.
    pub(crate) fn join(all: impl IntoIterator<Item = Self>) -> Option<Self> {
        all.into_iter().reduce(|one, other| {
            let (mut newer, older) = if one.is_before(&other) { (other, one) } else { (one, other) };
            newer.ahead.extend(older.ahead);
            if older.written_at_ms > newer.written_at_ms {
                (newer.written_at_ms, newer.lag_ms) = (older.written_at_ms, older.lag_ms);
                newer.lag_bytes = older.lag_bytes;
            }
            newer
        })
    }

    /// Removes the transactions that `applied` contains. Those of a log of another name are before it: nothing is read from a
    /// log that gets another name until everything before is applied.
    pub(crate) fn without_passed(mut self) -> Self {
        let passed = self.applied.order();
        let order = |(file, offset): &LogPlace| {
            LogPosition { file: file.clone(), offset: *offset, ..LogPosition::default() }.order()
        };
        let log = log_name(&self.applied.file);
        self.ahead.retain(|place| log_name(&place.0) == log && order(place) > passed);
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
    /// The comparison that was asked for has found differences: nothing is cut over, and following goes on.
    Different,
}

/// A cut-over, as the target records it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutOver {
    /// How far it is.
    pub state: CutOverState,
    /// The position up to which the target has what the source has, once it is known.
    pub position: Option<LogPosition>,
    /// The objects that the target refused, or the differences.
    pub refused: Vec<String>,
    /// How the target is compared with the source before.
    #[serde(default)]
    pub verify: Verify,
    /// Whether another process has asked for it, and waits for its end.
    pub is_awaited: bool,
    /// The user-level lock that the other process holds while it waits. A request whose lock is free counts as withdrawn.
    #[serde(default)]
    pub requester: Option<String>,
    /// Its places in the target's own binary log, from which the way back begins; `None` if it has not begun, or if there is
    /// no way back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_log: Option<TargetLog>,
    /// Why the target's changes cannot be carried back later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_way_back: Option<String>,
}

/// The places of a cut-over in the target's own binary log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetLog {
    /// After everything that was applied, and before triggers and events were made.
    pub applied: LogPosition,
    /// After triggers and events were made, once they are.
    pub completed: Option<LogPosition>,
}

impl CutOver {
    pub(crate) fn new(state: CutOverState, position: Option<LogPosition>, is_awaited: bool) -> Self {
        Self {
            state,
            position,
            refused: Vec::new(),
            verify: Verify::None,
            is_awaited,
            requester: None,
            target_log: None,
            no_way_back: None,
        }
    }

    pub(crate) fn requested(verify: Verify) -> Self {
        Self { verify, ..Self::new(CutOverState::Requested, None, true) }
    }

    /// Whether nothing more is applied.
    pub(crate) fn has_begun(&self) -> bool {
        matches!(self.state, CutOverState::Finishing | CutOverState::Finished)
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
        let at = |server: &str, transactions, offset| {
            let applied = LogPosition { server: server.to_owned(), ..checkpoint(offset, &[]).applied };
            Checkpoint { transactions, ..Checkpoint::at_snapshot(applied) }
        };
        // The source was replaced by a replica, whose log is shorter.
        let (old, new) = (at("old", 7, 9_000), at("new", 8, 50));
        assert_eq!(Checkpoint::join([old.clone(), new.clone()]), Some(new.clone()));
        assert!(!old.applied.has_reached(&new.applied) && new.applied.has_reached(&new.applied));
        let extent = LogExtent {
            server: String::new(),
            files: vec![("log.000009".to_owned(), 500), ("log.000010".to_owned(), 70), ("log.000011".to_owned(), 40)],
        };
        let after = |file: &str, offset| {
            extent.bytes_after(&LogPosition { file: file.to_owned(), offset, ..LogPosition::default() })
        };
        assert_eq!(after("log.000009", 450), Some(160));
        assert_eq!(
            (after("log.000011", 40), after("log.000011", 90), after("log.000012", 4)),
            (Some(0), Some(0), Some(0))
        );
        assert_eq!(after("log.000008", 4), None);
        assert_eq!(extent.bytes_after(&new.applied), None);
        // The log got another name, and its numbers begin anew.
        let renamed = |file: &str, ahead: &[(&str, u64)]| Checkpoint {
            applied: LogPosition { file: file.to_owned(), offset: 50, ..LogPosition::default() },
            ahead: ahead.iter().map(|(file, offset)| ((*file).to_owned(), *offset)).collect(),
            transactions: 7,
            ..Checkpoint::default()
        };
        let before = renamed("log.000009", &[("log.000009", 90)]);
        let after = Checkpoint { written_at_ms: 1, ..renamed("new.000001", &[("new.000001", 70)]) };
        let both = Checkpoint::join([before, after]).unwrap().without_passed();
        assert_eq!((both.applied.file.as_str(), both.ahead.len()), ("new.000001", 1));
        assert!(both.ahead.contains(&("new.000001".to_owned(), 70)));
        let million = LogPosition { file: "log.1000000".to_owned(), offset: 4, ..LogPosition::default() };
        assert!(million.order() > next.order());
    }
}
