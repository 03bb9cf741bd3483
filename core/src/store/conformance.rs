//! The tests that every object store must pass.

use std::sync::Arc;

use bytes::Bytes;

use super::{DirectoryStore, ObjectStore, S3Location, S3Store, TEMPORARY, memory::MemoryStore, temporary_name};
use crate::error::{ErrorKind, Result};

/// More bytes than any object of these tests has.
const LIMIT: u64 = 1 << 30;

async fn keys(store: &dyn ObjectStore, prefix: &str) -> Vec<String> {
    let mut keys = store.list(prefix).await.unwrap();
    keys.sort();
    keys
}

/// Checks the contract of [`ObjectStore`] on an empty store, and leaves it empty.
pub(super) async fn check_contract(store: Arc<dyn ObjectStore>) -> Result<()> {
    assert_eq!(keys(&*store, "").await, [""; 0], "the store is empty");
    let missing = store.get("a/none", LIMIT).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Storage);
    assert!(missing.to_string().contains(&store.url("a/none")), "{missing}");
    assert_eq!(store.find("a/none", LIMIT).await?, None);

    store.put("a/1", Bytes::from_static(b"one")).await?;
    store.put("a/1", Bytes::from_static(b"two")).await?;
    store.put("a/b/2", Bytes::new()).await?;
    store.put("ab", Bytes::from(vec![7; 3 << 20])).await?;
    assert_eq!(store.get("a/1", LIMIT).await?, "two", "a put replaces the object");
    assert_eq!(store.find("a/b/2", LIMIT).await?, Some(Bytes::new()));
    assert_eq!(store.get("ab", LIMIT).await?.len(), 3 << 20);
    assert_eq!(store.get("ab", 3 << 20).await?.len(), 3 << 20);
    let long = store.get("ab", (3 << 20) - 1).await.unwrap_err();
    assert_eq!(long.to_string(), format!("{} is damaged: it is longer than 3145727 bytes", store.url("ab")));
    assert_eq!((long.kind(), long.is_retryable()), (ErrorKind::Data, false));

    assert_eq!(keys(&*store, "").await, ["a/1", "a/b/2", "ab"]);
    assert_eq!(keys(&*store, "a").await, ["a/1", "a/b/2", "ab"], "a prefix is text, not a directory");
    assert_eq!(keys(&*store, "a/").await, ["a/1", "a/b/2"]);
    assert_eq!(keys(&*store, "z/").await, [""; 0]);

    store.remove(&["a/1".into(), "a/none".into(), "a/b/2".into(), "x/y".into()]).await?;
    assert_eq!(keys(&*store, "").await, ["ab"]);
    store.remove(&["ab".into()]).await?;
    store.remove(&[]).await?;
    assert_eq!(keys(&*store, "").await, [""; 0]);
    Ok(())
}

