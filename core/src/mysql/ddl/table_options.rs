//! Reads the table options and the partition clause, and removes what names the source's machine.

use super::lexer::{Token, TokenKind, join_tokens};
use super::token_cursor::{TokenCursor, slice_tokens};

/// The table options and the partition clause of a `CREATE TABLE`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct TableOptions {
    /// The text without the removed options.
    pub(super) text: String,
    pub(super) engine: Option<String>,
    /// The removed options, which name a directory, a tablespace or an encryption key of the source's machine.
    pub(super) removed: Vec<String>,
}

impl TableOptions {
    /// Reads the text after the closing bracket of the columns.
    pub(super) fn read(tokens: &[Token<'_>]) -> Self {
        let mut options = Self::default();
        let mut dropped = vec![false; tokens.len()];
        let mut cursor = TokenCursor::new(tokens);
        let mut depth = 0_usize;
        let mut is_partition_name = false;
        while let Some(token) = cursor.peek() {
            let start = cursor.start();
            if !is_partition_name && options.take_clause(&mut cursor, depth, tokens) {
                drop_clause(&mut dropped, tokens, start, cursor.end());
                continue;
            }
            // A partition may have the name of an option.
            is_partition_name = token.is_any_word(&["PARTITION", "SUBPARTITION"]);
            if token.is_punct("(") {
                depth += 1;
            } else if token.is_punct(")") {
                depth = depth.saturating_sub(1);
            }
            cursor.next();
        }
        drop_empty_conditionals(&mut dropped, tokens);
        let kept = tokens.iter().zip(&dropped).filter(|(_, dropped)| !**dropped);
        options.text = kept.map(|(token, _)| token.text).collect();
        options
    }

    /// Takes one clause that is removed; `false` if the next clause stays.
    fn take_clause(&mut self, cursor: &mut TokenCursor<'_, '_>, depth: usize, tokens: &[Token<'_>]) -> bool {
        if depth == 0 && self.engine.is_none() {
            self.engine = read_engine(cursor.clone());
        }
        let start = cursor.start();
        if !eat_placement(cursor) {
            return false;
        }
        self.removed.push(join_tokens(slice_tokens(tokens, start..cursor.end())));
        true
    }
}

/// Reads the engine if its option follows.
fn read_engine(mut cursor: TokenCursor<'_, '_>) -> Option<String> {
    if !cursor.eat_word("ENGINE") {
        return None;
    }
    cursor.eat_punct("=");
    cursor.eat_name()
}

/// Takes an option that names a directory, a tablespace or a key of the source's machine.
fn eat_placement(cursor: &mut TokenCursor<'_, '_>) -> bool {
    let in_quotes: [&[&str]; 3] = [&["DATA", "DIRECTORY"], &["INDEX", "DIRECTORY"], &["ENCRYPTION"]];
    let mut ahead = cursor.clone();
    let kinds: &[TokenKind] = if in_quotes.iter().any(|option| ahead.eat_words(option)) {
        &[TokenKind::Str]
    } else if ahead.eat_word("TABLESPACE") {
        &[TokenKind::Word, TokenKind::QuotedIdent]
    } else if is_mariadb_encryption(&ahead) {
        ahead.next();
        &[TokenKind::Word, TokenKind::QuotedIdent, TokenKind::Number, TokenKind::Str]
    } else {
        return false;
    };
    ahead.eat_punct("=");
    let Some(value) = ahead.next_if(|token| kinds.contains(&token.kind)) else { return false };
    // Every server has these values.
    let general = ["innodb_system", "innodb_file_per_table", "N", "NO"];
    let found = !general.iter().any(|name| value.name_or_string().as_deref() == Some(name));
    if found {
        *cursor = ahead;
    }
    found
}

/// Whether an encryption option of MariaDB follows, which prints an engine's options as quoted names: ``
/// `ENCRYPTED`=YES ``.
fn is_mariadb_encryption(cursor: &TokenCursor<'_, '_>) -> bool {
    let name = cursor.peek().and_then(Token::ident);
    let equals = cursor.peek_at(1).is_some_and(|token| token.is_punct("="));
    equals && name.is_some_and(|name| ["ENCRYPTED", "ENCRYPTION_KEY_ID"].iter().any(|o| name.eq_ignore_ascii_case(o)))
}

/// Drops the clause, and the space before it if another space or a bracket follows.
fn drop_clause(dropped: &mut [bool], tokens: &[Token<'_>], start: usize, end: usize) {
    let is_space = |index: usize| tokens.get(index).is_some_and(|token| token.kind == TokenKind::Space);
    let spaced_after = tokens
        .get(end)
        .is_none_or(|token| matches!(token.kind, TokenKind::Space | TokenKind::Punct | TokenKind::ConditionalClose));
    let from = if start > 0 && is_space(start - 1) && spaced_after { start - 1 } else { start };
    dropped.iter_mut().take(end).skip(from).for_each(|dropped| *dropped = true);
}

/// Drops conditional comments whose whole content is dropped: `/*!50100 TABLESPACE x */`.
fn drop_empty_conditionals(dropped: &mut [bool], tokens: &[Token<'_>]) {
    let mut open = None;
    let mut removed_any = false;
    for (index, token) in tokens.iter().enumerate() {
        let is_dropped = dropped.get(index).copied().unwrap_or_default();
        match token.kind {
            TokenKind::ConditionalOpen => (open, removed_any) = (Some(index), false),
            TokenKind::ConditionalClose => {
                if let Some(start) = open.take().filter(|_| removed_any) {
                    dropped.iter_mut().take(index + 1).skip(start).for_each(|dropped| *dropped = true);
                }
            }
            _ if is_dropped => removed_any = true,
            TokenKind::Space => {}
            _ => open = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Dialect, tokenize};
    use super::*;

    fn read(text: &str) -> TableOptions {
        TableOptions::read(&tokenize(text, Dialect::default()))
    }

    #[test]
    fn the_engine_is_read_and_the_counter_stays() {
        let text = " ENGINE=InnoDB AUTO_INCREMENT=18446744073709551615 COMMENT='AUTO_INCREMENT=5 ENGINE=x'";
        let options = read(text);
        assert_eq!(options.engine.as_deref(), Some("InnoDB"));
        assert_eq!(options.text, text);
        assert_eq!(options.removed, [""; 0]);
    }

    #[test]
    fn options_of_the_sources_machine_are_removed() {
        let options = read(
            " /*!50100 TABLESPACE `ts 1` */ ENGINE=InnoDB DATA DIRECTORY='/a/' INDEX DIRECTORY = '/b/' ENCRYPTION='Y' \
             `ENCRYPTED`=YES `encryption_key_id`=2 `x`='y'",
        );
        assert_eq!(options.text.trim_start(), "ENGINE=InnoDB `x`='y'");
        assert_eq!(
            options.removed,
            [
                "TABLESPACE `ts 1`",
                "DATA DIRECTORY='/a/'",
                "INDEX DIRECTORY = '/b/'",
                "ENCRYPTION='Y'",
                "`ENCRYPTED`=YES",
                "`encryption_key_id`=2"
            ]
        );
    }

    #[test]
    fn partitions_lose_only_their_placement() {
        let options = read(
            "\n/*!50100 PARTITION BY RANGE (`encryption`)\n(PARTITION tablespace VALUES LESS THAN (10) TABLESPACE = `x` \
             DATA DIRECTORY = '/d' COMMENT = 'DATA DIRECTORY = ''*/' ENGINE = InnoDB,\n PARTITION auto_increment VALUES \
             IN ('ENCRYPTION', '*/') DATA DIRECTORY = '/e') */",
        );
        assert_eq!(options.removed, ["TABLESPACE = `x`", "DATA DIRECTORY = '/d'", "DATA DIRECTORY = '/e'"]);
        assert_eq!(
            options.text,
            "\n/*!50100 PARTITION BY RANGE (`encryption`)\n(PARTITION tablespace VALUES LESS THAN (10) \
             COMMENT = 'DATA DIRECTORY = ''*/' ENGINE = InnoDB,\n PARTITION auto_increment VALUES \
             IN ('ENCRYPTION', '*/')) */"
        );
        assert_eq!(options.engine, None);
    }

    #[test]
    fn columns_named_like_options_stay() {
        for text in [
            " PARTITION BY KEY (tablespace, encryption)",
            " PARTITION BY KEY (engine) PARTITIONS 4",
            "\n/*!50100 PARTITION BY LINEAR KEY */ /*!50611 ALGORITHM = 1 */ /*!50100 (a,`tablespace`)\nPARTITIONS 3 */",
            " /*!50100 TABLESPACE `innodb_system` */ ENGINE=InnoDB ENCRYPTION='N' `ENCRYPTED`='NO'",
            " /*!80023 AUTOEXTEND_SIZE=4194304 */ ENGINE=InnoDB COMPRESSION='zlib' CONNECTION='mysql://h/d,`'",
            " ENGINE=MyISAM DELAY_KEY_WRITE=1 UNION=(`a`,`b`)",
            " /*! */ ENGINE=InnoDB /* ENCRYPTION='Y' */",
        ] {
            assert_eq!(read(text).text, text);
        }
    }
}
