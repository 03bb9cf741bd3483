//! Sends one HTTP request to a presigned URL, with retries.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use reqwest::header::CONTENT_LENGTH;
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use rustls::{ClientConfig, RootCertStore};
use secrecy::ExposeSecret as _;
use tokio::sync::OnceCell;
use tokio::time::{sleep, timeout};

use crate::error::{Error, ErrorKind, Result};
use crate::store::s3::error::{REGION_HEADER, ServiceResponse, root_cause, service_error};
use crate::store::{HttpMethod, SignedRequest, too_long};

/// The maximum number of attempts for one request.
const MAX_ATTEMPTS: u32 = 5;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum number of bytes in one frame of an upload.
const UPLOAD_FRAME: usize = 64 << 10;
/// The maximum number of bytes in the operating system's send buffer.
const SEND_BUFFER: usize = 4 << 20;
/// The slowest supported connection, in bytes per second.
const MIN_BYTES_PER_SECOND: usize = 64 << 10;
/// The maximum number of bytes read of an error response.
const MAX_ERROR_BODY: usize = 16 << 10;

/// A request on one object.
pub(super) struct ObjectRequest<'a> {
    method: HttpMethod,
    /// The object as messages name it: `s3://bucket/key`.
    object_url: &'a str,
    /// The maximum number of bytes to read.
    limit: u64,
}

impl<'a> ObjectRequest<'a> {
    pub(super) fn new(method: HttpMethod, object_url: &'a str, limit: u64) -> Self {
        Self { method, object_url, limit }
    }

    /// The verb for error messages.
    fn action(&self) -> &'static str {
        match self.method {
            HttpMethod::Put => "write",
            HttpMethod::Get => "read",
            HttpMethod::Delete => "remove",
        }
    }

    fn http_method(&self) -> Method {
        match self.method {
            HttpMethod::Put => Method::PUT,
            HttpMethod::Get => Method::GET,
            HttpMethod::Delete => Method::DELETE,
        }
    }

    /// The error for a connection that failed.
    fn connection_error(&self, why: &str) -> Error {
        Error::new(ErrorKind::Connection, format!("cannot {} {}: {why}", self.action(), self.object_url)).retryable()
    }

    fn internal_error(&self, why: &str) -> Error {
        Error::new(ErrorKind::Internal, format!("cannot {} {}: {why}", self.action(), self.object_url))
    }

    /// The error for a response of the service.
    fn service_error(&self, status: StatusCode, region: Option<&str>, text: &str) -> Error {
        let bucket = self.object_url.trim_start_matches("s3://").split('/').next().unwrap_or_default();
        // Some services repeat the URL of the request, which is a secret.
        let message = xml_element(text, "Message").filter(|message| !message.contains("X-Amz-Signature"));
        let code = xml_element(text, "Code");
        let response =
            ServiceResponse { status: status.as_u16(), code: code.as_deref(), message: message.as_deref(), region };
        service_error(self.action(), self.object_url, bucket, &response)
    }
}

/// An HTTP client; the first request creates it.
#[derive(Debug)]
pub(super) struct HttpClient {
    client: OnceCell<Client>,
    /// How long a request may transfer no byte.
    pub(super) idle_timeout: Duration,
    /// The delay before the second attempt; it doubles with each further one.
    pub(super) first_retry_delay: Duration,
}

impl Default for HttpClient {
    fn default() -> Self {
        Self {
            client: OnceCell::new(),
            idle_timeout: Duration::from_secs(30),
            first_retry_delay: Duration::from_millis(500),
        }
    }
}

impl HttpClient {
    /// Sends a request, with `data` as the body of a PUT, and retries it after errors that may pass. Returns the object
    /// of a GET, or `None` where there is none.
    pub(super) async fn send(
        &self,
        request: &ObjectRequest<'_>,
        signed: &SignedRequest,
        data: &Bytes,
    ) -> Result<Option<Bytes>> {
        let mut delay = self.first_retry_delay;
        for _ in 1..MAX_ATTEMPTS {
            match self.send_once(request, signed, data.clone()).await {
                Err(error) if error.is_retryable() => sleep(delay).await,
                outcome => return outcome,
            }
            delay *= 2;
        }
        self.send_once(request, signed, data.clone()).await
    }

