//! One request by a lent URL, tried again while that may help.

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
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::OnceCell;
use tokio::time::{sleep, timeout};

use super::Verb;
use crate::error::{Error, ErrorKind, Result};
use crate::store::s3::error::{Answer, REGION, innermost, refusal};
use crate::store::too_long;

/// How often a request is tried.
const ATTEMPTS: u32 = 5;
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// What is handed to the connection at once.
const PIECE: usize = 64 << 10;
/// What the system may hold back of what was sent, at most.
const HELD_BACK: usize = 4 << 20;
/// The slowest line that still gets through, in bytes a second.
const SLOWEST: usize = 64 << 10;
/// No explanation of an error is longer.
const EXPLANATION: usize = 16 << 10;

/// What is asked, for messages.
pub(super) struct Matter<'a> {
    verb: Verb,
    /// `s3://bucket/key`
    at: &'a str,
    /// An object that is longer is not read.
    limit: u64,
}

impl<'a> Matter<'a> {
    pub(super) fn new(verb: Verb, at: &'a str, limit: u64) -> Self {
        Self { verb, at, limit }
    }

    fn doing(&self) -> &'static str {
        match self.verb {
            Verb::Put => "write",
            Verb::Get => "read",
            Verb::Delete => "remove",
        }
    }

    fn method(&self) -> Method {
        match self.verb {
            Verb::Put => Method::PUT,
            Verb::Get => Method::GET,
            Verb::Delete => Method::DELETE,
        }
    }

    /// The line failed.
    fn lost(&self, why: &str) -> Error {
        Error::new(ErrorKind::Connection, format!("cannot {} {}: {why}", self.doing(), self.at)).retryable()
    }

    fn impossible(&self, why: &str) -> Error {
        Error::new(ErrorKind::Internal, format!("cannot {} {}: {why}", self.doing(), self.at))
    }

    /// The service refused.
    fn refused(&self, status: StatusCode, region: Option<&str>, text: &str) -> Error {
        let bucket = self.at.trim_start_matches("s3://").split('/').next().unwrap_or_default();
        // Some services repeat what they were asked, and that is a secret.
        let message = element(text, "Message").filter(|message| !message.contains("X-Amz-Signature"));
        let code = element(text, "Code");
        let answer = Answer { status: status.as_u16(), code: code.as_deref(), message: message.as_deref(), region };
        refusal(self.doing(), self.at, bucket, &answer)
    }
}

/// An HTTP client, made when it is first needed.
#[derive(Debug)]
pub(super) struct Http {
    client: OnceCell<Client>,
    /// How long nothing may move.
    pub(super) silence: Duration,
    /// How long to wait before the second try; twice as long before each further one.
    pub(super) pause: Duration,
}

impl Default for Http {
    fn default() -> Self {
        Self { client: OnceCell::new(), silence: Duration::from_secs(30), pause: Duration::from_millis(500) }
    }
}

impl Http {
    /// Stores `data`, or reads, or removes. `None` when there is nothing to read.
    pub(super) async fn exchange(
        &self,
        matter: &Matter<'_>,
        url: &SecretString,
        data: &Bytes,
    ) -> Result<Option<Bytes>> {
        let mut pause = self.pause;
        for _ in 1..ATTEMPTS {
            match self.attempt(matter, url, data.clone()).await {
                Err(error) if error.is_retryable() => sleep(pause).await,
                outcome => return outcome,
            }
            pause *= 2;
        }
        self.attempt(matter, url, data.clone()).await
    }

