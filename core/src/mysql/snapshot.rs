//! Takes a consistent snapshot: several connections that see the same state of the database.
//!
//! The methods are tried in order of preference, and the privileges of the account decide which one works.
//!
//! Statements that write wait behind a pending lock, so each try for a lock is short. MySQL keeps the tables of a running
//! statement blocked until it ends, even after the try for the global read lock has ended. So the lock is not requested
//! while a statement runs for long, or may come to run for long.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures::future::try_join_all;

use super::capability::{self, Capability};
use super::connect::{Conn, ServerAddress};
use super::connection_registry::ConnectionRegistry;
use super::ddl::quote_name;
use super::prepared_transactions::wait_until_decided;
use super::unlocked_snapshot::begin_unlocked;
use super::xa_recover::read_prepared;
use super::{log_position, session};
use crate::catalog::{Flavor, Printable, Server};
use crate::error::Result;
use crate::options::CloneOptions;
use crate::plan::{Plan, Position, SnapshotMethod};

/// The seconds that one try waits for a lock.
const LOCK_TRY_SECONDS: u32 = 1;
/// The first pause between two tries, in which waiting writers proceed. Each pause is longer than the one before.
const MIN_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(4);
/// The interval between two checks whether long statements have ended.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// How long a connection may be silent while the lock is held and writers wait, before another connection checks it.
const LOCKED_SILENCE: Duration = Duration::from_secs(4);
/// The idle seconds after which the server closes the connection that holds the lock, because a stopped or unreachable
/// process cannot unlock. Longer than a pause.
const LOCK_IDLE_SECONDS: u32 = 10;
const LOCK_WAIT_TIMEOUT: u16 = 1205;
/// The condition that a row of PROCESSLIST is a running statement of another session.
const FOREIGN_STATEMENTS: &str =
    "ID <> CONNECTION_ID() AND USER <> 'system user' AND COMMAND IN ('Query', 'Execute', 'Fetch')";

/// Connections that see the same state of the database, and the position of that state.
pub(super) struct Snapshot {
    pub(super) readers: Vec<Conn>,
    pub(super) position: Position,
}

/// What to take a snapshot of.
pub(super) struct SnapshotRequest<'a> {
    pub(super) address: &'a ServerAddress,
    pub(super) tables: &'a [String],
    /// Whether the database has further tables.
    pub(super) partial: bool,
    pub(super) threads: usize,
    pub(super) options: &'a CloneOptions,
    /// The plan of the tables, if a place in the log is needed.
    pub(super) followed: Option<&'a Plan>,
}

