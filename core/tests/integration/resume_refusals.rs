//! Promise: what cannot be resumed exactly is refused by name, and stays as it is.

use crate::common::region::kill as signal;
use crate::common::{Bench, becomes_true, on_sampled_flavors, sampled_flavors, wait_until};
use crate::resume::{
    SHOP, SLOWLY, Until, archive, kill, kill_at, killed_clone, killed_import, lines, look, resume, run, state, stderr,
};
use dbgraft::{CloneOptions, CloneState, ErrorKind, IfExists, TargetJob};
use dbgraft_testkit::{Flavor, ServerOptions, ServerPair};

#[test]
fn a_running_clone_is_neither_resumed_nor_abandoned() {
    on_sampled_flavors(async |flavor| {
        let bench = Bench::new(flavor, SHOP);
        let mut clone = run(&[&["clone", &bench.source_url(), &bench.target_url()][..], &SLOWLY].concat());
        let flows = || lines(&bench.pair.target, &bench.to, "kind = 'batch'").is_some_and(|lines| lines > 0);
        assert!(wait_until(flows));
        // Paused, so that it does not end meanwhile.
        signal("USR1", clone.id());
        assert_eq!(state(&bench).await, CloneState::Running);
        let error = TargetJob::new(bench.target_url()).abandon().await.unwrap_err();
        assert!(error.kind() == ErrorKind::Preflight && error.to_string().contains("runs"), "{error}");
        let error = bench.clone(CloneOptions { no_consistency: true, ..resume() }).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Preflight && error.to_string().contains("runs now"), "{error}");
        signal("USR2", clone.id());
        let ended = clone.wait().unwrap();
        assert!(ended.success(), "{}", stderr(&mut clone));
        bench.assert_equal();
    });
}