    async fn send_once(
        &self,
        request: &ObjectRequest<'_>,
        signed: &SignedRequest,
        data: Bytes,
    ) -> Result<Option<Bytes>> {
        let url = signed.url.expose_secret().parse::<Url>();
        let url = url.map_err(|_| request.internal_error("the presigned URL is no URL"))?;
        let host = url.origin().ascii_serialization();
        let client = self.client.get_or_try_init(async || build_client()).await;
        let client = client.map_err(|error| request.internal_error(&error))?;
        let mut builder = client.request(request.http_method(), url);
        for (name, value) in &signed.headers {
            builder = builder.header(name, value);
        }
        let upload = UploadBody::new(data);
        let (unsent, size) = (upload.unsent.clone(), upload.data.len());
        if request.method == HttpMethod::Put {
            builder = builder.header(CONTENT_LENGTH, size).body(reqwest::Body::wrap(upload));
        }
        let failed = |why: String| request.connection_error(&why);
        let response = self.wait_for_response(builder, &unsent, size, &host).await.map_err(failed)?;
        let status = response.status();
        if status.is_success() {
            return match request.method {
                HttpMethod::Get => {
                    let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
                    let body = self.read_body(response, limit.saturating_add(1)).await.map_err(failed)?;
                    if body.len() > limit { Err(too_long(request.object_url, request.limit)) } else { Ok(Some(body)) }
                }
                HttpMethod::Put | HttpMethod::Delete => Ok(None),
            };
        }
        let region = response.headers().get(REGION_HEADER).and_then(|region| region.to_str().ok()).map(str::to_owned);
        let text = self.read_body(response, MAX_ERROR_BODY).await.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        if status == StatusCode::NOT_FOUND
            && request.method != HttpMethod::Put
            && xml_element(&text, "Code").is_none_or(|code| code == "NoSuchKey")
        {
            return Ok(None);
        }
        Err(request.service_error(status, region.as_deref(), &text))
    }

    /// Sends the request and returns the head of the response. Waits as long as the upload makes progress; the error is
    /// the reason for no response.
    async fn wait_for_response(
        &self,
        builder: RequestBuilder,
        unsent: &AtomicUsize,
        size: usize,
        host: &str,
    ) -> Result<Response, String> {
        let mut sending = pin!(builder.send());
        let mut before = usize::MAX;
        loop {
            let now = unsent.load(Ordering::Relaxed);
            if now == before {
                return Err("no answer in time".to_owned());
            }
            before = now;
            // The last bytes may still be in the send buffer.
            let buffered = if now == 0 { size.min(SEND_BUFFER) } else { 0 };
            let limit = self.idle_timeout + Duration::from_secs((buffered / MIN_BYTES_PER_SECOND) as u64);
            if let Ok(outcome) = timeout(limit, &mut sending).await {
                return outcome.map_err(|error| send_error(error, host));
            }
        }
    }

    /// Reads at most about `limit` bytes of a response's body; the error is the reason why it broke off.
    async fn read_body(&self, mut response: Response, limit: usize) -> Result<Bytes, String> {
        let length = response.content_length().and_then(|length| usize::try_from(length).ok());
        let mut body = BytesMut::with_capacity(length.unwrap_or_default().min(limit).min(1 << 30));
        while body.len() < limit {
            match timeout(self.idle_timeout, response.chunk()).await {
                Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk),
                Ok(Ok(None)) => break,
                Ok(Err(error)) => return Err(root_cause(&error.without_url())),
                Err(_) => return Err("no answer in time".to_owned()),
            }
        }
        Ok(body.freeze())
    }
}

/// Describes an error of sending, without the URL.
fn send_error(error: reqwest::Error, host: &str) -> String {
    let unreachable = error.is_connect();
    let why = root_cause(&error.without_url());
    if unreachable { format!("this site cannot reach {host}: {why}") } else { why }
}

/// Builds a client for HTTP/1.1 without proxies and redirects. It trusts the authorities of Mozilla's list, which need
/// no file, and those of the operating system or of `SSL_CERT_FILE`.
fn build_client() -> Result<Client, String> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let tls = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let builder = Client::builder().use_preconfigured_tls(tls).no_proxy().redirect(Policy::none());
    builder.connect_timeout(CONNECT_TIMEOUT).build().map_err(|error| root_cause(&error))
}

/// Returns the text of an XML element without child elements.
fn xml_element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#39;", "'"), ("&amp;", "&")];
    Some(entities.iter().fold(text.to_owned(), |text, (entity, sign)| text.replace(entity, sign)))
}

/// A request body that counts its unsent bytes.
struct UploadBody {
    data: Bytes,
    unsent: Arc<AtomicUsize>,
}

impl UploadBody {
    fn new(data: Bytes) -> Self {
        Self { unsent: Arc::new(AtomicUsize::new(data.len())), data }
    }
}

impl Body for UploadBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.data.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.data.len().min(UPLOAD_FRAME);
        let frame = self.data.split_to(length);
        self.unsent.store(self.data.len(), Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.data.len() as u64)
    }
}