/// Takes a snapshot by the best method that the account may use for these tables.
pub(super) async fn take_snapshot(request: &SnapshotRequest<'_>, connections: &ConnectionRegistry) -> Result<Snapshot> {
    let address = request.address;
    let open = async |_| connections.register(session::open_reader(address).await?).await;
    let mut readers = try_join_all((0..request.threads).map(open)).await?;
    let mut locker = connections.register(session::open_control(address).await?).await?;
    // A resume without consistency reads several moments, but what it reads now is of one.
    if request.options.no_consistency && !request.options.resume {
        let position = read_early_position(&mut locker, SnapshotMethod::None).await?;
        connections.close(locker);
        return Ok(Snapshot { readers, position });
    }
    let limits =
        format!("SET SESSION lock_wait_timeout = {LOCK_TRY_SECONDS}, SESSION wait_timeout = {LOCK_IDLE_SECONDS}");
    locker.exec(&limits).await?;
    locker.set_stall_timeout(address, LOCKED_SILENCE);
    let (mut refused, mut waited) = (Vec::new(), Duration::ZERO);
    for method in snapshot_methods(&locker.server, request.partial) {
        let requested_at = match acquire_lock(&mut locker, method, request, &mut waited).await? {
            LockAttempt::Acquired(requested_at) => requested_at,
            LockAttempt::Unavailable(why) => {
                refused.push(format!("{}: {why}", method.describe()));
                continue;
            }
        };
        readers.iter_mut().for_each(|reader| reader.set_stall_timeout(address, LOCKED_SILENCE));
        try_join_all(readers.iter_mut().map(|reader| reader.exec(session::BEGIN_SNAPSHOT))).await?;
        readers.iter_mut().for_each(|reader| reader.set_stall_timeout(address, address.stall_timeout));
        // An answer proves that the connection has held the lock until now.
        let mut position = log_position::read_position(&mut locker, method).await?;
        unlock_tables(&mut locker).await?;
        connections.close(locker);
        position.writers_waited_ms = Some(milliseconds(waited + requested_at.elapsed()));
        position.refused = refused;
        return Ok(Snapshot { readers, position });
    }
    if let Some(plan) = request.followed {
        match begin_unlocked(&mut locker, &mut readers, plan, (address, request.options), connections).await? {
            Ok(position) => {
                connections.close(locker);
                let writers_waited_ms = (waited > Duration::ZERO).then(|| milliseconds(waited));
                return Ok(Snapshot { readers, position: Position { refused, writers_waited_ms, ..position } });
            }
            Err(why) => refused.push(format!("{}: {why}", SnapshotMethod::UnchangedLog.describe())),
        }
    }
    // Without a lock, several connections would see different states, and the position has to be read first.
    let position = read_early_position(&mut locker, SnapshotMethod::SingleTransaction).await?;
    connections.close(locker);
    readers.drain(1..).for_each(|reader| connections.close(reader));
    try_join_all(readers.iter_mut().map(|reader| reader.exec(session::BEGIN_SNAPSHOT))).await?;
    let mut position = Position { refused, ..position };
    position.writers_waited_ms = (waited > Duration::ZERO).then(|| milliseconds(waited));
    Ok(Snapshot { readers, position })
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The methods to try, best first. If only some tables are cloned, their locks come before that of the whole server.
fn snapshot_methods(server: &Server, partial: bool) -> Vec<SnapshotMethod> {
    let mut methods = match server.flavor {
        Flavor::MySql => vec![SnapshotMethod::GlobalReadLock, SnapshotMethod::TableLocks],
        Flavor::MariaDb => {
            vec![SnapshotMethod::GlobalReadLock, SnapshotMethod::BackupStage, SnapshotMethod::TableLocks]
        }
    };
    if partial {
        methods.rotate_right(1);
    }
    // Elsewhere an open transaction commits under the lock, so the tables are not of one moment.
    let is_moment = capability::has(server, Capability::TableLocksWaitForTransactions);
    methods.retain(|method| is_moment || *method != SnapshotMethod::TableLocks);
    methods
}

/// The outcome of the tries for the lock of a method.
enum LockAttempt {
    /// The lock is held since it was requested at this time.
    Acquired(Instant),
    /// The lock cannot be taken, for this reason.
    Unavailable(String),
}

/// Takes the lock of a method by short tries within `--lock-wait`. Adds the time that writers waited for failed tries to
/// `waited`.
async fn acquire_lock(
    conn: &mut Conn,
    method: SnapshotMethod,
    request: &SnapshotRequest<'_>,
    waited: &mut Duration,
) -> Result<LockAttempt> {
    let until = Instant::now() + Duration::from_secs(request.options.lock_wait);
    let mut next_pause = MIN_PAUSE;
    let mut recent = RecentStatements::default();
    loop {
        let checked_at = Instant::now();
        let (why, pause) = match blocking_statement(conn, method, request.options.lock_guard).await? {
            Some(why) => {
                recent = RecentStatements::default();
                (why, POLL_INTERVAL)
            }
            None if recent.are_running(conn, method, request.options.lock_guard, checked_at).await? => {
                tokio::time::sleep(POLL_INTERVAL).await;
                continue;
            }
            None => {
                let requested_at = Instant::now();
                let (why, is_prepared) = match lock_tables(conn, method, request).await {
                    Ok(()) if holds_commits(conn, method).await? => return Ok(LockAttempt::Acquired(requested_at)),
                    Ok(()) => ("XA transactions are prepared, which table locks do not hold".to_owned(), true),
                    // A lost connection is no refusal.
                    Err(error) if error.code().is_none() => return Err(error),
                    Err(error) if error.code() != Some(LOCK_WAIT_TIMEOUT) => {
                        unlock_tables(conn).await?;
                        return Ok(LockAttempt::Unavailable(error.to_string()));
                    }
                    Err(error) => (error.to_string(), false),
                };
                unlock_tables(conn).await?;
                *waited += requested_at.elapsed();
                if is_prepared && !wait_until_decided(conn, MIN_PAUSE).await?.is_empty() {
                    return Ok(LockAttempt::Unavailable(why));
                }
                let pause = next_pause;
                next_pause = (2 * pause).min(MAX_PAUSE);
                (why, pause)
            }
        };
        if Instant::now() + pause >= until {
            return Ok(LockAttempt::Unavailable(format!("{why}, for {} s", request.options.lock_wait)));
        }
        tokio::time::sleep(pause).await;
    }
}

/// Statements that have been running since the first check. Each may come to run for long.
#[derive(Default)]
struct RecentStatements {
    since: Option<Instant>,
    statements: BTreeSet<(u64, String)>,
}

impl RecentStatements {
    /// Checks whether any of the statements still runs. A check for long statements that began at `checked_at`, `guard`
    /// seconds after the first call or later, has found the long ones: the rest are equal ones that started later.
    ///
    /// Only MySQL keeps tables blocked after a failed try, so MariaDB is not checked.
    async fn are_running(
        &mut self,
        conn: &mut Conn,
        method: SnapshotMethod,
        guard: u64,
        checked_at: Instant,
    ) -> Result<bool> {
        if method != SnapshotMethod::GlobalReadLock || conn.server.flavor != Flavor::MySql || guard == 0 {
            return Ok(false);
        }
        let list = conn.process_list().await?;
        let sql = format!("SELECT ID, INFO FROM {list} WHERE {FOREIGN_STATEMENTS}");
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
        Ok(!self.statements.is_empty() && checked_at.saturating_duration_since(since) < Duration::from_secs(guard))
    }
}

/// Finds a statement for which the global read lock, and all statements behind it, would wait. Without the privilege
/// `PROCESS` none is visible.
async fn blocking_statement(conn: &mut Conn, method: SnapshotMethod, guard: u64) -> Result<Option<String>> {
    if method != SnapshotMethod::GlobalReadLock || guard == 0 {
        return Ok(None);
    }
    // MariaDB does not wait for statements that only read.
    let kind = match conn.server.flavor {
        Flavor::MySql => "TRUE",
        Flavor::MariaDb => {
            "INFO REGEXP '^(INSERT|REPLACE|UPDATE|DELETE|LOAD|ALTER|CREATE|DROP|RENAME|OPTIMIZE|REPAIR|CALL)'"
        }
    };
    let list = conn.process_list().await?;
    let sql = format!(
        "SELECT ID, USER, TIME, LEFT(INFO, 60) FROM {list} \
         WHERE {FOREIGN_STATEMENTS} AND {kind} \
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

async fn lock_tables(conn: &mut Conn, method: SnapshotMethod, request: &SnapshotRequest<'_>) -> Result<()> {
    match method {
        SnapshotMethod::GlobalReadLock => conn.exec("FLUSH TABLES WITH READ LOCK").await.map(drop),
        SnapshotMethod::BackupStage => {
            for stage in ["START", "FLUSH", "BLOCK_DDL", "BLOCK_COMMIT"] {
                conn.exec(&format!("BACKUP STAGE {stage}")).await?;
            }
            Ok(())
        }
        _ => {
            if conn.server.flavor == Flavor::MySql {
                // Blocks DDL too. The table locks alone keep the rows unchanged.
                conn.try_exec_each(&["LOCK INSTANCE FOR BACKUP"]).await?;
            }
            let database = quote_name(&request.address.database);
            let locks: Vec<String> =
                request.tables.iter().map(|table| format!("{database}.{} READ", quote_name(table))).collect();
            match locks.is_empty() {
                true => Ok(()),
                false => conn.exec(&format!("LOCK TABLES {}", locks.join(", "))).await.map(drop),
            }
        }
    }
}

/// Whether no transaction can commit under the lock. MariaDB's table locks do not wait for a prepared XA transaction whose
/// session has ended, and its XA COMMIT changes the tables under them (measured on 10.11; MySQL 9.7 waits).
async fn holds_commits(conn: &mut Conn, method: SnapshotMethod) -> Result<bool> {
    if method != SnapshotMethod::TableLocks || conn.server.flavor != Flavor::MariaDb {
        return Ok(true);
    }
    Ok(read_prepared(conn).await?.is_none_or(|prepared| prepared.is_empty()))
}

async fn unlock_tables(conn: &mut Conn) -> Result<()> {
    conn.try_exec_each(match conn.server.flavor {
        Flavor::MySql => &["UNLOCK TABLES", "UNLOCK INSTANCE"],
        Flavor::MariaDb => &["UNLOCK TABLES", "BACKUP STAGE END"],
    })
    .await
}

/// Reads the position from which the log holds all changes that rows read later may lack.
async fn read_early_position(conn: &mut Conn, method: SnapshotMethod) -> Result<Position> {
    let position = log_position::read_position(conn, method).await?;
    Ok(Position { before_snapshot: position.binlog_file.is_some(), ..position })
}
