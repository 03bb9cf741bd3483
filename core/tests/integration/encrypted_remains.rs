//! What a killed clone leaves is encrypted too: its key is needed to go on with it and to remove it.

use crate::common::{Bench, KeyFile, wait_until};
use crate::resume::{SHOP, SLOWLY, kill, lines, run};
use dbgraft::{CloneJob, CloneOptions, CloneState, Encryption, ErrorKind, TargetJob, Verify};
use dbgraft_testkit::{Flavor, s3};

fn by_file(key: &KeyFile) -> CloneOptions {
    CloneOptions { encrypt: Some(key.encryption()), ..CloneOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_clone_through_an_encrypted_archive_is_abandoned_by_its_key() {
    let (bench, key, other) = (Bench::new(Flavor::MySql, SHOP), KeyFile::new(), KeyFile::new());
    let prefix = format!("left-{}", bench.to);
    let (via, encryption) = (bench.s3(&prefix), key.encryption().to_string());
    let arguments = ["clone", &bench.source_url(), &bench.target_url(), "--via", &via, "--encrypt", &encryption];
    let clone = run(&[&arguments[..], &SLOWLY].concat());
    let loaded = || lines(&bench.pair.target, &bench.to, "kind = 'batch'").is_some_and(|batches| batches >= 2);
    assert!(wait_until(loaded), "no batch was loaded");
    kill(&bench, clone);
    let staged = s3().keys(&prefix).unwrap();
    assert!(staged.iter().any(|key| key.ends_with("/encryption.json")), "{staged:?}");
    let abandon = |options: CloneOptions| TargetJob::new(bench.target_url()).options(options).abandon();
    for (options, kind, message) in [
        (CloneOptions::default(), ErrorKind::Usage, "is encrypted: add --encrypt"),
        (by_file(&other), ErrorKind::Authentication, "the key file is not that of the archive"),
    ] {
        let error = abandon(options).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(message), "{error}");
        assert!(bench.target_exists(), "something was removed");
        assert_eq!(s3().keys(&prefix).unwrap(), staged);
    }
    abandon(by_file(&key)).await.unwrap();
    assert_eq!(s3().keys(&prefix).unwrap(), [""; 0]);
    assert!(!bench.target_exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_export_is_resumed_by_its_key() {
    let (bench, key) = (Bench::new(Flavor::MariaDb, SHOP), KeyFile::new());
    let prefix = format!("export-{}", bench.to);
    let (url, encryption) = (bench.s3(&prefix), key.encryption().to_string());
    let clone = run(&[&["clone", &bench.source_url(), &url, "--encrypt", &encryption][..], &SLOWLY].concat());
    let recorded = || s3().keys(&prefix).unwrap().iter().filter(|key| key.contains("/progress/")).count() >= 2;
    assert!(wait_until(recorded), "no table was completed");
    kill(&bench, clone);
    let status = |options: CloneOptions| TargetJob::new(url.as_str()).options(options).status();
    let found = status(by_file(&key)).await.unwrap();
    assert_eq!(found.state, CloneState::Unfinished);
    assert!(found.complete >= 2, "{found:?}");
    assert!(status(CloneOptions::default()).await.unwrap_err().to_string().contains("is encrypted: add --encrypt"));

    let export = |encrypt: Option<Encryption>| {
        let options = CloneOptions { encrypt, resume: true, no_consistency: true, ..CloneOptions::default() };
        CloneJob::new(bench.source_url(), url.as_str()).options(options).run()
    };
    let staged = s3().keys(&prefix).unwrap();
    assert_eq!(export(None).await.unwrap_err().kind(), ErrorKind::Usage);
    let other = KeyFile::new();
    assert_eq!(export(Some(other.encryption())).await.unwrap_err().kind(), ErrorKind::Authentication);
    assert_eq!(s3().keys(&prefix).unwrap(), staged, "a refused resume changes nothing");
    let resumed = export(Some(key.encryption())).await.unwrap().resumed.unwrap();
    assert!(resumed.taken_over.len() >= 2, "{resumed:?}");
    let import = CloneJob::new(url.as_str(), bench.target_url());
    import.options(CloneOptions { verify: Verify::Checksum, ..by_file(&key) }).run().await.unwrap();
    bench.assert_equal();

    // One of another key is replaced unread.
    let options = CloneOptions { if_exists: dbgraft::IfExists::Drop, ..by_file(&other) };
    CloneJob::new(bench.source_url(), url.as_str()).options(options).run().await.unwrap();
    assert_eq!(status(by_file(&other)).await.unwrap().state, CloneState::Finished);
}
