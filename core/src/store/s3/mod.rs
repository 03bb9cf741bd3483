//! Amazon S3, and servers that speak its protocol.

mod connect;
pub(super) mod error;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::{Builder, RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::{ByteStream, ByteStreamError};
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use super::{Store, Verb, too_long};
use crate::error::{Error, ErrorKind, Result};

/// How many keys one request removes at most; the protocol's own limit.
const GROUP: usize = 1000;
/// How many requests remove at once.
const REMOVERS: usize = 4;
/// How often the reading of one object is tried when its body breaks off.
const READS: u32 = 5;
/// How long to wait before the second try; twice as long before each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// How long a lent URL is good that is asked for when it is needed.
const LENT: Duration = Duration::from_secs(60 * 60);
/// How long one is good that is kept for a bad day: the protocol's own limit.
const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Where an archive lies in S3.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct S3Location {
    /// The bucket.
    pub(crate) bucket: String,
    /// What every key starts with, without slashes around it; may be empty.
    pub(crate) prefix: String,
    /// The region; else that of the environment or the profile.
    pub(crate) region: Option<String>,
    /// The server's URL; else that of the environment or the profile, else Amazon's.
    pub(crate) endpoint: Option<String>,
}

/// A prefix of a bucket as a store.
pub(crate) struct S3 {
    location: S3Location,
    /// Made when it is first needed.
    client: OnceCell<Client>,
    /// Empty, or with a slash at its end.
    prefix: String,
}

impl S3 {
    /// The store at that location. Settings and credentials are looked up with the first call, which may give `Usage`
    /// (no region is known) or `Authentication` (no credentials are found).
    ///
    /// # Errors
    /// `Usage` when the endpoint is no `http://` or `https://` URL, or holds a user or a password.
    pub(crate) fn open(location: S3Location) -> Result<Self> {
        if let Some(endpoint) = &location.endpoint {
            let url = endpoint.parse::<url::Url>().ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            if url.is_none_or(|url| !url.username().is_empty() || url.password().is_some()) {
                return Err(Error::usage("the endpoint of an s3:// URL is an http:// or https:// URL without user"));
            }
        }
        let trimmed = location.prefix.trim_matches('/');
        let prefix = if trimmed.is_empty() { String::new() } else { format!("{trimmed}/") };
        Ok(Self { location, client: OnceCell::new(), prefix })
    }

    async fn client(&self) -> Result<&Client> {
        self.client.get_or_try_init(|| connect::connect(&self.location)).await
    }

    fn bucket(&self) -> &str {
        &self.location.bucket
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Makes our error of the SDK's.
    fn failed<'a, E>(&'a self, doing: &'a str, key: &'a str) -> impl Fn(SdkError<E, HttpResponse>) -> Error + 'a
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        move |error| {
            let error = error::translate(doing, &self.url(key), self.bucket(), &error);
            match connect::endpoint(&self.location) {
                Some(endpoint) if error.kind() == ErrorKind::Connection => error.with("endpoint", endpoint),
                _ => error,
            }
        }
    }

    /// Asks for an object. The SDK retries up to the head of the answer.
    async fn request(&self, key: &str) -> Result<Option<ByteStream>> {
        match self.client().await?.get_object().bucket(self.bucket()).key(self.key(key)).send().await {
            Ok(answer) => Ok(Some(answer.body)),
            Err(error) if error.code() == Some("NoSuchKey") => Ok(None),
            Err(error) => Err(self.failed("read", key)(error)),
        }
    }

    /// Removes up to [`GROUP`] objects with one request.
    async fn remove_group(&self, keys: &[String]) -> Result<()> {
        let failed = |error| Error::new(ErrorKind::Internal, "cannot name the objects to remove").caused_by(error);
        let objects: Result<Vec<_>, _> =
            keys.iter().map(|key| ObjectIdentifier::builder().key(self.key(key)).build()).collect();
        let delete =
            Delete::builder().set_objects(Some(objects.map_err(failed)?)).quiet(true).build().map_err(failed)?;
        let answer = match self.client().await?.delete_objects().bucket(self.bucket()).delete(delete).send().await {
            Ok(answer) => answer,
            // Some S3-compatible servers have no such request, or want it with a checksum of the past.
            Err(error) if matches!(error.code(), Some("NotImplemented" | "MethodNotAllowed" | "MissingContentMD5")) => {
                return self.remove_singly(keys).await;
            }
            Err(error) => return Err(self.failed("remove objects of", "")(error)),
        };
        match answer.errors().iter().find(|error| error.code() != Some("NoSuchKey")) {
            None => Ok(()),
            Some(error) => {
                let code = error.code().unwrap_or("no code");
                let kind = if code == "AccessDenied" { ErrorKind::Permission } else { ErrorKind::Storage };
                let url = format!("s3://{}/{}", self.bucket(), error.key().unwrap_or_default());
                let message = error.message().unwrap_or("no message");
                Err(Error::new(kind, format!("cannot remove {url}: {code}: {message}")))
            }
        }
    }

