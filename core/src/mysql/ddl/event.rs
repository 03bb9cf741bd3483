//! Creates an event disabled, so that it cannot fire into a half-made clone.

use super::Dialect;
use super::cursor::{Cursor, within};
use super::lex::{text_of, tokens};

/// The status that an event has at the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventStatus {
    /// It fires.
    Enabled,
    /// It does not.
    Disabled,
    /// It came from a replication source and does not fire here: `DISABLE ON SLAVE` or `ON REPLICA`.
    DisabledOnReplica,
}

/// Writes `DISABLE` as the status of a `CREATE EVENT`, and says which status it had.
///
/// Only the header, before `DO`, is looked at. A text without a status clause is of an enabled event.
pub(crate) fn disabled_event(create: &str, dialect: Dialect) -> (String, EventStatus) {
    let all = tokens(create, dialect);
    let mut cursor = Cursor::new(&all);
    skip_name(&mut cursor);
    let rewritten = |from: usize, to: usize, status: &str| {
        text_of(within(&all, 0..from)) + status + &text_of(within(&all, to..all.len()))
    };
    loop {
        let start = cursor.start();
        let Some(token) = cursor.next() else { return (create.to_owned(), EventStatus::Enabled) };
        let status = if token.is_word("ENABLE") {
            EventStatus::Enabled
        } else if token.is_word("DISABLE") {
            match cursor.eat_words(&["ON", "SLAVE"]) || cursor.eat_words(&["ON", "REPLICA"]) {
                true => EventStatus::DisabledOnReplica,
                false => EventStatus::Disabled,
            }
        } else if token.is_any_word(&["COMMENT", "DO"]) {
            return (rewritten(start, start, "DISABLE "), EventStatus::Enabled);
        } else {
            continue;
        };
        return (rewritten(start, cursor.end(), "DISABLE"), status);
    }
}

/// An event may be named like a clause.
fn skip_name(cursor: &mut Cursor<'_, '_>) {
    while cursor.next().is_some_and(|token| !token.is_word("EVENT")) {}
    cursor.eat_words(&["IF", "NOT", "EXISTS"]);
    cursor.eat_name();
    if cursor.eat_punct(".") {
        cursor.eat_name();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disabled(create: &str) -> (String, EventStatus) {
        disabled_event(create, Dialect::default())
    }

    #[test]
    fn every_status_becomes_disable() {
        for (clause, status) in [
            ("ENABLE", EventStatus::Enabled),
            ("DISABLE", EventStatus::Disabled),
            ("DISABLE ON SLAVE", EventStatus::DisabledOnReplica),
            ("disable on replica", EventStatus::DisabledOnReplica),
        ] {
            let event = |clause: &str| {
                format!(
                    "CREATE DEFINER=`enable`@`%` EVENT `e` ON SCHEDULE EVERY '1:1' HOUR_MINUTE STARTS '2030-01-01 00:00:00' \
                     ON COMPLETION NOT PRESERVE {clause} COMMENT 'ENABLE DO' DO begin set @enable = 'DISABLE'; end"
                )
            };
            assert_eq!(disabled(&event(clause)), (event("DISABLE"), status));
        }
    }

    #[test]
    fn a_missing_status_is_an_enabled_event() {
        assert_eq!(
            disabled("CREATE EVENT IF NOT EXISTS enable.disable ON SCHEDULE EVERY 1 DAY DO select 'ENABLE'").0,
            "CREATE EVENT IF NOT EXISTS enable.disable ON SCHEDULE EVERY 1 DAY DISABLE DO select 'ENABLE'"
        );
        assert_eq!(
            disabled("CREATE EVENT e ON SCHEDULE EVERY 1 DAY COMMENT 'c' DO select 1").0,
            "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DISABLE COMMENT 'c' DO select 1"
        );
    }

    #[test]
    fn names_and_bodies_are_not_clauses() {
        let text =
            "CREATE EVENT `do` ON SCHEDULE EVERY 1 DAY /* ENABLE */ ON COMPLETION PRESERVE /*!50100 ENABLE */ DO x";
        assert_eq!(disabled(text).0, text.replace("!50100 ENABLE", "!50100 DISABLE"));
        assert_eq!(disabled("not an event"), ("not an event".to_owned(), EventStatus::Enabled));
    }
}
