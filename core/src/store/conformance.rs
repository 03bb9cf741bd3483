//! What every store must do.

use std::sync::Arc;

use bytes::Bytes;

use super::{Directory, S3, S3Location, Store, TEMPORARY, memory::Memory, temporary_name};
use crate::error::{ErrorKind, Result};

async fn keys(store: &dyn Store, prefix: &str) -> Vec<String> {
    let mut keys = store.list(prefix).await.unwrap();
    keys.sort();
    keys
}

/// Every promise of [`Store`], on an empty store, which it leaves empty.
pub(super) async fn conforms(store: Arc<dyn Store>) -> Result<()> {
    assert_eq!(keys(&*store, "").await, [""; 0], "nothing is there at first");
    let missing = store.get("a/none").await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Storage);
    assert!(missing.to_string().contains(&store.url("a/none")), "{missing}");
    assert_eq!(store.find("a/none").await?, None);

    store.put("a/1", Bytes::from_static(b"one")).await?;
    store.put("a/1", Bytes::from_static(b"two")).await?;
    store.put("a/b/2", Bytes::new()).await?;
    store.put("ab", Bytes::from(vec![7; 3 << 20])).await?;
    assert_eq!(store.get("a/1").await?, "two", "the later object replaces the earlier");
    assert_eq!(store.find("a/b/2").await?, Some(Bytes::new()));
    assert_eq!(store.get("ab").await?.len(), 3 << 20);

    assert_eq!(keys(&*store, "").await, ["a/1", "a/b/2", "ab"]);
    assert_eq!(keys(&*store, "a").await, ["a/1", "a/b/2", "ab"], "a prefix is of text, not of directories");
    assert_eq!(keys(&*store, "a/").await, ["a/1", "a/b/2"]);
    assert_eq!(keys(&*store, "z/").await, [""; 0]);

    store.remove(&["a/1".into(), "a/none".into(), "a/b/2".into(), "x/y".into()]).await?;
    assert_eq!(keys(&*store, "").await, ["ab"]);
    store.remove(&["ab".into()]).await?;
    store.remove(&[]).await?;
    assert_eq!(keys(&*store, "").await, [""; 0]);
    Ok(())
}

