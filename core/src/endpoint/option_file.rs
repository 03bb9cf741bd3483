//! Reads `~/.my.cnf` as the servers' own clients do
//! (<https://dev.mysql.com/doc/refman/8.4/en/option-files.html>, <https://mariadb.com/kb/en/configuring-mariadb-with-option-files/>).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use crate::bounded_file;

/// The groups that `mysql` and `mariadb` read. The last line of an option counts, in whichever of these groups it is.
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
    /// Reads `~/.my.cnf`. A missing or unreadable file sets no option.
    pub(super) fn read() -> Self {
        let mut found = Self::default();
        if let Some(home) = std::env::var_os("HOME") {
            found.read_file(&PathBuf::from(home).join(".my.cnf"), MAX_DEPTH);
        }
        found
    }

    fn read_file(&mut self, path: &Path, depth: usize) {
        let Some(depth) = depth.checked_sub(1) else { return };
        // An attacker that may write the file could redirect the login.
        let world_writable =
            |path| fs::metadata(path).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o002 != 0);
        if world_writable(path) {
            tracing::warn!(file = %path.display(), "option file ignored: it is world-writable");
            return;
        }
        if let Ok(bytes) = bounded_file::read(path) {
            self.parse(&String::from_utf8_lossy(&bytes), depth);
        }
    }

    fn parse(&mut self, text: &str, depth: usize) {
        let mut in_group = false;
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
            if let Some(directive) = line.strip_prefix('!') {
                match directive.split_once(char::is_whitespace) {
                    Some(("include", file)) => self.read_file(Path::new(file.trim()), depth),
                    Some(("includedir", directory)) => {
                        for file in list_option_files(Path::new(directory.trim())) {
                            self.read_file(&file, depth);
                        }
                    }
                    _ => {}
                }
            } else if let Some(group) = line.strip_prefix('[') {
                let name = group.split(']').next().unwrap_or_default().trim();
                in_group = GROUPS.contains(&name);
            } else if let Some((name, value)) = strip_comment(line).split_once('=').filter(|_| in_group) {
                self.set(name.trim(), unquote(value.trim()));
            }
        }
    }

    fn set(&mut self, name: &str, value: String) {
        let name = name.replace('_', "-");
        match name.strip_prefix("loose-").unwrap_or(&name) {
            "user" => self.user = Some(value),
            "password" | "password1" => self.password = Some(value.into()),
            "host" => self.host = Some(value),
            "port" => self.port = value.parse().ok(),
            "socket" => self.socket = Some(value.into()),
            _ => {}
        }
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
        found.parse(text, MAX_DEPTH);
        found
    }

    fn password(line: &str) -> String {
        parse(&format!("[client]\n{line}")).password.unwrap().expose_secret().to_owned()
    }

    #[test]
    fn the_last_line_of_the_clients_groups_counts() {
        let found =
            parse("user=x\n[mysqld]\nuser=x\n[client] \n; c\n# c\n  user = me\nport=3307\n[mysqldump]\nuser=x\n");
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
        let mut found = OptionFile::default();
        found.read_file(&main, MAX_DEPTH);
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!((found.user.as_deref(), found.socket), (Some("b"), Some("/s".into())));
    }
}
