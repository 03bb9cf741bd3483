//! Finds options that a table keeps though its engine does not know them: MariaDB shows them in comments.

use super::Dialect;
use super::lex::{TokenKind, tokens};

/// The statement with these options out of their comments; `None` where it has none. A server takes it under
/// `IGNORE_BAD_TABLE_OPTIONS` only.
pub(crate) fn with_leftover_options(sql: &str) -> Option<String> {
    let mut found = false;
    let mut text = String::new();
    for token in tokens(sql, Dialect::default()) {
        let inside = token.text.strip_prefix("/* `").and_then(|inside| inside.strip_suffix(" */"));
        match inside.filter(|inside| token.kind == TokenKind::Comment && inside.contains("`=")) {
            Some(inside) => {
                found = true;
                text.push('`');
                text.push_str(inside);
            }
            None => text.push_str(token.text),
        }
    }
    found.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_out_of_their_comments() {
        let sql = "CREATE TABLE `t` (`a` int COMMENT '/* `a`=1 */' /* `foo`='x''y' */, KEY `a` (`a`) /* `zip`=yes */) /* x */";
        let expected = "CREATE TABLE `t` (`a` int COMMENT '/* `a`=1 */' `foo`='x''y', KEY `a` (`a`) `zip`=yes) /* x */";
        assert_eq!(with_leftover_options(sql).as_deref(), Some(expected));
        assert_eq!(with_leftover_options("CREATE TABLE `t` (`a` int) /* x */"), None);
    }
}