#[test]
fn what_is_not_as_the_journal_says_is_refused_by_name_and_stays() {
    let edits: [(&str, &str); 8] = [
        (
            "UPDATE _dbgraft_journal SET content = REPLACE(content, '\"rows\":', '\"rows\":1') WHERE kind = 'batch' LIMIT 1",
            "edited",
        ),
        ("DELETE FROM _dbgraft_journal WHERE kind = 'batch' LIMIT 1", "rows, and the journal says"),
        ("UPDATE _dbgraft_journal SET batch = batch + 77 WHERE kind = 'batch' LIMIT 1", "edited"),
        ("DELETE FROM _dbgraft_journal WHERE kind = 'job'", "removed"),
        (
            "ALTER TABLE _dbgraft_journal COMMENT 'dbgraft: a clone is under way; layout 9, job x, database made'",
            "layout 9",
        ),
        ("ALTER TABLE customers ADD COLUMN extra INT", "table customers was altered"),
        ("DELETE FROM customers LIMIT 3", "table customers has 597 rows"),
        ("DROP TABLE customers", "table customers is gone"),
    ];
    on_sampled_flavors(async |flavor| {
        let bench = Bench::new(flavor, SHOP);
        let from = archive(&bench).await;
        for (edit, named) in edits {
            let clone = run(&[&["clone", &from, &bench.target_url()][..], &SLOWLY].concat());
            let complete = || lines(&bench.pair.target, &bench.to, "kind = 'table' AND content LIKE '%complete%'");
            // `customers` has few rows, and tables are complete from the largest to the smallest.
            assert!(wait_until(|| complete().is_some_and(|lines| lines >= 2)));
            kill(&bench, clone);
            let is_complete = TargetJob::new(bench.target_url()).status().await.unwrap();
            let customers = is_complete.tables.iter().find(|table| table.name == "customers").unwrap();
            if edit.contains("customers") && !customers.complete {
                // It is made anew then, whatever happened to it.
                TargetJob::new(bench.target_url()).abandon().await.unwrap();
                continue;
            }
            bench.target(edit);
            let before = look(&bench);
            let job = dbgraft::CloneJob::new(from.as_str(), bench.target_url()).options(resume());
            let error = job.run().await.unwrap_err();
            assert!(error.to_string().contains(named), "{edit}: {error}");
            assert_eq!(look(&bench), before, "{edit}");
            bench.pair.target.sql(&format!("DROP DATABASE {}", bench.to)).unwrap();
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn another_source_another_option_and_another_archive_are_refused_by_name() {
    for &flavor in sampled_flavors() {
        let (bench, from) = killed_import(flavor, Until::Batches(2)).await;
        let before = look(&bench);
        let refused = async |from: &str, options: CloneOptions| {
            let job = dbgraft::CloneJob::new(from, bench.target_url()).options(options);
            let error = job.run().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Preflight, "{error}");
            assert_eq!(look(&bench), before, "{error}");
            error.to_string()
        };
        assert!(refused(&bench.source_url(), resume()).await.contains("the source was s3://"));
        let other = CloneOptions { if_exists: IfExists::Drop, ..resume() };
        assert!(refused(&from, other).await.contains("--if-exists"));
        let other = CloneOptions { exclude: vec!["aged".to_owned()], ..resume() };
        assert!(refused(&from, other).await.contains("--exclude"));
        let replace = CloneOptions { if_exists: IfExists::Drop, ..CloneOptions::default() };
        bench.source("INSERT INTO customers (name) VALUES ('later')");
        dbgraft::CloneJob::new(bench.source_url(), from.as_str()).options(replace).run().await.unwrap();
        assert!(refused(&from, resume()).await.contains("the export that wrote the archive"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_resumes_at_once_one_is_refused() {
    for &flavor in sampled_flavors() {
        let (bench, from) = killed_import(flavor, Until::Batches(1)).await;
        let job = || dbgraft::CloneJob::new(from.as_str(), bench.target_url()).options(resume()).run();
        let (one, other) = tokio::join!(job(), job());
        // The second may also come so late that it finds the clone finished.
        let refused = [&one, &other].into_iter().filter_map(|result| result.as_ref().err()).collect::<Vec<_>>();
        assert!(refused.len() <= 1 && refused.iter().all(|error| error.kind() == ErrorKind::Preflight), "{refused:?}");
        bench.assert_equal();
        assert_eq!(state(&bench).await, CloneState::None);
    }
}

/// A process whose lock was lost with its connection writes nothing once another one has taken over.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_lost_its_clone_to_a_resume_writes_no_more() {
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, SHOP);
        let from = archive(&bench).await;
        let mut clone = run(&[&["clone", &from, &bench.target_url()][..], &SLOWLY].concat());
        let flows = || lines(&bench.pair.target, &bench.to, "kind = 'batch'").is_some_and(|lines| lines > 0);
        assert!(wait_until(flows));
        // The first process takes its lock again over another connection as long as nobody else has it.
        loop {
            let status = TargetJob::new(bench.target_url()).status().await.unwrap();
            if let Some(holder) = status.message.split("connection ").nth(1) {
                let _ = bench.pair.target.sql(&format!("KILL {}", holder.split(' ').next().unwrap()));
            }
            match dbgraft::CloneJob::new(from.as_str(), bench.target_url()).options(resume()).run().await {
                Ok(_) => break,
                Err(error) => assert!(
                    ["another clone is writing", "runs now"].iter().any(|busy| error.to_string().contains(busy)),
                    "{error}"
                ),
            }
        }
        assert!(!clone.wait().unwrap().success(), "the first process has not noticed");
        let said = stderr(&mut clone);
        assert!(said.contains("another dbgraft has resumed"), "{said}");
        bench.assert_equal();
    }
}

/// What others made since the kill is theirs, and what the clone has loaded stays.
#[tokio::test(flavor = "multi_thread")]
async fn objects_of_others_end_a_resume_and_stay() {
    for &flavor in sampled_flavors() {
        let bench = killed_clone(flavor, &[], Until::Complete(1));
        let again = async || bench.clone(CloneOptions { no_consistency: true, ..resume() }).await;
        let tables = TargetJob::new(bench.target_url()).status().await.unwrap().tables;
        let begun = &tables.iter().find(|table| !table.complete && table.name != "computed").unwrap().name;
        bench.target(&format!("CREATE TRIGGER theirs BEFORE DELETE ON {begun} FOR EACH ROW SET @x = 1"));
        let before = look(&bench);
        let error = again().await.unwrap_err();
        assert!(error.to_string().contains("trigger theirs"), "{error}");
        assert_eq!(look(&bench), before, "{error}");
        bench.target("DROP TRIGGER theirs");
        bench.target("CREATE VIEW v AS SELECT 'theirs' AS x");
        let error = again().await.unwrap_err();
        assert!(error.to_string().contains("view v"), "{error}");
        // The server takes a moment to end the connection that held the lock.
        assert!(becomes_true(async || state(&bench).await == CloneState::Dead).await);
        assert_eq!(bench.target("SELECT x FROM v"), "theirs");
        bench.target("DROP VIEW v");
        again().await.unwrap();
        bench.assert_equal();
    }
}

/// Names of tables that were there before prove nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_resume_of_no_clone_into_existing_tables_is_not_called_complete() {
    let bench = Bench::new(Flavor::MySql, SHOP);
    bench.clone(CloneOptions { schema_only: true, ..CloneOptions::default() }).await.unwrap();
    for options in
        [CloneOptions { data_only: true, ..resume() }, CloneOptions { if_exists: IfExists::Truncate, ..resume() }]
    {
        let error = bench.clone(options).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Preflight && error.to_string().contains("dbgraft verify"), "{error}");
    }
}

/// Two exports of one place in the log need not have the same rows: not everything is logged.
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_another_export_wrote_in_its_place_is_refused() {
    for &flavor in sampled_flavors() {
        // A server of its own, whose log nobody writes.
        let server = ServerOptions::new(flavor).start().unwrap();
        let shared = Bench::names(flavor);
        let pair = ServerPair { source: server.database().clone(), target: shared.pair.target.clone() };
        let bench = Bench { pair: Box::leak(Box::new(pair)), from: shared.from.clone(), to: shared.to.clone() };
        server.sql(&format!("CREATE DATABASE {}", bench.from)).unwrap();
        bench.source(SHOP);
        let from = archive(&bench).await;
        let clone = run(&[&["clone", &from, &bench.target_url()][..], &SLOWLY].concat());
        kill_at(&bench, clone, Until::Batches(2));
        let before = look(&bench);
        bench.source("SET sql_log_bin = 0; UPDATE orders SET note = REVERSE(note)");
        let replace = CloneOptions { if_exists: IfExists::Drop, ..CloneOptions::default() };
        dbgraft::CloneJob::new(bench.source_url(), from.as_str()).options(replace).run().await.unwrap();
        let job = dbgraft::CloneJob::new(from.as_str(), bench.target_url()).options(resume());
        let error = job.run().await.unwrap_err();
        assert!(error.to_string().contains("the export that wrote the archive"), "{error}");
        assert_eq!(look(&bench), before, "{error}");
    }
}
