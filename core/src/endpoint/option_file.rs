//! Reads `~/.my.cnf` as the servers' own clients do
//! (<https://dev.mysql.com/doc/refman/8.4/en/option-files.html>, <https://mariadb.com/kb/en/configuring-mariadb-with-option-files/>).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use crate::bounded_file;
use crate::error::{Error, Result};

/// The groups that `mysql` and `mariadb` read. The last value of an option counts, in any of these groups.
const GROUPS: [&str; 5] = ["client", "client-server", "client-mariadb", "mysql", "mariadb-client"];
/// The maximum depth of includes, as in the servers' own clients.
const MAX_DEPTH: usize = 10;

/// The options of an option file for all clients.
#[derive(Debug, Default)]
pub(super) struct OptionFile {
    pub(super) user: Option<String>,
    pub(super) password: Option<SecretString>,
    pub(super) host: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) socket: Option<PathBuf>,
}

impl OptionFile {
    /// Reads `~/.my.cnf`. A missing or unreadable file has no options.
    ///
    /// # Errors
    /// `Usage`, with the file and the line, for a file that the servers' own clients refuse, and for a world-writable file,
    /// which they skip with a warning.
    pub(super) fn read() -> Result<Self> {
        let mut found = Self::default();
        if let Some(home) = std::env::var_os("HOME") {
            found.read_file(&PathBuf::from(home).join(".my.cnf"), MAX_DEPTH)?;
        }
        Ok(found)
    }

    fn read_file(&mut self, path: &Path, depth: usize) -> Result<()> {
        let Some(depth) = depth.checked_sub(1) else { return Ok(()) };
        // Another account that can write the file could redirect the connection to its own server.
        let world_writable =
            |path| fs::metadata(path).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o002 != 0);
        if world_writable(path) {
            let file = path.display();
            return Err(Error::usage(format!(
                "the option file {file} is not used, since everybody may write it: chmod go-w {file}"
            )));
        }
        match bounded_file::read(path) {
            Ok(bytes) => self.parse(path, &String::from_utf8_lossy(&bytes), depth),
            Err(_) => Ok(()),
        }
    }

    fn parse(&mut self, path: &Path, text: &str, depth: usize) -> Result<()> {
        // `None` before the first group; then whether the current group is one of `GROUPS`.
        let mut group_counts = None;
        for (index, line) in text.lines().map(str::trim).enumerate() {
            let wrong = |what: &str| {
                let number = index + 1;
                Err(Error::usage(format!("the option file {}, line {number}: {what}", path.display())))
            };
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(directive) = line.strip_prefix('!') {
                match directive.split_once(char::is_whitespace) {
                    Some(("include", file)) => self.read_file(Path::new(file.trim()), depth)?,
                    Some(("includedir", directory)) => {
                        for file in list_option_files(Path::new(directory.trim())) {
                            self.read_file(&file, depth)?;
                        }
                    }
                    _ => {}
                }
            } else if let Some(group) = line.strip_prefix('[') {
                let Some((name, _)) = group.split_once(']') else { return wrong("a group has no `]` at its end") };
                group_counts = Some(GROUPS.contains(&name.trim()));
            } else if group_counts.is_none() {
                // The line itself may hold a password.
                return wrong("an option stands before the first group: say [client] before it");
            } else if let Some((name, value)) = strip_comment(line).split_once('=')
                && group_counts == Some(true)
                && !self.set(name.trim(), unquote(value.trim()))
            {
                return wrong("the port is no number from 1 to 65535");
            }
        }
        Ok(())
    }

    /// Sets an option; returns `false` for an invalid value.
    fn set(&mut self, name: &str, value: String) -> bool {
        let name = name.to_ascii_lowercase().replace('_', "-");
        match name.strip_prefix("loose-").unwrap_or(&name) {
            "user" => self.user = Some(value),
            // MariaDB's clients accept these abbreviations of `password`; no other option begins like this.
            "password" | "password1" | "pass" | "passw" | "passwo" | "passwor" => self.password = Some(value.into()),
            "host" => self.host = Some(value),
            "port" => match value.parse::<u16>() {
                // The clients read 0 as the default port.
                Ok(port) => self.port = Some(port).filter(|port| *port != 0),
                Err(_) => return false,
            },
            "socket" => self.socket = Some(value.into()),
            _ => {}
        }
        true
    }
}

/// Lists the option files of a directory, sorted by name.
fn list_option_files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "cnf")).collect();
    files.sort();
    files
}

/// Removes a comment: a `#` outside of quotes and the rest of the line.
fn strip_comment(line: &str) -> &str {
    let (mut quote, mut escaped) = (None, false);
    for (at, c) in line.char_indices() {
        match quote {
            None if c == '#' => return line.get(..at).unwrap_or(line),
            None if c == '"' || c == '\'' => quote = Some(c),
            Some(open) if c == open && !escaped => quote = None,
            _ => {}
        }
        escaped = quote.is_some() && c == '\\' && !escaped;
    }
    line
}

