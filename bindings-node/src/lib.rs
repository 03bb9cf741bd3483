//! The native module of the npm package `dbgraft`; `lib/` is its public interface.
//!
//! A `Job` is a `CloneJob`. Values cross as JSON by serde, so that a report is the same here as in every other
//! language. Nothing here calls JavaScript. JavaScript fetches a job's calls (`call_queue`) and events when it has
//! time. So memory stays bounded, and a job never waits in the event loop's way.

mod call_queue;
mod chunk_reader;
mod job;
mod js_object;
mod outcome;
mod selector;
mod sink;
mod source;
mod target;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use dbgraft::{Catalog, CloneOptions, Column, NamingStyle, Table};
use napi_derive::napi;

/// The names of all options of a clone.
#[napi]
pub fn option_names() -> Vec<String> {
    CloneOptions::names(NamingStyle::Camel)
}

/// Runs `status` or `abandon` on a target; options are JSON. Returns the outcome as JSON.
#[napi]
pub async fn run_target_job(
    verb: String,
    target: String,
    options: String,
    password: Option<String>,
    archive_passphrase: Option<String>,
) -> String {
    target::run(&verb, target, &options, password, archive_passphrase).await
}

/// Defines a table, as JSON. `columns` alternates names and definitions.
#[napi]
pub fn define_table(name: String, columns: Vec<String>, primary_key: Vec<String>) -> String {
    let (pairs, _) = columns.as_chunks::<2>();
    let pairs = pairs.iter().map(|[name, definition]| (name.as_str(), definition.as_str()));
    serde_json::to_string(&Table::define(&name, pairs, &primary_key)).unwrap_or_default()
}

/// Creates the catalog of defined tables, as JSON.
#[napi]
pub fn define_catalog(tables: String) -> napi::Result<String> {
    let tables = serde_json::from_str(&tables).map_err(|error| napi::Error::from_reason(error.to_string()))?;
    Ok(serde_json::to_string(&Catalog::from_tables(tables)).unwrap_or_default())
}

/// The members of an `ENUM` or `SET` column, which is JSON.
#[napi]
pub fn members(column: String) -> Vec<String> {
    serde_json::from_str(&column).map(|column: Column| column.members()).unwrap_or_default()
}

/// Executes the command in this process. Returns only an error.
#[napi]
pub fn become_command(executable: String, arguments: Vec<String>) -> String {
    // Node has marked its own streams as not to be inherited; these are not.
    let stream = |own: BorrowedFd<'_>| own.try_clone_to_owned().map_or_else(|_| Stdio::null(), Stdio::from);
    let mut command = Command::new(&executable);
    command.args(arguments).stdin(stream(io::stdin().as_fd()));
    command.stdout(stream(io::stdout().as_fd())).stderr(stream(io::stderr().as_fd()));
    format!("cannot run {executable}: {}", command.exec())
}