    async fn attempt(&self, matter: &Matter<'_>, url: &SecretString, data: Bytes) -> Result<Option<Bytes>> {
        let url: Url = url.expose_secret().parse().map_err(|_| matter.impossible("what was lent is no URL"))?;
        let host = url.origin().ascii_serialization();
        let client = self.client.get_or_try_init(async || client()).await;
        let client = client.map_err(|error| matter.impossible(&error))?;
        let mut request = client.request(matter.method(), url);
        let upload = Upload::of(data);
        let (left, size) = (upload.left.clone(), upload.rest.len());
        if matter.verb == Verb::Put {
            request = request.header(CONTENT_LENGTH, size).body(reqwest::Body::wrap(upload));
        }
        let lost = |why: String| matter.lost(&why);
        let response = self.answer(request, &left, size, &host).await.map_err(lost)?;
        let status = response.status();
        if status.is_success() {
            return match matter.verb {
                Verb::Get => {
                    let most = usize::try_from(matter.limit).unwrap_or(usize::MAX);
                    let body = self.body(response, most.saturating_add(1)).await.map_err(lost)?;
                    if body.len() > most { Err(too_long(matter.at, matter.limit)) } else { Ok(Some(body)) }
                }
                Verb::Put | Verb::Delete => Ok(None),
            };
        }
        let region = response.headers().get(REGION).and_then(|region| region.to_str().ok()).map(str::to_owned);
        let text = self.body(response, EXPLANATION).await.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        if status == StatusCode::NOT_FOUND
            && matter.verb != Verb::Put
            && element(&text, "Code").is_none_or(|code| code == "NoSuchKey")
        {
            return Ok(None);
        }
        Err(matter.refused(status, region.as_deref(), &text))
    }

    /// The head of the answer, as long as something moves; or why there is none.
    async fn answer(
        &self,
        request: RequestBuilder,
        left: &AtomicUsize,
        size: usize,
        host: &str,
    ) -> Result<Response, String> {
        let mut sending = pin!(request.send());
        let mut before = usize::MAX;
        loop {
            let now = left.load(Ordering::Relaxed);
            if now == before {
                return Err("no answer in time".to_owned());
            }
            before = now;
            // What was handed over is not yet there.
            let held_back = if now == 0 { size.min(HELD_BACK) } else { 0 };
            let patience = self.silence + Duration::from_secs((held_back / SLOWEST) as u64);
            if let Ok(outcome) = timeout(patience, &mut sending).await {
                return outcome.map_err(|error| reason(error, host));
            }
        }
    }

    /// The body of an answer, or its beginning; or why it broke off.
    async fn body(&self, mut response: Response, most: usize) -> Result<Bytes, String> {
        let length = response.content_length().and_then(|length| usize::try_from(length).ok());
        let mut body = BytesMut::with_capacity(length.unwrap_or_default().min(most).min(1 << 30));
        while body.len() < most {
            match timeout(self.silence, response.chunk()).await {
                Ok(Ok(Some(piece))) => body.extend_from_slice(&piece),
                Ok(Ok(None)) => break,
                Ok(Err(error)) => return Err(innermost(&error.without_url())),
                Err(_) => return Err("no answer in time".to_owned()),
            }
        }
        Ok(body.freeze())
    }
}

/// Why there is no answer, without the URL.
fn reason(error: reqwest::Error, host: &str) -> String {
    let unreachable = error.is_connect();
    let why = innermost(&error.without_url());
    if unreachable { format!("this site cannot reach {host}: {why}") } else { why }
}

/// Speaks HTTP/1.1 straight to whom the URL names. Trusts the usual authorities, known also where no file says them, and
/// those of this machine or of `SSL_CERT_FILE`.
fn client() -> Result<Client, String> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let tls = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let builder = Client::builder().use_preconfigured_tls(tls).no_proxy().redirect(Policy::none());
    builder.connect_timeout(CONNECT).build().map_err(|error| innermost(&error))
}

/// The text of an XML element that holds nothing else.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#39;", "'"), ("&amp;", "&")];
    Some(entities.iter().fold(text.to_owned(), |text, (entity, sign)| text.replace(entity, sign)))
}

/// A body that tells how much of it is left.
struct Upload {
    rest: Bytes,
    left: Arc<AtomicUsize>,
}

impl Upload {
    fn of(data: Bytes) -> Self {
        Self { left: Arc::new(AtomicUsize::new(data.len())), rest: data }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let most = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(most);
        self.left.store(self.rest.len(), Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
