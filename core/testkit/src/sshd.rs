use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, TcpStream};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::database::encoded;
use crate::error::{Context, Error, Result};
use crate::guard::{ProcessGuard, Program};
use crate::programs::on_path;
use crate::template::is_root;
use crate::{paths, port};

/// The address and the keys of an SSH server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SshHost {
    /// `127.0.0.1`.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
    /// The account to log in to: the account that runs the test kit.
    pub user: String,
    /// `ssh://user@host:port`
    pub url: String,
    /// A private key (ed25519, no passphrase) that it accepts.
    pub identity: PathBuf,
    /// A known_hosts file that has its host key.
    pub known_hosts: PathBuf,
    /// Its public host key, as in known_hosts: `ssh-ed25519 AAAA…`.
    pub host_key: String,
    /// The same as `SHA256:…`.
    pub fingerprint: String,
    /// Its process.
    pub pid: Option<u32>,
}

impl SshHost {
    /// Its URL with the login key and the host key: all that `dbgraft` needs, independent of the user's SSH settings.
    pub fn login_url(&self) -> String {
        let identity = encoded(&self.identity.to_string_lossy());
        format!("{}?identity={identity}&host-key={}&config=/dev/null", self.url, encoded(&self.fingerprint))
    }
}

/// Options of an SSH server.
#[derive(Clone, Debug, Default)]
pub struct SshdOptions {
    lines: Vec<String>,
}

impl SshdOptions {
    /// Adds a line to sshd_config. It takes precedence over the test kit's own lines.
    #[must_use]
    pub fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// Starts the server and waits until it serves.
    pub fn start(&self) -> Result<Sshd> {
        for _ in 0..5 {
            if let Some(server) = self.start_at(port::free()?)? {
                return Ok(server);
            }
        }
        Err(Error::new("five ports in a row were taken"))
    }

    /// Returns `None` if another process took the port.
    fn start_at(&self, port: u16) -> Result<Option<Sshd>> {
        let sshd = on_path("sshd")
            .ok_or_else(|| Error::new("sshd is not here: run `testkit install`, or install openssh-server"))?;
        let dir = paths::new_server_dir("sshd")?;
        let config = dir.join("sshd_config");
        let program = Program {
            path: sshd,
            args: vec!["-D".into(), "-e".into(), "-f".into(), config.clone().into()],
            env: Vec::new(),
        };
        let guard = ProcessGuard::new(dir.clone(), program)?;
        let host_key_file = dir.join("host_key");
        let host_key = keygen(&host_key_file, "ed25519", "")?;
        let identity = dir.join("id_ed25519");
        let public = keygen(&identity, "ed25519", "")?;
        write(&dir.join("authorized_keys"), &format!("{public}\n"))?;
        let known_hosts = dir.join("known_hosts");
        write(&known_hosts, &format!("[127.0.0.1]:{port} {host_key}\n"))?;
        write(&config, &self.config(&dir, port))?;
        if is_root() {
            // The chroot directory of sshd's unprivileged process; a system service would create it.
            let empty = Path::new("/run/sshd");
            fs::create_dir_all(empty).at("cannot create", empty)?;
        }
        guard.start()?;
        if !wait_until_serving(&guard, port)? {
            return Ok(None);
        }
        let user = output(Command::new("id").arg("-un"))?;
        let shown = output(Command::new("ssh-keygen").arg("-lf").arg(&host_key_file))?;
        let info = SshHost {
            host: "127.0.0.1".to_owned(),
            port,
            url: format!("ssh://{user}@127.0.0.1:{port}"),
            user,
            identity,
            known_hosts,
            host_key,
            fingerprint: shown.split(' ').nth(1).unwrap_or_default().to_owned(),
            pid: guard.pid(),
        };
        Ok(Some(Sshd { info, guard }))
    }

