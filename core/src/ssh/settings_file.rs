//! Reads `ssh_config` where there is no `ssh` to do it: Host, Include and plain settings. `Match` is left out.

use std::fs;
use std::path::{Path, PathBuf};

use globset::Glob;

use super::known_hosts::matches_list;
use super::settings::{Pairs, at_home, home, words};
use crate::bounded_file;
use crate::error::{Error, Result};

/// How deep files may include each other, as in `ssh`.
const DEPTH: usize = 16;

/// What `config`, or else the user's file and the system's, say of a host.
pub(super) fn read(host: &str, config: Option<&Path>) -> Result<Pairs> {
    let mut reader = Reader { host, base: home().join(".ssh"), pairs: Pairs::new() };
    match config {
        // As with `ssh -F`: this file and no other.
        Some(file) => reader.file(&at_home(file), true, 0)?,
        None => {
            let user = reader.base.join("config");
            if user.exists() {
                reader.file(&user, true, 0)?;
            }
            reader.base = PathBuf::from("/etc/ssh");
            let system = reader.base.join("ssh_config");
            if system.exists() {
                reader.file(&system, true, 0)?;
            }
        }
    }
    Ok(reader.pairs)
}

struct Reader<'a> {
    host: &'a str,
    /// Where relative includes are.
    base: PathBuf,
    pairs: Pairs,
}

impl Reader<'_> {
    /// Reads a file; `active` says whether what stands outside of its own blocks counts.
    fn file(&mut self, file: &Path, active: bool, depth: usize) -> Result<()> {
        let wrong = |what: String| Error::usage(format!("the SSH settings in {}: {what}", file.display()));
        if depth > DEPTH {
            return Err(wrong("files include each other too deeply".to_owned()));
        }
        let text =
            bounded_file::read(file).map_err(|error| wrong("cannot read the file".to_owned()).caused_by(error))?;
        let mut counts = active;
        for line in String::from_utf8_lossy(&text).lines().map(str::trim) {
            let Some((name, value)) = setting(line) else { continue };
            match name.as_str() {
                "host" => counts = active && matches_list(&words(&value).join(","), self.host),
                "match" => {
                    tracing::warn!(file = %file.display(), "there is no `ssh` to understand `Match` blocks: they are skipped");
                    counts = active && value.trim().eq_ignore_ascii_case("all");
                }
                "include" if counts => {
                    for pattern in words(&value) {
                        for inner in included(&self.base, &pattern).map_err(wrong)? {
                            self.file(&inner, true, depth + 1)?;
                        }
                    }
                }
                _ if counts => self.set(name, &value),
                _ => {}
            }
        }
        Ok(())
    }

    /// The first value of a setting counts; keys add up.
    fn set(&mut self, name: String, value: &str) {
        let has = |wanted: &str| self.pairs.iter().any(|pair| pair.0 == wanted);
        let jumps = || self.pairs.iter().any(|pair| pair.0 == "proxyjump" && !pair.1.eq_ignore_ascii_case("none"));
        let counts = match name.as_str() {
            "identityfile" => true,
            // ProxyJump and ProxyCommand are two words for one setting.
            "proxyjump" => !has("proxyjump") && !has("proxycommand"),
            "proxycommand" => !has("proxycommand") && !jumps(),
            name => !has(name),
        };
        if counts {
            let value = match name.as_str() {
                "userknownhostsfile" | "globalknownhostsfile" | "proxycommand" => value.to_owned(),
                _ => words(value).into_iter().next().unwrap_or_default(),
            };
            self.pairs.push((name, value));
        }
    }
}

/// The name, in small letters, and the value of a line: `Name value`, `Name=value`.
fn setting(line: &str) -> Option<(String, String)> {
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let (name, value) = line.split_once(|c: char| c.is_whitespace() || c == '=')?;
    let value = value.trim_start();
    let value = value.strip_prefix('=').filter(|_| !line.starts_with(&format!("{name}="))).unwrap_or(value);
    Some((name.to_lowercase(), value.trim().to_owned()))
}

/// The files that a pattern means, in the order of their names. There may be none.
fn included(base: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    let path = base.join(at_home(Path::new(pattern)));
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
