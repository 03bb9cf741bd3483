use std::fmt;
use std::io;
use std::path::Path;

/// An error of the test kit: the problem and its remedy.
pub struct Error(String);

/// The result of every fallible function here.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The same as `Display`, so that `unwrap` in a test prints a readable message.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// Adds the failed action to an error.
pub(crate) trait Context<T> {
    fn context(self, doing: &str) -> Result<T>;
    fn at(self, doing: &str, path: &Path) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn context(self, doing: &str) -> Result<T> {
        self.map_err(|error| Error(format!("{doing}: {error}")))
    }

    fn at(self, doing: &str, path: &Path) -> Result<T> {
        self.map_err(|error| Error(format!("{doing} {}: {error}", path.display())))
    }
}

/// Ignores the error of a missing file.
pub(crate) fn missing_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