    /// sshd uses the first line of each setting. The home directory of the sessions is removed with the server; it has no
    /// start-up file of a shell, which bash would execute for each command and which may take longer than the command.
    fn config(&self, dir: &Path, port: u16) -> String {
        let mut text = self.lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let dir = dir.display();
        text.push_str(&format!(
            "Port {port}\n\
             ListenAddress 127.0.0.1\n\
             HostKey {dir}/host_key\n\
             PidFile none\n\
             AuthorizedKeysFile {dir}/authorized_keys\n\
             PasswordAuthentication no\n\
             KbdInteractiveAuthentication no\n\
             PermitRootLogin prohibit-password\n\
             StrictModes no\n\
             UsePAM no\n\
             MaxStartups 200\n\
             MaxSessions 200\n\
             Subsystem sftp internal-sftp\n\
             SetEnv HOME={dir} XDG_CACHE_HOME={dir}/cache\n\
             LogLevel VERBOSE\n"
        ));
        text
    }
}

/// A running OpenSSH server. Dropping it stops it with all sessions and removes its files.
///
/// It dereferences to its [`SshHost`].
#[derive(Debug)]
pub struct Sshd {
    info: SshHost,
    guard: ProcessGuard,
}

impl Sshd {
    /// Starts a server with the test kit's defaults.
    pub fn start() -> Result<Self> {
        Self::options().start()
    }

    /// The default options, to change and start.
    pub fn options() -> SshdOptions {
        SshdOptions::default()
    }

    /// Creates a key of the given type (`ed25519`, `ecdsa`, `rsa`) that the server accepts; returns the path of the
    /// private key.
    pub fn add_key(&self, kind: &str, passphrase: &str) -> Result<PathBuf> {
        let dir = self.guard.dir();
        let count = fs::read_dir(dir).at("cannot list", dir)?.count();
        let file = dir.join(format!("id_{kind}_{count}"));
        let public = keygen(&file, kind, passphrase)?;
        let accepted = dir.join("authorized_keys");
        let keys = fs::read_to_string(&accepted).at("cannot read", &accepted)?;
        write(&accepted, &format!("{keys}{public}\n"))?;
        Ok(file)
    }

    /// Kills the server and all its sessions.
    pub fn kill(&self) -> Result<()> {
        self.guard.kill()
    }

    /// Starts it again after [`kill`](Self::kill), at the same address with the same keys.
    pub fn restart(&mut self) -> Result<()> {
        self.guard.kill()?;
        self.guard.start()?;
        self.info.pid = self.guard.pid();
        if wait_until_serving(&self.guard, self.info.port)? {
            return Ok(());
        }
        Err(Error::new("another process has taken the server's port"))
    }

    /// Whether the server's process is there.
    pub fn is_running(&self) -> bool {
        self.guard.is_running()
    }

    /// What the server wrote to its log.
    pub fn log(&self) -> String {
        self.guard.log()
    }

    /// Its address and keys.
    pub fn ssh_host(&self) -> &SshHost {
        &self.info
    }
}

impl Deref for Sshd {
    type Target = SshHost;

    fn deref(&self) -> &SshHost {
        &self.info
    }
}

/// Creates a key pair and returns the public key without the comment.
fn keygen(file: &Path, kind: &str, passphrase: &str) -> Result<String> {
    output(
        Command::new("ssh-keygen").args(["-q", "-t", kind, "-N", passphrase, "-C", "dbgraft-testkit", "-f"]).arg(file),
    )?;
    let public = file.with_extension("pub");
    let text = fs::read_to_string(&public).at("cannot read", &public)?;
    Ok(text.split(' ').take(2).collect::<Vec<_>>().join(" "))
}

fn wait_until_serving(guard: &ProcessGuard, port: u16) -> Result<bool> {
    let begun = Instant::now();
    loop {
        let log = guard.log();
        if !guard.is_running() {
            if log.contains("already in use") {
                return Ok(false);
            }
            return Err(Error::new(format!("sshd ended at its start: {log}")));
        }
        if log.contains("Server listening") && greets(port) {
            return Ok(true);
        }
        if begun.elapsed() > Duration::from_secs(30) {
            return Err(Error::new(format!("sshd does not serve: {log}")));
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn greets(port: u16) -> bool {
    let mut head = [0; 4];
    TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.read_exact(&mut head)
        })
        .is_ok_and(|()| &head == b"SSH-")
}

fn write(path: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text).at("cannot write", path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).at("cannot protect", path)
}

fn output(command: &mut Command) -> Result<String> {
    let program = PathBuf::from(command.get_program());
    let output = command.output().at("cannot run", &program)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Error::new(format!("{} failed: {error}", program.display())))
}
