//! The ladder: how several connections come to see the same moment, by what the account may do.
//!
//! While a lock is asked for, statements that write wait behind it. So each try is short, and a MySQL server is not asked
//! for its global read lock while a long statement runs there, or one that may become long: the tables of that statement
//! would stay blocked until it ends, also after the try was given up.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures::future::try_join_all;

use super::connect::{Conn, ServerAddress};
use super::ddl::quote_name;
use super::running::Running;
use super::session;
use crate::catalog::{Flavor, Printable};
use crate::error::Result;
use crate::options::CloneOptions;
use crate::plan::{Position, SnapshotMethod};

/// How long one try waits for a lock, in seconds.
const TRY_SECONDS: u32 = 1;
/// The first pause between two tries, in which writers catch up; each next one is longer.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// How often the server is asked whether its long statements have ended.
const LOOK: Duration = Duration::from_millis(250);
/// How long a connection may be silent while a lock is held, and writers wait, before another one asks what it does.
const SILENCE: Duration = Duration::from_secs(4);
/// The server ends the connection that holds a lock when it is idle for so many seconds: whoever cannot be reached, or is
/// stopped, cannot unlock. Longer than a pause.
const IDLE_SECONDS: u32 = 10;
const LOCK_WAIT_TIMEOUT: u16 = 1205;
/// What the list of processes says of a statement of somebody else.
const OTHERS_RUN: &str = "ID <> CONNECTION_ID() AND USER <> 'system user' AND COMMAND IN ('Query', 'Execute', 'Fetch')";
const BEGIN: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";

/// Connections that all see one moment, and what is known of it.
pub(super) struct Snapshot {
    pub(super) readers: Vec<Conn>,
    pub(super) position: Position,
}

/// What is to be seen at one moment.
pub(super) struct Wanted<'a> {
    pub(super) address: &'a ServerAddress,
    pub(super) tables: &'a [String],
    /// Whether the database has other tables too.
    pub(super) partial: bool,
    pub(super) threads: usize,
    pub(super) options: &'a CloneOptions,
}

