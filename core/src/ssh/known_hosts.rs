//! Parses `known_hosts` files and looks up host keys. No I/O.

use std::path::{Path, PathBuf};

use ring::hmac;
use russh::keys::ssh_key::known_hosts::HostPatterns;
use russh::keys::{Algorithm, PublicKey, parse_public_key_base64};

/// The entries of several `known_hosts` files.
#[derive(Debug, Default)]
pub(super) struct KnownHosts {
    entries: Vec<KnownHost>,
}

/// One entry of a `known_hosts` file.
#[derive(Debug)]
struct KnownHost {
    file: PathBuf,
    number: usize,
    revoked: bool,
    hosts: String,
    key: PublicKey,
}

/// The location of an entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FileLine {
    pub(super) file: PathBuf,
    pub(super) number: usize,
}

/// The status of a host key according to the files.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HostKeyStatus {
    /// The key is known for the host.
    Known,
    /// No key is known for the host.
    Unknown,
    /// Another key is known for the host.
    Changed(FileLine),
    /// The key is revoked.
    Revoked(FileLine),
}

impl KnownHosts {
    /// Adds the entries of a file. Skips invalid lines.
    pub(super) fn add(&mut self, file: &Path, text: &str) {
        for (index, line) in text.lines().enumerate() {
            let mut words = line.split_whitespace().peekable();
            let marker = words.next_if(|word| word.starts_with('@'));
            // A `@cert-authority` key signs host certificates, which are not requested. It is not a host key.
            let revoked = match marker {
                None => false,
                Some("@revoked") => true,
                Some(_) => continue,
            };
            let (Some(hosts), Some(_type), Some(key)) = (words.next(), words.next(), words.next()) else { continue };
            let Ok(key) = parse_public_key_base64(key) else { continue };
            if !hosts.starts_with('#') {
                let hosts = hosts.to_owned();
                self.entries.push(KnownHost { file: file.to_owned(), number: index + 1, revoked, hosts, key });
            }
        }
    }

    /// Looks up `key` for `host`. An entry without a port matches any port.
    pub(super) fn key_status(&self, host: &str, port: Option<u16>, key: &PublicKey) -> HostKeyStatus {
        let names = names(host, port);
        let has_key = |line: &&KnownHost| line.key.key_data() == key.key_data();
        let of_host = |line: &&KnownHost| names.iter().any(|name| matches(&line.hosts, name));
        if let Some(line) = self.entries.iter().filter(|line| line.revoked).filter(has_key).find(of_host) {
            return HostKeyStatus::Revoked(line.location());
        }
        // Like `ssh`: the entries without a port count if no entry has the port.
        let name = names.iter().find(|name| self.entries_for(name).next().is_some());
        let lines = || name.into_iter().flat_map(|name| self.entries_for(name));
        if lines().any(|line| has_key(&line)) {
            return HostKeyStatus::Known;
        }
        let of_port = || lines().filter(|_| name == names.first());
        let of_its_type = of_port().find(|line| line.key.algorithm() == key.algorithm());
        match of_its_type.or_else(|| of_port().next()) {
            Some(line) => HostKeyStatus::Changed(line.location()),
            None => HostKeyStatus::Unknown,
        }
    }

    /// The types of the known keys of a host.
    pub(super) fn key_types(&self, host: &str, port: Option<u16>) -> Vec<Algorithm> {
        names(host, port).iter().flat_map(|name| self.entries_for(name)).map(|line| line.key.algorithm()).collect()
    }

    fn entries_for(&self, name: &str) -> impl Iterator<Item = &KnownHost> {
        self.entries.iter().filter(move |line| !line.revoked && matches(&line.hosts, name))
    }
}

impl KnownHost {
    fn location(&self) -> FileLine {
        FileLine { file: self.file.clone(), number: self.number }
    }
}

/// The names of a host in `known_hosts`: `host` at port 22, else `[host]:port` and `host`. A key of `host` is trusted
/// at any port; a missing one means nothing there. A `HostKeyAlias` has no port.
fn names(host: &str, port: Option<u16>) -> Vec<String> {
    let host = host.to_lowercase();
    match port {
        None | Some(22) => vec![host],
        Some(port) => vec![format!("[{host}]:{port}"), host],
    }
}

/// The name under which a new entry is added.
pub(super) fn format_host(host: &str, port: Option<u16>) -> String {
    names(host, port).swap_remove(0)
}

/// Whether a list of patterns, or a hashed name, matches the name.
fn matches(hosts: &str, name: &str) -> bool {
    if hosts.starts_with('|') {
        let Ok(HostPatterns::HashedName { salt, hash }) = hosts.parse() else { return false };
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
        return hmac::verify(&key, name.as_bytes(), &hash).is_ok();
    }
    matches_list(&hosts.to_lowercase(), name)
}

