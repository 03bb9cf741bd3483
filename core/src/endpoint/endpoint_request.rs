//! The request to open an endpoint on an agent, and the endpoint that the agent opens.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::staging_archive::StagingArchive;
use crate::archive::{ArchiveReader, ArchiveWriter};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::MemoryBudget;
use crate::mysql::{MySqlSink, MySqlSource, ServerAddress};
use crate::options::{CloneOptions, IfExists};
use crate::sink::Sink;
use crate::source::Source;
use crate::store::{ArchiveKey, EncryptedStore, ObjectStore, PresignedStore, S3Location, S3Store, UrlSigner};

/// A request to an agent to open an endpoint. It may contain the password of a server or the key of an archive, and
/// travels over SSH only.
#[derive(Serialize, Deserialize)]
pub(crate) struct EndpointRequest {
    kind: EndpointKind,
    options: CloneOptions,
}

/// The endpoint that an agent opens.
#[derive(Serialize, Deserialize)]
pub(super) enum EndpointKind {
    /// A server as the source.
    SourceServer(Box<ServerAddress>),
    /// A server as the sink.
    SinkServer(Box<ServerAddress>),
    /// A complete archive as the source.
    ReadArchive(ArchiveAccess),
    /// A new archive as the sink.
    WriteArchive(ArchiveAccess),
    /// The staging archive as the sink of the exporting leg.
    ExportStaging(ArchiveAccess),
    /// The staging archive as the source of the importing leg.
    ImportStaging(ArchiveAccess),
}

/// How an agent accesses an archive in S3.
#[derive(Serialize, Deserialize)]
pub(super) struct ArchiveAccess {
    pub(super) store: StoreAccess,
    /// The key of an encrypted archive.
    pub(super) key: Option<ArchiveKey>,
}

/// How an agent accesses a store in S3.
#[derive(Serialize, Deserialize)]
pub(super) enum StoreAccess {
    /// By presigned URLs; the value is the archive's address for messages.
    PresignedUrls(String),
    /// By the credentials of the agent's host.
    HostCredentials(S3Location),
}

impl ArchiveAccess {
    fn open(self, signer: Arc<dyn UrlSigner>) -> Result<Arc<dyn ObjectStore>> {
        let store: Arc<dyn ObjectStore> = match self.store {
            StoreAccess::PresignedUrls(url) => Arc::new(PresignedStore::new(signer, url)),
            StoreAccess::HostCredentials(location) => Arc::new(S3Store::open(location)?),
        };
        Ok(match self.key {
            Some(key) => Arc::new(EncryptedStore::new(store, Arc::new(key))),
            None => store,
        })
    }
}

/// An open endpoint.
pub(crate) enum Endpoint {
    Source(Arc<dyn Source>),
    Sink(Arc<dyn Sink>),
    Staging(StagingArchive),
}

impl EndpointRequest {
    /// Creates a request in JSON, without the options that the agent does not use.
    pub(super) fn to_json(kind: EndpointKind, options: &CloneOptions) -> Result<Value> {
        let options = CloneOptions {
            source_tunnel: None,
            target_tunnel: None,
            source_agent: None,
            target_agent: None,
            agent_binary: None,
            encrypt: None,
            replica: None,
            ..options.clone()
        };
        serde_json::to_value(Self { kind, options })
            .map_err(|error| Error::new(ErrorKind::Internal, "an endpoint cannot be serialized").caused_by(error))
    }

    /// Parses the request of a coordinator.
    pub(crate) fn from_json(request: Value) -> Result<Self> {
        serde_json::from_value(request)
            .map_err(|error| Error::new(ErrorKind::Internal, "the agent cannot parse an endpoint").caused_by(error))
    }

    /// The memory budget of the endpoint.
    pub(crate) fn memory(&self) -> MemoryBudget {
        MemoryBudget::new(self.options.memory, self.options.threads)
    }

    /// How many batches may load at a time.
    pub(crate) fn threads(&self) -> usize {
        self.options.threads
    }

    /// Opens the endpoint on this host without a connection to a server. `signer` signs URLs for the coordinator's
    /// archive.
    ///
    /// # Errors
    /// When this host cannot reach the staging archive.
    pub(crate) async fn open(self, signer: Arc<dyn UrlSigner>) -> Result<Endpoint> {
        let Self { kind, options } = self;
        Ok(match kind {
            EndpointKind::SourceServer(address) => Endpoint::Source(Arc::new(MySqlSource::new(*address, &options))),
            EndpointKind::SinkServer(address) => Endpoint::Sink(Arc::new(MySqlSink::new(*address, &options))),
            EndpointKind::ReadArchive(access) => Endpoint::Source(Arc::new(ArchiveReader::open(access.open(signer)?))),
            EndpointKind::WriteArchive(access) => {
                let overwrite = options.if_exists == IfExists::Drop;
                let writer = ArchiveWriter::new(access.open(signer)?, overwrite);
                Endpoint::Sink(Arc::new(writer.with_progress(options.resume)))
            }
            EndpointKind::ExportStaging(access) => {
                Endpoint::Sink(StagingArchive::new(String::new(), access.open(signer)?).sink())
            }
            EndpointKind::ImportStaging(access) => {
                let archive = StagingArchive::new(String::new(), access.open(signer)?);
                archive.check_reachable().await?;
                Endpoint::Staging(archive)
            }
        })
    }
}
