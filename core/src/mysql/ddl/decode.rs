//! Decodes definitions with literals in other character sets.

use super::Dialect;
use super::lexer::{Token, TokenKind, tokenize};

/// Decodes a definition. Servers print the bytes of `_latin1 'é'`, of a binary default and (MySQL before 5.7) of a partition's
/// values without a conversion. Such a literal becomes `_latin1 x'e9'`, which means the same in every session. `None` if any
/// other part is not UTF-8.
pub(crate) fn decode_definition(bytes: &[u8], dialect: Dialect) -> Option<String> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Some(text.to_owned());
    }
    // One character for each byte: the tokenizer depends on ASCII only.
    let latin1: String = bytes.iter().copied().map(char::from).collect();
    let mut text = String::with_capacity(bytes.len());
    let (mut takes_bytes, mut in_partitions) = (false, false);
    for token in tokenize(&latin1, dialect) {
        match String::from_utf8(latin1_bytes(token.text)) {
            Ok(decoded) => text.push_str(&decoded),
            Err(_) if takes_bytes && token.kind == TokenKind::Str && token.text.starts_with(['\'', '"']) => {
                text.push_str(&hex_literal(token.text, dialect));
            }
            Err(_) => return None,
        }
        if !token.is_trivia() {
            in_partitions |= token.is_word("PARTITION");
            let lists_values = in_partitions && (token.is_punct("(") || token.is_punct(","));
            takes_bytes = lists_values || is_introducer(&token) || token.is_word("DEFAULT");
        }
    }
    Some(text)
}

/// The bytes that the characters stand for, one each.
fn latin1_bytes(text: &str) -> Vec<u8> {
    text.chars().filter_map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

/// Whether the token is a character set introducer: `_latin1`, `_binary`, …
fn is_introducer(token: &Token<'_>) -> bool {
    token.kind == TokenKind::Word && token.text.starts_with('_')
}

/// Writes the bytes of a quoted literal as `x'…'`.
fn hex_literal(quoted: &str, dialect: Dialect) -> String {
    let mut chars = quoted.chars();
    let quote = chars.next().unwrap_or('\'');
    let inner = chars.as_str();
    let mut chars = inner.strip_suffix(quote).unwrap_or(inner).chars();
    let mut plain = String::new();
    while let Some(c) = chars.next() {
        match c {
            _ if c == quote => plain.extend(chars.next()),
            '\\' if !dialect.no_backslash_escapes => match chars.next() {
                Some('0') => plain.push('\0'),
                Some('n') => plain.push('\n'),
                Some('r') => plain.push('\r'),
                Some('t') => plain.push('\t'),
                Some('b') => plain.push('\u{8}'),
                Some('Z') => plain.push('\u{1a}'),
                Some(wild @ ('%' | '_')) => plain.extend(['\\', wild]),
                other => plain.extend(other),
            },
            _ => plain.push(c),
        }
    }
    format!(" x'{}'", hex::encode(latin1_bytes(&plain)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Option<String> {
        decode_definition(bytes, Dialect::default())
    }

    #[test]
    fn a_literal_of_another_character_set_is_written_in_hexadecimal() {
        let view = b"select _latin1'\xe9\\\\\\'\\0 \xfc' AS `\xc3\xa9`,_latin1'a',_utf8mb4'\xc3\xa9','\xc3\xa9'";
        let text = "select _latin1 x'e95c270020fc' AS `é`,_latin1'a',_utf8mb4'é','é'";
        assert_eq!(read(view).as_deref(), Some(text));
        assert_eq!(read(b"b varbinary(9) DEFAULT '\xff\\0'").as_deref(), Some("b varbinary(9) DEFAULT  x'ff00'"));
        let partitions = b"PARTITION BY LIST COLUMNS(a)\n(PARTITION p0 VALUES IN ('\xff\\0','\xfe'))";
        let text = "PARTITION BY LIST COLUMNS(a)\n(PARTITION p0 VALUES IN ( x'ff00', x'fe'))";
        assert_eq!(read(partitions).as_deref(), Some(text));
        assert_eq!(read(b"_sjis /* c */ '\x83\\\\'").as_deref(), Some("_sjis /* c */  x'835c'"));
        let raw = Dialect { ansi_quotes: false, no_backslash_escapes: true };
        assert_eq!(decode_definition(b"_latin1'\\\xe9'''", raw).as_deref(), Some("_latin1 x'5ce927'"));
    }

    #[test]
    fn other_bytes_that_are_not_utf8_are_refused() {
        assert_eq!(read(b"select '\xe9'"), None);
        assert_eq!(read(b"select 1 /* \xe9 */"), None);
        assert_eq!(read(b"select 1 AS `\xe9`"), None);
    }
}
