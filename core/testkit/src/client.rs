//! Runs SQL through the driver `mysql_async`, which shares no code with dbgraft.

use std::sync::mpsc;
use std::thread;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, Row, SslOpts, Value};
use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};

use crate::database::Database;
use crate::error::{Context, Error, Result};
use crate::script::statements;

/// Server variables that the driver would otherwise query for each connection.
const MAX_PACKET: usize = 1 << 30;
const WAIT_SECONDS: usize = 28_800;

impl Database {
    /// Runs statements, separated by `;` or by the delimiter of a `DELIMITER` line, and returns the rows: columns
    /// separated by tabs, rows by line feeds, values as they are, NULL as `NULL`. Stops at the first error.
    pub fn sql(&self, statements: &str) -> Result<String> {
        self.text(None, statements.as_bytes())
    }

    /// Runs statements in the database `name`, as [`Database::sql`] does.
    pub fn sql_in(&self, name: &str, statements: &str) -> Result<String> {
        self.text(Some(name), statements.as_bytes())
    }

    /// Runs statements that need not be UTF-8 in the database `name`, as [`Database::sql`] does.
    pub fn bytes_in(&self, name: &str, statements: &[u8]) -> Result<String> {
        self.text(Some(name), statements)
    }

    /// Runs statements in the database `name`, also after one that the server refuses, and returns the errors.
    pub fn sql_past_errors(&self, name: &str, statements: &str) -> Result<Vec<Error>> {
        let (options, script) = (self.options(Some(name)), statements.as_bytes());
        self.on_own_thread(async move || {
            let mut connection = connect(options).await?;
            let mut errors = Vec::new();
            for statement in self::statements(script) {
                match connection.query_drop(statement).await {
                    Err(error @ mysql_async::Error::Server(_)) => errors.push(Error::new(describe(&error))),
                    result => result.map_err(|error| Error::new(describe(&error)))?,
                }
            }
            let _ = connection.disconnect().await;
            Ok(errors)
        })
    }

    /// Runs statements over TLS with these parameters, as [`Database::sql`] does.
    pub fn sql_over_tls(&self, tls: SslOpts, statements: &str) -> Result<String> {
        let mut text = Vec::new();
        self.each_result(self.options(None).ssl_opts(tls), statements.as_bytes(), |row| write_line(&mut text, row))?;
        Ok(into_text(&text))
    }

    /// Starts statements on a connection that stays open until the [`Session`] is dropped.
    pub fn session(&self, statements: &str) -> Result<Session> {
        Session::start(self.options(None), statements.as_bytes().to_vec())
    }

    /// Reads the rows of `query` one by one, each as a line: values separated by tabs; a tab, line feed, NUL or backslash
    /// in a value is escaped.
    pub(crate) fn each_row(&self, query: &str, mut row: impl FnMut(&[u8]) -> Result<()> + Send) -> Result<()> {
        let mut line = Vec::new();
        let mut failure = Ok(());
        self.each_result(self.options(None), query.as_bytes(), |values| {
            line.clear();
            for (number, value) in values.iter().enumerate() {
                if number > 0 {
                    line.push(b'\t');
                }
                escape(&mut line, value);
            }
            if failure.is_ok() {
                failure = row(&line);
            }
        })?;
        failure
    }

    /// Returns all rows of a small query; NULL is `NULL`.
    pub(crate) fn rows(&self, query: &str) -> Result<Vec<Vec<String>>> {
        let mut rows = Vec::new();
        self.each_result(self.options(None), query.as_bytes(), |values| {
            rows.push(values.iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect());
        })?;
        Ok(rows)
    }

    fn text(&self, database: Option<&str>, statements: &[u8]) -> Result<String> {
        let mut text = Vec::new();
        self.each_result(self.options(database), statements, |row| write_line(&mut text, row))?;
        Ok(into_text(&text))
    }

    fn options(&self, database: Option<&str>) -> OptsBuilder {
        OptsBuilder::default()
            .ip_or_hostname(self.host.clone())
            .tcp_port(self.port)
            .user(Some(self.user.clone()))
            .pass(Some(self.password.clone()))
            .db_name(database.map(str::to_owned))
            .prefer_socket(false)
            .max_allowed_packet(Some(MAX_PACKET))
            .wait_timeout(Some(WAIT_SECONDS))
            // The server's default collation of utf8mb4, as its own client would have it.
            .setup(vec!["SET NAMES utf8mb4"])
    }

    /// Runs `script` and passes each row of each result to `row`.
    fn each_result(&self, options: OptsBuilder, script: &[u8], row: impl FnMut(&[Vec<u8>]) + Send) -> Result<()> {
        self.on_own_thread(async move || run(options, script, row).await)
    }

