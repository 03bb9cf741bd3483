//! Uncomments options that a table keeps although its engine does not know them. MariaDB prints them in comments.

use super::Dialect;
use super::lexer::{TokenKind, tokenize};

/// Uncomments the options of a statement; `None` if it has none. A server accepts the statement only under
/// `IGNORE_BAD_TABLE_OPTIONS`.
pub(crate) fn uncomment_unknown_options(sql: &str) -> Option<String> {
    let mut found = false;
    let mut text = String::new();
    for token in tokenize(sql, Dialect::default()) {
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
    fn options_are_uncommented() {
        let sql = "CREATE TABLE `t` (`a` int COMMENT '/* `a`=1 */' /* `foo`='x''y' */, KEY `a` (`a`) /* `zip`=yes */) /* x */";
        let expected = "CREATE TABLE `t` (`a` int COMMENT '/* `a`=1 */' `foo`='x''y', KEY `a` (`a`) `zip`=yes) /* x */";
        assert_eq!(uncomment_unknown_options(sql).as_deref(), Some(expected));
        assert_eq!(uncomment_unknown_options("CREATE TABLE `t` (`a` int) /* x */"), None);
    }
}
