//! Writes the report as JSON.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind as Io, Write};
use std::path::PathBuf;

use dbgraft::{Error, ErrorKind, Printable, Result};
use serde::Serialize;

use crate::args::{CommonArgs, ProgressMode};

/// The destination of the report.
pub(crate) enum ReportFile {
    None,
    /// Standard output; `one_line` if events are printed there as lines of JSON.
    Stdout {
        one_line: bool,
    },
    File(ReservedFile),
}

/// An open file for the report. Dropping it without a report removes a file that did not exist before.
pub(crate) struct ReservedFile {
    file: File,
    path: PathBuf,
    remove_on_drop: bool,
}

impl ReportFile {
    /// Opens the file before the job starts, so that an unwritable file is an error before anything is cloned.
    pub(crate) fn open(common: &CommonArgs) -> Result<Self> {
        let Some(path) = &common.report else { return Ok(Self::None) };
        if path.as_os_str() == "-" {
            return Ok(Self::Stdout { one_line: common.progress == ProgressMode::Json });
        }
        let new = OpenOptions::new().write(true).create_new(true).open(path);
        let opened = match new {
            Err(error) if error.kind() == Io::AlreadyExists => {
                OpenOptions::new().write(true).open(path).map(|file| (file, false))
            }
            other => other.map(|file| (file, true)),
        };
        let name = path.to_string_lossy();
        let (file, remove_on_drop) = opened.map_err(|error| {
            Error::usage(format!("--report {}: cannot write the file", Printable(&name))).caused_by(error)
        })?;
        Ok(Self::File(ReservedFile { file, path: path.clone(), remove_on_drop }))
    }

    /// Writes the report.
    pub(crate) fn write(self, content: &impl Serialize) -> Result<()> {
        let written = match self {
            Self::None => Ok(()),
            Self::Stdout { one_line } => {
                let text =
                    if one_line { serde_json::to_string(content) } else { serde_json::to_string_pretty(content) };
                text.map_err(io::Error::from).and_then(|text| writeln!(io::stdout(), "{text}"))
            }
            Self::File(file) => file.write_report(content),
        };
        match written {
            Err(error) if error.kind() != Io::BrokenPipe => {
                Err(Error::new(ErrorKind::Storage, "the job is done, but the report cannot be written")
                    .caused_by(error))
            }
            _ => Ok(()),
        }
    }
}

impl ReservedFile {
    fn write_report(mut self, content: &impl Serialize) -> io::Result<()> {
        self.remove_on_drop = false;
        if self.file.metadata()?.is_file() {
            self.file.set_len(0)?;
        }
        writeln!(self.file, "{}", serde_json::to_string_pretty(content)?)
    }
}

impl Drop for ReservedFile {
    fn drop(&mut self) {
        if self.remove_on_drop {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