    /// A URL that is good for so long, or for as long as the credentials that sign it if these end before.
    pub(super) async fn presign_for(&self, key: &str, verb: Verb, lifetime: Duration) -> Result<SecretString> {
        let internal = |why: &dyn fmt::Display| {
            Error::new(ErrorKind::Internal, format!("cannot make a URL for {}: {why}", self.url(key)))
        };
        let config = PresigningConfig::expires_in(lifetime).map_err(|error| internal(&error))?;
        // A checksum would be a header that whoever uses the URL had to send as well.
        let plain = Builder::new()
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        let (client, bucket, whole) = (self.client().await?, self.bucket(), self.key(key));
        let request = match verb {
            Verb::Put => {
                let request = client.put_object().bucket(bucket).key(whole).customize().config_override(plain);
                request.presigned(config).await.map_err(self.failed("write", key))?
            }
            Verb::Get => {
                let request = client.get_object().bucket(bucket).key(whole).customize().config_override(plain);
                request.presigned(config).await.map_err(self.failed("read", key))?
            }
            Verb::Delete => {
                let request = client.delete_object().bucket(bucket).key(whole).customize().config_override(plain);
                request.presigned(config).await.map_err(self.failed("remove", key))?
            }
        };
        if let Some((header, _)) = request.headers().next() {
            return Err(internal(&format_args!("it would need the header {header}")));
        }
        Ok(SecretString::from(request.uri()))
    }

    async fn remove_singly(&self, keys: &[String]) -> Result<()> {
        for key in keys {
            match self.client().await?.delete_object().bucket(self.bucket()).key(self.key(key)).send().await {
                Err(error) if error.code() != Some("NoSuchKey") => return Err(self.failed("remove", key)(error)),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The whole body; `None` when it is longer than `limit`.
async fn collect(mut body: ByteStream, limit: u64) -> Result<Option<Bytes>, ByteStreamError> {
    let mut data = BytesMut::new();
    while let Some(piece) = body.try_next().await? {
        if (data.len() + piece.len()) as u64 > limit {
            return Ok(None);
        }
        data.extend_from_slice(&piece);
    }
    Ok(Some(data.freeze()))
}

/// Without the client, which knows the keys.
impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3").field("location", &self.location).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for S3 {
    async fn put(&self, key: &str, data: Bytes) -> Result<()> {
        let limits = Builder::new().timeout_config(connect::timeouts(data.len()));
        let request = self.client().await?.put_object().bucket(self.bucket()).key(self.key(key)).body(data.into());
        request.customize().config_override(limits).send().await.map_err(self.failed("write", key))?;
        Ok(())
    }

    async fn find(&self, key: &str, limit: u64) -> Result<Option<Bytes>> {
        let mut pause = FIRST_PAUSE;
        let mut tries = 1;
        loop {
            let Some(body) = self.request(key).await? else { return Ok(None) };
            match collect(body, limit).await {
                Ok(Some(data)) => return Ok(Some(data)),
                Ok(None) => return Err(too_long(&self.url(key), limit)),
                // A body that breaks off is ours to retry.
                Err(_) if tries < READS => tokio::time::sleep(pause).await,
                Err(error) => {
                    let message = format!("cannot read {}: {}", self.url(key), error::innermost(&error));
                    return Err(Error::new(ErrorKind::Connection, message).retryable());
                }
            }
            pause *= 2;
            tries += 1;
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let request = self.client().await?.list_objects_v2().bucket(self.bucket()).prefix(self.key(prefix));
        let mut pages = request.into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(self.failed("list", prefix))?;
            let relative = |key: &str| key.strip_prefix(&self.prefix).map(str::to_owned);
            keys.extend(page.contents().iter().filter_map(|object| object.key().and_then(relative)));
        }
        Ok(keys)
    }

    async fn remove(&self, keys: &[String]) -> Result<()> {
        let groups: Vec<_> = keys.chunks(GROUP).map(|group| self.remove_group(group)).collect();
        futures::stream::iter(groups).buffer_unordered(REMOVERS).try_collect().await
    }

    async fn presign(&self, key: &str, verb: Verb) -> Result<SecretString> {
        let lifetime = match verb {
            Verb::Put | Verb::Get => LENT,
            Verb::Delete => KEPT,
        };
        self.presign_for(key, verb, lifetime).await
    }

    fn url(&self, key: &str) -> String {
        let whole = format!("s3://{}/{}{key}", self.bucket(), self.prefix);
        if key.is_empty() { whole.trim_end_matches('/').to_owned() } else { whole }
    }
}
