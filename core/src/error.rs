//! The one error of the library: what kind it is, whether trying again can help, and where it happened.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The result of everything fallible in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, coarsely: the thing to branch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request itself is wrong: an unknown option, a malformed URL, a pattern that matches nothing.
    Usage,
    /// The preflight found a problem. Nothing has been written.
    Preflight,
    /// A server or a store cannot be reached, or the connection broke.
    Connection,
    /// The server or the store does not accept who we are.
    Authentication,
    /// The account lacks a right.
    Permission,
    /// A server refused a statement.
    Server,
    /// An object store or a directory failed.
    Storage,
    /// A value would have been lost or changed, so the work was stopped.
    Data,
    /// The clone was made, and a comparison then found it different from what was read. Nothing was removed.
    Different,
    /// The clone was made, and the target refused some of its objects. Nothing was removed.
    Incomplete,
    /// Something changed underneath: a table was altered while the clone started.
    Changed,
    /// The source holds something that cannot be carried.
    Unsupported,
    /// Code of the user's own failed: a source, a sink, a selector.
    Callback,
    /// The job was cancelled and has cleaned up.
    Cancelled,
    /// A bug of this library.
    Internal,
}

/// An error with its kind, its context and its cause. Secrets never reach it.
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
    /// An error that another try cannot help.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retryable: false, code: None, context: Vec::new(), source: None }
    }

    /// Wrong usage: the request itself cannot be carried out.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// Says that trying the same again may succeed.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }

    /// Says that trying the same again would do harm.
    #[must_use]
    pub(crate) fn final_word(mut self) -> Self {
        self.retryable = false;
        self
    }

    /// Adds the server's number of the error.
    #[must_use]
    pub(crate) fn with_code(mut self, code: u16) -> Self {
        self.code = Some(code);
        self
    }

    /// Adds where it happened, as a name and a value: `("table", "orders")`.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.context.push((name.into(), value.to_string()));
        self
    }

    /// Says first which part of the request it is about: `the source: …`.
    #[must_use]
    pub(crate) fn about(mut self, part: &str) -> Self {
        self.message = format!("{part}: {}", self.message);
        self
    }

    /// Adds the error underneath.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What kind of error this is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether trying the same again may succeed.
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }

    /// The number that the server gave the error, where it came from a MySQL-family server (1045: access denied).
    pub fn code(&self) -> Option<u16> {
        self.code
    }

    /// Where it happened, outermost last.
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
