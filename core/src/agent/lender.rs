//! The coordinator's archive, as the agent asks for it.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::de::DeserializeOwned;

use super::service::Service;
use crate::error::{Error, ErrorKind, Result};
use crate::remote::message::Ask;
use crate::store::{HttpMethod, PresignedUrl, UrlSigner};

/// Asks the coordinator.
pub(super) struct Asking(pub(super) Arc<Service>);

impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asking")
    }
}

impl Asking {
    async fn ask<T: DeserializeOwned>(&self, ask: Ask) -> Result<T> {
        let given = self.0.ask(ask).await?;
        serde_json::from_value(given).map_err(|error| {
            Error::new(ErrorKind::Internal, "the coordinator gave something that was not asked for").caused_by(error)
        })
    }
}

#[async_trait]
impl UrlSigner for Asking {
    async fn sign(&self, key: &str, verb: HttpMethod) -> Result<PresignedUrl> {
        self.ask(Ask::Presign { key: key.to_owned(), verb }).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.ask(Ask::List { prefix: prefix.to_owned() }).await
    }

    async fn remove(&self, keys: &[String]) -> Result<()> {
        self.ask(Ask::Remove { keys: keys.to_vec() }).await
    }
}
