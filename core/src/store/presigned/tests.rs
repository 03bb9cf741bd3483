mod server_side_encryption;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use dbgraft_testkit::{Proxy, becomes_true};

use super::*;
use crate::store::conformance::{check_contract, check_many_objects, rerun_test, s3_location};
use crate::store::{S3Location, S3Store};

/// More bytes than any object of these tests has.
const LIMIT: u64 = 1 << 30;

/// Signs URLs for a store of its own, and can simulate a lost connection.
#[derive(Debug)]
pub(crate) struct TestSigner {
    /// Lists and removes objects.
    store: S3Store,
    /// Signs the URLs; its endpoint may be a proxy to the same bucket.
    signer: S3Store,
    disconnected: AtomicBool,
    /// The next URL expires before the caller gets it.
    expire_next: AtomicBool,
    signed: AtomicUsize,
}

impl TestSigner {
    /// Signs URLs of the test's bucket that point to `endpoint`.
    pub(crate) fn new(prefix: &str, endpoint: Option<String>) -> Arc<Self> {
        Self::with_location(S3Location { endpoint, ..test_location(prefix) })
    }

    /// Signs URLs with the parameters of this location.
    fn with_location(location: S3Location) -> Arc<Self> {
        let store = S3Store::open(S3Location { endpoint: None, ..location.clone() }).unwrap();
        let signer = S3Store::open(location).unwrap();
        Arc::new(Self { store, signer, disconnected: false.into(), expire_next: false.into(), signed: 0.into() })
    }

    pub(crate) fn disconnect(&self) {
        self.disconnected.store(true, Ordering::SeqCst);
    }

    pub(crate) fn presigned_store(self: &Arc<Self>) -> PresignedStore {
        let mut store = PresignedStore::new(self.clone(), self.store.url(""));
        store.http.first_retry_delay = Duration::from_millis(20);
        store
    }

    fn check_connected(&self) -> Result<()> {
        match self.disconnected.load(Ordering::SeqCst) {
            true => Err(Error::new(ErrorKind::Connection, "the signer is unreachable")),
            false => Ok(()),
        }
    }
}

fn test_location(prefix: &str) -> S3Location {
    s3_location(&std::env::var("DBGRAFT_TEST_BUCKET").unwrap(), prefix)
}

#[async_trait]
impl UrlSigner for TestSigner {
    async fn sign(&self, key: &str, method: HttpMethod) -> Result<PresignedUrl> {
        self.check_connected()?;
        self.signed.fetch_add(1, Ordering::SeqCst);
        let mut presigned = PresignedUrl::sign(&self.signer, key, method).await?;
        if self.expire_next.swap(false, Ordering::SeqCst) {
            presigned.request = self.signer.presign_for(key, method, Duration::from_secs(1)).await?;
            tokio::time::sleep(Duration::from_millis(2100)).await;
        }
        let received: PresignedUrl = serde_json::from_str(&serde_json::to_string(&presigned).unwrap()).unwrap();
        assert_eq!(received.delete_url.is_some(), method == HttpMethod::Put);
        Ok(received)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.check_connected()?;
        self.store.list(prefix).await
    }

    async fn remove(&self, keys: &[String]) -> Result<()> {
        self.check_connected()?;
        self.store.remove(keys).await
    }
}

#[test]
fn a_presigned_store_is_an_object_store() {
    let run = |test: &str| {
        let server = dbgraft_testkit::S3::start().unwrap();
        let bucket = ("DBGRAFT_TEST_BUCKET", server.bucket.clone());
        let mut environment = [server.environment(), vec![bucket]].concat();
        environment.push(("DBGRAFT_TEST_ENDPOINT", server.endpoint.clone()));
        // The client must ignore the proxies of the environment.
        let proxies = ["http_proxy", "HTTP_PROXY", "ALL_PROXY"].map(|name| (name, "http://127.0.0.1:9".to_owned()));
        environment.extend(proxies);
        rerun_test(&format!("store::presigned::tests::{test}"), &environment);
        assert_eq!(server.keys("").unwrap(), [""; 0], "{test}");
    };
    let tests = [
        "fulfils_the_contract",
        "an_expired_url_is_signed_again",
        "orphans_are_removed_without_the_signer",
        "a_broken_connection_is_retried_and_then_an_error",
        "errors_and_debug_output_contain_no_url",
        "server_side_encryption::every_put_has_its_headers",
    ];
    std::thread::scope(|scope| tests.iter().for_each(|test| drop(scope.spawn(|| run(test)))));
}

