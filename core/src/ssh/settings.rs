//! What the user's SSH settings say of a host: as `ssh -G` tells, or, where there is no `ssh`, as we read them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::address::Stop;
use super::settings_file;
use crate::error::{Error, ErrorKind, Result};

/// How to reach one host, and as whom.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    /// The host's name in `known_hosts`, where it is another.
    pub(super) alias: Option<String>,
    pub(super) identities: Vec<PathBuf>,
    /// Whether only these keys are offered.
    pub(super) identities_only: bool,
    /// The socket of the ssh-agent.
    pub(super) agent: Option<PathBuf>,
    /// Hosts on the way.
    pub(super) jumps: Vec<Stop>,
    pub(super) known_hosts: Vec<PathBuf>,
    /// How long connecting may take.
    pub(super) patience: Option<Duration>,
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stop = Stop { user: Some(self.user.clone()), host: self.host.clone(), port: Some(self.port) };
        stop.fmt(f)
    }
}

impl Settings {
    /// The host as arguments of `ssh`.
    pub(super) fn as_arguments(&self) -> String {
        let port = if self.port == 22 { String::new() } else { format!("-p {} ", self.port) };
        format!("{port}{}@{}", self.user, self.host)
    }
}

/// Names and values, as `ssh -G` writes them.
pub(super) type Pairs = Vec<(String, String)>;

/// What the settings in `config`, or else the user's and the system's, say of a host.
pub(super) async fn resolve(stop: &Stop, config: Option<&Path>) -> Result<Settings> {
    let pairs = match by_ssh(stop, config).await? {
        Some(pairs) => pairs,
        None => settings_file::read(&stop.host, config)?,
    };
    understand(stop, &pairs)
}

