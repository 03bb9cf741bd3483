//! Parses an event with a statement, and the settings of its session.
//! Source: `Query_event` (<https://dev.mysql.com/doc/dev/mysql-server/latest/classmysql_1_1binlog_1_1event_1_1Query__event.html>).

use super::byte_cursor::ByteCursor;
use crate::mysql::ddl::{Dialect, TokenKind, quote_text, tokenize};

const NO_FOREIGN_KEY_CHECKS: u64 = 1 << 26;
const RELAXED_UNIQUE_CHECKS: u64 = 1 << 27;
/// The number of updated databases which means that there are too many to name.
const TOO_MANY_DATABASES: u8 = 254;
/// The collations of latin1.
const LATIN1: [u16; 8] = [5, 8, 15, 31, 47, 48, 49, 94];

/// A statement in the log.
#[derive(Debug, Clone, Default)]
pub(super) struct QueryEvent<'a> {
    /// The current database; may be empty.
    pub(super) database: String,
    /// The statement in the character set of its client.
    pub(super) sql: &'a [u8],
    pub(super) session: SessionState,
}

/// The settings of the session that ran a statement.
#[derive(Debug, Clone, Default)]
pub(super) struct SessionState {
    /// Assignments for `SET SESSION`.
    pub(super) settings: Vec<String>,
    pub(super) dialect: Dialect,
    /// The fraction of the second in which it began, in microseconds; 0 if the statement does not use it.
    pub(super) microseconds: u64,
    /// The code of a setting that is not known.
    unknown: Option<u8>,
    /// The collation that stands for the client's character set.
    client: Option<u16>,
    /// The databases whose tables the statement may change; `None` if the server does not tell.
    pub(super) updated_databases: Option<Vec<String>>,
}

impl<'a> QueryEvent<'a> {
    /// Parses the event; `None` if it is malformed. `extra` is the number of bytes that the event has before the settings.
    pub(super) fn parse(body: &'a [u8], extra: usize) -> Option<Self> {
        let mut rest = ByteCursor(body);
        rest.take(8)?;
        let database_length = rest.length(1)?;
        rest.take(2)?;
        let length = rest.length(2)?;
        rest.take(extra)?;
        let session = SessionState::parse(ByteCursor(rest.take(length)?));
        let database = String::from_utf8_lossy(rest.take(database_length)?).into_owned();
        (rest.byte()? == 0).then_some(Self { database, sql: rest.0, session })
    }

    /// The statement as text; `None` if it has other letters than ASCII in a character set other than UTF-8 and latin1.
    pub(super) fn text(&self) -> Option<String> {
        decode(self.sql, self.session.client)
    }

    /// Why the statement would mean something else if it ran under its settings, as the text that `text` returns.
    pub(super) fn obstacle(&self, text: &str) -> Option<String> {
        if let Some(code) = self.session.unknown {
            return Some(format!("the log has a setting of its session that is not known ({code})"));
        }
        if text.as_bytes() == self.sql {
            return None;
        }
        let tokens = tokenize(text, self.session.dialect);
        let mut significant = tokens.iter().filter(|token| !token.is_trivia()).peekable();
        while let Some(token) = significant.next() {
            let is_introduced = token.kind == TokenKind::Word
                && token.text.starts_with('_')
                && significant.peek().is_some_and(|next| next.kind == TokenKind::Str);
            if is_introduced {
                return Some(format!(
                    "{} is about the bytes of a string, and the log has it in another character set",
                    token.text
                ));
            }
        }
        None
    }
}

/// Decodes a text in the character set of a collation.
fn decode(bytes: &[u8], collation: Option<u16>) -> Option<String> {
    match (std::str::from_utf8(bytes), collation) {
        (Ok(text), _) if text.is_ascii() => Some(text.to_owned()),
        (_, Some(collation)) if LATIN1.contains(&collation) => Some(bytes.iter().map(|byte| latin1(*byte)).collect()),
        // All other collations that a client may have and whose text is valid UTF-8 are those of utf8 and utf8mb4: a text
        // of a single-byte or an Asian character set is almost never valid UTF-8.
        (Ok(text), _) => Some(text.to_owned()),
        (Err(_), _) => None,
    }
}

