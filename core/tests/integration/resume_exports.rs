//! Promise: an export that is killed keeps the tables that it had completed.

use crate::common::{Bench, becomes_true, on_sampled_flavors};
use crate::resume::{SHOP, case, kill_quickly, resume, run, stderr};
use dbgraft::{CloneOptions, CloneState, ErrorKind, ResumeCase, TargetJob, Verify};
use dbgraft_testkit::s3;

/// The state of an archive, and its complete tables.
async fn archive_state(url: &str) -> (CloneState, Vec<String>) {
    let status = TargetJob::new(url).status().await.unwrap();
    let complete = status.tables.iter().filter(|table| table.complete).map(|table| table.name.clone()).collect();
    (status.state, complete)
}

/// An export that was killed when this many tables were complete.
async fn killed_export(bench: &Bench, url: &str, complete: usize) -> Vec<String> {
    // So slowly that the small tables are long complete before the large ones, also where a look takes seconds.
    let rate = ["--threads", "1", "--memory", "8M", "--max-rate", "100K"];
    let mut clone = run(&[&["clone", &bench.source_url(), url][..], &rate].concat());
    let reached = async || {
        assert!(clone.try_wait().unwrap().is_none(), "{}", stderr(&mut clone));
        let (state, tables) = archive_state(url).await;
        state == CloneState::Unfinished && tables.len() >= complete
    };
    assert!(becomes_true(reached).await);
    kill_quickly(clone);
    archive_state(url).await.1
}

#[test]
fn an_export_that_was_killed_keeps_its_complete_tables() {
    on_sampled_flavors(async |flavor| {
        let bench = Bench::new(flavor, SHOP);
        let prefix = format!("export-{}", bench.to);
        let url = bench.s3(&prefix);
        let complete = killed_export(&bench, &url, 2).await;
        let status = TargetJob::new(url.as_str()).status().await.unwrap();
        assert!(status.last_write_age.is_some() && status.message.contains("newest object"), "{status:?}");
        let job = |options| dbgraft::CloneJob::new(bench.source_url(), url.as_str()).options(options).run();
        let error = job(CloneOptions::default()).await.unwrap_err();
        assert!(error.to_string().contains("--resume") && error.to_string().contains("abandon"), "{error}");
        let error = job(resume()).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Preflight && error.to_string().contains("--no-consistency"), "{error}");
        bench.source("INSERT INTO customers (name) VALUES ('later'); INSERT INTO keyless VALUES ('later')");
        let report = job(CloneOptions { no_consistency: true, verify: Verify::Checksum, ..resume() }).await.unwrap();
        assert_eq!(case(&report), ResumeCase::SeveralMoments);
        let resumed = report.resumed.as_ref().unwrap();
        assert_eq!(resumed.taken_over, complete);
        let old = |name: &str| complete.iter().any(|table| table == name);
        for name in ["customers", "keyless"] {
            let rows = report.objects.iter().find(|object| object.object.name == name).unwrap().rows;
            assert_eq!(rows, 600 + u64::from(!old(name)), "{name}");
        }
        assert!(!s3().keys(&prefix).unwrap().iter().any(|key| key.contains("progress/")), "documents are left");
        assert_eq!(archive_state(&url).await.0, CloneState::Finished);
        let other = Bench::new(flavor, SHOP);
        let error = dbgraft::CloneJob::new(other.source_url(), url.as_str()).options(resume()).run().await.unwrap_err();
        assert!(error.to_string().contains("the source was"), "{error}");
        assert_eq!(case(&job(CloneOptions { no_consistency: true, ..resume() }).await.unwrap()), ResumeCase::Finished);
        let import = dbgraft::CloneJob::new(url.as_str(), bench.target_url());
        let options = CloneOptions { verify: Verify::Checksum, ..CloneOptions::default() };
        let imported = import.options(options).run().await.unwrap();
        assert_eq!(imported.rows, report.rows);
        let positions = imported.objects.iter().filter(|object| object.position.is_some()).count();
        assert_eq!(positions, complete.len(), "each table brings its moment");
    });
}

#[test]
fn an_export_without_a_complete_table_is_read_again_at_one_moment() {
    on_sampled_flavors(async |flavor| {
        let bench = Bench::new(flavor, "CREATE TABLE only (line TEXT)");
        bench.source("INSERT INTO only WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 900) SELECT REPEAT('x', 9000) FROM n");
        let url = bench.s3(&format!("whole-{}", bench.to));
        killed_export(&bench, &url, 0).await;
        bench.source("DELETE FROM only LIMIT 100");
        let job = |options| dbgraft::CloneJob::new(bench.source_url(), url.as_str()).options(options).run();
        assert_eq!(case(&job(resume()).await.unwrap()), ResumeCase::ReadAgain);
        dbgraft::CloneJob::new(url.as_str(), bench.target_url()).run().await.unwrap();
        bench.assert_equal();

        let url = bench.s3(&format!("gone-{}", bench.to));
        killed_export(&bench, &url, 0).await;
        TargetJob::new(url.as_str()).abandon().await.unwrap();
        assert_eq!(s3().keys(&format!("gone-{}", bench.to)).unwrap(), [""; 0]);
        assert_eq!(archive_state(&url).await.0, CloneState::None);
    });
}

/// Killed between the manifest and the removal of the documents by which a resume finds complete tables.
#[test]
fn what_an_export_that_was_killed_after_its_manifest_has_left_is_removed() {
    on_sampled_flavors(async |flavor| {
        let bench = Bench::new(flavor, SHOP);
        let folder = std::env::temp_dir().join(format!("dbgraft-left-{}", bench.to));
        let url = format!("file://{}", folder.display());
        killed_export(&bench, &url, 1).await;
        let names = || {
            let found = std::fs::read_dir(folder.join("progress")).into_iter().flatten();
            found.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect::<Vec<_>>()
        };
        let left: Vec<_> = names().into_iter().map(|path| (std::fs::read(&path).unwrap(), path)).collect();
        assert!(!left.is_empty());
        let job = |options| dbgraft::CloneJob::new(bench.source_url(), url.as_str()).options(options).run();
        job(CloneOptions { no_consistency: true, ..resume() }).await.unwrap();
        assert_eq!(names(), [""; 0].map(std::path::PathBuf::from));
        let leave = || {
            std::fs::create_dir_all(folder.join("progress")).unwrap();
            left.iter().for_each(|(bytes, path)| std::fs::write(path, bytes).unwrap());
        };
        leave();
        assert_eq!(archive_state(&url).await.0, CloneState::Finished);
        assert_eq!(names().len(), left.len(), "status changes nothing");
        let report = job(CloneOptions { no_consistency: true, ..resume() }).await.unwrap();
        assert_eq!(case(&report), ResumeCase::Finished);
        assert_eq!(names().len(), 0);
        leave();
        let error = TargetJob::new(url.as_str()).abandon().await.unwrap_err();
        assert!(error.kind() == ErrorKind::Preflight && error.to_string().contains("complete"), "{error}");
        assert_eq!(names().len(), 0);
        dbgraft::CloneJob::new(url.as_str(), bench.target_url()).run().await.unwrap();
        bench.assert_equal();
        std::fs::remove_dir_all(folder).unwrap();
    });
}
