//! The user's SSH settings for a host: from `ssh -G`, or from `ssh_config` if there is no `ssh` command.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::address::Destination;
use super::paths::{expand_home, home_dir};
use super::settings_file::{self, ConfigEntries, split_words};
use crate::error::{Error, ErrorKind, Result};

/// The SSH settings for one host.
#[derive(Debug)]
pub(super) struct HostSettings {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    /// The `HostKeyAlias`: the host's name in `known_hosts`.
    pub(super) alias: Option<String>,
    /// The key files, in order.
    pub(super) identities: Vec<PathBuf>,
    /// Whether to offer only the keys of `identities`.
    pub(super) identities_only: bool,
    /// The socket of the ssh-agent.
    pub(super) agent: Option<PathBuf>,
    /// The jump hosts, in order.
    pub(super) jumps: Vec<Destination>,
    pub(super) known_hosts: Vec<PathBuf>,
    /// The `ConnectTimeout`.
    pub(super) connect_timeout: Option<Duration>,
}

impl fmt::Display for HostSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let destination = Destination { user: Some(self.user.clone()), host: self.host.clone(), port: Some(self.port) };
        destination.fmt(f)
    }
}

impl HostSettings {
    /// Formats the host as arguments of `ssh`.
    pub(super) fn as_arguments(&self) -> String {
        let port = if self.port == 22 { String::new() } else { format!("-p {} ", self.port) };
        format!("{port}{}@{}", self.user, self.host)
    }
}

/// Reads the settings for a host from `config`, or else from the user's and the system's files.
///
/// # Errors
/// `Usage` for unreadable or unsupported settings.
pub(super) async fn resolve(destination: &Destination, config: Option<&Path>) -> Result<HostSettings> {
    let entries = match run_ssh_g(destination, config).await? {
        Some(entries) => entries,
        None => settings_file::read(&destination.host, config)?,
    };
    parse_entries(destination, &entries)
}

/// Runs `ssh -G`; `None` if there is no `ssh` command.
pub(super) async fn run_ssh_g(destination: &Destination, config: Option<&Path>) -> Result<Option<ConfigEntries>> {
    let failed = |what: String| {
        Error::new(ErrorKind::Usage, format!("cannot read the SSH settings of {}: {what}", destination.host))
    };
    let mut command = Command::new("ssh");
    command.arg("-G").stdin(Stdio::null()).kill_on_drop(true);
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_secret(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    if let Some(config) = config {
        command.arg("-F").arg(expand_home(config));
    }
    if let Some(port) = destination.port {
        command.arg("-p").arg(port.to_string());
    }
    if let Some(user) = &destination.user {
        command.arg("-l").arg(user);
    }
    let output = match timeout(Duration::from_secs(20), command.arg("--").arg(&destination.host).output()).await {
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
    let entries = text.lines().filter_map(|line| line.split_once(' '));
    Ok(Some(entries.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect()))
}

/// Whether an environment variable may hold a secret. A command of the user's settings (`Match exec`) must not inherit
/// it.
pub(super) fn is_secret(name: &str) -> bool {
    let of_aws = name.starts_with("AWS_") && (name.contains("_KEY") || name.contains("TOKEN"));
    name == "MYSQL_PWD"
        || of_aws
        || (name.starts_with("DBGRAFT_") && (name.ends_with("PASSWORD") || name.ends_with("PASSPHRASE")))
}

/// Parses the entries of the settings. Parts of the URL take precedence.
pub(super) fn parse_entries(destination: &Destination, entries: &ConfigEntries) -> Result<HostSettings> {
    let all = |name: &'static str| entries.iter().filter(move |entry| entry.0 == name).map(|entry| entry.1.as_str());
    let first = |name| all(name).next().filter(|value| !value.is_empty());
    let is_set = |value: &&str| !value.eq_ignore_ascii_case("none");
    let wrong = |what: String| Error::usage(format!("the SSH settings of {}: {what}", destination.host));
    if let Some(command) = first("proxycommand").filter(is_set) {
        let what = format!("ProxyCommand is not supported ({command}): use ProxyJump, or jump=HOST in the URL");
        return Err(wrong(what));
    }
    let local = local_user();
    let user = destination.user.clone().or_else(|| first("user").map(str::to_owned)).or_else(|| local.clone());
    let user = user.ok_or_else(|| wrong("no user is set: use ssh://user@host".to_owned()))?;
    let host = first("hostname")
        .map_or_else(|| destination.host.clone(), |name| name.replace("%h", &destination.host))
        .to_lowercase();
    let port = match (destination.port, first("port")) {
        (Some(port), _) => port,
        (None, Some(port)) => port.parse().map_err(|_| wrong(format!("`{port}` is not a port")))?,
        (None, None) => 22,
    };
    let jumps = first("proxyjump").filter(is_set).map_or(Ok(Vec::new()), Destination::parse_list).map_err(wrong)?;
    let tokens = Tokens { name: &destination.host, host: &host, user: &user, port, local: local.as_deref() };
    let file = |text: &str| tokens.expand_path(text);
    let files = |name, default: &[&str]| -> Vec<PathBuf> {
        match first(name) {
            Some(text) => {
                split_words(text).iter().filter(|word| is_set(&word.as_str())).map(|word| file(word)).collect()
            }
            None => default.iter().map(|text| file(text)).collect(),
        }
    };
    let mut known_hosts = files("userknownhostsfile", &["~/.ssh/known_hosts", "~/.ssh/known_hosts2"]);
    known_hosts.extend(files("globalknownhostsfile", &["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"]));
    let mut identities: Vec<PathBuf> = all("identityfile").filter(is_set).map(file).collect();
    if all("identityfile").next().is_none() {
        identities = ["~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa"].map(file).to_vec();
    }
    let agent = match first("identityagent") {
        None | Some("SSH_AUTH_SOCK") => std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from),
        Some(text) if !is_set(&text) => None,
        Some(text) => match text.strip_prefix('$').filter(|name| !name.starts_with('{')) {
            Some(variable) => std::env::var_os(variable).map(PathBuf::from),
            None => Some(file(text)),
        },
    };
    let seconds = first("connecttimeout").and_then(|text| text.parse().ok()).filter(|seconds| *seconds > 0);
    Ok(HostSettings {
        alias: first("hostkeyalias").map(str::to_owned),
        identities,
        identities_only: first("identitiesonly").is_some_and(|value| matches!(value, "yes" | "true")),
        agent: agent.filter(|path| !path.as_os_str().is_empty()),
        jumps,
        known_hosts,
        connect_timeout: seconds.map(Duration::from_secs),
        host,
        port,
        user,
    })
}

/// The values of the tokens in file names.
struct Tokens<'a> {
    name: &'a str,
    host: &'a str,
    user: &'a str,
    port: u16,
    local: Option<&'a str>,
}

impl Tokens<'_> {
    /// Expands the tokens, environment variables and `~` of a file name.
    fn expand_path(&self, text: &str) -> PathBuf {
        let mut path = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['%', '$']) {
            let (before, tail) = rest.split_at(at);
            path.push_str(before);
            let home = || home_dir().display().to_string();
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
        expand_home(Path::new(&path))
    }
}

fn local_user() -> Option<String> {
    ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()))
}