    /// Runs a task on a thread of its own, because a caller may itself be in a runtime, where another cannot block.
    fn on_own_thread<T: Send>(&self, task: impl AsyncFnOnce() -> Result<T> + Send) -> Result<T> {
        let run = || runtime()?.block_on(task());
        let result = blocking(|| thread::scope(|scope| scope.spawn(run).join()));
        let result = result.unwrap_or_else(|_| Err(Error::new("the client panicked")));
        result.map_err(|error| Error::new(format!("{}: {error}", self.flavor)))
    }
}

/// A connection that runs statements by itself and then stays open. Dropping it closes the connection, also in the
/// middle of a statement.
#[derive(Debug)]
pub struct Session {
    runtime: Option<Runtime>,
    ended: mpsc::Receiver<Result<()>>,
}

impl Session {
    fn start(options: OptsBuilder, script: Vec<u8>) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().context("no runtime")?;
        let (end, ended) = mpsc::channel();
        runtime.spawn(async move {
            let mut connection = match connect(options).await {
                Ok(connection) => connection,
                Err(error) => return drop(end.send(Err(error))),
            };
            let result = execute(&mut connection, &script, |_| {}).await;
            let _ = end.send(result);
            std::future::pending::<()>().await;
        });
        Ok(Self { runtime: Some(runtime), ended })
    }

    /// Waits until the statements end; fails with the error of the one that failed.
    pub fn wait(&self) -> Result<()> {
        blocking(|| self.ended.recv()).unwrap_or_else(|_| Err(Error::new("the session is gone")))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Blocks, but not the other tasks of a multi-threaded runtime: the server may wait for one of them.
fn blocking<T>(wait: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(wait),
        _ => wait(),
    }
}

fn runtime() -> Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("no runtime")
}

async fn connect(options: OptsBuilder) -> Result<Conn> {
    Conn::new(options).await.map_err(|error| Error::new(describe(&error)))
}

async fn run(options: OptsBuilder, script: &[u8], row: impl FnMut(&[Vec<u8>])) -> Result<()> {
    let mut connection = connect(options).await?;
    execute(&mut connection, script, row).await?;
    // A failed disconnect does not matter.
    let _ = connection.disconnect().await;
    Ok(())
}

async fn execute(connection: &mut Conn, script: &[u8], mut row: impl FnMut(&[Vec<u8>])) -> Result<()> {
    let described = |error| Error::new(describe(&error));
    for statement in statements(script) {
        let mut results = connection.query_iter(statement).await.map_err(described)?;
        while !results.is_empty() {
            while let Some(next) = results.next().await.map_err(described)? {
                row(&values(next));
            }
        }
    }
    Ok(())
}

fn values(row: Row) -> Vec<Vec<u8>> {
    let bytes = |value| match value {
        Value::Bytes(bytes) => bytes,
        // Every other value of the text protocol is NULL.
        _ => b"NULL".to_vec(),
    };
    row.unwrap().into_iter().map(bytes).collect()
}

/// The error as the servers' own clients print it.
fn describe(error: &mysql_async::Error) -> String {
    match error {
        mysql_async::Error::Server(server) => {
            format!("ERROR {} ({}): {}", server.code, server.state, server.message)
        }
        other => other.to_string(),
    }
}

fn write_line(text: &mut Vec<u8>, values: &[Vec<u8>]) {
    text.extend_from_slice(&values.join(&b'\t'));
    text.push(b'\n');
}

fn into_text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.strip_suffix('\n').unwrap_or(&text).to_owned()
}

fn escape(line: &mut Vec<u8>, value: &[u8]) {
    // Byte by byte this would be a good part of the tests' time.
    if memchr::memchr3(b'\n', b'\t', b'\\', value).or_else(|| memchr::memchr(b'\0', value)).is_none() {
        return line.extend_from_slice(value);
    }
    for part in value.split_inclusive(|byte| matches!(byte, b'\n' | b'\t' | b'\0' | b'\\')) {
        let (plain, escaped): (&[u8], &[u8]) = match part {
            [plain @ .., b'\n'] => (plain, b"\\n"),
            [plain @ .., b'\t'] => (plain, b"\\t"),
            [plain @ .., b'\0'] => (plain, b"\\0"),
            [plain @ .., b'\\'] => (plain, b"\\\\"),
            plain => (plain, b""),
        };
        line.extend_from_slice(plain);
        line.extend_from_slice(escaped);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_unambiguous() {
        let mut line = Vec::new();
        escape(&mut line, b"a\nb\tc\\n\0");
        assert_eq!(line, br"a\nb\tc\\n\0");
        escape(&mut line, b"plain");
        escape(&mut line, b"\0");
        assert_eq!(line, br"a\nb\tc\\n\0plain\0");
    }
}
