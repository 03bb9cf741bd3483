//! Parses an event with a statement, and the settings of its session.
//! Source: `Query_event` (<https://dev.mysql.com/doc/dev/mysql-server/latest/classmysql_1_1binlog_1_1event_1_1Query__event.html>).

use super::byte_cursor::ByteCursor;
use crate::mysql::ddl::{Dialect, quote_text};

const MODE_ANSI_QUOTES: u64 = 1 << 2;
const MODE_NO_BACKSLASH_ESCAPES: u64 = 1 << 20;
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
        while !rest.is_empty() && state.parse_one(&mut rest).is_some() {}
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
                self.dialect = Dialect {
                    ansi_quotes: mode & MODE_ANSI_QUOTES != 0,
                    no_backslash_escapes: mode & MODE_NO_BACKSLASH_ESCAPES != 0,
                };
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
            13 => drop(rest.take(3)?),
            16 => set("explicit_defaults_for_timestamp", rest.little_endian(1)?),
            // The transaction of a statement that the engine commits.
            17 | 129 => drop(rest.take(8)?),
            18 => set("default_collation_for_utf8mb4", rest.little_endian(2)?),
            19 => set("sql_require_primary_key", rest.little_endian(1)?),
            20 => set("default_table_encryption", rest.little_endian(1)?),
            128 => drop(rest.take(3)?),
            _ => return None,
        }
        Some(())
    }
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
        status.extend_from_slice(&[12, 1, b'd', 0, 200, 1]);
        let mut body = vec![0; 8];
        body.extend_from_slice(&[1, 0, 0, u8::try_from(status.len()).unwrap(), 0]);
        body.extend_from_slice(&status);
        body.extend_from_slice(b"d\0DROP TABLE `gr\xF6\xDFe`");
        let event = QueryEvent::parse(&body, 0).unwrap();
        assert_eq!(event.database, "d");
        assert_eq!(event.text().unwrap(), "DROP TABLE `größe`");
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
}
