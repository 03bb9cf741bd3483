//! Parses `ssh://` URLs and lists of jump hosts.

use std::fmt;
use std::path::PathBuf;

use russh::keys::ssh_key::Fingerprint;
use secrecy::SecretString;
use url::Host;

use crate::error::{Error, Result};
use crate::url_syntax::{self, percent_decode, query_parameters};

/// A parsed `ssh://` URL. Missing parts come from the user's SSH settings.
#[derive(Debug, Clone)]
pub(crate) struct SshAddress {
    /// A host name, an IP address, or an alias of `~/.ssh/config`.
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<SecretString>,
    /// The key file to log in with.
    pub(crate) identity: Option<PathBuf>,
    pub(crate) known_hosts: Option<PathBuf>,
    /// The host's key, as `SHA256:…`.
    pub(crate) host_key: Option<String>,
    /// The jump hosts, in the syntax of `ssh -J`.
    pub(crate) jump: Option<String>,
    /// The file to read instead of `~/.ssh/config`.
    pub(crate) config: Option<PathBuf>,
    /// The path of an installed `dbgraft` on the host.
    pub(crate) agent_path: Option<String>,
}

const PARAMETERS: &str = "identity, known-hosts, host-key, jump, config, agent-path";

impl SshAddress {
    /// Parses the value of `option` (`--source-tunnel`).
    ///
    /// # Errors
    /// `Usage`, with the name of the option.
    pub(crate) fn parse(option: &str, url: &str) -> Result<Self> {
        let wrong = |what: &str| Error::usage(format!("{option}: {what}"));
        let form = "a host is a URL: ssh://user@host:22";
        if let Some(scheme) = url_syntax::scheme(url).filter(|scheme| scheme != "ssh" && url.contains("://")) {
            return Err(wrong(&format!("{scheme}:// is not an SSH URL; {form}")));
        }
        let url = url_syntax::parse(url, form).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(url.path(), "" | "/") {
            return Err(wrong("an ssh:// URL has no path: remove what follows the port"));
        }
        let decoded = |text: &str| percent_decode("address", text).map_err(|error| wrong(&error.to_string()));
        let host = match url.host() {
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(host) => decoded(&host.to_string())?,
            None => String::new(),
        };
        let user = Some(decoded(url.username())?).filter(|user| !user.is_empty());
        let destination = Destination { user, host, port: url.port() };
        destination.check().map_err(|what| wrong(&what))?;
        let mut address = Self::new(destination);
        address.password = url.password().map(decoded).transpose()?.map(SecretString::from);
        for (name, value) in query_parameters(&url).map_err(|error| wrong(&error.to_string()))? {
            address.set_parameter(&name, value).map_err(|what| wrong(&what))?;
        }
        Ok(address)
    }

    fn new(destination: Destination) -> Self {
        Self {
            host: destination.host,
            port: destination.port,
            user: destination.user,
            password: None,
            identity: None,
            known_hosts: None,
            host_key: None,
            jump: None,
            config: None,
            agent_path: None,
        }
    }

    fn set_parameter(&mut self, name: &str, value: String) -> Result<(), String> {
        if value.is_empty() {
            return Err(format!("the parameter `{name}` needs a value"));
        }
        match name {
            "identity" => self.identity = Some(value.into()),
            "known-hosts" => self.known_hosts = Some(value.into()),
            "config" => self.config = Some(value.into()),
            "agent-path" => self.agent_path = Some(value),
            "jump" => {
                Destination::parse_list(&value)?;
                self.jump = Some(value);
            }
            "host-key" => {
                let value = value.trim_end_matches('=').to_owned();
                if !value.starts_with("SHA256:") || value.parse::<Fingerprint>().is_err() {
                    return Err("host-key is a fingerprint as `ssh-keygen -lf` shows it: SHA256:…".to_owned());
                }
                self.host_key = Some(value);
            }
            other => return Err(format!("unknown parameter `{other}` in an ssh:// URL (known: {PARAMETERS})")),
        }
        Ok(())
    }

    /// The user, host and port.
    pub(super) fn destination(&self) -> Destination {
        Destination { user: self.user.clone(), host: self.host.clone(), port: self.port }
    }
}

impl fmt::Display for SshAddress {
    /// Formats as a URL without the password and the parameters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ssh://{}", self.destination())
    }
}

/// A destination of `ssh`: `[user@]host[:port]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) user: Option<String>,
    pub(super) host: String,
    pub(super) port: Option<u16>,
}

