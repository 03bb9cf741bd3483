//! Servers of the MySQL family as sources and sinks.

mod connect;
mod ddl;

pub(crate) use connect::{Address, TlsMode, TlsOptions};
