//! Splits a script into statements, as the servers' own clients do.

/// The statements of `script`, without their delimiters. A line `DELIMITER …` sets the delimiter for the statements after
/// it. Delimiters in quotes and comments do not count. Blank text, or a comment at the end of the script, is no statement.
pub(crate) fn statements(script: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut delimiter = b";".to_vec();
    let mut rest = script;
    let mut statement: Vec<u8> = Vec::new();
    let mut at_line = true;
    let mut has_code = false;
    let mut backslash_escapes = true;
    while let Some(&first) = rest.first() {
        if at_line
            && !has_code
            && let Some((next, after)) = delimiter_line(rest)
        {
            delimiter = next.to_vec();
            rest = after;
            continue;
        }
        if rest.starts_with(&delimiter) {
            if has_code {
                backslash_escapes = escapes_after(&statement).unwrap_or(backslash_escapes);
                found.push(std::mem::take(&mut statement));
            }
            statement.clear();
            has_code = false;
            rest = rest.get(delimiter.len()..).unwrap_or_default();
            at_line = false;
            continue;
        }
        let length = token(rest, statement.last().copied(), backslash_escapes);
        let (token, after) = rest.split_at(length);
        has_code |= !first.is_ascii_whitespace()
            && (!is_comment(token) || token.starts_with(b"/*!") || token.starts_with(b"/*M!"));
        at_line = first == b'\n' || (at_line && first.is_ascii_whitespace()) || token.ends_with(b"\n");
        statement.extend_from_slice(token);
        rest = after;
    }
    if has_code {
        found.push(statement);
    }
    found
}

/// The new delimiter and the text after the line, if the text begins with a `DELIMITER` line.
fn delimiter_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (word, rest) = text.split_at_checked("DELIMITER".len())?;
    if !word.eq_ignore_ascii_case(b"DELIMITER") || !matches!(rest.first(), Some(b' ' | b'\t')) {
        return None;
    }
    let end = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
    let (line, after) = rest.split_at(end);
    let delimiter = line.trim_ascii();
    (!delimiter.is_empty()).then_some((delimiter, after))
}

/// Whether backslashes escape after a statement; `None` where the statement does not set the SQL mode.
fn escapes_after(statement: &[u8]) -> Option<bool> {
    let text = String::from_utf8_lossy(statement).to_ascii_uppercase();
    let sets_mode = text.trim_start().starts_with("SET") && text.contains("SQL_MODE");
    sets_mode.then(|| !text.contains("NO_BACKSLASH_ESCAPES"))
}

/// The length of the first token of a text: a quoted part, a comment, or one byte.
fn token(text: &[u8], previous: Option<u8>, backslash_escapes: bool) -> usize {
    let in_word = previous.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..));
    match text {
        [quote @ (b'\'' | b'"' | b'`'), rest @ ..] => 1 + quoted(rest, *quote, backslash_escapes),
        [b'$', ..] if !in_word => dollar_quoted(text).unwrap_or(1),
        [b'/', b'*', ..] => find(text, b"*/").map_or(text.len(), |at| at + 2),
        [b'#', ..] | [b'-', b'-', b' ' | b'\t' | b'\n', ..] => line(text),
        _ => 1,
    }
}

fn is_comment(token: &[u8]) -> bool {
    token.len() > 1 && (token.starts_with(b"/*") || token.starts_with(b"#") || token.starts_with(b"--"))
}

/// The length of a quoted text without its first quote and with its last one.
fn quoted(text: &[u8], quote: u8, backslash_escapes: bool) -> usize {
    let mut bytes = text.iter().enumerate();
    while let Some((at, &byte)) = bytes.next() {
        if byte == b'\\' && quote != b'`' && backslash_escapes {
            bytes.next();
        } else if byte == quote {
            return at + 1;
        }
    }
    text.len()
}

/// The length of a text between two equal `$tag$`, the quotes of MySQL 9 for code in other languages.
fn dollar_quoted(text: &[u8]) -> Option<usize> {
    let end = 1 + text.get(1..)?.iter().position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')?;
    let tag = text.get(..=end).filter(|tag| tag.ends_with(b"$"))?;
    find(text.get(tag.len()..)?, tag).map(|at| at + 2 * tag.len())
}

fn line(text: &[u8]) -> usize {
    text.iter().position(|&byte| byte == b'\n').map_or(text.len(), |at| at + 1)
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|part| part == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(script: &str) -> Vec<String> {
        statements(script.as_bytes()).into_iter().map(|one| String::from_utf8(one).unwrap().trim().to_owned()).collect()
    }

    #[test]
    fn delimiters_in_quotes_and_comments_do_not_count() {
        assert_eq!(
            cut("SELECT ';', \"a;\\\";\", `;`; -- x;\n# y;\n/* ; */ DO 1;\n-- end\n"),
            ["SELECT ';', \"a;\\\";\", `;`", "-- x;\n# y;\n/* ; */ DO 1"]
        );
        assert_eq!(cut(" ;; \n;"), [""; 0]);
        assert_eq!(cut("/*!50001 SET @a = 1 */; SELECT 'it''s'"), ["/*!50001 SET @a = 1 */", "SELECT 'it''s'"]);
    }

    #[test]
    fn the_sql_mode_and_dollar_quotes_count() {
        assert_eq!(
            cut("SET sql_mode = 'NO_BACKSLASH_ESCAPES'; SELECT 'a\\'; SET sql_mode = ''; SELECT 'b\\'; x'"),
            ["SET sql_mode = 'NO_BACKSLASH_ESCAPES'", "SELECT 'a\\'", "SET sql_mode = ''", "SELECT 'b\\'; x'"]
        );
        assert_eq!(
            cut("SELECT $js$ it's; $$ $js$; SELECT a$b$c, $1"),
            ["SELECT $js$ it's; $$ $js$", "SELECT a$b$c, $1"]
        );
    }

    #[test]
    fn a_line_sets_another_delimiter() {
        let script = "DELIMITER $$\nCREATE PROCEDURE p() BEGIN\n  -- DELIMITER ;\n  DO 1; END $$\nDELIMITER ;\nDO 2;";
        assert_eq!(cut(script), ["CREATE PROCEDURE p() BEGIN\n  -- DELIMITER ;\n  DO 1; END", "DO 2"]);
    }
}
