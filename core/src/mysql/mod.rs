//! Servers of the MySQL family as sources and sinks.

mod apply;
mod border;
mod check;
mod chunk;
mod column;
mod connect;
mod ddl;
mod generated;
mod halve;
mod history;
mod index;
mod inspect;
mod introspect;
mod journal;
mod load;
mod prepare;
mod read;
mod receipts;
mod replaced;
mod running;
mod scan;
mod schedule;
mod session;
mod sink;
mod snapshot;
mod source;
mod target;
mod translate;
mod trial;
mod zero;

pub(crate) use connect::{Address, Pem, TlsMode, TlsOptions, straight};
pub(crate) use sink::MySqlSink;
pub(crate) use source::MySqlSource;