/// Takes the best rung of the ladder that the account may take for these tables.
pub(super) async fn take(wanted: &Wanted<'_>, running: &Running) -> Result<Snapshot> {
    let address = wanted.address;
    let open = async |_| running.watch(session::reader(address).await?).await;
    let mut readers = try_join_all((0..wanted.threads).map(open)).await?;
    if wanted.options.no_consistency {
        return Ok(Snapshot { readers, position: Position::unknown(SnapshotMethod::None) });
    }
    let mut locker = running.watch(session::control(address).await?).await?;
    let limits = format!("SET SESSION lock_wait_timeout = {TRY_SECONDS}, SESSION wait_timeout = {IDLE_SECONDS}");
    locker.exec(&limits).await?;
    locker.set_stall_timeout(address, SILENCE);
    let (mut refused, mut waited) = (Vec::new(), Duration::ZERO);
    for rung in rungs(locker.server.flavor, wanted.partial) {
        let asked = match hold(&mut locker, rung, wanted, &mut waited).await? {
            Held::Since(asked) => asked,
            Held::Refused(why) => {
                refused.push(format!("{}: {why}", rung.describe()));
                continue;
            }
        };
        readers.iter_mut().for_each(|reader| reader.set_stall_timeout(address, SILENCE));
        try_join_all(readers.iter_mut().map(|reader| reader.exec(BEGIN))).await?;
        readers.iter_mut().for_each(|reader| reader.set_stall_timeout(address, address.stall_timeout));
        // It answers only if it has held the lock until now.
        let mut position = position(&mut locker, rung).await?;
        unlock(&mut locker).await?;
        running.close(locker);
        position.writers_waited_ms = Some(milliseconds(waited + asked.elapsed()));
        position.refused = refused;
        return Ok(Snapshot { readers, position });
    }
    // What several connections see cannot be held together without a lock.
    running.close(locker);
    readers.drain(1..).for_each(|reader| running.close(reader));
    try_join_all(readers.iter_mut().map(|reader| reader.exec(BEGIN))).await?;
    let mut position = Position { refused, ..Position::unknown(SnapshotMethod::SingleTransaction) };
    position.writers_waited_ms = (waited > Duration::ZERO).then(|| milliseconds(waited));
    Ok(Snapshot { readers, position })
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The rungs that are tried, best first. For some tables only, the locks of these come before that of the whole server.
fn rungs(flavor: Flavor, partial: bool) -> Vec<SnapshotMethod> {
    let mut rungs = match flavor {
        Flavor::MySql => vec![SnapshotMethod::GlobalReadLock, SnapshotMethod::TableLocks],
        Flavor::MariaDb => {
            vec![SnapshotMethod::GlobalReadLock, SnapshotMethod::BackupStage, SnapshotMethod::TableLocks]
        }
    };
    if partial {
        rungs.rotate_right(1);
    }
    rungs
}

/// How the asking for a rung's lock ended.
enum Held {
    /// It is held; it was asked for at this time.
    Since(Instant),
    /// It is not to be had, and why.
    Refused(String),
}

/// Takes the lock of a rung, by short tries within `--lock-wait`. What writers waited for tries that failed is added to
/// `waited`.
async fn hold(conn: &mut Conn, rung: SnapshotMethod, wanted: &Wanted<'_>, waited: &mut Duration) -> Result<Held> {
    let until = Instant::now() + Duration::from_secs(wanted.options.lock_wait);
    let mut next_pause = FIRST_PAUSE;
    let mut young = Young::default();
    loop {
        let (why, pause) = match obstacle(conn, rung, wanted.options.lock_guard).await? {
            Some(why) => {
                young = Young::default();
                (why, LOOK)
            }
            None if young.still_run(conn, rung, wanted.options.lock_guard).await? => {
                tokio::time::sleep(LOOK).await;
                continue;
            }
            None => {
                let asked = Instant::now();
                let Err(error) = lock(conn, rung, wanted).await else { return Ok(Held::Since(asked)) };
                // A broken connection is no answer.
                if error.code().is_none() {
                    return Err(error);
                }
                unlock(conn).await?;
                if error.code() != Some(LOCK_WAIT_TIMEOUT) {
                    return Ok(Held::Refused(error.to_string()));
                }
                *waited += asked.elapsed();
                let pause = next_pause;
                next_pause = (2 * pause).min(LONGEST_PAUSE);
                (error.to_string(), pause)
            }
        };
        if Instant::now() + pause >= until {
            return Ok(Held::Refused(format!("{why}, for {} s", wanted.options.lock_wait)));
        }
        tokio::time::sleep(pause).await;
    }
}

/// Statements that ran at the first look and still run: each may become one that takes long.
#[derive(Default)]
struct Young {
    since: Option<Instant>,
    statements: BTreeSet<(u64, String)>,
}

impl Young {
    /// Looks at them once more. After `guard` seconds those that are left are old, or were followed by others alike. Only
    /// MySQL leaves tables blocked after a lock that was asked for in vain.
    async fn still_run(&mut self, conn: &mut Conn, rung: SnapshotMethod, guard: u64) -> Result<bool> {
        if rung != SnapshotMethod::GlobalReadLock || conn.server.flavor != Flavor::MySql || guard == 0 {
            return Ok(false);
        }
        let sql = format!("SELECT ID, INFO FROM information_schema.PROCESSLIST WHERE {OTHERS_RUN}");
        let rows = match conn.rows(&sql).await {
            Err(error) if error.code().is_none() => return Err(error),
            other => other.unwrap_or_default(),
        };
        let now: BTreeSet<_> = rows.iter().map(|row| (row.number(0), row.string(1))).collect();
        let is_first = self.since.is_none();
        let since = *self.since.get_or_insert_with(Instant::now);
        match is_first {
            true => self.statements = now,
            false => self.statements.retain(|statement| now.contains(statement)),
        }
        Ok(!self.statements.is_empty() && since.elapsed() < Duration::from_secs(guard))
    }
}

/// A statement that would hold the global read lock off, and all others behind it. Without the right `PROCESS` none is
/// seen.
async fn obstacle(conn: &mut Conn, rung: SnapshotMethod, guard: u64) -> Result<Option<String>> {
    if rung != SnapshotMethod::GlobalReadLock || guard == 0 {
        return Ok(None);
    }
    // MariaDB does not wait for those that only read.
    let kind = match conn.server.flavor {
        Flavor::MySql => "TRUE",
        Flavor::MariaDb => {
            "INFO REGEXP '^(INSERT|REPLACE|UPDATE|DELETE|LOAD|ALTER|CREATE|DROP|RENAME|OPTIMIZE|REPAIR|CALL)'"
        }
    };
    let sql = format!(
        "SELECT ID, USER, TIME, LEFT(INFO, 60) FROM information_schema.PROCESSLIST \
         WHERE {OTHERS_RUN} AND {kind} \
         AND (TIME >= {guard} OR STATE IN ('Waiting for global read lock', 'Waiting for table flush')) \
         ORDER BY TIME DESC LIMIT 1"
    );
    let row = match conn.row(&sql).await {
        Err(error) if error.code().is_none() => return Err(error),
        other => other.ok().flatten(),
    };
    Ok(row.map(|row| {
        let (id, user, time, text) = (row.string(0), row.string(1), row.string(2), row.string(3));
        format!("connection {id} of {} runs a statement since {time} s ({})", Printable(&user), Printable(&text))
    }))
}

async fn lock(conn: &mut Conn, rung: SnapshotMethod, wanted: &Wanted<'_>) -> Result<()> {
    match rung {
        SnapshotMethod::GlobalReadLock => conn.exec("FLUSH TABLES WITH READ LOCK").await.map(drop),
        SnapshotMethod::BackupStage => {
            for stage in ["START", "FLUSH", "BLOCK_DDL", "BLOCK_COMMIT"] {
                conn.exec(&format!("BACKUP STAGE {stage}")).await?;
            }
            Ok(())
        }
        _ => {
            if conn.server.flavor == Flavor::MySql {
                // Keeps definitions still as well; the table locks alone hold the rows.
                conn.try_exec_each(&["LOCK INSTANCE FOR BACKUP"]).await?;
            }
            let database = quote_name(&wanted.address.database);
            let locks: Vec<String> =
                wanted.tables.iter().map(|table| format!("{database}.{} READ", quote_name(table))).collect();
            match locks.is_empty() {
                true => Ok(()),
                false => conn.exec(&format!("LOCK TABLES {}", locks.join(", "))).await.map(drop),
            }
        }
    }
}

async fn unlock(conn: &mut Conn) -> Result<()> {
    conn.try_exec_each(match conn.server.flavor {
        Flavor::MySql => &["UNLOCK TABLES", "UNLOCK INSTANCE"],
        Flavor::MariaDb => &["UNLOCK TABLES", "BACKUP STAGE END"],
    })
    .await
}

/// The binary log's position at this moment, where the account may see it and the server keeps one.
async fn position(conn: &mut Conn, rung: SnapshotMethod) -> Result<Position> {
    let mut position = Position::unknown(rung);
    // The statement was renamed in MySQL 8.2; MariaDB keeps the old name.
    for sql in ["SHOW BINARY LOG STATUS", "SHOW MASTER STATUS"] {
        match conn.row(sql).await {
            Ok(Some(row)) => {
                position.binlog_file = row.text(0);
                position.binlog_position = Some(row.number(1));
                position.gtid = row.text(4).filter(|gtid| !gtid.is_empty());
                break;
            }
            Ok(None) => break,
            Err(error) if error.code().is_none() => return Err(error),
            Err(_) => {}
        }
    }
    if conn.server.flavor == Flavor::MariaDb
        && let Ok(Some(row)) = conn.row("SELECT @@gtid_binlog_pos").await
    {
        position.gtid = row.text(0).filter(|gtid| !gtid.is_empty());
    }
    Ok(position)
}
