//! dbgraft for Node: the native half of the npm package, of which `lib/` is the face.
//!
//! A `Job` is a `CloneJob`. Values cross as JSON by serde, so that a report is the same here as in every other language.
//! Nothing here calls JavaScript: what a job wants of the user's own code (`calls`), and what it tells, is fetched by
//! JavaScript when it has time. So memory stays bounded, and a job never waits in the event loop's way.

mod calls;
mod job;
mod outcome;
mod own;
mod reading;
mod selector;
mod sink;
mod source;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use dbgraft::{Catalog, CloneOptions, Column, Spelling, Table};
use napi_derive::napi;

/// The names of all options of a clone.
#[napi]
pub fn option_names() -> Vec<String> {
    CloneOptions::names(Spelling::Camel)
}

/// A table of the user's own as JSON: its columns are names and definitions in turn.
#[napi]
pub fn define_table(name: String, columns: Vec<String>, primary_key: Vec<String>) -> String {
    let (pairs, _) = columns.as_chunks::<2>();
    let pairs = pairs.iter().map(|[name, definition]| (name.as_str(), definition.as_str()));
    serde_json::to_string(&Table::define(&name, pairs, &primary_key)).unwrap_or_default()
}

/// The catalog of such tables, all as JSON.
#[napi]
pub fn define_catalog(tables: String) -> napi::Result<String> {
    let tables = serde_json::from_str(&tables).map_err(|error| napi::Error::from_reason(error.to_string()))?;
    Ok(serde_json::to_string(&Catalog::of_tables(tables)).unwrap_or_default())
}

/// The members of an `ENUM` or `SET` column, which is JSON.
#[napi]
pub fn members(column: String) -> Vec<String> {
    serde_json::from_str(&column).map(|column: Column| column.members()).unwrap_or_default()
}

/// Makes this process the command; comes back only with what is wrong.
#[napi]
pub fn become_command(executable: String, arguments: Vec<String>) -> String {
    // Node has marked its own streams as not to be inherited; these are not.
    let stream = |own: BorrowedFd<'_>| own.try_clone_to_owned().map_or_else(|_| Stdio::null(), Stdio::from);
    let mut command = Command::new(&executable);
    command.args(arguments).stdin(stream(io::stdin().as_fd()));
    command.stdout(stream(io::stdout().as_fd())).stderr(stream(io::stderr().as_fd()));
    format!("cannot run {executable}: {}", command.exec())
}
