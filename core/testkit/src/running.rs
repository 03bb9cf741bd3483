//! The usual set of servers: what the tests of every language share.

use std::collections::BTreeMap;
use std::thread;

use serde::{Deserialize, Serialize};

use crate::database::Database;
use crate::error::{Error, Result};
use crate::flavor::Flavor;
use crate::release::Release;
use crate::s3::{Bucket, S3};
use crate::server::{Server, ServerOptions};
use crate::sshd::{SshHost, Sshd};

/// Two servers of one kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServerPair<T = Database> {
    /// The source of clones.
    pub source: T,
    /// The target of clones.
    pub target: T,
}

/// The kinds of servers to start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerSelection {
    /// Two MySQL servers.
    pub mysql: bool,
    /// Two MariaDB servers.
    pub mariadb: bool,
    /// One server of each of these releases, out of [`Release::EXTRA`].
    pub extra: Vec<Release>,
    /// An S3 server.
    pub s3: bool,
    /// Two SSH servers.
    pub sshd: bool,
    /// Database servers flush their files to the disk: for benchmarks.
    pub fsync: bool,
}

impl ServerSelection {
    /// All kinds, without further releases.
    pub fn all() -> Self {
        Self { mysql: true, mariadb: true, s3: true, sshd: true, ..Self::default() }
    }
}

/// The addresses of running servers: the line of JSON that `testkit up` prints.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RunningServers {
    /// Two MySQL servers.
    pub mysql: Option<ServerPair>,
    /// Two MariaDB servers.
    pub mariadb: Option<ServerPair>,
    /// The servers of further releases, in JSON by their ids: `mysql56`.
    #[serde(flatten)]
    pub extra: BTreeMap<Release, Database>,
    /// An S3 server.
    pub s3: Option<Bucket>,
    /// Two SSH servers.
    pub sshd: Option<ServerPair<SshHost>>,
}

impl RunningServers {
    /// The environment variables by which [`mysql_pair`](crate::mysql_pair) and the like find these servers.
    pub fn environment(&self) -> Result<Vec<(&'static str, String)>> {
        let json = serde_json::to_string(self).map_err(|error| Error::new(error.to_string()))?;
        let mut variables = vec![(crate::shared::TESTKIT, json)];
        for (pair, source, target) in [
            (&self.mysql, crate::shared::MYSQL_SOURCE, crate::shared::MYSQL_TARGET),
            (&self.mariadb, crate::shared::MARIADB_SOURCE, crate::shared::MARIADB_TARGET),
        ] {
            if let Some(pair) = pair {
                variables.push((source, pair.source.url.clone()));
                variables.push((target, pair.target.url.clone()));
            }
        }
        for (release, server) in &self.extra {
            variables.extend(crate::shared::variable_of(*release).map(|name| (name, server.url.clone())));
        }
        if let Some(s3) = &self.s3 {
            variables.push((crate::shared::S3_ENDPOINT, s3.endpoint.clone()));
            variables.push((crate::shared::S3_BUCKET, s3.bucket.clone()));
            variables.extend(s3.environment());
        }
        if let Some(hosts) = &self.sshd {
            variables.push((crate::shared::SSH_SOURCE, hosts.source.login_url()));
            variables.push((crate::shared::SSH_TARGET, hosts.target.login_url()));
        }
        Ok(variables)
    }
}

/// Running servers of this process. Dropping them stops them.
#[derive(Debug, Default)]
pub struct Servers {
    mysql: Option<(Server, Server)>,
    mariadb: Option<(Server, Server)>,
    extra: Vec<(Release, Server)>,
    s3: Option<S3>,
    sshd: Option<(Sshd, Sshd)>,
}

impl Servers {
    /// Starts what is wanted, all at the same time.
    pub fn start(wanted: ServerSelection) -> Result<Self> {
        thread::scope(|scope| {
            let mysql = wanted.mysql.then(|| scope.spawn(|| start_pair(Flavor::MySql, wanted.fsync)));
            let mariadb = wanted.mariadb.then(|| scope.spawn(|| start_pair(Flavor::MariaDb, wanted.fsync)));
            let start_one = |release: &Release| {
                let options = ServerOptions::new(*release).fsync(wanted.fsync);
                (*release, scope.spawn(move || options.start()))
            };
            let extra: Vec<_> = wanted.extra.iter().map(start_one).collect();
            let s3 = wanted.s3.then(|| scope.spawn(S3::start));
            let sshd = wanted.sshd.then(|| scope.spawn(|| Ok((Sshd::start()?, Sshd::start()?))));
            Ok(Self {
                mysql: mysql.map(joined).transpose()?,
                mariadb: mariadb.map(joined).transpose()?,
                extra: extra
                    .into_iter()
                    .map(|(release, server)| Ok((release, joined(server)?)))
                    .collect::<Result<_>>()?,
                s3: s3.map(joined).transpose()?,
                sshd: sshd.map(joined).transpose()?,
            })
        })
    }

    /// The addresses and accounts of the servers.
    pub fn running(&self) -> RunningServers {
        RunningServers {
            mysql: self.mysql.as_ref().map(|servers| pair(servers, Server::database)),
            mariadb: self.mariadb.as_ref().map(|servers| pair(servers, Server::database)),
            extra: self.extra.iter().map(|(release, server)| (*release, server.database().clone())).collect(),
            s3: self.s3.as_ref().map(|server| server.bucket().clone()),
            sshd: self.sshd.as_ref().map(|servers| pair(servers, Sshd::ssh_host)),
        }
    }
}

fn pair<S, T: Clone>((source, target): &(S, S), reached: impl Fn(&S) -> &T) -> ServerPair<T> {
    ServerPair { source: reached(source).clone(), target: reached(target).clone() }
}

/// The target's server id is 2, as a replica's would be.
pub(crate) fn start_pair(flavor: Flavor, fsync: bool) -> Result<(Server, Server)> {
    thread::scope(|scope| {
        let target = scope.spawn(|| ServerOptions::new(flavor).fsync(fsync).arg("--server-id=2").start());
        let source = ServerOptions::new(flavor).fsync(fsync).start();
        Ok((source?, joined(target)?))
    })
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().map_err(|_| Error::new("starting a server panicked"))?
}
