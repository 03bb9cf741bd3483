use std::path::PathBuf;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::{Context, Error, Result};
use crate::flavor::Flavor;
use crate::greeting;

/// The address of a running MySQL or MariaDB server, and its files if the test kit started it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Database {
    /// MySQL or MariaDB.
    pub flavor: Flavor,
    /// Its version, for example `9.7.4-2`.
    pub version: String,
    /// `127.0.0.1` if the test kit started it.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
    /// An account with all privileges.
    pub user: String,
    /// The password of the account; letters and digits only if the test kit started the server.
    pub password: String,
    /// `mysql://user:password@host:port`.
    pub url: String,
    /// Its Unix socket.
    pub socket: Option<PathBuf>,
    /// Its process.
    pub pid: Option<u32>,
    /// The authority that signed its certificate.
    pub ca: Option<PathBuf>,
    /// A client certificate which that authority signed.
    pub client_cert: Option<PathBuf>,
    /// The key of that certificate.
    pub client_key: Option<PathBuf>,
    /// Its data directory.
    pub data_dir: Option<PathBuf>,
}

impl Database {
    /// The table that lists the sessions. MySQL's in `information_schema` cannot be read while a session runs a statement
    /// with a four-byte character.
    pub fn process_list(&self) -> &'static str {
        match self.flavor == Flavor::MySql && !self.version.starts_with("5.") {
            true => "performance_schema.processlist",
            false => "information_schema.PROCESSLIST",
        }
    }

    /// A server that another process runs, from `mysql://user:password@host:port`.
    pub fn from_url(url: &str) -> Result<Self> {
        let parsed = Url::parse(url).context("not a URL")?;
        if parsed.scheme() != "mysql" {
            return Err(Error::new("the URL of a server starts with mysql://"));
        }
        let host = parsed
            .host_str()
            .ok_or_else(|| Error::new("the URL of a server names its host"))?
            .trim_matches(['[', ']'])
            .to_owned();
        let port = parsed.port().unwrap_or(3306);
        let version = greeting::version(&host, port).context(&format!("{host}:{port}"))?;
        let (user, password) = (decoded(parsed.username()), decoded(parsed.password().unwrap_or_default()));
        Ok(Self {
            flavor: Flavor::of_version(&version),
            url: url_of(&host, port, &user, &password),
            version,
            host,
            port,
            user,
            password,
            socket: None,
            pid: None,
            ca: None,
            client_cert: None,
            client_key: None,
            data_dir: None,
        })
    }

    /// The same, and the database of the URL.
    pub fn from_database_url(url: &str) -> Result<(Self, String)> {
        let parsed = Url::parse(url).context("not a URL")?;
        match decoded(parsed.path().trim_start_matches('/')) {
            name if name.is_empty() => Err(Error::new("the URL names no database")),
            name => Ok((Self::from_url(url)?, name)),
        }
    }

    /// The URL of the database `name` on this server.
    pub fn url_of(&self, name: &str) -> String {
        format!("{}/{}", self.url, encoded(name))
    }

    /// This server's URL for another account.
    pub fn url_as(&self, user: &str, password: &str) -> String {
        url_of(&self.host, self.port, user, password)
    }

    /// The same server as another account sees it.
    pub fn with_account(&self, user: &str, password: &str) -> Self {
        Self { user: user.to_owned(), password: password.to_owned(), url: self.url_as(user, password), ..self.clone() }
    }

    /// The same server behind another address: a proxy or a tunnel.
    pub fn with_address(&self, host: &str, port: u16) -> Self {
        Self { host: host.to_owned(), port, url: url_of(host, port, &self.user, &self.password), ..self.clone() }
    }
}

pub(crate) fn url_of(host: &str, port: u16, user: &str, password: &str) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let secret = if password.is_empty() { String::new() } else { format!(":{}", encoded(password)) };
    format!("mysql://{}{secret}@{host}:{port}", encoded(user))
}

pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_survives_odd_passwords() {
        let url = url_of("::1", 33060, "a b", "p@ss:/w%rd");
        let parsed = Url::parse(&url).unwrap();
        assert_eq!(parsed.host_str(), Some("[::1]"));
        assert_eq!(decoded(parsed.username()), "a b");
        assert_eq!(decoded(parsed.password().unwrap()), "p@ss:/w%rd");
    }
}
