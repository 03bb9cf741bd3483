//! Opens the log of a server at a position, as a replica does.
//! Sources: "Replication Protocol" (<https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_replication.html>) and
//! "Replication Protocol" of MariaDB (<https://mariadb.com/docs/server/reference/clientserver-protocol/replication-protocol>).

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use super::gtid_set::{GtidSet, is_in_gtids};
use super::log_place::LogPlace;
use crate::catalog::{Flavor, Printable};
use crate::change::LogPosition;
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::connect::Conn;
use crate::mysql::ddl::quote_text;
use crate::mysql::log_position;

const COM_BINLOG_DUMP: u8 = 0x12;
const COM_BINLOG_DUMP_GTID: u8 = 0x1E;
/// The start is given by GTIDs.
const FLAG_THROUGH_GTID: u16 = 4;
/// The interval of the packets that the server sends while nothing happens.
const HEARTBEAT_PERIOD: Duration = Duration::from_secs(1);
/// The position of the first event of a file.
const FILE_START: u64 = 4;

/// A connection over which a server sends its log.
pub(super) struct OpenLog {
    pub(super) conn: Conn,
    /// The place where it begins.
    pub(super) place: LogPlace,
}

/// How the server finds the place.
#[derive(Debug, PartialEq, Eq)]
enum Start {
    Gtids(GtidSet),
    /// The file and the offset of the position.
    File,
}

/// Asks the server for its log from a position on.
pub(super) async fn open_log(mut conn: Conn, from: &LogPosition) -> Result<OpenLog> {
    let server = log_position::log_server(&mut conn).await?;
    let start = choose_start(&mut conn, from, &server).await?;
    let server_id = free_server_id(&mut conn).await?;
    let period = HEARTBEAT_PERIOD.as_nanos();
    let uuid = random_uuid();
    // The names of MySQL since 8.0.26, and those before and of MariaDB.
    let mut settings = vec![
        format!("@master_heartbeat_period = {period}, @source_heartbeat_period = {period}"),
        "@master_binlog_checksum = 'CRC32', @source_binlog_checksum = 'CRC32'".to_owned(),
        format!("@slave_uuid = '{uuid}', @replica_uuid = '{uuid}'"),
    ];
    if conn.server.flavor == Flavor::MariaDb {
        // The events with GTIDs, and all others that a replica of today knows.
        settings.push("@mariadb_slave_capability = 4".to_owned());
        if let Start::Gtids(gtids) = &start {
            let state = quote_text(&gtids.to_string());
            settings.push(format!("@slave_connect_state = {state}, @slave_gtid_strict_mode = 1"));
        }
    }
    conn.exec(&format!("SET {}", settings.join(", "))).await?;
    let (command, payload) = match &start {
        Start::Gtids(gtids) if conn.server.flavor == Flavor::MySql => {
            (COM_BINLOG_DUMP_GTID, gtid_request(server_id, gtids))
        }
        Start::Gtids(_) => (COM_BINLOG_DUMP, file_request(server_id, "", FILE_START)?),
        Start::File => (COM_BINLOG_DUMP, file_request(server_id, &from.file, from.offset)?),
    };
    conn.stream.enlarge_buffer();
    conn.stream.send_command(command, &payload).await?;
    let gtids = match start {
        Start::Gtids(gtids) => Some(gtids),
        Start::File => None,
    };
    Ok(OpenLog { conn, place: LogPlace { server, file: from.file.clone(), offset: from.offset, gtids } })
}

/// GTIDs are preferred: they also tell whether the log is the one that the position is of.
async fn choose_start(conn: &mut Conn, from: &LogPosition, server: &str) -> Result<Start> {
    let uses_gtids = match conn.server.flavor {
        Flavor::MariaDb => true,
        Flavor::MySql => {
            let row = conn.row("SELECT @@GLOBAL.gtid_mode").await?;
            row.is_some_and(|row| row.string(0).eq_ignore_ascii_case("ON"))
        }
    };
    let gtids = from.gtids.as_deref().filter(|_| uses_gtids);
    if let Some(gtids) = gtids {
        let malformed = || Error::usage(format!("these are no GTIDs of {}: {}", conn.server.flavor, Printable(gtids)));
        let parsed = GtidSet::parse(gtids, conn.server.flavor).ok_or_else(malformed)?;
        check_executed(conn, gtids).await?;
        return Ok(Start::Gtids(parsed));
    }
    if from.server != server {
        let message = format!(
            "the position {}:{} is of the binary log of another server, {}, and this one is {}: follow the same server, or \
             one that has the same GTIDs",
            Printable(&from.file),
            from.offset,
            Printable(&from.server),
            Printable(server)
        );
        return Err(Error::new(ErrorKind::Changed, message));
    }
    Ok(Start::File)
}

/// Checks that the server has executed what is applied already. The servers themselves let a replica follow one that lacks
/// transactions of a third server.
async fn check_executed(conn: &mut Conn, gtids: &str) -> Result<()> {
    let flavor = conn.server.flavor;
    let sql = match flavor {
        Flavor::MySql => "SELECT @@GLOBAL.gtid_executed",
        // The last GTID of each server in each domain.
        Flavor::MariaDb => "SELECT @@GLOBAL.gtid_binlog_state",
    };
    let executed = conn.row(sql).await?.map(|row| row.string(0)).unwrap_or_default();
    let has_all = match flavor {
        Flavor::MySql => is_in_gtids(gtids, &executed, flavor),
        Flavor::MariaDb => gtids.split(',').all(|gtid| executed.split(',').any(|last| is_of_same_server(gtid, last))),
    };
    if has_all {
        return Ok(());
    }
    let message = format!(
        "the source has not executed all transactions that the target has: its GTIDs are {}, and {} are applied. If it is a \
         replica, let it catch up; if it took the place of a source whose last transactions it does not have, clone anew",
        Printable(&executed),
        Printable(gtids)
    );
    Err(Error::new(ErrorKind::Changed, message))
}