#[tokio::test]
#[ignore = "run by a_presigned_store_is_an_object_store"]
async fn fulfils_the_contract() {
    for prefix in ["", "/deep/prefix/", "umläut and space+plus%25"] {
        let signer = TestSigner::new(prefix, None);
        check_contract(Arc::new(signer.presigned_store())).await.unwrap();
        assert!(signer.signed.load(Ordering::SeqCst) > 5);
    }
    let store = Arc::new(TestSigner::new("many", None).presigned_store());
    check_many_objects(store.clone()).await.unwrap();
    assert_eq!(store.delete_urls().len(), 0, "a removed object needs no DELETE URL");
    let large = Bytes::from(vec![7; 20 << 20]);
    store.put("large", large.clone()).await.unwrap();
    assert_eq!(store.find("large", LIMIT).await.unwrap(), Some(large));
    store.remove(&["large".to_owned()]).await.unwrap();
}

#[tokio::test]
#[ignore = "run by a_presigned_store_is_an_object_store"]
async fn an_expired_url_is_signed_again() {
    let signer = TestSigner::new("stale", None);
    let store = signer.presigned_store();
    for (turn, expected) in [(1, 2), (2, 4)] {
        signer.expire_next.store(true, Ordering::SeqCst);
        match turn {
            1 => store.put("a", Bytes::from_static(b"kept")).await.unwrap(),
            _ => assert_eq!(store.get("a", LIMIT).await.unwrap(), "kept"),
        }
        assert_eq!(signer.signed.load(Ordering::SeqCst), expected);
    }
    store.remove(&["a".to_owned()]).await.unwrap();
}

#[tokio::test]
#[ignore = "run by a_presigned_store_is_an_object_store"]
async fn orphans_are_removed_without_the_signer() {
    let proxy = proxy();
    let signer = TestSigner::new("orphans", Some(format!("http://{}", proxy.address())));
    let store = Arc::new(signer.presigned_store());
    signer.store.put("foreign", Bytes::from_static(b"stays")).await.unwrap();
    for key in ["a", "b/c", "removed"] {
        store.put(key, Bytes::from_static(b"orphan")).await.unwrap();
    }
    store.remove(&["removed".to_owned()]).await.unwrap();
    signer.store.put("removed", Bytes::from_static(b"put by another process later")).await.unwrap();
    // One upload ends within the grace period, the other one never would.
    let put = |key: &'static str, bytes: usize| {
        let store = store.clone();
        tokio::spawn(async move { store.put(key, Bytes::from(vec![7; bytes])).await })
    };
    proxy.set_rate(Some(4 << 20));
    let flows = async || {
        let before = proxy.sent_up();
        assert!(becomes_true(async || proxy.sent_up() > before + (64 << 10)).await);
    };
    let soon = put("soon", 2 << 20);
    flows().await;
    let never = put("never", 64 << 20);
    flows().await;
    signer.disconnect();
    let removed = tokio::join!(store.remove_orphans(), async {
        tokio::time::sleep(UPLOAD_GRACE).await;
        proxy.set_rate(None);
    });
    removed.0.unwrap();
    drop(soon.await.unwrap());
    assert_eq!(never.await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(store.put("late", Bytes::new()).await.unwrap_err().kind(), ErrorKind::Cancelled);
    let left = ["foreign".to_owned(), "removed".to_owned()];
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut keys = signer.store.list("").await.unwrap();
    keys.sort();
    assert_eq!(keys, left);
    store.remove_orphans().await.unwrap();
    signer.store.remove(&left).await.unwrap();
}