impl Destination {
    /// Parses a comma-separated list, as for `ssh -J`.
    pub(super) fn parse_list(text: &str) -> Result<Vec<Self>, String> {
        text.split(',').map(|part| Self::parse(part.trim())).collect()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a jump host: user@host:port");
        let rest = text.strip_prefix("ssh://").unwrap_or(text).trim_end_matches('/');
        let (user, place) = rest.rsplit_once('@').map_or((None, rest), |(user, place)| (Some(user.to_owned()), place));
        let (host, port) = match place.strip_prefix('[').map(|inner| inner.split_once(']')) {
            Some(inner) => inner.ok_or_else(wrong).map(|(host, port)| (host, port.strip_prefix(':')))?,
            None if place.matches(':').count() > 1 => (place, None),
            None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map(str::parse).transpose().map_err(|_| wrong())?;
        let destination = Self { user, host: host.to_owned(), port };
        destination.check()?;
        Ok(destination)
    }

    /// Refuses names that a program could read as an option or a shell as a command, since a `Match exec` of the user's
    /// settings may pass the name to a shell.
    pub(super) fn check(&self) -> Result<(), String> {
        let odd = |c: char| c.is_whitespace() || c.is_control() || "'`\"$;&<>|(){},".contains(c);
        if self.host.is_empty() {
            return Err("the URL names no host: ssh://user@host:22".to_owned());
        }
        if self.host.starts_with('-') || self.host.contains(odd) || self.host.contains(['\\', '/', '@']) {
            return Err(format!("`{}` is not the name of a host", self.host));
        }
        match &self.user {
            Some(user) if user.is_empty() || user.starts_with('-') || user.contains(odd) => {
                Err(format!("`{user}` is not the name of an account"))
            }
            _ if self.port == Some(0) => Err("there is no port 0".to_owned()),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match self.host.contains(':') {
            true => write!(f, "[{}]", self.host)?,
            false => f.write_str(&self.host)?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn message(url: &str) -> String {
        SshAddress::parse("--source-tunnel", url).unwrap_err().to_string()
    }

    #[test]
    fn a_url_is_parsed_and_its_password_is_never_shown() {
        let url = "ssh://d%40b:s%2Fcret@[fe80::1]:2222?identity=/k%20y&known-hosts=/kh&jump=a,u@b:23&config=/c\
                   &agent-path=/opt/dbgraft&host-key=SHA256:Nh0Me49Zh9fDw/VYUfq43IJmI1T+XrjiYONPND8GzaM=";
        let address = SshAddress::parse("--source-tunnel", url).unwrap();
        assert_eq!(
            (address.host.as_str(), address.port, address.user.as_deref()),
            ("fe80::1", Some(2222), Some("d@b"))
        );
        assert_eq!(address.password.as_ref().unwrap().expose_secret(), "s/cret");
        assert_eq!(address.identity.as_ref().unwrap().to_str(), Some("/k y"));
        assert_eq!(address.host_key.as_deref(), Some("SHA256:Nh0Me49Zh9fDw/VYUfq43IJmI1T+XrjiYONPND8GzaM"));
        assert_eq!(address.to_string(), "ssh://d@b@[fe80::1]:2222");
        assert!(!format!("{address} {address:?}").contains("s/cret"));
        let short = SshAddress::parse("x", "ssh://db_1/").unwrap();
        assert_eq!((short.host.as_str(), short.port, short.user), ("db_1", None, None));
    }

    #[test]
    fn errors_name_the_wrong_part_of_a_url() {
        assert!(message("ssh://h?identiti=/k").contains("--source-tunnel: unknown parameter `identiti`"));
        assert!(message("ssh://h/etc").contains("no path"));
        assert!(message("ssh://h#x").contains("`#x`"));
        assert!(message("ssh://h?jump=a&jump=b").contains("`jump` stands twice"));
        assert!(message("mysql://h").contains("mysql://"));
        assert!(message("ssh://-oProxyCommand=x").contains("not the name of a host"));
        assert!(message("ssh://h%20x").contains("not the name of a host"));
        assert!(message("ssh://-l@h").contains("not the name of an account"));
        assert!(message("ssh://h?jump=-x").contains("not the name of a host"));
        assert!(message("ssh://h?jump=a:x").contains("not a jump host"));
        assert!(message("ssh://h?host-key=MD5:aa").contains("host-key"));
        assert!(message("ssh://h?identity=").contains("needs a value"));
        assert!(!message("ssh:/u:secret@h:99999").contains("secret"));
        assert!(!message("ssh://u:secret@h:99999").contains("secret"));
    }

    #[test]
    fn a_list_of_jump_hosts_is_parsed_like_by_ssh() {
        let destination = |user: Option<&str>, host: &str, port| Destination {
            user: user.map(str::to_owned),
            host: host.into(),
            port,
        };
        let jumps = Destination::parse_list("a, u@b:23,[::1]:24,ssh://c@d:25").unwrap();
        let expected = [
            destination(None, "a", None),
            destination(Some("u"), "b", Some(23)),
            destination(None, "::1", Some(24)),
            destination(Some("c"), "d", Some(25)),
        ];
        assert_eq!(jumps, expected);
    }
}
