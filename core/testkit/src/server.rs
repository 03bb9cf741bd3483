use std::ffi::OsString;
use std::fs;
use std::ops::Deref;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::certificates::Certificates;
use crate::database::{Database, url_of};
use crate::error::{Context, Error, Result};
use crate::flavor::Flavor;
use crate::guard::{ProcessGuard, Program};
use crate::programs::ServerProgram;
use crate::release::{Release, TlsSupport};
use crate::{greeting, paths, port, random, template};

/// How long a server may take until it serves, on the slowest machine.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// MySQL, as `testkit install` fetched it or [`MYSQLD`](crate::MYSQLD) names it.
#[derive(Debug)]
pub struct MySql;

impl MySql {
    /// Starts a server with the test kit's defaults.
    pub fn start() -> Result<Server> {
        Self::options().start()
    }

    /// Begins a server that is special in some way.
    pub fn options() -> ServerOptions {
        ServerOptions::new(Flavor::MySql)
    }
}

/// MariaDB, as the system has it.
#[derive(Debug)]
pub struct MariaDb;

impl MariaDb {
    /// Starts a server with the test kit's defaults.
    pub fn start() -> Result<Server> {
        Self::options().start()
    }

    /// Begins a server that is special in some way.
    pub fn options() -> ServerOptions {
        ServerOptions::new(Flavor::MariaDb)
    }
}

/// Which certificates a server shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// MySQL: the ones that it made itself, which name no host. MariaDB has none: as `WithSan`. MySQL 5.6: as `Off`.
    #[default]
    Auto,
    /// Ones that are good for 127.0.0.1 and localhost.
    WithSan,
    /// None: the server speaks no TLS.
    Off,
}

/// The settings of a server that differ from the defaults of the test kit.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    release: Release,
    args: Vec<String>,
    tls: Tls,
    fsync: bool,
}

impl ServerOptions {
    /// The test kit's defaults for a release, or for the release that the tests of a flavor use.
    pub fn new(release: impl Into<Release>) -> Self {
        Self { release: release.into(), args: Vec::new(), tls: Tls::Auto, fsync: false }
    }

    /// Adds an argument of the server's command line, e.g. `--local-infile=0`. It wins over the test kit's own.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Chooses the certificates.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self
    }

    /// Whether the server flushes its files to the disk, as it does by default. Without, a killed server recovers and a
    /// killed machine may not, and each change of a table takes a part of the time. Default: false.
    #[must_use]
    pub fn fsync(mut self, fsync: bool) -> Self {
        self.fsync = fsync;
        self
    }

    /// Starts the server and waits until it serves.
    pub fn start(&self) -> Result<Server> {
        let program = ServerProgram::find(self.release)?;
        let mut attempts = 5;
        loop {
            attempts -= 1;
            match self.start_at(port::free()?, &program) {
                Err(StartError::PortTaken) if attempts > 0 => {}
                Err(StartError::PortTaken) => return Err(Error::new("five ports in a row were taken")),
                Err(StartError::Other(error)) => return Err(error),
                Ok(server) => return Ok(server),
            }
        }
    }

    fn start_at(&self, port: u16, server: &ServerProgram) -> std::result::Result<Server, StartError> {
        let dir = paths::new_server_dir(self.release.id())?;
        let data_dir = dir.join("data");
        let program = Program { path: server.path.clone(), args: self.command_line(&dir, port)?, env: Vec::new() };
        let guard = ProcessGuard::new(dir.clone(), program)?;
        template::copy_to(&data_dir, self.release, server, &self.args)?;
        paths::new_dir(&dir.join("tmp"))?;
        let certificates = match self.certificates()? {
            Tls::Off => None,
            Tls::Auto => Some(Certificates::in_dir(&data_dir)),
            Tls::WithSan => Some(Certificates::create(&dir)?),
        };
        let password = random::token(20)?;
        let init_file = dir.join("init.sql");
        fs::write(&init_file, accounts(self.release, &password)).at("cannot write", &init_file)?;
        guard.start()?;
        let version = wait_until_serving(&guard, port)?;
        fs::remove_file(&init_file)
            .and_then(|()| fs::write(&init_file, "")) // a restart looks for it
            .at("cannot empty", &init_file)?;

        let (user, host) = ("root".to_owned(), "127.0.0.1".to_owned());
        let info = Database {
            flavor: self.release.flavor(),
            version,
            url: url_of(&host, port, &user, &password),
            host,
            port,
            user,
            password,
            socket: Some(dir.join("socket")),
            pid: guard.pid(),
            ca: certificates.as_ref().map(|files| files.ca.clone()),
            client_cert: certificates.as_ref().map(|files| files.client_cert.clone()),
            client_key: certificates.as_ref().map(|files| files.client_key.clone()),
            data_dir: Some(data_dir),
        };
        Ok(Server { info, guard })
    }

    fn certificates(&self) -> Result<Tls> {
        match (self.release.profile().tls, self.tls) {
            (TlsSupport::GivenCertificates, Tls::Auto) => Ok(Tls::WithSan),
            (TlsSupport::None, Tls::Auto) => Ok(Tls::Off),
            (TlsSupport::None, Tls::WithSan) => {
                Err(Error::new(format!("{} speaks no version of TLS that a client of today accepts", self.release)))
            }
            (_, tls) => Ok(tls),
        }
    }

    fn command_line(&self, dir: &Path, port: u16) -> Result<Vec<OsString>> {
        let at = |option: &str, name: &str| format!("--{option}={}", dir.join(name).display());
        let mut args = vec![
            "--no-defaults".to_owned(),
            at("datadir", "data"),
            at("socket", "socket"),
            at("pid-file", "pid"),
            at("tmpdir", "tmp"),
            at("init-file", "init.sql"),
            format!("--port={port}"),
            "--bind-address=127.0.0.1".to_owned(),
        ];
        args.extend(template::as_user().map(str::to_owned));
        let common = [
            "--skip-name-resolve",
            "--server-id=1",
            "--log-bin=binlog",
            "--sync-binlog=0",
            // MySQL reads the file of a position from its start to find it.
            "--max-binlog-size=8M",
            "--secure-file-priv=",
            "--local-infile=1",
            "--max-connections=500",
            "--innodb-buffer-pool-size=256M",
            "--innodb-flush-log-at-trx-commit=2",
        ];
        let profile = self.release.profile();
        let unsynced = if self.fsync { &[] } else { profile.unsynced };
        args.extend(common.iter().chain(profile.args).chain(unsynced).map(|arg| (*arg).to_owned()));
        match self.certificates()? {
            Tls::Auto => {}
            Tls::WithSan => args.extend([
                at("ssl-ca", "ca.pem"),
                at("ssl-cert", "server-cert.pem"),
                at("ssl-key", "server-key.pem"),
            ]),
            Tls::Off => args.push(profile.without_tls.to_owned()),
        }
        args.extend(self.args.iter().cloned());
        Ok(args.into_iter().map(OsString::from).collect())
    }
}