fn proxy() -> Proxy {
    let endpoint = std::env::var("DBGRAFT_TEST_ENDPOINT").unwrap();
    Proxy::start(endpoint.trim_start_matches("http://")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by a_presigned_store_is_an_object_store"]
async fn a_broken_connection_is_retried_and_then_an_error() {
    let proxy = proxy();
    let endpoint = format!("http://{}", proxy.address());
    let signer = TestSigner::new("line", Some(endpoint.clone()));
    let mut store = signer.presigned_store();
    store.http.idle_timeout = Duration::from_secs(10);
    let large = Bytes::from(vec![7; 8 << 20]);
    proxy.cut_after(3 << 20);
    store.put("a", large.clone()).await.unwrap();
    proxy.cut_after(3 << 20);
    assert_eq!(store.get("a", LIMIT).await.unwrap(), large);
    assert_eq!(signer.signed.load(Ordering::SeqCst), 2, "every attempt uses the same URL");

    // A slow connection is no error while bytes move.
    proxy.set_rate(Some(6 << 20));
    store.put("a", large.clone()).await.unwrap();
    assert_eq!(store.get("a", LIMIT).await.unwrap(), large);
    proxy.set_rate(None);

    proxy.stall(true);
    store.http.idle_timeout = Duration::from_millis(400);
    let begun = Instant::now();
    // More bytes than the send buffers hold.
    let huge = Bytes::from(vec![7; 40 << 20]);
    let (huge, put, find) =
        tokio::join!(store.put("a", huge), store.put("a", large.slice(..5)), store.find("a", LIMIT));
    for (outcome, doing) in [(huge, "write"), (put, "write"), (find.map(drop), "read")] {
        let error = outcome.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Connection, true));
        assert_eq!(error.to_string(), format!("cannot {doing} {}: no answer in time", store.url("a")));
    }
    assert!(begun.elapsed() > 5 * store.http.idle_timeout);
    proxy.stall(false);
    proxy.cut();
    store.http.idle_timeout = Duration::from_secs(10);

    store.put("b", Bytes::new()).await.unwrap();
    drop(proxy);
    let error = store.put("b", Bytes::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Connection, true));
    let expected = format!("cannot write {}: this site cannot reach {endpoint}: ", store.url("b"));
    assert!(error.to_string().starts_with(&expected), "{error}");
    signer.disconnect();
    let error = store.remove_orphans().await.unwrap_err();
    assert!(error.to_string().ends_with("(objects left 2)"), "{error}");
    signer.store.remove(&["a".to_owned(), "b".to_owned()]).await.unwrap();
}

