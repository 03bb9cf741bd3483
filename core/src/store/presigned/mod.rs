//! An object store behind presigned URLs, for a site that holds no S3 keys.

mod http;
#[cfg(test)]
pub(in crate::store) mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tokio::sync::RwLock;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::http::{HttpClient, ObjectRequest};
use super::{HttpMethod, ObjectStore, SignedRequest};
use crate::error::{Error, ErrorKind, Result};

/// How long the removal of orphans waits for uploads in flight.
const UPLOAD_GRACE: Duration = Duration::from_millis(1500);
/// How many orphans are removed at a time.
const CONCURRENT_DELETES: usize = 64;

/// Signs URLs with the keys of a store, and lists and removes its objects.
#[async_trait]
pub(crate) trait UrlSigner: Send + Sync + fmt::Debug {
    /// Signs a URL; see [`PresignedUrl::sign`].
    async fn sign(&self, key: &str, method: HttpMethod) -> Result<PresignedUrl>;

    /// Lists keys; see [`ObjectStore::list`].
    async fn list(&self, prefix: &str) -> Result<Vec<String>>;

    /// Removes objects; see [`ObjectStore::remove`].
    async fn remove(&self, keys: &[String]) -> Result<()>;
}

/// A presigned URL for one request on one object.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "ExposedUrl", into = "ExposedUrl")]
pub(crate) struct PresignedUrl {
    /// For the requested method.
    pub(crate) request: SignedRequest,
    /// For DELETE, present beside each URL for PUT: the store must still remove its objects when the signer is gone.
    pub(crate) delete_url: Option<SecretString>,
}

impl PresignedUrl {
    /// Signs a URL with the store's keys.
    ///
    /// # Errors
    /// `Unsupported` where the store signs no URLs.
    pub(crate) async fn sign(store: &dyn ObjectStore, key: &str, method: HttpMethod) -> Result<Self> {
        let request = store.presign(key, method).await?;
        let delete_url = match method {
            HttpMethod::Put => Some(store.presign(key, HttpMethod::Delete).await?.url),
            HttpMethod::Get | HttpMethod::Delete => None,
        };
        Ok(Self { request, delete_url })
    }
}

/// The serialized form of a [`PresignedUrl`].
#[derive(Serialize, Deserialize)]
struct ExposedUrl {
    url: String,
    headers: Vec<(String, String)>,
    delete_url: Option<String>,
}

impl From<PresignedUrl> for ExposedUrl {
    fn from(presigned: PresignedUrl) -> Self {
        let expose = |url: SecretString| url.expose_secret().to_owned();
        let SignedRequest { url, headers } = presigned.request;
        Self { url: expose(url), headers, delete_url: presigned.delete_url.map(expose) }
    }
}

impl From<ExposedUrl> for PresignedUrl {
    fn from(exposed: ExposedUrl) -> Self {
        let request = SignedRequest { url: exposed.url.into(), headers: exposed.headers };
        Self { request, delete_url: exposed.delete_url.map(SecretString::from) }
    }
}

/// A store that reaches each object through a URL of its signer.
pub(crate) struct PresignedStore {
    signer: Arc<dyn UrlSigner>,
    /// The address of the store, for messages.
    url: String,
    http: HttpClient,
    /// The DELETE URLs of the objects that this store may have uploaded and has not removed, by key.
    delete_urls: Mutex<HashMap<String, SecretString>>,
    /// Each upload holds a read lock: the write lock proves that no upload is in flight.
    uploads: RwLock<()>,
    /// Cancelled when the store accepts no more objects.
    closed: CancellationToken,
}

impl PresignedStore {
    /// Creates the store; messages call it `url`.
    pub(crate) fn new(signer: Arc<dyn UrlSigner>, url: String) -> Self {
        Self {
            signer,
            url: url.trim_end_matches('/').to_owned(),
            http: HttpClient::default(),
            delete_urls: Mutex::default(),
            uploads: RwLock::default(),
            closed: CancellationToken::new(),
        }
    }

