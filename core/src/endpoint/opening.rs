//! What an agent is told to open, and how it does.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::stage::Stage;
use crate::archive;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::MemoryBudget;
use crate::mysql::{Address, MySqlSink, MySqlSource};
use crate::options::{CloneOptions, IfExists};
use crate::sink::Sink;
use crate::source::Source;
use crate::store::{Lender, Lent, S3, S3Location, Store};

/// What is opened on another site. It travels over SSH only: it holds the password of a server.
#[derive(Serialize, Deserialize)]
pub(crate) struct Opening {
    pub(super) what: What,
    pub(super) options: CloneOptions,
}

#[derive(Serialize, Deserialize)]
pub(super) enum What {
    /// A server to read from.
    Source(Box<Address>),
    /// A server to write into.
    Sink(Box<Address>),
    /// An archive to read.
    From(Goods),
    /// An archive to write.
    Into(Goods),
    /// The staged archive, to write.
    Export(Goods),
    /// The staged archive, to follow.
    Import(Goods),
}

/// An archive, and how the site gets at it.
#[derive(Serialize, Deserialize)]
pub(super) enum Goods {
    /// By presigned URLs; this is its address for messages.
    Lent(String),
    /// By the site's own credentials.
    Own(S3Location),
}

impl Goods {
    fn open(self, lender: Arc<dyn Lender>) -> Result<Arc<dyn Store>> {
        Ok(match self {
            Self::Lent(url) => Arc::new(Lent::new(lender, url)),
            Self::Own(location) => Arc::new(S3::open(location)?),
        })
    }
}

/// What was opened here.
pub(crate) enum Opened {
    Source(Arc<dyn Source>),
    Sink(Arc<dyn Sink>),
    Stage(Stage),
}

impl Opening {
    /// The opening that the coordinator sent.
    pub(crate) fn received(opening: serde_json::Value) -> Result<Self> {
        serde_json::from_value(opening)
            .map_err(|error| Error::new(ErrorKind::Internal, "the agent cannot read what to open").caused_by(error))
    }

    /// The budget of row bytes that goes with it.
    pub(crate) fn memory(&self) -> MemoryBudget {
        MemoryBudget::new(self.options.memory, self.options.threads)
    }

    /// How many batches are written at a time.
    pub(crate) fn threads(&self) -> usize {
        self.options.threads
    }

    /// Opens it here; objects of the coordinator's archive come from the lender. Servers are not connected yet.
    ///
    /// # Errors
    /// When the staged archive cannot be reached from here.
    pub(crate) async fn open(self, lender: Arc<dyn Lender>) -> Result<Opened> {
        let Self { what, options } = self;
        Ok(match what {
            What::Source(address) => Opened::Source(Arc::new(MySqlSource::new(*address, &options))),
            What::Sink(address) => Opened::Sink(Arc::new(MySqlSink::new(*address, &options))),
            What::From(goods) => Opened::Source(Arc::new(archive::Reader::open(goods.open(lender)?))),
            What::Into(goods) => {
                let overwrite = options.if_exists == IfExists::Drop;
                Opened::Sink(Arc::new(archive::Writer::new(goods.open(lender)?, overwrite)))
            }
            What::Export(goods) => Opened::Sink(Stage::new(goods.open(lender)?).sink()),
            What::Import(goods) => {
                let stage = Stage::new(goods.open(lender)?);
                stage.reach().await?;
                Opened::Stage(stage)
            }
        })
    }
}