#[tokio::test]
#[ignore = "run by a_presigned_store_is_an_object_store"]
async fn errors_and_debug_output_contain_no_url() {
    let signer = TestSigner::new("secrets", None);
    let store = signer.presigned_store();
    let presigned = PresignedUrl::sign(&signer.signer, "a", HttpMethod::Put).await.unwrap();
    let mut shown = format!("{store:?} {presigned:?}");
    let wrong_signature = presigned.request.url.expose_secret().replacen("/secrets/a?", "/secrets/b?", 1);
    for (url, kind, message) in [
        (wrong_signature, ErrorKind::Authentication, "SignatureDoesNotMatch (403)"),
        (
            respond_once("404 No", "NoSuchBucket", "no").await,
            ErrorKind::Storage,
            "bucket no-such-bucket does not exist",
        ),
        (respond_once("403 No", "AccessDenied", "&lt;no&gt;").await, ErrorKind::Permission, "AccessDenied (403): <no>"),
        (respond_once("400 No", "ExpiredToken", "no").await, ErrorKind::Authentication, "ExpiredToken (400)"),
        // The response repeats the URL of the request.
        (
            respond_once("418 No", "Teapot", "/a?X-Amz-Signature=secret").await,
            ErrorKind::Storage,
            "Teapot (418): no message",
        ),
        ("X-Amz-Signature=secret".to_owned(), ErrorKind::Internal, "the presigned URL is no URL"),
    ] {
        let request = ObjectRequest::new(HttpMethod::Put, "s3://no-such-bucket/a", 0);
        let signed = SignedRequest { url: url.into(), headers: Vec::new() };
        let error = store.http.send(&request, &signed, &Bytes::new()).await.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (kind, false), "{error}");
        // What to do about keys follows.
        let text = error.to_string();
        let (request, response) = text.split_once("/a: ").unwrap_or_default();
        assert!(request == "cannot write s3://no-such-bucket" && response.starts_with(message), "{text}");
        shown += &format!("{error:?}");
    }
    assert!(!shown.contains("X-Amz") && !shown.contains("http:"), "{shown}");
    let memory = crate::store::memory::MemoryStore::default();
    assert_eq!(PresignedUrl::sign(&memory, "a", HttpMethod::Get).await.unwrap_err().kind(), ErrorKind::Unsupported);
}

/// Starts a server that sends one response, and returns its URL.
async fn respond_once(status: &str, code: &str, message: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let body = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/a?X-Amz-Signature=secret", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
    });
    url
}

#[test]
fn a_private_authority_is_trusted_by_ssl_cert_file() {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let dir = std::env::temp_dir().join(crate::store::temporary_name("test"));
    std::fs::create_dir(&dir).unwrap();
    let file = |name: &str, text: String| {
        std::fs::write(dir.join(name), text).unwrap();
        dir.join(name).display().to_string()
    };
    let named = file("authority.pem", cert.pem());
    let mut environment = vec![
        ("DBGRAFT_TEST_CERTIFICATE", named.clone()),
        ("DBGRAFT_TEST_KEY", file("key.pem", signing_key.serialize_pem())),
        ("SSL_CERT_FILE", named),
    ];
    rerun_test("store::presigned::tests::read_over_tls", &environment);
    // As on a host without a certificate store.
    environment[2].1 = dir.join("none.pem").display().to_string();
    rerun_test("store::presigned::tests::read_over_tls", &environment);
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
#[ignore = "run by a_private_authority_is_trusted_by_ssl_cert_file"]
async fn read_over_tls() {
    use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
    let path = |name: &str| std::env::var(name).unwrap();
    let certificate = CertificateDer::from_pem_file(path("DBGRAFT_TEST_CERTIFICATE")).unwrap();
    let key = PrivateKeyDer::from_pem_file(path("DBGRAFT_TEST_KEY")).unwrap();
    let tls = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into());
    let tls = tls.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let acceptor: tokio_rustls::TlsAcceptor = Arc::new(tls.with_single_cert(vec![certificate], key).unwrap()).into();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            let Ok(mut stream) = acceptor.accept(listener.accept().await.unwrap().0).await else { continue };
            let _ = stream.read(&mut [0; 4096]).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nread").await.unwrap();
        }
    });
    let mut http = HttpClient::default();
    http.first_retry_delay = Duration::from_millis(1);
    let request = ObjectRequest::new(HttpMethod::Get, "s3://bucket/key", LIMIT);
    let signed = SignedRequest { url: format!("{host}/key").into(), headers: Vec::new() };
    let read = http.send(&request, &signed, &Bytes::new()).await;
    if std::fs::exists(path("SSL_CERT_FILE")).unwrap() {
        return assert_eq!(read.unwrap().unwrap(), "read");
    }
    let expected = format!("cannot read s3://bucket/key: this site cannot reach {host}: invalid peer certificate: ");
    assert!(read.unwrap_err().to_string().starts_with(&expected));
}
