//! Parses `ssh_config` files if there is no `ssh` command: `Host`, `Include` and plain settings. Skips `Match` blocks.

use std::fs;
use std::path::{Path, PathBuf};

use globset::Glob;

use super::known_hosts::matches_list;
use super::paths::{expand_home, home_dir};
use crate::bounded_file;
use crate::error::{Error, Result};

/// The maximum depth of includes, as in `ssh`.
const MAX_DEPTH: usize = 16;

/// The names and values of settings, in the order of `ssh -G`.
pub(super) type ConfigEntries = Vec<(String, String)>;

/// Reads the settings for a host from `config`, or else from the user's and the system's files.
pub(super) fn read(host: &str, config: Option<&Path>) -> Result<ConfigEntries> {
    let mut parser = ConfigParser { host, base: home_dir().join(".ssh"), entries: ConfigEntries::new() };
    match config {
        // As with `ssh -F`: this file and no other.
        Some(file) => parser.parse_file(&expand_home(file), true, 0)?,
        None => {
            let user = parser.base.join("config");
            if user.exists() {
                parser.parse_file(&user, true, 0)?;
            }
            parser.base = PathBuf::from("/etc/ssh");
            let system = parser.base.join("ssh_config");
            if system.exists() {
                parser.parse_file(&system, true, 0)?;
            }
        }
    }
    Ok(parser.entries)
}

struct ConfigParser<'a> {
    host: &'a str,
    /// The directory of relative includes.
    base: PathBuf,
    entries: ConfigEntries,
}

impl ConfigParser<'_> {
    /// Parses a file. `active` is whether its settings outside of `Host` blocks apply.
    fn parse_file(&mut self, file: &Path, active: bool, depth: usize) -> Result<()> {
        let wrong = |what: String| Error::usage(format!("the SSH settings in {}: {what}", file.display()));
        if depth > MAX_DEPTH {
            return Err(wrong("files include each other too deeply".to_owned()));
        }
        let text =
            bounded_file::read(file).map_err(|error| wrong("cannot read the file".to_owned()).caused_by(error))?;
        let mut applies = active;
        for line in String::from_utf8_lossy(&text).lines().map(str::trim) {
            let Some((name, value)) = parse_line(line) else { continue };
            match name.as_str() {
                "host" => applies = active && matches_list(&split_words(&value).join(","), self.host),
                "match" => {
                    tracing::warn!(file = %file.display(), "`Match` blocks are skipped, since there is no `ssh` command");
                    applies = active && value.trim().eq_ignore_ascii_case("all");
                }
                "include" if applies => {
                    for pattern in split_words(&value) {
                        for inner in included_files(&self.base, &pattern).map_err(wrong)? {
                            self.parse_file(&inner, true, depth + 1)?;
                        }
                    }
                }
                _ if applies => self.add_entry(name, &value),
                _ => {}
            }
        }
        Ok(())
    }

    /// Adds an entry. The first value of a setting applies; key files accumulate.
    fn add_entry(&mut self, name: String, value: &str) {
        let has = |wanted: &str| self.entries.iter().any(|entry| entry.0 == wanted);
        let jumps = || self.entries.iter().any(|entry| entry.0 == "proxyjump" && !entry.1.eq_ignore_ascii_case("none"));
        let is_new = match name.as_str() {
            "identityfile" => true,
            // ProxyJump and ProxyCommand override each other.
            "proxyjump" => !has("proxyjump") && !has("proxycommand"),
            "proxycommand" => !has("proxycommand") && !jumps(),
            name => !has(name),
        };
        if is_new {
            let value = match name.as_str() {
                "userknownhostsfile" | "globalknownhostsfile" | "proxycommand" => value.to_owned(),
                _ => split_words(value).into_iter().next().unwrap_or_default(),
            };
            self.entries.push((name, value));
        }
    }
}

/// Parses a line into the lower-case name and the value: `Name value`, `Name=value`.
fn parse_line(line: &str) -> Option<(String, String)> {
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let (name, value) = line.split_once(|c: char| c.is_whitespace() || c == '=')?;
    let value = value.trim_start();
    let value = value.strip_prefix('=').filter(|_| !line.starts_with(&format!("{name}="))).unwrap_or(value);
    Some((name.to_lowercase(), value.trim().to_owned()))
}

/// The files that match a pattern of `Include`, by name.
fn included_files(base: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    let path = base.join(expand_home(Path::new(pattern)));
    let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Err(format!("cannot include `{pattern}`"));
    };
    if !name.contains(['*', '?', '[']) {
        return Ok(if path.is_file() { vec![path] } else { Vec::new() });
    }
    let glob = Glob::new(name).map_err(|_| format!("cannot include `{pattern}`"))?.compile_matcher();
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let hidden = |name: &str| name.starts_with('.');
    let mut files: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| !hidden(name) && glob.is_match(name)))
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    Ok(files)
}

/// Splits a line into words. Double quotes protect spaces.
pub(super) fn split_words(text: &str) -> Vec<String> {
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
