//! SQL through the flavor's own command-line client: another reader than dbgraft's.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread;

use crate::database::Database;
use crate::error::{Context, Error, Result};
use crate::flavor::Flavor;
use crate::programs::Programs;

impl Database {
    /// Runs statements, separated by `;`, and returns what they print: columns parted by tabs, rows by line feeds,
    /// values as they are, no column names.
    pub fn sql(&self, statements: &str) -> Result<String> {
        self.text(None, statements)
    }

    /// The same in the database `name`.
    pub fn sql_in(&self, name: &str, statements: &str) -> Result<String> {
        self.text(Some(name), statements)
    }

    /// Reads the rows of `query` one by one, each as its values; NULL is `NULL`.
    pub(crate) fn each_row(&self, query: &str, mut row: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.run(None, query, &["--quick"], |output| {
            let mut line = Vec::new();
            loop {
                line.clear();
                let read = output.read_until(b'\n', &mut line).context("cannot read the client's output")?;
                if read == 0 {
                    return Ok(());
                }
                row(line.strip_suffix(b"\n").unwrap_or(&line))?;
            }
        })
    }

    /// All rows of a small query, unescaped.
    pub(crate) fn rows(&self, query: &str) -> Result<Vec<Vec<String>>> {
        let mut rows = Vec::new();
        self.each_row(query, |line| {
            let line = String::from_utf8_lossy(line).into_owned();
            rows.push(line.split('\t').map(unescaped).collect());
            Ok(())
        })?;
        Ok(rows)
    }

    /// The client as a command that connects to this server; its standard input takes statements.
    ///
    /// The password is in its environment, not in its arguments.
    pub fn client(&self) -> Result<Command> {
        let programs = Programs::find(self.flavor)?;
        let mut command = Command::new(programs.client);
        command
            .args([
                "--no-defaults",
                "--protocol=tcp",
                "--default-character-set=utf8mb4",
                "--local-infile=1",
                "--max-allowed-packet=1G",
                // Comments in bodies belong to them.
                "--comments",
            ])
            .arg(format!("--host={}", self.host))
            .arg(format!("--port={}", self.port))
            .arg(format!("--user={}", self.user))
            .env("MYSQL_PWD", &self.password);
        if self.flavor == Flavor::MySql {
            command.arg("--get-server-public-key");
        }
        Ok(command)
    }

    fn text(&self, database: Option<&str>, statements: &str) -> Result<String> {
        let mut bytes = Vec::new();
        self.run(database, statements, &["--raw"], |output| {
            output.read_to_end(&mut bytes).context("cannot read the client's output").map(drop)
        })?;
        let text = String::from_utf8_lossy(&bytes);
        Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
    }

    fn run(
        &self,
        database: Option<&str>,
        statements: &str,
        options: &[&str],
        read: impl FnOnce(&mut dyn BufRead) -> Result<()>,
    ) -> Result<()> {
        let mut command = self.client()?;
        command.args(["--batch", "--skip-column-names"]).args(options);
        command.args(database.map(|name| format!("--database={name}")));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run the command-line client")?;
        let complaint = thread::scope(|scope| converse(scope, &mut child, statements, read))?;
        let status = child.wait().context("the client vanished")?;
        if status.success() {
            return Ok(());
        }
        Err(Error::new(format!("{}: {}", self.flavor, complaint.trim())))
    }
}

/// Writes, reads, and reads the errors, all at once so that no pipe blocks another.
fn converse<'scope, 'a: 'scope>(
    scope: &'scope thread::Scope<'scope, 'a>,
    child: &mut Child,
    statements: &'a str,
    read: impl FnOnce(&mut dyn BufRead) -> Result<()>,
) -> Result<String> {
    let (Some(mut stdin), Some(stdout), Some(mut stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(Error::new("the client has no pipes"));
    };
    // A client that stops at an error closes its input early; it says why on its standard error.
    scope.spawn(move || stdin.write_all(statements.as_bytes()));
    let complaint = scope.spawn(move || {
        let mut text = Vec::new();
        let _ = stderr.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    });
    let result = read(&mut BufReader::with_capacity(1 << 16, stdout));
    if result.is_err() {
        let _ = child.kill();
    }
    let complaint = complaint.join().unwrap_or_default();
    result.map(|()| complaint)
}

/// Undoes the escapes of the client's batch mode.
fn unescaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut signs = value.chars();
    while let Some(sign) = signs.next() {
        if sign != '\\' {
            text.push(sign);
            continue;
        }
        match signs.next() {
            Some('n') => text.push('\n'),
            Some('t') => text.push('\t'),
            Some('0') => text.push('\0'),
            Some(other) => text.push(other),
            None => text.push('\\'),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone() {
        assert_eq!(unescaped(r"a\nb\tc\\n"), "a\nb\tc\\n");
    }
}