    fn delete_urls(&self) -> MutexGuard<'_, HashMap<String, SecretString>> {
        self.delete_urls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gets a URL from the signer, and remembers the DELETE URL of an object that may exist from now on.
    async fn sign(&self, key: &str, method: HttpMethod) -> Result<SignedRequest> {
        let presigned = self.signer.sign(key, method).await?;
        if let Some(delete_url) = presigned.delete_url {
            self.delete_urls().insert(key.to_owned(), delete_url);
        }
        Ok(presigned.request)
    }

    /// Signs a URL and sends the request; signs a second one where the service rejects the first.
    async fn request(&self, key: &str, method: HttpMethod, data: Bytes, limit: u64) -> Result<Option<Bytes>> {
        let object_url = self.url(key);
        let request = ObjectRequest::new(method, &object_url, limit);
        let signed = self.sign(key, method).await?;
        match self.http.send(&request, &signed, &data).await {
            // The URL may have expired while it waited, or the credentials that signed it.
            Err(error) if matches!(error.kind(), ErrorKind::Permission | ErrorKind::Authentication) => {
                let signed = self.sign(key, method).await?;
                self.http.send(&request, &signed, &data).await
            }
            outcome => outcome,
        }
    }

    fn closed_error(&self) -> Error {
        Error::new(ErrorKind::Cancelled, format!("{} accepts no more objects: its removal has begun", self.url))
    }

    fn with_objects_left(&self, error: Error) -> Error {
        error.with("objects left", self.delete_urls().len())
    }
}

#[async_trait]
impl ObjectStore for PresignedStore {
    async fn put(&self, key: &str, data: Bytes) -> Result<()> {
        let _upload = self.uploads.read().await;
        let stored = self.closed.run_until_cancelled(self.request(key, HttpMethod::Put, data, 0)).await;
        stored.unwrap_or_else(|| Err(self.closed_error())).map(drop)
    }

    async fn find(&self, key: &str, limit: u64) -> Result<Option<Bytes>> {
        self.request(key, HttpMethod::Get, Bytes::new(), limit).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.signer.list(prefix).await
    }

    async fn remove(&self, keys: &[String]) -> Result<()> {
        self.signer.remove(keys).await?;
        let mut delete_urls = self.delete_urls();
        keys.iter().for_each(|key| drop(delete_urls.remove(key)));
        Ok(())
    }

    fn url(&self, key: &str) -> String {
        if key.is_empty() { self.url.clone() } else { format!("{}/{key}", self.url) }
    }

    async fn remove_orphans(&self) -> Result<()> {
        // An object that arrives after its removal would stay: wait for uploads in flight, then stop the others.
        let idle = timeout(UPLOAD_GRACE, self.uploads.write()).await;
        self.closed.cancel();
        let _idle = match idle {
            Ok(idle) => Some(idle),
            Err(_) => timeout(UPLOAD_GRACE, self.uploads.write()).await.ok(),
        };
        let orphans: Vec<_> = self.delete_urls().iter().map(|(key, url)| (key.clone(), url.clone())).collect();
        let removals = orphans.into_iter().map(async |(key, url)| {
            let object_url = self.url(&key);
            let request = ObjectRequest::new(HttpMethod::Delete, &object_url, 0);
            let signed = SignedRequest { url, headers: Vec::new() };
            self.http.send(&request, &signed, &Bytes::new()).await?;
            self.delete_urls().remove(&key);
            Ok::<(), Error>(())
        });
        let mut removals = futures::stream::iter(removals).buffer_unordered(CONCURRENT_DELETES);
        let mut first_error = None;
        while let Some(outcome) = removals.next().await {
            match outcome {
                Ok(()) => {}
                // A single URL may have expired, but a network that is down fails every request.
                Err(error) if error.kind() == ErrorKind::Connection => return Err(self.with_objects_left(error)),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        first_error.map_or(Ok(()), |error| Err(self.with_objects_left(error)))
    }
}

/// Omits the URLs.
impl fmt::Debug for PresignedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresignedStore").field("url", &self.url).field("signer", &self.signer).finish_non_exhaustive()
    }
}
