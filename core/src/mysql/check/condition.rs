//! Checks the row conditions of `--where`: each must be one expression that the server accepts.

use super::message_format::display_name;
use crate::catalog::Printable;
use crate::error::Result;
use crate::mysql::connect::Conn;
use crate::mysql::ddl::{Dialect, TokenKind, quote_name, tokenize};
use crate::plan::Selection;
use crate::report::Finding;

/// Reports the conditions of a selection that are unusable.
pub(super) async fn check(conn: &mut Conn, database: &str, selection: &Selection) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for table in &selection.tables {
        let Some(condition) = &table.filter else { continue };
        let name = display_name(&table.name);
        if let Some(problem) = syntax_problem(condition) {
            findings
                .push(Finding::error(format!("the condition for table {name} {problem}: {}", Printable(condition))));
            continue;
        }
        let from = format!("{}.{}", quote_name(database), quote_name(&table.name));
        match conn.rows(&format!("SELECT 1 FROM {from} WHERE ({condition}\n) LIMIT 0")).await {
            Ok(_) => {}
            Err(error) if error.code().is_none() => return Err(error),
            Err(error) => {
                let hint = match error.code() {
                    Some(1046) => " (name the database of each table in a subquery)",
                    _ => "",
                };
                let error = error.to_string();
                let message = format!("the condition for table {name} does not work{hint}: {}", Printable(&error));
                findings.push(Finding::error(message));
            }
        }
    }
    Ok(findings)
}

/// Describes why the condition would not stay within the brackets around it; `None` if it does. A line break follows
/// the condition and ends a line comment in it.
fn syntax_problem(condition: &str) -> Option<&'static str> {
    let text = format!("({condition}\n)");
    let mut depth = 0_i32;
    let mut closed = false;
    for token in tokenize(&text, Dialect::default()) {
        if closed {
            return Some("closes a bracket that it does not open");
        }
        match (token.kind, token.text) {
            (TokenKind::ConditionalOpen, _) => return Some("holds a comment that is code"),
            (TokenKind::Punct, ";") => return Some("holds a semicolon: it must be one condition"),
            (TokenKind::Punct, "(") => depth += 1,
            (TokenKind::Punct, ")") => depth -= 1,
            _ => {}
        }
        closed = depth == 0;
    }
    (!closed).then_some("has a bracket, quote or comment without an end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_stays_within_its_brackets() {
        for good in ["a = 1", "a IN (1, (2))", "a = ')' OR b = 'it''s;'", "a = 1 -- why", "a /* ( */ > 0", "`)` = 1"] {
            assert_eq!(syntax_problem(good), None, "{good}");
        }
        for bad in ["1=1) OR (1=1", "(a = 1", "a = 1)", "a = '", "a = 1 /*", "a = 1; DROP TABLE x", "1 /*! ) */ ("] {
            assert!(syntax_problem(bad).is_some(), "{bad}");
        }
        assert!(syntax_problem(r"a = '\' OR b = 1").is_some());
    }
}
