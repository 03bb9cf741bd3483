//! Promise: `abandon` removes all that a killed clone has left, and nothing else.

use crate::common::{Bench, FLAVORS};
use crate::resume::{SHOP, SLOWLY, Until, kill_at, killed_clone, look, resume, run, state};
use dbgraft::{CloneOptions, CloneState, IfExists, TargetJob};
use dbgraft_testkit::s3;

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_clone_leaves_exactly_what_was_there_before() {
    for flavor in FLAVORS {
        // The database was made by the clone.
        let bench = killed_clone(flavor, &[], Until::Complete(1));
        let done = TargetJob::new(bench.target_url()).abandon().await.unwrap();
        assert!(done.source.is_some_and(|source| source.contains(&bench.from)));
        assert!(!bench.target_exists());
        let again = TargetJob::new(bench.target_url()).abandon().await.unwrap();
        assert!(again.source.is_none() && again.message.contains("no clone is under way"), "{again:?}");

        // It was there, with a table of its own.
        let bench = Bench::new(flavor, SHOP);
        bench.pair.target.sql(&format!("CREATE DATABASE {}", bench.to)).unwrap();
        bench.target("CREATE TABLE own (a INT); INSERT INTO own VALUES (7); CREATE VIEW own_view AS SELECT * FROM own");
        let before = look(&bench);
        let clone = run(&[&["clone", &bench.source_url(), &bench.target_url()][..], &SLOWLY].concat());
        kill_at(&bench, clone, Until::Batches(2));
        TargetJob::new(bench.target_url()).abandon().await.unwrap();
        assert_eq!(look(&bench), before);

        // With a staging archive.
        let prefix = format!("left-{}", bench.to);
        let via = bench.s3(&prefix);
        let arguments = ["clone", &bench.source_url(), &bench.target_url(), "--via", &via];
        let clone = run(&[&arguments[..], &SLOWLY].concat());
        kill_at(&bench, clone, Until::Batches(2));
        assert!(!s3().keys(&prefix).unwrap().is_empty());
        let done = TargetJob::new(bench.target_url()).abandon().await.unwrap();
        assert!(done.staging.is_some_and(|url| url.contains(&prefix)));
        assert_eq!(look(&bench), before);
        assert_eq!(s3().keys(&prefix).unwrap(), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_that_replaces_the_remains_of_another_removes_its_staged_objects() {
    for flavor in FLAVORS {
        let prefix = format!("stale-{}", crate::common::unique());
        let bench = Bench::new(flavor, SHOP);
        let via = bench.s3(&prefix);
        let clone = run(&[&["clone", &bench.source_url(), &bench.target_url(), "--via", &via][..], &SLOWLY].concat());
        kill_at(&bench, clone, Until::Batches(1));
        assert!(!s3().keys(&prefix).unwrap().is_empty());
        bench.clone(CloneOptions { if_exists: IfExists::Drop, ..CloneOptions::default() }).await.unwrap();
        bench.assert_equal();
        assert_eq!(s3().keys(&prefix).unwrap(), [""; 0]);
    }
}

/// Killed between the journal's CREATE and its first line: nothing but the database can have been made.
#[tokio::test(flavor = "multi_thread")]
async fn a_journal_without_lines_is_abandoned() {
    for flavor in FLAVORS {
        for (origin, is_left) in [("made", false), ("found", true)] {
            let bench = killed_clone(flavor, &[], Until::Batches(1));
            let create = bench
                .target("SHOW CREATE TABLE _dbgraft_journal")
                .replace("database made", &format!("database {origin}"));
            let create = create.split_once('\t').unwrap().1.replace("\\n", "\n");
            let to = &bench.to;
            bench.pair.target.sql(&format!("DROP DATABASE {to}; CREATE DATABASE {to}; USE {to}; {create}")).unwrap();
            assert_eq!(state(&bench).await, CloneState::Dead);
            let error = bench.clone(resume()).await.unwrap_err();
            assert!(error.to_string().contains("before it had a plan"), "{error}");
            TargetJob::new(bench.target_url()).abandon().await.unwrap();
            assert_eq!(bench.target_exists(), is_left);
        }
    }
}
