//! A URL signer that sends each request to the coordinator, which holds the keys of the archive.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::de::DeserializeOwned;

use super::coordinator::CoordinatorClient;
use crate::error::{Error, ErrorKind, Result};
use crate::remote::message::StoreRequest;
use crate::store::{HttpMethod, PresignedUrl, UrlSigner};

/// Signs URLs, lists and removes objects through the coordinator.
pub(super) struct RemoteSigner(pub(super) Arc<CoordinatorClient>);

impl fmt::Debug for RemoteSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RemoteSigner")
    }
}

impl RemoteSigner {
    async fn request<T: DeserializeOwned>(&self, request: StoreRequest) -> Result<T> {
        let reply = self.0.request_store(request).await?;
        serde_json::from_value(reply).map_err(|error| {
            Error::new(ErrorKind::Internal, "the coordinator sent a reply that does not match the request")
                .caused_by(error)
        })
    }
}

#[async_trait]
impl UrlSigner for RemoteSigner {
    async fn sign(&self, key: &str, method: HttpMethod) -> Result<PresignedUrl> {
        self.request(StoreRequest::Sign { key: key.to_owned(), method }).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.request(StoreRequest::List { prefix: prefix.to_owned() }).await
    }

    async fn remove(&self, keys: &[String]) -> Result<()> {
        self.request(StoreRequest::Remove { keys: keys.to_vec() }).await
    }
}
