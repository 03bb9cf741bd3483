//! Servers that all tests of a process share, started at their first use.

use std::env;
use std::sync::OnceLock;

use crate::database::Database;
use crate::error::{Context, Error, Result};
use crate::flavor::Flavor;
use crate::release::Release;
use crate::running::{RunningServers, ServerPair, ServerSelection, Servers};
use crate::s3::Bucket;
use crate::sshd::SshHost;

/// All that runs, as JSON; set by `testkit run`.
pub(crate) const TESTKIT: &str = "DBGRAFT_TESTKIT";
pub(crate) const MYSQL_SOURCE: &str = "DBGRAFT_TEST_MYSQL_SOURCE";
pub(crate) const MYSQL_TARGET: &str = "DBGRAFT_TEST_MYSQL_TARGET";
pub(crate) const MARIADB_SOURCE: &str = "DBGRAFT_TEST_MARIADB_SOURCE";
pub(crate) const MARIADB_TARGET: &str = "DBGRAFT_TEST_MARIADB_TARGET";
pub(crate) const SSH_SOURCE: &str = "DBGRAFT_TEST_SSH_SOURCE";
pub(crate) const SSH_TARGET: &str = "DBGRAFT_TEST_SSH_TARGET";
pub(crate) const S3_ENDPOINT: &str = "DBGRAFT_TEST_S3_ENDPOINT";
pub(crate) const S3_BUCKET: &str = "DBGRAFT_TEST_S3_BUCKET";

/// Two MySQL servers: those that the environment names, else ones that live as long as this process.
///
/// # Panics
/// When there are none and none can be started. A test can do nothing else then.
pub fn mysql_pair() -> &'static ServerPair {
    static PAIR: OnceLock<ServerPair> = OnceLock::new();
    PAIR.get_or_init(|| or_panic(pair(Flavor::MySql, MYSQL_SOURCE, MYSQL_TARGET)))
}

/// Two MariaDB servers, as [`mysql_pair`].
///
/// # Panics
/// When there are none and none can be started.
pub fn mariadb_pair() -> &'static ServerPair {
    static PAIR: OnceLock<ServerPair> = OnceLock::new();
    PAIR.get_or_init(|| or_panic(pair(Flavor::MariaDb, MARIADB_SOURCE, MARIADB_TARGET)))
}

/// The pair of `flavor`: [`mysql_pair`] or [`mariadb_pair`].
///
/// # Panics
/// When there are none and none can be started.
pub fn pair_of(flavor: Flavor) -> &'static ServerPair {
    match flavor {
        Flavor::MySql => mysql_pair(),
        Flavor::MariaDb => mariadb_pair(),
    }
}

/// A server of `release` to clone from: the source of its pair, or the one server of a release that has no pair.
///
/// # Panics
/// When there is none and none can be started.
pub fn source_of(release: Release) -> &'static Database {
    match cell_of(release) {
        Some((cell, variable)) => cell.get_or_init(|| or_panic(single(release, variable))),
        None => &pair_of(release.flavor()).source,
    }
}

/// A server of `release` to clone into, as [`source_of`].
///
/// # Panics
/// When there is none and none can be started.
pub fn target_of(release: Release) -> &'static Database {
    match cell_of(release) {
        Some(_) => source_of(release),
        None => &pair_of(release.flavor()).target,
    }
}

/// The variable that names the server of a release that has no pair.
pub(crate) fn variable_of(release: Release) -> Option<&'static str> {
    cell_of(release).map(|(_, variable)| variable)
}

/// Where the server of a release that has no pair is kept, and the variable that names it.
fn cell_of(release: Release) -> Option<(&'static OnceLock<Database>, &'static str)> {
    static MYSQL_56: OnceLock<Database> = OnceLock::new();
    static MARIADB_105: OnceLock<Database> = OnceLock::new();
    static MARIADB_118: OnceLock<Database> = OnceLock::new();
    match release {
        Release::MySql56 => Some((&MYSQL_56, "DBGRAFT_TEST_MYSQL56")),
        Release::MariaDb105 => Some((&MARIADB_105, "DBGRAFT_TEST_MARIADB105")),
        Release::MariaDb118 => Some((&MARIADB_118, "DBGRAFT_TEST_MARIADB118")),
        Release::MySql97 | Release::MariaDb1011 => None,
    }
}

