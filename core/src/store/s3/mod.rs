//! Stores objects in Amazon S3 and in S3-compatible servers.

mod connect;
pub(super) mod error;

use std::fmt;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::{Builder, RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::{ByteStream, ByteStreamError};
use aws_sdk_s3::types::{Delete, ObjectIdentifier, ServerSideEncryption};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use super::{HttpMethod, ObjectStore, SignedRequest, too_long};
use crate::error::{Error, ErrorKind, Result};

/// The maximum number of keys in one DeleteObjects request; the protocol's limit.
const MAX_DELETE_KEYS: usize = 1000;
/// How many DeleteObjects requests run at a time.
const CONCURRENT_DELETES: usize = 4;
/// The maximum number of attempts to read an object whose body breaks off.
const MAX_READ_ATTEMPTS: u32 = 5;
/// The delay before the second attempt; it doubles with each further one.
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(200);
/// The lifetime of a presigned URL for PUT or GET, which is used at once.
const URL_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// The lifetime of a presigned URL for DELETE, which is kept for the end of the job; the protocol's limit.
const DELETE_URL_LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The bucket and prefix of an archive in S3.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct S3Location {
    /// The bucket.
    pub(crate) bucket: String,
    /// The beginning of every key, without slashes around it; may be empty.
    pub(crate) prefix: String,
    /// The region; `None` for that of the environment or the profile.
    pub(crate) region: Option<String>,
    /// The server's URL; `None` for that of the environment or the profile, or Amazon's.
    pub(crate) endpoint: Option<String>,
    /// How the server encrypts the objects: `AES256`, `aws:kms` or `aws:kms:dsse`; `None` for the bucket's default.
    pub(crate) sse: Option<String>,
    /// The key of `aws:kms`; `None` for the account's default key.
    pub(crate) sse_kms_key_id: Option<String>,
}

/// The objects under one prefix of a bucket.
pub(crate) struct S3Store {
    location: S3Location,
    /// Created by the first request.
    client: OnceCell<Client>,
    /// Empty, or with a slash at its end.
    prefix: String,
}

impl S3Store {
    /// Opens the store without any request. The first call loads settings and credentials, and may return `Usage` (no
    /// region is known) or `Authentication` (no credentials are found).
    ///
    /// # Errors
    /// `Usage` when the endpoint is no `http://` or `https://` URL, or contains a user or a password.
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

    /// Translates the SDK's error of a call on an object.
    fn translate_error<'a, E>(
        &'a self,
        action: &'a str,
        key: &'a str,
    ) -> impl Fn(SdkError<E, HttpResponse>) -> Error + 'a
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        move |error| {
            let error = error::translate(action, &self.url(key), self.bucket(), &error);
            match connect::endpoint(&self.location) {
                Some(endpoint) if error.kind() == ErrorKind::Connection => error.with("endpoint", endpoint),
                _ => error,
            }
        }
    }

    /// Requests an object. The SDK retries until the head of the response arrives.
    async fn get_object(&self, key: &str) -> Result<Option<ByteStream>> {
        match self.client().await?.get_object().bucket(self.bucket()).key(self.key(key)).send().await {
            Ok(response) => Ok(Some(response.body)),
            Err(error) if error.code() == Some("NoSuchKey") => Ok(None),
            Err(error) => Err(self.translate_error("read", key)(error)),
        }
    }

    /// Removes up to [`MAX_DELETE_KEYS`] objects with one request.
    async fn remove_group(&self, keys: &[String]) -> Result<()> {
        let failed = |error| Error::new(ErrorKind::Internal, "cannot name the objects to remove").caused_by(error);
        let objects: Result<Vec<_>, _> =
            keys.iter().map(|key| ObjectIdentifier::builder().key(self.key(key)).build()).collect();
        let delete =
            Delete::builder().set_objects(Some(objects.map_err(failed)?)).quiet(true).build().map_err(failed)?;
        let response = match self.client().await?.delete_objects().bucket(self.bucket()).delete(delete).send().await {
            Ok(response) => response,
            // Some S3-compatible servers lack DeleteObjects, or require the obsolete Content-MD5.
            Err(error) if matches!(error.code(), Some("NotImplemented" | "MethodNotAllowed" | "MissingContentMD5")) => {
                return self.remove_one_by_one(keys).await;
            }
            Err(error) => return Err(self.translate_error("remove objects of", "")(error)),
        };
        match response.errors().iter().find(|error| error.code() != Some("NoSuchKey")) {
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

    /// Creates the request that stores an object.
    async fn put_object(&self, key: &str) -> Result<PutObjectFluentBuilder> {
        let S3Location { sse, sse_kms_key_id, .. } = &self.location;
        let request = self.client().await?.put_object().bucket(self.bucket()).key(self.key(key));
        let sse = sse.as_deref().map(ServerSideEncryption::from);
        Ok(request.set_server_side_encryption(sse).set_ssekms_key_id(sse_kms_key_id.clone()))
    }

    /// Signs a URL that is valid for `lifetime`, or until the credentials that sign it expire.
    pub(super) async fn presign_for(&self, key: &str, method: HttpMethod, lifetime: Duration) -> Result<SignedRequest> {
        let internal = |why: &dyn fmt::Display| {
            Error::new(ErrorKind::Internal, format!("cannot sign a URL for {}: {why}", self.url(key)))
        };
        let config = PresigningConfig::expires_in(lifetime).map_err(|error| internal(&error))?;
        // A checksum would be a further header that the request must send.
        let no_checksums = Builder::new()
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        let (client, bucket, whole) = (self.client().await?, self.bucket(), self.key(key));
        let request = match method {
            HttpMethod::Put => {
                let request = self.put_object(key).await?.customize().config_override(no_checksums);
                request.presigned(config).await.map_err(self.translate_error("write", key))?
            }
            HttpMethod::Get => {
                let request = client.get_object().bucket(bucket).key(whole).customize().config_override(no_checksums);
                request.presigned(config).await.map_err(self.translate_error("read", key))?
            }
            HttpMethod::Delete => {
                let request =
                    client.delete_object().bucket(bucket).key(whole).customize().config_override(no_checksums);
                request.presigned(config).await.map_err(self.translate_error("remove", key))?
            }
        };
        let headers = request.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(SignedRequest { url: request.uri().into(), headers })
    }

    async fn remove_one_by_one(&self, keys: &[String]) -> Result<()> {
        for key in keys {
            match self.client().await?.delete_object().bucket(self.bucket()).key(self.key(key)).send().await {
                Err(error) if error.code() != Some("NoSuchKey") => {
                    return Err(self.translate_error("remove", key)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Reads a whole body; `None` when it is longer than `limit`.
async fn read_body(mut body: ByteStream, limit: u64) -> Result<Option<Bytes>, ByteStreamError> {
    let mut data = BytesMut::new();
    while let Some(chunk) = body.try_next().await? {
        if (data.len() + chunk.len()) as u64 > limit {
            return Ok(None);
        }
        data.extend_from_slice(&chunk);
    }
    Ok(Some(data.freeze()))
}

/// Omits the client, which holds the keys.
impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Store").field("location", &self.location).finish_non_exhaustive()
    }
}

#[async_trait]
impl ObjectStore for S3Store {
    async fn put(&self, key: &str, data: Bytes) -> Result<()> {
        let limits = Builder::new().timeout_config(connect::timeouts(data.len()));
        let request = self.put_object(key).await?.body(data.into());
        request.customize().config_override(limits).send().await.map_err(self.translate_error("write", key))?;
        Ok(())
    }

    async fn find(&self, key: &str, limit: u64) -> Result<Option<Bytes>> {
        let mut delay = FIRST_RETRY_DELAY;
        let mut attempts = 1;
        loop {
            let Some(body) = self.get_object(key).await? else { return Ok(None) };
            match read_body(body, limit).await {
                Ok(Some(data)) => return Ok(Some(data)),
                Ok(None) => return Err(too_long(&self.url(key), limit)),
                // The SDK does not retry a body that breaks off.
                Err(_) if attempts < MAX_READ_ATTEMPTS => tokio::time::sleep(delay).await,
                Err(error) => {
                    let message = format!("cannot read {}: {}", self.url(key), error::root_cause(&error));
                    return Err(Error::new(ErrorKind::Connection, message).retryable());
                }
            }
            delay *= 2;
            attempts += 1;
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let request = self.client().await?.list_objects_v2().bucket(self.bucket()).prefix(self.key(prefix));
        let mut pages = request.into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(self.translate_error("list", prefix))?;
            let relative = |key: &str| key.strip_prefix(&self.prefix).map(str::to_owned);
            keys.extend(page.contents().iter().filter_map(|object| object.key().and_then(relative)));
        }
        Ok(keys)
    }

    async fn last_modified(&self) -> Result<Option<SystemTime>> {
        let request = self.client().await?.list_objects_v2().bucket(self.bucket()).prefix(self.key(""));
        let mut pages = request.into_paginator().send();
        let mut newest = None;
        while let Some(page) = pages.next().await {
            let page = page.map_err(self.translate_error("list", ""))?;
            let times = page.contents().iter().filter_map(|object| SystemTime::try_from(*object.last_modified()?).ok());
            newest = newest.max(times.max());
        }
        Ok(newest)
    }

    async fn remove(&self, keys: &[String]) -> Result<()> {
        let groups: Vec<_> = keys.chunks(MAX_DELETE_KEYS).map(|group| self.remove_group(group)).collect();
        futures::stream::iter(groups).buffer_unordered(CONCURRENT_DELETES).try_collect().await
    }

    async fn presign(&self, key: &str, method: HttpMethod) -> Result<SignedRequest> {
        let lifetime = match method {
            HttpMethod::Put | HttpMethod::Get => URL_LIFETIME,
            HttpMethod::Delete => DELETE_URL_LIFETIME,
        };
        self.presign_for(key, method, lifetime).await
    }

    fn url(&self, key: &str) -> String {
        let whole = format!("s3://{}/{}{key}", self.bucket(), self.prefix);
        if key.is_empty() { whole.trim_end_matches('/').to_owned() } else { whole }
    }
}