/// A character of MySQL's latin1, which is Windows-1252.
fn latin1(byte: u8) -> char {
    const UPPER: [u16; 32] = [
        0x20AC, 0x81, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0x8D,
        0x017D, 0x8F, 0x90, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A,
        0x0153, 0x9D, 0x017E, 0x0178,
    ];
    let upper = byte.checked_sub(0x80).and_then(|index| UPPER.get(usize::from(index)));
    upper.and_then(|code| char::from_u32(u32::from(*code))).unwrap_or_else(|| char::from(byte))
}

impl SessionState {
    /// Parses the settings. Ends at one that it does not know, whose length is unknown too, as the servers do.
    fn parse(mut rest: ByteCursor<'_>) -> Self {
        let mut state = Self::default();
        while let Some(code) = rest.0.first().copied() {
            if state.parse_one(&mut rest).is_none() {
                state.unknown = Some(code);
                break;
            }
        }
        // The statement is passed on in UTF-8.
        state.settings.push("character_set_client = utf8mb4".to_owned());
        state
    }

    fn parse_one(&mut self, rest: &mut ByteCursor<'_>) -> Option<()> {
        let mut set = |name: &str, value: u64| self.settings.push(format!("{name} = {value}"));
        match rest.byte()? {
            0 => {
                let flags = rest.little_endian(4)?;
                set("foreign_key_checks", u64::from(flags & NO_FOREIGN_KEY_CHECKS == 0));
                set("unique_checks", u64::from(flags & RELAXED_UNIQUE_CHECKS == 0));
            }
            1 => {
                let mode = rest.little_endian(8)?;
                set("sql_mode", mode);
                self.dialect = Dialect::from_mode_bits(mode);
            }
            2 => {
                let length = rest.length(1)?;
                rest.take(length + 1)?;
            }
            3 => {
                set("auto_increment_increment", rest.little_endian(2)?);
                set("auto_increment_offset", rest.little_endian(2)?);
            }
            4 => {
                self.client = rest.u16();
                set("collation_connection", rest.little_endian(2)?);
                set("collation_server", rest.little_endian(2)?);
            }
            5 => {
                let length = rest.length(1)?;
                let zone = String::from_utf8(rest.take(length)?.to_vec()).ok()?;
                self.settings.push(format!("time_zone = {}", quote_text(&zone)));
            }
            6 => {
                let length = rest.length(1)?;
                rest.take(length)?;
            }
            7 => set("lc_time_names", rest.little_endian(2)?),
            // The database's collation; the tables to be locked; the length of the event.
            8 => drop(rest.take(2)?),
            9 => drop(rest.take(8)?),
            10 => drop(rest.take(4)?),
            11 => {
                for _ in 0..2 {
                    let length = rest.length(1)?;
                    rest.take(length)?;
                }
            }
            12 => self.updated_databases = parse_databases(rest)?,
            13 | 128 => self.microseconds = rest.little_endian(3)?,
            16 => set("explicit_defaults_for_timestamp", rest.little_endian(1)?),
            // The transaction of a statement that the engine commits.
            17 | 129 => drop(rest.take(8)?),
            18 => set("default_collation_for_utf8mb4", rest.little_endian(2)?),
            19 => set("sql_require_primary_key", rest.little_endian(1)?),
            20 => set("default_table_encryption", rest.little_endian(1)?),
            // What the GTID of an ALTER in two parts says too.
            130 => {
                const WITH_NUMBER: u8 = 4 | 8;
                if rest.byte()? & WITH_NUMBER != 0 {
                    rest.take(8)?;
                }
            }
            131 => {
                let mut collations = Vec::new();
                for _ in 0..rest.byte()? {
                    rest.take(2)?;
                    collations.push(rest.little_endian(2)?.to_string());
                }
                self.settings.push(character_set_collations(&collations));
            }
            _ => return None,
        }
        Some(())
    }
}

