//! Which key a host has: files of the form of `~/.ssh/known_hosts`. Pure.

use std::path::{Path, PathBuf};

use ring::hmac;
use russh::keys::ssh_key::known_hosts::HostPatterns;
use russh::keys::{Algorithm, PublicKey, parse_public_key_base64};

/// The lines of several files.
#[derive(Debug, Default)]
pub(super) struct KnownHosts {
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    file: PathBuf,
    number: usize,
    revoked: bool,
    hosts: String,
    key: PublicKey,
}

/// A line of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) file: PathBuf,
    pub(super) line: usize,
}

/// What the files say of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the host's.
    Known,
    /// The host is not in the files.
    Unknown,
    /// The host has another key.
    Changed(Spot),
    /// Whoever has this key must not be trusted.
    Revoked(Spot),
}

impl KnownHosts {
    /// Adds the text of a file. A line that is not understood knows nobody.
    pub(super) fn add(&mut self, file: &Path, text: &str) {
        for (index, line) in text.lines().enumerate() {
            let mut words = line.split_whitespace().peekable();
            let marker = words.next_if(|word| word.starts_with('@'));
            // An authority's key vouches for certificates, which are not asked for. It is nobody's own key.
            let revoked = match marker {
                None => false,
                Some("@revoked") => true,
                Some(_) => continue,
            };
            let (Some(hosts), Some(_type), Some(key)) = (words.next(), words.next(), words.next()) else { continue };
            let Ok(key) = parse_public_key_base64(key) else { continue };
            if !hosts.starts_with('#') {
                let hosts = hosts.to_owned();
                self.lines.push(Line { file: file.to_owned(), number: index + 1, revoked, hosts, key });
            }
        }
    }

    /// What the files say of `key`, which `host` shows. A host may be known without its port.
    pub(super) fn verdict(&self, host: &str, port: Option<u16>, key: &PublicKey) -> Verdict {
        let names = names(host, port);
        let same = |line: &&Line| line.key.key_data() == key.key_data();
        let of_host = |line: &&Line| names.iter().any(|name| matches(&line.hosts, name));
        if let Some(line) = self.lines.iter().filter(|line| line.revoked).filter(same).find(of_host) {
            return Verdict::Revoked(line.spot());
        }
        // As `ssh` does: what is known of the host without its port counts where nothing is known of the port.
        let name = names.iter().find(|name| self.of(name).next().is_some());
        let lines = || name.into_iter().flat_map(|name| self.of(name));
        if lines().any(|line| same(&line)) {
            return Verdict::Known;
        }
        let of_port = || lines().filter(|_| name == names.first());
        let of_its_type = of_port().find(|line| line.key.algorithm() == key.algorithm());
        match of_its_type.or_else(|| of_port().next()) {
            Some(line) => Verdict::Changed(line.spot()),
            None => Verdict::Unknown,
        }
    }

    /// The types of the keys that the host is known by.
    pub(super) fn types(&self, host: &str, port: Option<u16>) -> Vec<Algorithm> {
        names(host, port).iter().flat_map(|name| self.of(name)).map(|line| line.key.algorithm()).collect()
    }

    fn of(&self, name: &str) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(move |line| !line.revoked && matches(&line.hosts, name))
    }
}

impl Line {
    fn spot(&self) -> Spot {
        Spot { file: self.file.clone(), line: self.number }
    }
}

/// How a host is written: `host` at port 22, else `[host]:port`, and then also `host`, whose keys are welcome but whose
/// absence says nothing. An alias (`HostKeyAlias`) has no port.
fn names(host: &str, port: Option<u16>) -> Vec<String> {
    let host = host.to_lowercase();
    match port {
        None | Some(22) => vec![host],
        Some(port) => vec![format!("[{host}]:{port}"), host],
    }
}

/// How a host is written where it is added to a file.
pub(super) fn name(host: &str, port: Option<u16>) -> String {
    names(host, port).swap_remove(0)
}

/// Whether a list of patterns, or a hashed name, means the host.
fn matches(hosts: &str, name: &str) -> bool {
    if hosts.starts_with('|') {
        let Ok(HostPatterns::HashedName { salt, hash }) = hosts.parse() else { return false };
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
        return hmac::verify(&key, name.as_bytes(), &hash).is_ok();
    }
    matches_list(&hosts.to_lowercase(), name)
}

