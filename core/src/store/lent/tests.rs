use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use dbgraft_testkit::Proxy;

use super::*;
use crate::store::conformance::{again, conforms, holds_many, location};
use crate::store::{S3, S3Location};

/// Longer than every object here.
const LIMIT: u64 = 1 << 30;

/// Lends what is its own, and can be gone.
#[derive(Debug)]
pub(crate) struct Owner {
    /// Lists and removes.
    store: S3,
    /// Makes the URLs: its endpoint may be another way to the same.
    signer: S3,
    gone: AtomicBool,
    /// The first URLs are good for a second only, and so is what is asked of them.
    stale: AtomicBool,
    lent: AtomicUsize,
}

impl Owner {
    /// Of the test's own bucket, lending ways through `endpoint`.
    pub(crate) fn of(prefix: &str, endpoint: Option<String>) -> Arc<Self> {
        let bucket = std::env::var("DBGRAFT_TEST_BUCKET").unwrap();
        let at = |endpoint| S3::open(S3Location { endpoint, ..location(&bucket, prefix) }).unwrap();
        let (store, signer) = (at(None), at(endpoint));
        Arc::new(Self { store, signer, gone: false.into(), stale: false.into(), lent: 0.into() })
    }

    pub(crate) fn goes(&self) {
        self.gone.store(true, Ordering::SeqCst);
    }

    pub(crate) fn lends(self: &Arc<Self>) -> Lent {
        let mut lent = Lent::new(self.clone(), self.store.url(""));
        lent.http.pause = Duration::from_millis(20);
        lent
    }

