//! The report as a JSON file.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind as Io, Write};
use std::path::PathBuf;

use dbgraft::{Error, ErrorKind, Printable, Result};
use serde::Serialize;

use crate::args::{Common, Mode};

/// Where the report goes.
pub(crate) enum ReportFile {
    Nowhere,
    /// One line among lines of JSON, or a document of its own.
    Stdout {
        one_line: bool,
    },
    File(OpenFile),
}

/// A file that is there and can be written. It goes again if it was new and nothing was written.
pub(crate) struct OpenFile {
    file: File,
    path: PathBuf,
    unwanted: bool,
}

impl ReportFile {
    /// Opens the file before anything else happens: a clone must not end in "cannot write its report".
    pub(crate) fn open(common: &Common) -> Result<Self> {
        let Some(path) = &common.report else { return Ok(Self::Nowhere) };
        if path.as_os_str() == "-" {
            return Ok(Self::Stdout { one_line: common.progress == Mode::Json });
        }
        let new = OpenOptions::new().write(true).create_new(true).open(path);
        let opened = match new {
            Err(error) if error.kind() == Io::AlreadyExists => {
                OpenOptions::new().write(true).open(path).map(|file| (file, false))
            }
            other => other.map(|file| (file, true)),
        };
        let name = path.to_string_lossy();
        let (file, unwanted) = opened.map_err(|error| {
            Error::usage(format!("--report {}: cannot write the file", Printable(&name))).caused_by(error)
        })?;
        Ok(Self::File(OpenFile { file, path: path.clone(), unwanted }))
    }

    /// Writes what was found or done.
    pub(crate) fn write(self, content: &impl Serialize) -> Result<()> {
        let written = match self {
            Self::Nowhere => Ok(()),
            Self::Stdout { one_line } => {
                let text =
                    if one_line { serde_json::to_string(content) } else { serde_json::to_string_pretty(content) };
                text.map_err(io::Error::from).and_then(|text| writeln!(io::stdout(), "{text}"))
            }
            Self::File(file) => file.replace(content),
        };
        match written {
            Err(error) if error.kind() != Io::BrokenPipe => {
                Err(Error::new(ErrorKind::Storage, "all is done, but the report could not be written").caused_by(error))
            }
            _ => Ok(()),
        }
    }
}

impl OpenFile {
    fn replace(mut self, content: &impl Serialize) -> io::Result<()> {
        self.unwanted = false;
        if self.file.metadata()?.is_file() {
            self.file.set_len(0)?;
        }
        writeln!(self.file, "{}", serde_json::to_string_pretty(content)?)
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if self.unwanted {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