/// Whether one of a list's patterns means the name, and none of those with a `!`.
pub(super) fn matches_list(patterns: &str, name: &str) -> bool {
    let mut found = false;
    for pattern in patterns.split(',').filter(|pattern| !pattern.is_empty()) {
        match pattern.strip_prefix('!') {
            Some(pattern) if like(pattern.as_bytes(), name.as_bytes()) => return false,
            Some(_) => {}
            None => found |= like(pattern.as_bytes(), name.as_bytes()),
        }
    }
    found
}

/// Whether a text is like a pattern with `*` and `?`.
fn like(pattern: &[u8], text: &[u8]) -> bool {
    let (mut rest, mut left) = (pattern, text);
    // Where to go on when a guess for a `*` was too short.
    let mut again: Option<(&[u8], &[u8])> = None;
    loop {
        match (rest.split_first(), left.split_first()) {
            (Some((b'*', after)), _) => {
                again = Some((after, left));
                rest = after;
            }
            (Some((p, after)), Some((t, tail))) if *p == b'?' || p == t => (rest, left) = (after, tail),
            (None, None) => return true,
            _ => match again {
                Some((after, [_, tail @ ..])) => {
                    again = Some((after, tail));
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

    fn verdict(text: &str, host: &str, port: u16) -> Verdict {
        let mut known = KnownHosts::default();
        known.add(Path::new("kh"), text);
        known.verdict(host, Some(port), &key(A))
    }

    fn changed(line: usize) -> Verdict {
        Verdict::Changed(Spot { file: "kh".into(), line })
    }

    #[test]
    fn a_host_is_known_by_any_way_to_write_it() {
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
            assert_eq!(verdict(&line, host, port), Verdict::Known, "{line}");
        }
    }

    #[test]
    fn hashed_names_are_known() {
        let salt = [7; 20];
        let hashed = |name: &str| {
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
            let hash = hmac::sign(&key, name.as_bytes()).as_ref().try_into().unwrap();
            HostPatterns::HashedName { salt: salt.to_vec(), hash }.to_string()
        };
        assert_eq!(verdict(&format!("{} {A}", hashed("db.example")), "db.example", 22), Verdict::Known);
        assert_eq!(verdict(&format!("{} {A}", hashed("[db.example]:2222")), "db.example", 2222), Verdict::Known);
        assert_eq!(verdict(&format!("{} {A}", hashed("[db.example]:2222")), "db.example", 22), Verdict::Unknown);
    }

    #[test]
    fn nobody_else_is_known() {
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
            assert_eq!(verdict(&line, "db.example", 22), Verdict::Unknown, "{line}");
        }
    }

    #[test]
    fn another_key_is_told_with_its_line() {
        assert_eq!(verdict(&format!("# c\ndb.example {B}"), "db.example", 22), changed(2));
        assert_eq!(verdict(&format!("db.example {B}\ndb.example {A}"), "db.example", 22), Verdict::Known);
        assert_eq!(verdict(&format!("[db.example]:2222 {B}\ndb.example {A}"), "db.example", 2222), changed(1));
        // Another server may listen at another port.
        assert_eq!(verdict(&format!("db.example {B}"), "db.example", 2222), Verdict::Unknown);
        assert_eq!(verdict(&format!("@cert-authority * {A}\ndb.example {B}"), "db.example", 22), changed(2));
    }

    #[test]
    fn a_revoked_key_is_never_trusted() {
        let revoked = |line| Verdict::Revoked(Spot { file: "kh".into(), line });
        assert_eq!(verdict(&format!("db.example {A}\n@revoked * {A}"), "db.example", 22), revoked(2));
        assert_eq!(verdict(&format!("@revoked db.example {A}"), "db.example", 2222), revoked(1));
        assert_eq!(verdict(&format!("@revoked * {B}\ndb.example {A}"), "db.example", 22), Verdict::Known);
        assert_eq!(verdict(&format!("@revoked db.example {B}"), "db.example", 22), Verdict::Unknown);
    }
}
