//! Disables an event in its definition, so that it cannot run during the clone.

use super::Dialect;
use super::lexer::{join_tokens, tokenize};
use super::token_cursor::{TokenCursor, slice_tokens};

/// The status of an event at the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventStatus {
    /// The event runs.
    Enabled,
    /// The event does not run.
    Disabled,
    /// The event was replicated to the server and does not run there: `DISABLE ON SLAVE` or `ON REPLICA`.
    DisabledOnReplica,
}

/// Writes `DISABLE` as the status of a `CREATE EVENT`. Returns the text and the former status.
///
/// Reads only the header, before `DO`. An event without a status clause is enabled.
pub(crate) fn disable_event(create: &str, dialect: Dialect) -> (String, EventStatus) {
    let all = tokenize(create, dialect);
    let mut cursor = TokenCursor::new(&all);
    skip_name(&mut cursor);
    let rewritten = |from: usize, to: usize, status: &str| {
        join_tokens(slice_tokens(&all, 0..from)) + status + &join_tokens(slice_tokens(&all, to..all.len()))
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

/// Skips the name, which may be spelled like a clause.
fn skip_name(cursor: &mut TokenCursor<'_, '_>) {
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
        disable_event(create, Dialect::default())
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
