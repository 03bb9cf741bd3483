//! Turns the machine's own apt source into one for another suite of Debian, with the same address, key and options.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Context, Error, Result};

/// A source that `apt` reads from a file of its own.
#[derive(Debug, PartialEq)]
pub(super) struct Source {
    /// `sources` (deb822) or `list` (one line each): apt tells them apart by the file's name.
    pub(super) extension: &'static str,
    pub(super) text: String,
}

/// Finds the Debian archive among the machine's sources, and asks it for `suite`.
pub(super) fn derive(suite: &str) -> Result<Source> {
    let release = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    let codename = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let mut suites = vec!["stable", "oldstable", "testing", "unstable", "sid"];
    suites.extend(codename.map(|name| name.trim_matches('"')));
    for file in source_files() {
        let text = fs::read_to_string(&file).at("cannot read", &file)?;
        if let Some(source) = rewrite(&text, &suites, suite) {
            return Ok(source);
        }
    }
    Err(Error::new("no Debian archive in /etc/apt/sources.list or /etc/apt/sources.list.d"))
}

/// The same source with its snapshot moved to `stamp`, where it is of a moment of the past: the
/// server of that moment may be another one.
pub(super) fn at_moment(source: &Source, stamp: &str) -> Option<Source> {
    let mut found = false;
    let moved = |part: &str| {
        let is_stamp = part.len() == 16
            && part.ends_with('Z')
            && part.char_indices().all(|(i, c)| match i {
                8 => c == 'T',
                15 => c == 'Z',
                _ => c.is_ascii_digit(),
            });
        found |= is_stamp;
        if is_stamp { stamp.to_owned() } else { part.to_owned() }
    };
    let text = source.text.split('/').map(moved_by_lines(moved)).collect::<Vec<_>>().join("/");
    found.then_some(Source { extension: source.extension, text })
}

fn source_files() -> Vec<PathBuf> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    let parts = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    let mut parts: Vec<_> = parts
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "list" || end == "sources"))
        .collect();
    parts.sort();
    files.extend(parts);
    files.retain(|file| Path::is_file(file));
    files
}

fn rewrite(text: &str, suites: &[&str], wanted: &str) -> Option<Source> {
    let deb822 = text.lines().any(|line| line.to_ascii_lowercase().starts_with("uris:"));
    if deb822 {
        let stanza = stanzas(text).find_map(|stanza| rewrite_stanza(&stanza, suites, wanted))?;
        return Some(Source { extension: "sources", text: stanza });
    }
    let line = text.lines().find_map(|line| rewrite_line(line, suites, wanted))?;
    Some(Source { extension: "list", text: line })
}

/// Paragraphs without comments.
fn stanzas(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.split("\n\n")
        .map(|stanza| stanza.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()).collect())
}

fn rewrite_stanza(lines: &[&str], suites: &[&str], wanted: &str) -> Option<String> {
    let field = |name: &str| {
        lines.iter().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    };
    let has =
        |name, words: &[&str]| field(name).is_some_and(|value| value.split(' ').any(|word| words.contains(&word)));
    let enabled = !field("Enabled").is_some_and(|value| value.eq_ignore_ascii_case("no"));
    if !(enabled && has("Types", &["deb"]) && has("Suites", suites) && has("Components", &["main"])) {
        return None;
    }
    let mut text = String::new();
    for line in lines {
        let replaced = match line.split_once(':').map(|(key, _)| key.to_ascii_lowercase()).as_deref() {
            Some("types") => "Types: deb".to_owned(),
            Some("suites") => format!("Suites: {wanted}"),
            Some("components") => "Components: main".to_owned(),
            _ => (*line).to_owned(),
        };
        text.push_str(&replaced);
        text.push('\n');
    }
    Some(text)
}

/// `deb [options] uri suite component…`
fn rewrite_line(line: &str, suites: &[&str], wanted: &str) -> Option<String> {
    let rest = line.trim().strip_prefix("deb")?;
    let rest = rest.strip_prefix([' ', '\t', '['].as_slice()).map(|_| rest.trim_start())?;
    let (options, rest) = match rest.split_once(']') {
        Some((options, rest)) if rest.len() < line.len() && options.starts_with('[') => (format!("{options}] "), rest),
        _ => (String::new(), rest),
    };
    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next()?, words.next()?);
    if !suites.contains(&suite) || !words.any(|component| component == "main") {
        return None;
    }
    Some(format!("deb {options}{uri} {wanted} main\n"))
}

/// Applies `change` to the part of a path that ends at the end of a word or line.
fn moved_by_lines(mut change: impl FnMut(&str) -> String) -> impl FnMut(&str) -> String {
    move |part| match part.find(char::is_whitespace) {
        Some(end) => {
            let (word, rest) = part.split_at(end);
            format!("{}{rest}", change(word))
        }
        None => change(part),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUITES: [&str; 2] = ["stable", "bookworm"];

    #[test]
    fn a_deb822_source_keeps_its_address_and_key() {
        let text = "Types: deb\nURIs: http://mirror.test/debian-security\nSuites: bookworm-security\nComponents: main\n\n\
                    # ours\nTypes: deb deb-src\nURIs: http://mirror.test/debian\nSuites: bookworm bookworm-updates\n\
                    Components: main contrib\nSigned-By: /usr/share/keyrings/k.gpg\n";
        let source = rewrite(text, &SUITES, "sid").unwrap();
        assert_eq!(source.extension, "sources");
        assert_eq!(
            source.text,
            "Types: deb\nURIs: http://mirror.test/debian\nSuites: sid\nComponents: main\n\
             Signed-By: /usr/share/keyrings/k.gpg\n"
        );
    }

    #[test]
    fn a_one_line_source_keeps_its_options() {
        let text = "# deb http://no.test bookworm main\ndeb http://other.test/x nodistro main\n\
                    deb [signed-by=/k.gpg arch=amd64] http://mirror.test/debian bookworm main contrib\n";
        let source = rewrite(text, &SUITES, "sid").unwrap();
        assert_eq!(source.extension, "list");
        assert_eq!(source.text, "deb [signed-by=/k.gpg arch=amd64] http://mirror.test/debian sid main\n");
    }

    #[test]
    fn another_distribution_has_none() {
        assert_eq!(rewrite("deb http://mirror.test/ubuntu noble main\n", &SUITES, "sid"), None);
        assert_eq!(
            rewrite("Types: deb\nURIs: u\nSuites: bookworm\nComponents: main\nEnabled: no\n", &SUITES, "sid"),
            None
        );
    }

    #[test]
    fn a_snapshot_can_be_moved() {
        let source = Source { extension: "list", text: "deb http://m.test/debian/20250520T000000Z sid main\n".into() };
        let moved = at_moment(&source, "20260101T000000Z").unwrap();
        assert_eq!(moved.text, "deb http://m.test/debian/20260101T000000Z sid main\n");
        assert_eq!(at_moment(&moved, "20260101T000000Z").unwrap(), moved);
        let plain = Source { extension: "list", text: "deb http://m.test/debian sid main\n".into() };
        assert_eq!(at_moment(&plain, "20260101T000000Z"), None);
    }
}