/// Checks that a listing takes more than one page and a removal more than one request.
pub(super) async fn check_many_objects(store: Arc<dyn ObjectStore>) -> Result<()> {
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
async fn memory_fulfils_the_contract() {
    check_contract(Arc::new(MemoryStore::default())).await.unwrap();
    check_many_objects(Arc::new(MemoryStore::default())).await.unwrap();
}

#[tokio::test]
async fn a_directory_fulfils_the_contract_and_leaves_nothing_behind() {
    let above = std::env::temp_dir().join(temporary_name("test"));
    let root = above.join("deep/archive");
    check_contract(Arc::new(DirectoryStore::open(&root).unwrap())).await.unwrap();
    assert!(!above.exists(), "the store removes what it created");

    std::fs::create_dir_all(&root).unwrap();
    check_contract(Arc::new(DirectoryStore::open(&root).unwrap())).await.unwrap();
    assert!(root.exists(), "the store keeps what existed");
    std::fs::remove_dir_all(&above).unwrap();
}

#[tokio::test]
async fn a_directory_refuses_keys_that_point_outside() {
    let root = std::env::temp_dir().join(temporary_name("test"));
    let store = DirectoryStore::open(&root).unwrap();
    for key in ["../x", "a/../../x", "/x", "a//x", "", ".", "a/./b", "a/"] {
        assert!(store.put(key, Bytes::new()).await.is_err(), "{key}");
        assert!(store.find(key, LIMIT).await.is_err(), "{key}");
        assert!(store.remove(&[key.to_owned()]).await.is_err(), "{key}");
    }
    assert!(!root.exists());
    assert_eq!(DirectoryStore::open("relative").unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(DirectoryStore::open("/a/../b").unwrap_err().kind(), ErrorKind::Usage);
}

#[cfg(unix)]
#[tokio::test]
async fn a_directory_refuses_links_to_devices() {
    let root = std::env::temp_dir().join(temporary_name("test"));
    std::fs::create_dir_all(&root).unwrap();
    std::os::unix::fs::symlink("/dev/zero", root.join("a")).unwrap();
    let error = DirectoryStore::open(&root).unwrap().get("a", LIMIT).await.unwrap_err();
    assert!(error.to_string().ends_with("/a: it is no regular file"), "{error}");
    std::fs::remove_dir_all(&root).unwrap();
}

#[tokio::test]
async fn an_unwritable_directory_is_an_error() {
    let file = std::env::temp_dir().join(temporary_name("test"));
    std::fs::write(&file, "a file").unwrap();
    let store = DirectoryStore::open(file.join("archive")).unwrap();
    let error = store.put("a", Bytes::new()).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot write file:///"), "{error}");
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn temporary_names_are_unique() {
    assert!(temporary_name("a").starts_with(TEMPORARY));
    assert_ne!(temporary_name("a"), temporary_name("a"));
}

/// Runs one test of this binary in a child process with another environment: the SDK reads its keys from the
/// environment, and a test must not change its own.
pub(crate) fn rerun_test(test: &str, environment: &[(&str, String)]) {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
        child.env_remove(name);
    }
    child.args(["--exact", test, "--include-ignored", "--nocapture"]);
    // No file and no service of this machine may supply credentials.
    child.env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_CONFIG_FILE", "/dev/null");
    child.env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null").envs(environment.iter().map(|(name, value)| (name, value)));
    let output = child.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

pub(crate) fn s3_location(bucket: &str, prefix: &str) -> S3Location {
    S3Location { bucket: bucket.to_owned(), prefix: prefix.to_owned(), ..S3Location::default() }
}

#[test]
fn s3_fulfils_the_contract() {
    let server = dbgraft_testkit::S3::start().unwrap();
    let bucket = ("DBGRAFT_TEST_BUCKET", server.bucket.clone());
    let mut environment = [server.environment(), vec![bucket]].concat();
    rerun_test("store::conformance::s3_fulfils_the_contract_in_child", &environment);
    assert_eq!(server.keys("").unwrap(), [""; 0]);

    environment.retain(|(name, _)| !matches!(*name, "AWS_REGION" | "AWS_ENDPOINT_URL_S3"));
    let endpoint = ("DBGRAFT_TEST_ENDPOINT", server.endpoint.clone());
    environment.extend([endpoint, ("DBGRAFT_TEST_KEY", server.access_key.clone())]);
    rerun_test("store::conformance::s3_takes_its_endpoint_from_the_url", &environment);
    rerun_test("store::conformance::s3_retries_a_read_whose_body_breaks_off", &environment);
    for (name, value) in &mut environment {
        if *name == "AWS_SECRET_ACCESS_KEY" {
            *value = "wrong-secret".to_owned();
        }
    }
    rerun_test("store::conformance::s3_with_wrong_keys_is_an_authentication_error", &environment);
    environment.retain(|(name, _)| !matches!(*name, "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY"));
    rerun_test("store::conformance::s3_without_keys_is_an_authentication_error", &environment);
}

#[tokio::test]
#[ignore = "run by s3_fulfils_the_contract"]
async fn s3_fulfils_the_contract_in_child() {
    let bucket = std::env::var("DBGRAFT_TEST_BUCKET").unwrap();
    for prefix in ["", "/deep/prefix/", "umläut and space"] {
        check_contract(Arc::new(S3Store::open(s3_location(&bucket, prefix)).unwrap())).await.unwrap();
    }
    check_many_objects(Arc::new(S3Store::open(s3_location(&bucket, "many")).unwrap())).await.unwrap();
    let nowhere = S3Store::open(s3_location("no-such-bucket", "")).unwrap();
    let error = nowhere.list("").await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Storage, false));
    assert!(error.to_string().contains("bucket no-such-bucket does not exist"), "{error}");
}

fn store_at_endpoint() -> S3Store {
    let bucket = std::env::var("DBGRAFT_TEST_BUCKET").unwrap();
    let endpoint = std::env::var("DBGRAFT_TEST_ENDPOINT").ok();
    S3Store::open(S3Location { endpoint, ..s3_location(&bucket, "p") }).unwrap()
}

#[tokio::test]
#[ignore = "run by s3_fulfils_the_contract"]
async fn s3_takes_its_endpoint_from_the_url() {
    check_contract(Arc::new(store_at_endpoint())).await.unwrap();
    let closed = S3Location { endpoint: Some("http://127.0.0.1:9".into()), ..s3_location("b", "") };
    let error = S3Store::open(closed).unwrap().put("a", Bytes::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Connection, true), "{error}");
    let error = S3Store::open(s3_location("b", "")).unwrap().find("a", LIMIT).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().contains("no AWS region is known for s3://b: set AWS_REGION or add ?region="), "{error}");
    for strange in ["localhost:9000", "ftp://h", "http://user:pass@h"] {
        let strange = S3Location { endpoint: Some(strange.into()), ..s3_location("b", "") };
        assert_eq!(S3Store::open(strange).unwrap_err().kind(), ErrorKind::Usage);
    }
}

#[tokio::test]
#[ignore = "run by s3_fulfils_the_contract"]
async fn s3_retries_a_read_whose_body_breaks_off() {
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
    let store = S3Store::open(S3Location { endpoint, ..s3_location("b", "") }).unwrap();
    assert_eq!(store.get("a", LIMIT).await.unwrap(), "short enough");
    serving.await.unwrap();
    let shown = format!("{store:?}");
    assert!(!shown.contains(&std::env::var("DBGRAFT_TEST_KEY").unwrap()), "{shown}");
}

#[tokio::test]
#[ignore = "run by s3_fulfils_the_contract"]
async fn s3_with_wrong_keys_is_an_authentication_error() {
    let error = store_at_endpoint().put("a", Bytes::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Authentication, false), "{error}");
    let text = format!("{error} {error:?}");
    assert!(!text.contains("wrong-secret") && !text.contains(&std::env::var("DBGRAFT_TEST_KEY").unwrap()), "{text}");
}

#[tokio::test]
#[ignore = "run by s3_fulfils_the_contract"]
async fn s3_without_keys_is_an_authentication_error() {
    let error = store_at_endpoint().put("a", Bytes::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication, "{error}");
    assert!(error.to_string().starts_with("no AWS credentials for s3://"), "{error}");
}