/// The assignment of MariaDB's default collations of character sets, by the numbers of the collations.
fn character_set_collations(collations: &[String]) -> String {
    let value = match collations.is_empty() {
        true => "''".to_owned(),
        false => format!(
            "(SELECT GROUP_CONCAT(CHARACTER_SET_NAME, '=', FULL_COLLATION_NAME) FROM \
             information_schema.COLLATION_CHARACTER_SET_APPLICABILITY WHERE ID IN ({}))",
            collations.join(", ")
        ),
    };
    format!("character_set_collations = {value}")
}

/// Parses the databases that a statement updates; `None` inside if there are too many.
fn parse_databases(rest: &mut ByteCursor<'_>) -> Option<Option<Vec<String>>> {
    let count = rest.byte()?;
    if count == TOO_MANY_DATABASES {
        return Some(None);
    }
    let mut databases = Vec::new();
    for _ in 0..count {
        let length = rest.0.iter().position(|byte| *byte == 0)?;
        databases.push(String::from_utf8_lossy(rest.take(length)?).into_owned());
        rest.byte()?;
    }
    Some(Some(databases))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_are_assignments() {
        let mut status = vec![0, 0, 0, 0, 4, 1, 4, 0, 0, 0, 0, 0, 0, 0];
        status.extend_from_slice(&[4, 8, 0, 8, 0, 255, 0, 5, 3]);
        status.extend_from_slice(b"UTC");
        status.extend_from_slice(&[12, 1, b'd', 0, 13, 0x40, 0xE2, 1, 130, 4, 0, 0, 0, 0, 0, 0, 0, 0, 200, 1]);
        let mut body = vec![0; 8];
        body.extend_from_slice(&[1, 0, 0, u8::try_from(status.len()).unwrap(), 0]);
        body.extend_from_slice(&status);
        body.extend_from_slice(b"d\0DROP TABLE `gr\xF6\xDFe`");
        let event = QueryEvent::parse(&body, 0).unwrap();
        assert_eq!(event.database, "d");
        assert_eq!(event.text().unwrap(), "DROP TABLE `größe`");
        assert_eq!(event.session.microseconds, 123_456);
        assert!(event.obstacle("").unwrap().contains("not known (200)"));
        assert!(event.session.dialect.ansi_quotes);
        assert_eq!(event.session.updated_databases.unwrap(), ["d"]);
        let expected = [
            "foreign_key_checks = 0",
            "unique_checks = 1",
            "sql_mode = 4",
            "collation_connection = 8",
            "collation_server = 255",
            "time_zone = 'UTC'",
            "character_set_client = utf8mb4",
        ];
        assert_eq!(event.session.settings, expected);
        for length in 0..body.len() - 19 {
            assert!(QueryEvent::parse(&body[..length], 0).is_none(), "{length} bytes");
        }
    }

    #[test]
    fn a_text_that_cannot_be_decoded_is_none() {
        assert_eq!(decode("größe".as_bytes(), Some(255)).unwrap(), "größe");
        assert_eq!(decode(b"\xA4\xA2", Some(12)), None);
        assert_eq!(decode(b"\x80", Some(8)).unwrap(), "€");
    }

    #[test]
    fn a_string_whose_bytes_are_named_is_not_decoded() {
        let session = || SessionState { client: Some(8), ..SessionState::default() };
        let obstacle = |sql: &[u8]| {
            let event = QueryEvent { sql, session: session(), ..QueryEvent::default() };
            event.obstacle(&event.text().unwrap())
        };
        assert!(obstacle(b"ALTER TABLE t ADD a TEXT DEFAULT _latin1 '\xE9'").is_some());
        assert_eq!(obstacle(b"ALTER TABLE t ADD a TEXT DEFAULT _latin1'e'"), None);
        assert_eq!(obstacle(b"ALTER TABLE t ADD _latin1 TEXT DEFAULT '\xE9'"), None);
    }

    #[test]
    fn collations_of_character_sets_are_one_assignment() {
        let session = SessionState::parse(ByteCursor(&[131, 2, 45, 0, 0x2B, 9, 8, 0, 8, 0]));
        assert!(session.settings[0].ends_with("WHERE ID IN (2347, 8))"), "{:?}", session.settings);
        assert!(session.settings[0].starts_with("character_set_collations = (SELECT "));
        assert_eq!(SessionState::parse(ByteCursor(&[131, 0])).settings[0], "character_set_collations = ''");
    }
}