/// More than one page of a listing, and more than one request of a removal.
pub(super) async fn holds_many(store: Arc<dyn Store>) -> Result<()> {
    use futures::{StreamExt as _, TryStreamExt as _};
    let names: Vec<String> = (0..1001).map(|number| format!("many/{number:04}")).collect();
    let puts = names.iter().map(|key| store.put(key, Bytes::from_static(b"x")));
    futures::stream::iter(puts).buffer_unordered(16).try_collect::<()>().await?;
    assert_eq!(keys(&*store, "many/").await, names);
    store.remove(&names).await?;
    assert_eq!(keys(&*store, "").await, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn memory_conforms() {
    conforms(Arc::new(Memory::default())).await.unwrap();
    holds_many(Arc::new(Memory::default())).await.unwrap();
}

#[tokio::test]
async fn a_directory_conforms_and_leaves_nothing_behind() {
    let above = std::env::temp_dir().join(temporary_name("test"));
    let root = above.join("deep/archive");
    conforms(Arc::new(Directory::open(&root).unwrap())).await.unwrap();
    assert!(!above.exists(), "what was created is gone");

    std::fs::create_dir_all(&root).unwrap();
    conforms(Arc::new(Directory::open(&root).unwrap())).await.unwrap();
    assert!(root.exists(), "what was there is there");
    std::fs::remove_dir_all(&above).unwrap();
}

#[tokio::test]
async fn a_directory_takes_no_key_that_leads_elsewhere() {
    let root = std::env::temp_dir().join(temporary_name("test"));
    let store = Directory::open(&root).unwrap();
    for key in ["../x", "a/../../x", "/x", "a//x", "", ".", "a/./b", "a/"] {
        assert!(store.put(key, Bytes::new()).await.is_err(), "{key}");
        assert!(store.find(key).await.is_err(), "{key}");
        assert!(store.remove(&[key.to_owned()]).await.is_err(), "{key}");
    }
    assert!(!root.exists());
    assert_eq!(Directory::open("relative").unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(Directory::open("/a/../b").unwrap_err().kind(), ErrorKind::Usage);
}

#[cfg(unix)]
#[tokio::test]
async fn an_object_that_is_no_file_is_not_read() {
    let root = std::env::temp_dir().join(temporary_name("test"));
    std::fs::create_dir_all(&root).unwrap();
    std::os::unix::fs::symlink("/dev/zero", root.join("endless")).unwrap();
    let error = Directory::open(&root).unwrap().find("endless").await.unwrap_err();
    std::fs::remove_dir_all(&root).unwrap();
    assert!(error.to_string().contains("no regular file"), "{error}");
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_says_so() {
    let file = std::env::temp_dir().join(temporary_name("test"));
    std::fs::write(&file, "a file").unwrap();
    let store = Directory::open(file.join("archive")).unwrap();
    let error = store.put("a", Bytes::new()).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot write file:///"), "{error}");
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn temporary_names_differ() {
    assert!(temporary_name("a").starts_with(TEMPORARY));
    assert_ne!(temporary_name("a"), temporary_name("a"));
}

/// Keys reach the SDK by the environment only, and a test must not change its own: it runs itself again with another.
pub(crate) fn again(test: &str, environment: &[(&str, String)]) {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
        child.env_remove(name);
    }
    child.args(["--exact", test, "--include-ignored", "--nocapture"]);
    // No file and no service of this machine may lend credentials.
    child.env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_CONFIG_FILE", "/dev/null");
    child.env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null").envs(environment.iter().map(|(name, value)| (name, value)));
    let output = child.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

pub(crate) fn location(bucket: &str, prefix: &str) -> S3Location {
    S3Location { bucket: bucket.to_owned(), prefix: prefix.to_owned(), ..S3Location::default() }
}

#[test]
fn s3_conforms() {
    let server = dbgraft_testkit::S3::start().unwrap();
    let bucket = ("DBGRAFT_TEST_BUCKET", server.bucket.clone());
    let mut environment = [server.environment(), vec![bucket]].concat();
    again("store::conformance::s3_conforms_here", &environment);
    assert_eq!(server.keys("").unwrap(), [""; 0]);

    environment.retain(|(name, _)| !matches!(*name, "AWS_REGION" | "AWS_ENDPOINT_URL_S3"));
    let endpoint = ("DBGRAFT_TEST_ENDPOINT", server.endpoint.clone());
    environment.extend([endpoint, ("DBGRAFT_TEST_KEY", server.access_key.clone())]);
    again("store::conformance::s3_takes_its_endpoint_from_the_url", &environment);
    again("store::conformance::s3_reads_again_when_a_body_breaks_off", &environment);
    for (name, value) in &mut environment {
        if *name == "AWS_SECRET_ACCESS_KEY" {
            *value = "wrong-secret".to_owned();
        }
    }
    again("store::conformance::s3_refuses_wrong_keys", &environment);
    environment.retain(|(name, _)| !matches!(*name, "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY"));
    again("store::conformance::s3_without_keys_says_so", &environment);
}

#[tokio::test]
#[ignore = "run by s3_conforms"]
async fn s3_conforms_here() {
    let bucket = std::env::var("DBGRAFT_TEST_BUCKET").unwrap();
    for prefix in ["", "/deep/prefix/", "umläut and space"] {
        conforms(Arc::new(S3::open(location(&bucket, prefix)).unwrap())).await.unwrap();
    }
    holds_many(Arc::new(S3::open(location(&bucket, "many")).unwrap())).await.unwrap();
    let nowhere = S3::open(location("no-such-bucket", "")).unwrap();
    let error = nowhere.list("").await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Storage, false));
    assert!(error.to_string().contains("bucket no-such-bucket does not exist"), "{error}");
}

fn at_endpoint() -> S3 {
    let bucket = std::env::var("DBGRAFT_TEST_BUCKET").unwrap();
    let endpoint = std::env::var("DBGRAFT_TEST_ENDPOINT").ok();
    S3::open(S3Location { endpoint, ..location(&bucket, "p") }).unwrap()
}

#[tokio::test]
#[ignore = "run by s3_conforms"]
async fn s3_takes_its_endpoint_from_the_url() {
    conforms(Arc::new(at_endpoint())).await.unwrap();
    let closed = S3Location { endpoint: Some("http://127.0.0.1:9".into()), ..location("b", "") };
    let error = S3::open(closed).unwrap().put("a", Bytes::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Connection, true), "{error}");
    let error = S3::open(location("b", "")).unwrap().find("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().contains("no AWS region is known for s3://b: set AWS_REGION or add ?region="), "{error}");
    for strange in ["localhost:9000", "ftp://h", "http://user:pass@h"] {
        let strange = S3Location { endpoint: Some(strange.into()), ..location("b", "") };
        assert_eq!(S3::open(strange).unwrap_err().kind(), ErrorKind::Usage);
    }
}

#[tokio::test]
#[ignore = "run by s3_conforms"]
async fn s3_reads_again_when_a_body_breaks_off() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Some(format!("http://{}", listener.local_addr().unwrap()));
    let serving = tokio::spawn(async move {
        for body in ["sho", "short", "short enough"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await.unwrap();
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\n";
            stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        }
    });
    let store = S3::open(S3Location { endpoint, ..location("b", "") }).unwrap();
    assert_eq!(store.get("a").await.unwrap(), "short enough");
    serving.await.unwrap();
    let shown = format!("{store:?}");
    assert!(!shown.contains(&std::env::var("DBGRAFT_TEST_KEY").unwrap()), "{shown}");
}

#[tokio::test]
#[ignore = "run by s3_conforms"]
async fn s3_refuses_wrong_keys() {
    let error = at_endpoint().put("a", Bytes::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Authentication, false), "{error}");
    let text = format!("{error} {error:?}");
    assert!(!text.contains("wrong-secret") && !text.contains(&std::env::var("DBGRAFT_TEST_KEY").unwrap()), "{text}");
}

#[tokio::test]
#[ignore = "run by s3_conforms"]
async fn s3_without_keys_says_so() {
    let begun = std::time::Instant::now();
    let error = at_endpoint().put("a", Bytes::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication, "{error}");
    assert!(error.to_string().starts_with("no AWS credentials for s3://"), "{error}");
    assert!(begun.elapsed() < std::time::Duration::from_secs(5));
}