    fn there(&self) -> Result<()> {
        match self.gone.load(Ordering::SeqCst) {
            true => Err(Error::new(ErrorKind::Connection, "the lender is gone")),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Lender for Owner {
    async fn presign(&self, key: &str, verb: Verb) -> Result<Loan> {
        self.there()?;
        self.lent.fetch_add(1, Ordering::SeqCst);
        let mut loan = Loan::of(&self.signer, key, verb).await?;
        if self.stale.swap(false, Ordering::SeqCst) {
            loan.url = self.signer.presign_for(key, verb, Duration::from_secs(1)).await?;
            tokio::time::sleep(Duration::from_millis(2100)).await;
        }
        let travelled: Loan = serde_json::from_str(&serde_json::to_string(&loan).unwrap()).unwrap();
        assert_eq!(travelled.delete.is_some(), verb == Verb::Put);
        Ok(travelled)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.there()?;
        self.store.list(prefix).await
    }

    async fn remove(&self, keys: &[String]) -> Result<()> {
        self.there()?;
        self.store.remove(keys).await
    }
}

#[test]
fn a_lent_store_is_a_store() {
    let server = dbgraft_testkit::S3::start().unwrap();
    let bucket = ("DBGRAFT_TEST_BUCKET", server.bucket.clone());
    let mut environment = [server.environment(), vec![bucket]].concat();
    environment.push(("DBGRAFT_TEST_ENDPOINT", server.endpoint.clone()));
    // Nothing of the environment may lead the requests elsewhere.
    environment.extend(["http_proxy", "HTTP_PROXY", "ALL_PROXY"].map(|name| (name, "http://127.0.0.1:9".to_owned())));
    for test in [
        "conforms_by_urls",
        "a_url_that_ended_is_asked_for_anew",
        "orphans_are_removed_without_their_lender",
        "a_bad_line_is_tried_again_and_told",
        "no_url_is_ever_told",
    ] {
        again(&format!("store::lent::tests::{test}"), &environment);
        assert_eq!(server.keys("").unwrap(), [""; 0], "{test}");
    }
}

#[tokio::test]
#[ignore = "run by a_lent_store_is_a_store"]
async fn conforms_by_urls() {
    for prefix in ["", "/deep/prefix/", "umläut and space+plus%25"] {
        let owner = Owner::of(prefix, None);
        conforms(Arc::new(owner.lends())).await.unwrap();
        assert!(owner.lent.load(Ordering::SeqCst) > 5);
    }
    let lent = Arc::new(Owner::of("many", None).lends());
    holds_many(lent.clone()).await.unwrap();
    assert_eq!(lent.removers().len(), 0, "what was removed needs no further care");
    let large = Bytes::from(vec![7; 20 << 20]);
    lent.put("large", large.clone()).await.unwrap();
    assert_eq!(lent.find("large", LIMIT).await.unwrap(), Some(large));
    lent.remove(&["large".to_owned()]).await.unwrap();
}

#[tokio::test]
#[ignore = "run by a_lent_store_is_a_store"]
async fn a_url_that_ended_is_asked_for_anew() {
    let owner = Owner::of("stale", None);
    let lent = owner.lends();
    for (turn, expected) in [(1, 2), (2, 4)] {
        owner.stale.store(true, Ordering::SeqCst);
        match turn {
            1 => lent.put("a", Bytes::from_static(b"kept")).await.unwrap(),
            _ => assert_eq!(lent.get("a", LIMIT).await.unwrap(), "kept"),
        }
        assert_eq!(owner.lent.load(Ordering::SeqCst), expected);
    }
    lent.remove(&["a".to_owned()]).await.unwrap();
}

#[tokio::test]
#[ignore = "run by a_lent_store_is_a_store"]
async fn orphans_are_removed_without_their_lender() {
    let proxy = proxy();
    let owner = Owner::of("orphans", Some(format!("http://{}", proxy.address())));
    let lent = Arc::new(owner.lends());
    owner.store.put("of another", Bytes::from_static(b"stays")).await.unwrap();
    for key in ["a", "b/c", "removed"] {
        lent.put(key, Bytes::from_static(b"orphan")).await.unwrap();
    }
    lent.remove(&["removed".to_owned()]).await.unwrap();
    owner.store.put("removed", Bytes::from_static(b"put there by another since")).await.unwrap();
    // One arrives within the grace, one never would.
    let put = |key: &'static str, bytes: usize| {
        let lent = lent.clone();
        tokio::spawn(async move { lent.put(key, Bytes::from(vec![7; bytes])).await })
    };
    proxy.set_rate(Some(4 << 20));
    let soon = put("soon", 2 << 20);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let never = put("never", 64 << 20);
    tokio::time::sleep(Duration::from_millis(100)).await;
    owner.goes();
    let begun = Instant::now();
    let removed = tokio::join!(lent.remove_orphans(), async {
        tokio::time::sleep(GRACE).await;
        proxy.set_rate(None);
    });
    removed.0.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    drop(soon.await.unwrap());
    assert_eq!(never.await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(lent.put("late", Bytes::new()).await.unwrap_err().kind(), ErrorKind::Cancelled);
    let left = ["of another".to_owned(), "removed".to_owned()];
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut keys = owner.store.list("").await.unwrap();
    keys.sort();
    assert_eq!(keys, left);
    lent.remove_orphans().await.unwrap();
    owner.store.remove(&left).await.unwrap();
}

fn proxy() -> Proxy {
    let endpoint = std::env::var("DBGRAFT_TEST_ENDPOINT").unwrap();
    Proxy::start(endpoint.trim_start_matches("http://")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by a_lent_store_is_a_store"]
async fn a_bad_line_is_tried_again_and_told() {
    let proxy = proxy();
    let endpoint = format!("http://{}", proxy.address());
    let owner = Owner::of("line", Some(endpoint.clone()));
    let mut lent = owner.lends();
    lent.http.silence = Duration::from_millis(400);
    let large = Bytes::from(vec![7; 8 << 20]);
    proxy.cut_after(3 << 20);
    lent.put("a", large.clone()).await.unwrap();
    proxy.cut_after(3 << 20);
    assert_eq!(lent.get("a", LIMIT).await.unwrap(), large);
    assert_eq!(owner.lent.load(Ordering::SeqCst), 2, "the same URL serves for every try");

    // As slow as it may be, as long as something moves.
    proxy.set_rate(Some(6 << 20));
    lent.put("a", large.clone()).await.unwrap();
    assert_eq!(lent.get("a", LIMIT).await.unwrap(), large);
    proxy.set_rate(None);

    proxy.stall(true);
    let begun = Instant::now();
    // More than what the line takes by itself.
    let huge = Bytes::from(vec![7; 40 << 20]);
    let (huge, put, find) = tokio::join!(lent.put("a", huge), lent.put("a", large.slice(..5)), lent.find("a", LIMIT));
    for (outcome, doing) in [(huge, "write"), (put, "write"), (find.map(drop), "read")] {
        let error = outcome.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Connection, true));
        assert_eq!(error.to_string(), format!("cannot {doing} {}: no answer in time", lent.url("a")));
    }
    assert!(begun.elapsed() > 5 * lent.http.silence && begun.elapsed() < Duration::from_secs(5));
    proxy.stall(false);
    proxy.cut();

    lent.put("b", Bytes::new()).await.unwrap();
    drop(proxy);
    let error = lent.put("b", Bytes::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Connection, true));
    let expected = format!("cannot write {}: this site cannot reach {endpoint}: ", lent.url("b"));
    assert!(error.to_string().starts_with(&expected), "{error}");
    owner.goes();
    let error = lent.remove_orphans().await.unwrap_err();
    assert!(error.to_string().ends_with("(objects left 2)"), "{error}");
    owner.store.remove(&["a".to_owned(), "b".to_owned()]).await.unwrap();
}

#[tokio::test]
#[ignore = "run by a_lent_store_is_a_store"]
async fn no_url_is_ever_told() {
    let owner = Owner::of("secrets", None);
    let lent = owner.lends();
    let loan = Loan::of(&owner.signer, "a", Verb::Put).await.unwrap();
    let mut shown = format!("{lent:?} {loan:?}");
    let spoiled = loan.url.expose_secret().replacen("/secrets/a?", "/secrets/b?", 1);
    for (url, kind, told) in [
        (spoiled, ErrorKind::Authentication, "SignatureDoesNotMatch (403)"),
        (says("404 No", "NoSuchBucket", "no").await, ErrorKind::Storage, "bucket no-such-bucket does not exist"),
        (says("403 No", "AccessDenied", "&lt;no&gt;").await, ErrorKind::Permission, "AccessDenied (403): <no>"),
        (says("400 No", "ExpiredToken", "no").await, ErrorKind::Authentication, "ExpiredToken (400)"),
        // What it was asked is a secret.
        (says("418 No", "Teapot", "/a?X-Amz-Signature=secret").await, ErrorKind::Storage, "Teapot (418): no message"),
        ("X-Amz-Signature=secret".to_owned(), ErrorKind::Internal, "what was lent is no URL"),
    ] {
        let matter = Matter::new(Verb::Put, "s3://no-such-bucket/a", 0);
        let error = lent.http.exchange(&matter, &url.into(), &Bytes::new()).await.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (kind, false), "{error}");
        assert_eq!(
            error.to_string().split_once("/a: ").unwrap_or_default(),
            ("cannot write s3://no-such-bucket", told)
        );
        shown += &format!("{error:?}");
    }
    assert!(!shown.contains("X-Amz") && !shown.contains("http:"), "{shown}");
    let memory = crate::store::memory::Memory::default();
    assert_eq!(Loan::of(&memory, "a", Verb::Get).await.unwrap_err().kind(), ErrorKind::Unsupported);
}

/// A URL whose server answers once.
async fn says(status: &str, code: &str, message: &str) -> String {
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
fn a_private_authority_is_trusted_where_it_is_named() {
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
    again("store::lent::tests::over_tls", &environment);
    // As in a root directory with nothing in it.
    environment[2].1 = dir.join("none.pem").display().to_string();
    again("store::lent::tests::over_tls", &environment);
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
#[ignore = "run by a_private_authority_is_trusted_where_it_is_named"]
async fn over_tls() {
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
    let mut http = Http::default();
    http.pause = Duration::from_millis(1);
    let matter = Matter::new(Verb::Get, "s3://bucket/key", LIMIT);
    let read = http.exchange(&matter, &format!("{host}/key").into(), &Bytes::new()).await;
    if std::fs::exists(path("SSL_CERT_FILE")).unwrap() {
        return assert_eq!(read.unwrap().unwrap(), "read");
    }
    let expected = format!("cannot read s3://bucket/key: this site cannot reach {host}: invalid peer certificate: ");
    assert!(read.unwrap_err().to_string().starts_with(&expected));
}
