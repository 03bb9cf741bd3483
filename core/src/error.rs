//! The error type of the library: its kind, whether a retry may help, its context and its cause.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The result of every fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kind of an error, for programs to branch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is invalid: an unknown option, a malformed URL, a pattern that matches nothing.
    Usage,
    /// The preflight found a problem. Nothing has been written.
    Preflight,
    /// A server or a store cannot be reached, or the connection broke.
    Connection,
    /// A server, a store or an SSH host rejects the credentials, or a host key is not trusted.
    Authentication,
    /// The account lacks a privilege.
    Permission,
    /// A server refused a statement.
    Server,
    /// An object store or a directory failed.
    Storage,
    /// A value would have been lost or changed; the job stopped.
    Data,
    /// The clone was made, and a comparison then found it different from what was read. Nothing was removed.
    Different,
    /// The clone was made, and the target refused some of its objects. Nothing was removed.
    Incomplete,
    /// The source changed during the job: a table was altered, renamed or dropped.
    Changed,
    /// The source has something that cannot be cloned.
    Unsupported,
    /// Code of the caller failed: a source, a sink, a selector.
    Callback,
    /// The job was cancelled. The context names what could not be removed.
    Cancelled,
    /// A bug of this library.
    Internal,
}

/// An error with its kind, its context and its cause. It contains no secrets.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    retryable: bool,
    code: Option<u16>,
    context: Vec<(Cow<'static, str>, String)>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Creates an error that a retry cannot help.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retryable: false, code: None, context: Vec::new(), source: None }
    }

    /// Creates an error of kind `Usage`.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// Marks the error as retryable: the same call may succeed later.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }

    /// Marks the error as not retryable: a retry would do harm.
    #[must_use]
    pub(crate) fn not_retryable(mut self) -> Self {
        self.retryable = false;
        self
    }

    /// Adds the server's error code.
    #[must_use]
    pub(crate) fn with_code(mut self, code: u16) -> Self {
        self.code = Some(code);
        self
    }

    /// Adds context as a name and a value: `("table", "orders")`.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.context.push((name.into(), value.to_string()));
        self
    }

    /// Puts the part of the request before the message: `the source: …`.
    #[must_use]
    pub(crate) fn about(mut self, part: &str) -> Self {
        self.message = format!("{part}: {}", self.message);
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }

    /// The error code of a MySQL-family server (1045: access denied); `None` for errors of other origin.
    pub fn code(&self) -> Option<u16> {
        self.code
    }

    /// The context as names and values, the outermost last.
    pub fn context(&self) -> &[(Cow<'static, str>, String)] {
        &self.context
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for (index, (name, value)) in self.context.iter().enumerate() {
            let lead = if index == 0 { " (" } else { ", " };
            write!(f, "{lead}{name} {value}")?;
        }
        if let Some(code) = self.code {
            let lead = if self.context.is_empty() { " (" } else { ", " };
            write!(f, "{lead}error {code}")?;
        }
        if !self.context.is_empty() || self.code.is_some() {
            f.write_str(")")?;
        }
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}

/// The text of a cause on another machine.
#[derive(Debug)]
struct RemoteCause(String);

impl fmt::Display for RemoteCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RemoteCause {}

/// An error as it is sent from one machine to another, with the text of its cause.
#[derive(Serialize, Deserialize)]
struct SerializedError {
    kind: ErrorKind,
    message: String,
    retryable: bool,
    code: Option<u16>,
    context: Vec<(Cow<'static, str>, String)>,
    cause: Option<String>,
}

impl Serialize for Error {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let copy = SerializedError {
            kind: self.kind,
            message: self.message.clone(),
            retryable: self.retryable,
            code: self.code,
            context: self.context.clone(),
            cause: self.source.as_ref().map(ToString::to_string),
        };
        copy.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Error {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let SerializedError { kind, message, retryable, code, context, cause } =
            SerializedError::deserialize(deserializer)?;
        let source = cause.map(|text| Box::new(RemoteCause(text)).into());
        Ok(Self { kind, message, retryable, code, context, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_as_one_line_with_its_context_and_cause() {
        let error =
            Error::new(ErrorKind::Server, "cannot load").with("table", "a").with("chunk", 3).caused_by("disk full");
        assert_eq!(error.to_string(), "cannot load (table a, chunk 3): disk full");
    }

    #[test]
    fn an_error_is_the_same_on_another_machine() {
        let error = Error::new(ErrorKind::Server, "cannot load").with_code(1205).with("table", "a").retryable();
        let error = error.caused_by("disk full");
        let copy: Error = serde_json::from_str(&serde_json::to_string(&error).unwrap()).unwrap();
        assert_eq!(copy.to_string(), error.to_string());
        assert_eq!((copy.kind(), copy.code(), copy.is_retryable()), (ErrorKind::Server, Some(1205), true));
    }
}
