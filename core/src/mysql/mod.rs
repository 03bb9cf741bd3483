//! Servers of the MySQL family as sources and sinks.

mod apply;
mod audit;
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
mod loose_key;
mod prepare;
mod read;
mod refusal;
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
mod undo;
mod zero;

pub(crate) use connect::{Address, Pem, ServerRole, TlsMode, TlsOptions};
pub(crate) use sink::MySqlSink;
pub(crate) use source::MySqlSource;