/// Removes the quotes around a value and decodes its escapes.
fn unquote(value: &str) -> String {
    let inner = ['"', '\''].iter().find_map(|&quote| value.strip_prefix(quote)?.strip_suffix(quote));
    let (mut text, mut rest) = (String::new(), inner.unwrap_or(value).chars());
    while let Some(c) = rest.next() {
        let escaped = if c == '\\' { rest.next() } else { None };
        match escaped {
            None => text.push(c),
            Some('n') => text.push('\n'),
            Some('t') => text.push('\t'),
            Some('r') => text.push('\r'),
            Some('b') => text.push('\u{8}'),
            Some('s') => text.push(' '),
            Some(plain @ ('"' | '\'' | '\\')) => text.push(plain),
            Some(other) => text.extend([c, other]),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn parse(text: &str) -> OptionFile {
        let mut found = OptionFile::default();
        found.parse(Path::new("f.cnf"), text, MAX_DEPTH).unwrap();
        found
    }

    fn refusal(text: &str) -> String {
        OptionFile::default().parse(Path::new("f.cnf"), text, MAX_DEPTH).unwrap_err().to_string()
    }

    fn password(line: &str) -> String {
        parse(&format!("[client]\n{line}")).password.unwrap().expose_secret().to_owned()
    }

    #[test]
    fn the_last_line_of_the_clients_groups_counts() {
        let found = parse("[mysqld]\nuser=x\n[client] \n; c\n# c\n  user = me\nport=3307\n[mysqldump]\nuser=x\n");
        assert_eq!((found.user.as_deref(), found.port), (Some("me"), Some(3307)));
        for group in GROUPS {
            assert_eq!(parse(&format!("[client]\nuser=a\n[{group}]\nloose_user=b")).user.as_deref(), Some("b"));
        }
    }

    #[test]
    fn quotes_escapes_and_comments_are_parsed_like_the_clients_do() {
        assert_eq!(password("password=\"p#w\""), "p#w");
        assert_eq!(password("password = 'a # b' # c"), "a # b");
        assert_eq!(password("password=p#w"), "p");
        assert_eq!(password("password=a=b;c"), "a=b;c");
        assert_eq!(password(r#"password="a\"b\\c\sd\x""#), r#"a"b\c d\x"#);
        assert_eq!(password(r#"password="it's\" # x""#), r#"it's" # x"#);
        assert_eq!(password("password=\"half"), "\"half");
        assert_eq!(password("password='"), "'");
        assert!(parse("[client]\npassword\n").password.is_none());
    }

    #[test]
    fn what_the_clients_refuse_is_named_by_its_line() {
        for (text, names) in [
            ("\n# c\npassword=secret\n[client]\n", "f.cnf, line 3: an option stands before the first group"),
            ("\u{feff}[client]\npassword=secret\n", "line 1: an option stands before"),
            ("[client\npassword=secret", "line 1: a group has no `]`"),
            ("[client]\nport=abc", "line 2: the port"),
            ("[client]\nport=99999", "line 2: the port"),
        ] {
            let message = refusal(text);
            assert!(message.contains(names) && !message.contains("secret"), "{text:?}: {message}");
        }
        assert_eq!(parse("[mysqld]\nport=abc\n[client]\nport=0\nUSER=a").user.as_deref(), Some("a"));
        assert_eq!(password("pass=short"), "short");
    }

    #[test]
    fn includes_end_at_the_maximum_depth() {
        let dir = std::env::temp_dir().join(format!("dbgraft-option-files-{}", std::process::id()));
        fs::create_dir_all(dir.join("d")).unwrap();
        let (main, open) = (dir.join("main"), dir.join("open.cnf"));
        let text = format!(
            "[client]\nuser=a\n!include {0}\n!includedir {1}\n!include {2}\n",
            main.display(),
            dir.join("d").display(),
            open.display()
        );
        fs::write(&main, text).unwrap();
        fs::write(dir.join("d/1.cnf"), "[client]\nuser=b\nsocket=/s").unwrap();
        fs::write(dir.join("d/2.txt"), "[client]\nuser=c").unwrap();
        fs::write(&open, "[client]\nuser=d").unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o666)).unwrap();
        let refused = OptionFile::default().read_file(&main, MAX_DEPTH).unwrap_err().to_string();
        assert!(refused.contains("open.cnf is not used, since everybody may write it: chmod go-w"), "{refused}");
        fs::remove_file(&open).unwrap();
        let mut found = OptionFile::default();
        found.read_file(&main, MAX_DEPTH).unwrap();
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!((found.user.as_deref(), found.socket), (Some("b"), Some("/s".into())));
    }
}
