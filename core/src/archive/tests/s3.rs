//! Archives in S3, with keys and through presigned URLs.

use std::time::Duration;

use super::*;
use crate::store::conformance::{rerun_test, s3_location};
use crate::store::{S3Store, TestSigner};

#[test]
fn an_archive_in_s3_comes_back_and_an_aborted_one_leaves_nothing() {
    let server = dbgraft_testkit::S3::start().unwrap();
    let bucket = ("DBGRAFT_TEST_BUCKET", server.bucket.clone());
    let environment = [server.environment(), vec![bucket]].concat();
    for test in ["an_archive_in_s3", "an_archive_through_presigned_urls"] {
        rerun_test(&format!("archive::tests::s3::{test}"), &environment);
        assert_eq!(server.keys("").unwrap(), ["other/data/2/0-0.tsv.zst"], "{test}");
    }
}

#[tokio::test]
#[ignore = "run by the test above"]
async fn an_archive_in_s3() {
    let at = |prefix: &str| S3Store::open(s3_location(&std::env::var("DBGRAFT_TEST_BUCKET").unwrap(), prefix)).unwrap();
    at("other").put("data/2/0-0.tsv.zst", Bytes::from_static(b"not of this archive")).await.unwrap();
    check_round_trip(Arc::new(at("a"))).await;
    half_written(Arc::new(at("b"))).await.abort().await.unwrap();
}

#[tokio::test]
#[ignore = "run by the test above"]
async fn an_archive_through_presigned_urls() {
    check_round_trip(Arc::new(TestSigner::new("a", None).presigned_store())).await;
    half_written(Arc::new(TestSigner::new("b", None).presigned_store())).await.abort().await.unwrap();
    // The process that signs the URLs is killed.
    let signer = TestSigner::new("c", None);
    let writer = half_written(Arc::new(signer.presigned_store())).await;
    signer.disconnect();
    assert_eq!(writer.write(&plan().tables[1], batch(1, 0, 0)).await.unwrap_err().kind(), ErrorKind::Connection);
    let (one, two) = tokio::join!(writer.abort(), writer.abort());
    one.and(two).unwrap();
    // The site cannot reach the store.
    let cut_off = TestSigner::new("d", Some("http://127.0.0.1:9".to_owned()));
    let writer = ArchiveWriter::new(Arc::new(cut_off.presigned_store()), false);
    let error = writer.check(&catalog(), &Selection::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection);
    assert!(error.to_string().contains(": this site cannot reach http://127.0.0.1:9: "), "{error}");
}

/// Writes, reads and removes an archive.
async fn check_round_trip(store: Arc<dyn ObjectStore>) {
    let plan = plan();
    let writer = ArchiveWriter::new(store.clone(), false);
    assert_eq!(writer.check(&catalog(), &Selection::default()).await.unwrap(), []);
    writer.begin(&plan).await.unwrap();
    for batch in batches() {
        writer.write(&plan.tables[batch.id.table as usize], batch).await.unwrap();
    }
    writer.finish(&plan).await.unwrap();
    let rows = read(&ArchiveReader::open(store.clone()), &plan, 2, 0).await.unwrap();
    assert!(same(&rows, &[batch(2, 0, 0), batch(2, 0, 1), batch(2, 0, 2)]));
    assert_eq!(ArchiveWriter::new(store, false).check(&catalog(), &Selection::default()).await.unwrap().len(), 1);
    writer.remove().await.unwrap();
}

/// Writes batches: some complete, some still in flight, and some whose futures were dropped.
async fn half_written(store: Arc<dyn ObjectStore>) -> ArchiveWriter {
    let writer = ArchiveWriter::new(store, false);
    let plan = plan();
    writer.begin(&plan).await.unwrap();
    for number in 0..20 {
        let write = writer.write(&plan.tables[2], batch(2, 0, number));
        drop(tokio::time::timeout(Duration::from_millis(u64::from(number) / 4), write).await);
    }
    writer
}