enum StartError {
    PortTaken,
    Other(Error),
}

impl From<Error> for StartError {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// The statements that set the password of root for local and TCP connections (without name resolution a TCP client is
/// not `localhost`). They remove the roots for addresses that would go before '%', without passwords.
fn accounts(release: Release, password: &str) -> String {
    let own = release.profile().accounts.replace("{password}", password);
    format!("SET SESSION sql_log_bin = 0;\n{own}GRANT ALL PRIVILEGES ON *.* TO 'root'@'%' WITH GRANT OPTION;\n")
}

fn wait_until_serving(guard: &ProcessGuard, port: u16) -> std::result::Result<String, StartError> {
    let begun = Instant::now();
    loop {
        if !guard.is_running() {
            let log = guard.log();
            if log.contains("already in use") || log.contains("port: bind") {
                return Err(StartError::PortTaken);
            }
            return Err(Error::new(format!("the server ended at its start:\n{log}")).into());
        }
        match greeting::version("127.0.0.1", port) {
            // Another server on the same port may answer before this one finds the port taken.
            Ok(version) if guard.dir().join("pid").exists() => return Ok(version),
            Err(error) if begun.elapsed() > START_TIMEOUT => {
                return Err(Error::new(format!("the server does not serve: {error}\n{}", guard.log())).into());
            }
            _ => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// A running MySQL or MariaDB server. Dropping it stops it and removes its files.
///
/// It is also a [`Database`], which says how to reach it.
#[derive(Debug)]
pub struct Server {
    info: Database,
    guard: ProcessGuard,
}

impl Server {
    /// Kills the server with SIGKILL, and keeps its files.
    pub fn kill(&self) -> Result<()> {
        self.guard.kill()
    }

    /// Starts it again after [`kill`](Self::kill), at the same address with the same data.
    pub fn restart(&mut self) -> Result<()> {
        self.guard.kill()?;
        self.guard.start()?;
        self.info.pid = self.guard.pid();
        match wait_until_serving(&self.guard, self.info.port) {
            Ok(_) => Ok(()),
            Err(StartError::Other(error)) => Err(error),
            Err(StartError::PortTaken) => Err(Error::new("another process has taken the server's port")),
        }
    }

    /// Whether the server's process is there.
    pub fn is_running(&self) -> bool {
        self.guard.is_running()
    }

    /// What the server wrote to its error log.
    pub fn log(&self) -> String {
        self.guard.log()
    }

    /// The address and the account of the server.
    pub fn database(&self) -> &Database {
        &self.info
    }
}

impl Deref for Server {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.info
    }
}
