//! Opens the endpoints of a job from URLs and sites: the only module that names every kind of source and sink.

mod archive_key;
mod archive_location;
#[cfg(feature = "mysql_async")]
mod driver_options;
mod endpoint_request;
mod endpoint_spec;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod job_endpoints;
mod location;
mod option_file;
mod server;
mod staging_archive;
mod target_endpoint;
mod url;

use std::sync::Arc;

use crate::sink::Sink;
use crate::source::Source;

pub(crate) use endpoint_request::{Endpoint, EndpointRequest};
pub(crate) use job_endpoints::{JobEndpoints, JobRequest};
pub use location::needs_password;
pub(crate) use staging_archive::StagingArchive;
pub(crate) use target_endpoint::{TargetEndpoint, TargetRequest};

/// Where rows come from: a URL, or a [`Source`] of your own.
#[derive(Clone)]
pub enum SourceEndpoint {
    /// `mysql://…`, `s3://…` or `file:///…`.
    Url(String),
    /// A server, by the options of a `mysql_async` connection.
    #[cfg(feature = "mysql_async")]
    MySqlAsync(mysql_async::Opts),
    /// A source of your own.
    Own(Arc<dyn Source>),
}

/// Where rows go: a URL, or a [`Sink`] of your own.
#[derive(Clone)]
pub enum SinkEndpoint {
    /// `mysql://…`, `s3://…` or `file:///…`.
    Url(String),
    /// A server, by the options of a `mysql_async` connection.
    #[cfg(feature = "mysql_async")]
    MySqlAsync(mysql_async::Opts),
    /// A sink of your own.
    Own(Arc<dyn Sink>),
}

impl From<String> for SourceEndpoint {
    fn from(url: String) -> Self {
        Self::Url(url)
    }
}

impl From<&String> for SourceEndpoint {
    fn from(url: &String) -> Self {
        Self::Url(url.clone())
    }
}

impl From<&str> for SourceEndpoint {
    fn from(url: &str) -> Self {
        Self::Url(url.to_owned())
    }
}

impl From<String> for SinkEndpoint {
    fn from(url: String) -> Self {
        Self::Url(url)
    }
}

impl From<&String> for SinkEndpoint {
    fn from(url: &String) -> Self {
        Self::Url(url.clone())
    }
}

impl From<&str> for SinkEndpoint {
    fn from(url: &str) -> Self {
        Self::Url(url.to_owned())
    }
}