/// Asks `ssh`. `None` if there is none.
pub(super) async fn by_ssh(stop: &Stop, config: Option<&Path>) -> Result<Option<Pairs>> {
    let failed =
        |what: String| Error::new(ErrorKind::Usage, format!("cannot read the SSH settings of {}: {what}", stop.host));
    let mut command = Command::new("ssh");
    command.arg("-G").stdin(Stdio::null()).kill_on_drop(true);
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_secret(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    if let Some(config) = config {
        command.arg("-F").arg(at_home(config));
    }
    if let Some(port) = stop.port {
        command.arg("-p").arg(port.to_string());
    }
    if let Some(user) = &stop.user {
        command.arg("-l").arg(user);
    }
    let output = match timeout(Duration::from_secs(20), command.arg("--").arg(&stop.host).output()).await {
        Err(_) => return Err(failed("`ssh -G` took longer than 20 s".to_owned())),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Ok(Err(error)) => return Err(failed("cannot run `ssh -G`".to_owned()).caused_by(error)),
        Ok(Ok(output)) => output,
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(failed(said.lines().last().unwrap_or("`ssh -G` failed").trim().to_owned()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    Ok(Some(pairs.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect()))
}

/// Whether a variable of our environment may hold a secret: a command of the user's settings (`Match exec`) has no need
/// of it.
pub(super) fn is_secret(name: &str) -> bool {
    let of_aws = name.starts_with("AWS_") && (name.contains("_KEY") || name.contains("TOKEN"));
    name == "MYSQL_PWD" || of_aws || (name.starts_with("DBGRAFT_") && name.ends_with("PASSWORD"))
}

/// Makes sense of the settings; what the URL says wins.
pub(super) fn understand(stop: &Stop, pairs: &Pairs) -> Result<Settings> {
    let all = |name: &'static str| pairs.iter().filter(move |pair| pair.0 == name).map(|pair| pair.1.as_str());
    let one = |name| all(name).next().filter(|value| !value.is_empty());
    let none = |value: &&str| !value.eq_ignore_ascii_case("none");
    let wrong = |what: String| Error::usage(format!("the SSH settings of {}: {what}", stop.host));
    if let Some(command) = one("proxycommand").filter(none) {
        let what = format!("ProxyCommand is not supported ({command}); say ProxyJump, or jump=HOST in the URL");
        return Err(wrong(what));
    }
    let local = local_user();
    let user = stop.user.clone().or_else(|| one("user").map(str::to_owned)).or_else(|| local.clone());
    let user = user.ok_or_else(|| wrong("no user is named; say ssh://user@host".to_owned()))?;
    let host = one("hostname").map_or_else(|| stop.host.clone(), |name| name.replace("%h", &stop.host)).to_lowercase();
    let port = match (stop.port, one("port")) {
        (Some(port), _) => port,
        (None, Some(port)) => port.parse().map_err(|_| wrong(format!("`{port}` is not a port")))?,
        (None, None) => 22,
    };
    let jumps = one("proxyjump").filter(none).map_or(Ok(Vec::new()), Stop::list).map_err(wrong)?;
    let tokens = Tokens { name: &stop.host, host: &host, user: &user, port, local: local.as_deref() };
    let file = |text: &str| tokens.path(text);
    let files = |name, default: &[&str]| -> Vec<PathBuf> {
        match one(name) {
            Some(text) => words(text).iter().filter(|word| none(&word.as_str())).map(|word| file(word)).collect(),
            None => default.iter().map(|text| file(text)).collect(),
        }
    };
    let mut known_hosts = files("userknownhostsfile", &["~/.ssh/known_hosts", "~/.ssh/known_hosts2"]);
    known_hosts.extend(files("globalknownhostsfile", &["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"]));
    let mut identities: Vec<PathBuf> = all("identityfile").filter(none).map(file).collect();
    if all("identityfile").next().is_none() {
        identities = ["~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa"].map(file).to_vec();
    }
    let agent = match one("identityagent") {
        None | Some("SSH_AUTH_SOCK") => std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from),
        Some(text) if !none(&text) => None,
        Some(text) => match text.strip_prefix('$').filter(|name| !name.starts_with('{')) {
            Some(variable) => std::env::var_os(variable).map(PathBuf::from),
            None => Some(file(text)),
        },
    };
    let seconds = one("connecttimeout").and_then(|text| text.parse().ok()).filter(|seconds| *seconds > 0);
    Ok(Settings {
        alias: one("hostkeyalias").map(str::to_owned),
        identities,
        identities_only: one("identitiesonly").is_some_and(|value| matches!(value, "yes" | "true")),
        agent: agent.filter(|path| !path.as_os_str().is_empty()),
        jumps,
        known_hosts,
        patience: seconds.map(Duration::from_secs),
        host,
        port,
        user,
    })
}

/// What stands for what in the names of files.
struct Tokens<'a> {
    name: &'a str,
    host: &'a str,
    user: &'a str,
    port: u16,
    local: Option<&'a str>,
}

impl Tokens<'_> {
    fn path(&self, text: &str) -> PathBuf {
        let mut path = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['%', '$']) {
            let (before, tail) = rest.split_at(at);
            path.push_str(before);
            let home = || home().display().to_string();
            let variable = tail.strip_prefix("${").and_then(|tail| tail.split_once('}'));
            let (value, length) = match (tail.get(..2), variable) {
                (_, Some((name, _))) => (std::env::var(name).unwrap_or_default(), name.len() + 3),
                (Some("%%"), _) => ("%".to_owned(), 2),
                (Some("%d"), _) => (home(), 2),
                (Some("%h"), _) => (self.host.to_owned(), 2),
                (Some("%n"), _) => (self.name.to_owned(), 2),
                (Some("%p"), _) => (self.port.to_string(), 2),
                (Some("%r"), _) => (self.user.to_owned(), 2),
                (Some("%u"), _) => (self.local.unwrap_or_default().to_owned(), 2),
                _ => (tail.chars().take(1).collect(), 1),
            };
            path.push_str(&value);
            rest = tail.get(length..).unwrap_or_default();
        }
        path.push_str(rest);
        at_home(Path::new(&path))
    }
}

/// The words of a line; quotes keep spaces.
pub(super) fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
    for c in text.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            c if c.is_whitespace() && !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// The path, with its `~` replaced.
pub(super) fn at_home(path: &Path) -> PathBuf {
    path.strip_prefix("~").map_or_else(|_| path.to_owned(), |rest| home().join(rest))
}

pub(super) fn home() -> PathBuf {
    std::env::home_dir().unwrap_or_else(|| PathBuf::from("/"))
}

fn local_user() -> Option<String> {
    ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()))
}