/// An S3 server, as [`mysql_pair`].
///
/// # Panics
/// When there is none and none can be started.
pub fn s3() -> &'static Bucket {
    static BUCKET: OnceLock<Bucket> = OnceLock::new();
    BUCKET.get_or_init(|| or_panic(bucket()))
}

/// An SSH server, as [`mysql_pair`].
///
/// # Panics
/// When there is none and none can be started.
pub fn sshd() -> &'static SshHost {
    static HOST: OnceLock<SshHost> = OnceLock::new();
    HOST.get_or_init(|| or_panic(ssh_host()))
}

fn or_panic<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

fn pair(flavor: Flavor, source: &str, target: &str) -> Result<ServerPair> {
    let of = |running: &RunningServers| match flavor {
        Flavor::MySql => running.mysql.clone(),
        Flavor::MariaDb => running.mariadb.clone(),
    };
    let known = of(&inherited()?);
    match (variable(source), variable(target)) {
        (Some(source), Some(target)) => match known {
            // What `testkit run` started has more to tell than a URL has.
            Some(pair) if pair.source.url == source && pair.target.url == target => Ok(pair),
            _ => Ok(ServerPair { source: Database::from_url(&source)?, target: Database::from_url(&target)? }),
        },
        (None, None) => {
            let wanted = ServerSelection {
                mysql: flavor == Flavor::MySql,
                mariadb: flavor == Flavor::MariaDb,
                ..ServerSelection::default()
            };
            of(&keep(Servers::start(wanted)?)).ok_or_else(|| Error::new("nothing was started"))
        }
        _ => Err(Error::new(format!("set both {source} and {target}, or none"))),
    }
}

fn single(release: Release, name: &str) -> Result<Database> {
    if let Some(url) = variable(name) {
        let known = inherited()?.extra.remove(&release).filter(|server| server.url == url);
        return known.map_or_else(|| Database::from_url(&url), Ok);
    }
    let wanted = ServerSelection { extra: vec![release], ..ServerSelection::default() };
    keep(Servers::start(wanted)?).extra.remove(&release).ok_or_else(|| Error::new("nothing was started"))
}

fn bucket() -> Result<Bucket> {
    let Some(endpoint) = variable(S3_ENDPOINT) else {
        let wanted = ServerSelection { s3: true, ..ServerSelection::default() };
        return keep(Servers::start(wanted)?).s3.ok_or_else(|| Error::new("nothing was started"));
    };
    if let Some(known) = inherited()?.s3.filter(|known| known.endpoint == endpoint) {
        return Ok(known);
    }
    let needed = |name: &str| variable(name).ok_or_else(|| Error::new(format!("{S3_ENDPOINT} is set, {name} is not")));
    Ok(Bucket {
        endpoint,
        region: variable("AWS_REGION").unwrap_or_else(|| "us-east-1".to_owned()),
        access_key: needed("AWS_ACCESS_KEY_ID")?,
        secret_key: needed("AWS_SECRET_ACCESS_KEY")?,
        bucket: needed(S3_BUCKET)?,
        pid: None,
        data_dir: None,
    })
}

fn ssh_host() -> Result<SshHost> {
    let hosts = match inherited()?.sshd {
        Some(known) => Some(known),
        None => keep(Servers::start(ServerSelection { sshd: true, ..ServerSelection::default() })?).sshd,
    };
    hosts.map(|hosts| hosts.source).ok_or_else(|| Error::new("nothing was started"))
}

/// Never dropped: the servers' guards notice the end of this process.
fn keep(servers: Servers) -> RunningServers {
    let running = servers.running();
    std::mem::forget(servers);
    running
}

fn inherited() -> Result<RunningServers> {
    variable(TESTKIT).map_or_else(|| Ok(RunningServers::default()), |json| serde_json::from_str(&json).context(TESTKIT))
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
