//! The ladder: how several connections come to see the same moment, by what the account may do.

use futures::future::try_join_all;

use super::connect::{Address, Conn};
use super::ddl::quote_name;
use super::running::Running;
use super::session;
use crate::catalog::Flavor;
use crate::error::{Error, Result};
use crate::plan::{Position, Rung};

/// How long the server may wait for a lock. Others wait behind us meanwhile, so it is short.
const LOCK_WAIT_SECONDS: u32 = 10;
const BEGIN: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";

/// Connections that all see one moment, and what is known of it.
pub(super) struct Snapshot {
    pub(super) readers: Vec<Conn>,
    pub(super) position: Position,
}

/// Takes the best rung of the ladder that the account may take for these tables.
pub(super) async fn take(
    address: &Address,
    running: &Running,
    tables: &[String],
    threads: usize,
    no_consistency: bool,
) -> Result<Snapshot> {
    let open = async |_| Ok::<_, Error>(running.watch(session::reader(address).await?));
    let mut readers = try_join_all((0..threads).map(open)).await?;
    if no_consistency {
        return Ok(Snapshot { readers, position: Position::unknown(Rung::None) });
    }
    let mut locker = running.watch(session::control(address).await?);
    locker.exec(&format!("SET SESSION lock_wait_timeout = {LOCK_WAIT_SECONDS}")).await?;
    let mut refused = Vec::new();
    for rung in rungs(locker.server.flavor) {
        let locked = lock(&mut locker, rung, address, tables).await;
        if let Err(error) = locked {
            // A broken connection is no answer.
            if error.code().is_none() {
                return Err(error);
            }
            unlock(&mut locker).await?;
            refused.push(format!("{}: {error}", rung.describe()));
            continue;
        }
        try_join_all(readers.iter_mut().map(|reader| reader.exec(BEGIN))).await?;
        let mut position = position(&mut locker, rung).await?;
        unlock(&mut locker).await?;
        running.close(locker);
        position.refused = refused;
        return Ok(Snapshot { readers, position });
    }
    // What several connections see cannot be held together without a lock.
    running.close(locker);
    readers.drain(1..).for_each(|reader| running.close(reader));
    try_join_all(readers.iter_mut().map(|reader| reader.exec(BEGIN))).await?;
    Ok(Snapshot { readers, position: Position { refused, ..Position::unknown(Rung::SingleTransaction) } })
}

fn rungs(flavor: Flavor) -> Vec<Rung> {
    match flavor {
        Flavor::MySql => vec![Rung::GlobalReadLock, Rung::TableLocks],
        Flavor::MariaDb => vec![Rung::GlobalReadLock, Rung::BackupStage, Rung::TableLocks],
    }
}

async fn lock(conn: &mut Conn, rung: Rung, address: &Address, tables: &[String]) -> Result<()> {
    match rung {
        Rung::GlobalReadLock => conn.exec("FLUSH TABLES WITH READ LOCK").await.map(drop),
        Rung::BackupStage => {
            for stage in ["START", "FLUSH", "BLOCK_DDL", "BLOCK_COMMIT"] {
                conn.exec(&format!("BACKUP STAGE {stage}")).await?;
            }
            Ok(())
        }
        _ => {
            if conn.server.flavor == Flavor::MySql {
                // Keeps definitions still as well; the table locks alone hold the rows.
                conn.try_each(&["LOCK INSTANCE FOR BACKUP"]).await?;
            }
            let database = quote_name(&address.database);
            let locks: Vec<String> =
                tables.iter().map(|table| format!("{database}.{} READ", quote_name(table))).collect();
            match locks.is_empty() {
                true => Ok(()),
                false => conn.exec(&format!("LOCK TABLES {}", locks.join(", "))).await.map(drop),
            }
        }
    }
}

async fn unlock(conn: &mut Conn) -> Result<()> {
    conn.try_each(match conn.server.flavor {
        Flavor::MySql => &["UNLOCK TABLES", "UNLOCK INSTANCE"],
        Flavor::MariaDb => &["UNLOCK TABLES", "BACKUP STAGE END"],
    })
    .await
}

/// The binary log's position at this moment, where the account may see it and the server keeps one.
async fn position(conn: &mut Conn, rung: Rung) -> Result<Position> {
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