/// Whether a pattern of the list matches the name and no pattern with a `!` does.
pub(super) fn matches_list(patterns: &str, name: &str) -> bool {
    let mut found = false;
    for pattern in patterns.split(',').filter(|pattern| !pattern.is_empty()) {
        match pattern.strip_prefix('!') {
            Some(pattern) if matches_pattern(pattern.as_bytes(), name.as_bytes()) => return false,
            Some(_) => {}
            None => found |= matches_pattern(pattern.as_bytes(), name.as_bytes()),
        }
    }
    found
}

/// Whether a pattern with `*` and `?` matches a text.
fn matches_pattern(pattern: &[u8], text: &[u8]) -> bool {
    let (mut rest, mut left) = (pattern, text);
    // The position to resume from when the last `*` must match more.
    let mut backtrack: Option<(&[u8], &[u8])> = None;
    loop {
        match (rest.split_first(), left.split_first()) {
            (Some((b'*', after)), _) => {
                backtrack = Some((after, left));
                rest = after;
            }
            (Some((p, after)), Some((t, tail))) if *p == b'?' || p == t => (rest, left) = (after, tail),
            (None, None) => return true,
            _ => match backtrack {
                Some((after, [_, tail @ ..])) => {
                    backtrack = Some((after, tail));
                    (rest, left) = (after, tail);
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const B: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK2pr+Bfus1hvPof4Wb/plZCzSbqadHH0u+/f4ODtKnE";

    fn key(text: &str) -> PublicKey {
        text.parse().unwrap()
    }

    fn status(text: &str, host: &str, port: u16) -> HostKeyStatus {
        let mut known = KnownHosts::default();
        known.add(Path::new("kh"), text);
        known.key_status(host, Some(port), &key(A))
    }

    fn changed(line: usize) -> HostKeyStatus {
        HostKeyStatus::Changed(FileLine { file: "kh".into(), number: line })
    }

    #[test]
    fn all_forms_of_a_host_name_match() {
        for (line, host, port) in [
            (format!("db.example {A}"), "DB.example", 22),
            (format!("x,db.example {A} a comment"), "db.example", 22),
            (format!("[db.example]:2222 {A}"), "db.example", 2222),
            (format!("[::1]:2222\t{A}"), "::1", 2222),
            (format!("*.example {A}"), "db.example", 22),
            (format!("d?.ex*le,!other {A}"), "db.example", 22),
            // Known without the port.
            (format!("db.example {A}"), "db.example", 2222),
        ] {
            assert_eq!(status(&line, host, port), HostKeyStatus::Known, "{line}");
        }
    }

    #[test]
    fn hashed_names_match() {
        let salt = [7; 20];
        let hashed = |name: &str| {
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
            let hash = hmac::sign(&key, name.as_bytes()).as_ref().try_into().unwrap();
            HostPatterns::HashedName { salt: salt.to_vec(), hash }.to_string()
        };
        assert_eq!(status(&format!("{} {A}", hashed("db.example")), "db.example", 22), HostKeyStatus::Known);
        assert_eq!(status(&format!("{} {A}", hashed("[db.example]:2222")), "db.example", 2222), HostKeyStatus::Known);
        assert_eq!(status(&format!("{} {A}", hashed("[db.example]:2222")), "db.example", 22), HostKeyStatus::Unknown);
    }

    #[test]
    fn other_hosts_do_not_match() {
        for line in [
            format!("other.example {A}"),
            format!("[db.example]:2223 {A}"),
            format!("*.example,!db.example {A}"),
            format!("# db.example {A}"),
            format!("#db.example {A}"),
            format!("@cert-authority * {A}"),
            format!("@unheard-of db.example {A}"),
            "db.example ssh-ed25519 broken".to_owned(),
            "db.example".to_owned(),
            format!("|1|broken {A}"),
            String::new(),
        ] {
            assert_eq!(status(&line, "db.example", 22), HostKeyStatus::Unknown, "{line}");
        }
    }

    #[test]
    fn a_changed_key_is_reported_with_its_line() {
        assert_eq!(status(&format!("# c\ndb.example {B}"), "db.example", 22), changed(2));
        assert_eq!(status(&format!("db.example {B}\ndb.example {A}"), "db.example", 22), HostKeyStatus::Known);
        assert_eq!(status(&format!("[db.example]:2222 {B}\ndb.example {A}"), "db.example", 2222), changed(1));
        // Another server may listen at another port.
        assert_eq!(status(&format!("db.example {B}"), "db.example", 2222), HostKeyStatus::Unknown);
        assert_eq!(status(&format!("@cert-authority * {A}\ndb.example {B}"), "db.example", 22), changed(2));
    }

    #[test]
    fn a_revoked_key_is_never_trusted() {
        let revoked = |line| HostKeyStatus::Revoked(FileLine { file: "kh".into(), number: line });
        assert_eq!(status(&format!("db.example {A}\n@revoked * {A}"), "db.example", 22), revoked(2));
        assert_eq!(status(&format!("@revoked db.example {A}"), "db.example", 2222), revoked(1));
        assert_eq!(status(&format!("@revoked * {B}\ndb.example {A}"), "db.example", 22), HostKeyStatus::Known);
        assert_eq!(status(&format!("@revoked db.example {B}"), "db.example", 22), HostKeyStatus::Unknown);
    }
}