/// Whether a GTID of MariaDB is not after the last one of the same server in the same domain.
fn is_of_same_server(gtid: &str, last: &str) -> bool {
    let server = |gtid: &str| gtid.trim().rsplit_once('-').map(|(server, _)| server.to_owned());
    server(gtid) == server(last) && is_in_gtids(gtid, last, Flavor::MariaDb)
}

/// Chooses a server ID that no known replica has: some servers end the connection of an older replica with the same ID.
async fn free_server_id(conn: &mut Conn) -> Result<u32> {
    let mut taken = Vec::new();
    for sql in ["SHOW REPLICAS", "SHOW SLAVE HOSTS"] {
        match conn.column(sql, "Server_id").await {
            Err(error) if error.code().is_none() && error.is_retryable() => return Err(error),
            // The account may not see them, or the statement has the other name.
            Err(_) => {}
            Ok(ids) => {
                taken.extend(ids.into_iter().flatten());
                break;
            }
        }
    }
    let own = conn.row("SELECT @@GLOBAL.server_id").await?;
    taken.extend(own.map(|row| row.string(0)));
    loop {
        let [a, b, c, d, ..] = random_number().to_le_bytes();
        // The upper half, as people choose small ones.
        let id = u32::from_le_bytes([a, b, c, d | 0x80]);
        if id != u32::MAX && !taken.contains(&id.to_string()) {
            return Ok(id);
        }
    }
}

fn random_number() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A UUID that makes the server take every connection for another replica.
fn random_uuid() -> String {
    let digits = format!("{:016x}{:016x}", random_number(), random_number());
    let part = |range: std::ops::Range<usize>| digits.get(range).unwrap_or_default().to_owned();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

fn file_request(server_id: u32, file: &str, offset: u64) -> Result<Vec<u8>> {
    let too_large = |error| {
        let message = format!("a server finds no position after 4 GiB in a file, as {file}:{offset}, without GTIDs");
        Error::new(ErrorKind::Unsupported, message).caused_by(error)
    };
    let offset = u32::try_from(offset).map_err(too_large)?;
    let mut payload = offset.to_le_bytes().to_vec();
    payload.extend_from_slice(&[0, 0]);
    payload.extend_from_slice(&server_id.to_le_bytes());
    payload.extend_from_slice(file.as_bytes());
    Ok(payload)
}

fn gtid_request(server_id: u32, gtids: &GtidSet) -> Vec<u8> {
    let encoded = gtids.encode();
    let mut payload = FLAG_THROUGH_GTID.to_le_bytes().to_vec();
    payload.extend_from_slice(&server_id.to_le_bytes());
    // No name of a file.
    payload.extend_from_slice(&0_u32.to_le_bytes());
    payload.extend_from_slice(&FILE_START.to_le_bytes());
    payload.extend_from_slice(&u32::try_from(encoded.len()).unwrap_or(u32::MAX).to_le_bytes());
    payload.extend_from_slice(&encoded);
    payload
}

/// Adds to the error of the server what can be done.
pub(super) fn explain_error(error: Error, from: &LogPosition) -> Error {
    const FATAL_ERROR_READING_LOG: u16 = 1236;
    const ACCESS_DENIED: u16 = 1227;
    let place = match &from.gtids {
        Some(gtids) => format!("GTID {}", Printable(gtids)),
        None => format!("{}:{}", Printable(&from.file), from.offset),
    };
    let text = error.to_string();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    match error.code() {
        Some(FATAL_ERROR_READING_LOG)
            if says(&[
                "purged",
                "Could not find first log file",
                "could not find next log",
                "is not in the master's binlog",
            ]) =>
        {
            let message = format!(
                "the source has no binary log from {place} on any more: clone anew, and let it keep its log for longer \
                 (binlog_expire_logs_seconds, expire_logs_days)"
            );
            Error::new(ErrorKind::Changed, message).caused_by(error)
        }
        // Another connection took the same server ID; a retry takes another one.
        Some(FATAL_ERROR_READING_LOG) if says(&["same server_uuid", "same server_id"]) => error.retryable(),
        Some(FATAL_ERROR_READING_LOG) => {
            let message = format!("the source cannot send its binary log from {place} on");
            Error::new(ErrorKind::Changed, message).caused_by(error)
        }
        Some(ACCESS_DENIED) => {
            let message = "the account may not read the binary log: GRANT REPLICATION SLAVE ON *.* TO it";
            Error::new(ErrorKind::Permission, message).caused_by(error)
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_the_layout_of_the_protocol() {
        assert_eq!(file_request(0x8000_0001, "b.1", 4).unwrap(), b"\x04\0\0\0\0\0\x01\0\0\x80b.1");
        assert!(file_request(1, "b.1", 1 << 32).is_err());
        let gtids = GtidSet::parse("", Flavor::MySql).unwrap();
        let payload = gtid_request(9, &gtids);
        assert_eq!(payload.len(), 2 + 4 + 4 + 8 + 4 + 8);
        assert_eq!(random_uuid().len(), 36);
        assert!(is_of_same_server("0-11-5", "0-11-7") && is_of_same_server("0-11-5", " 0-11-5"));
        assert!(!is_of_same_server("0-11-5", "0-11-4") && !is_of_same_server("0-11-5", "0-12-9"));
    }
}
