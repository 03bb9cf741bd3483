//! A database of a clone that was killed, or of one that still runs, is not used as if it were complete.

use crate::common::{Bench, on_sampled_flavors, rows_flow, sampled_flavors, wait_until};
use crate::if_exists::{SOURCE, if_exists, look, names, own};
use dbgraft::{CloneOptions, ErrorKind, Event, IfExists, Phase, Severity};
use tokio_util::sync::CancellationToken;

/// Tables of a clone that was killed look like any others, but lack rows and indexes.
#[test]
fn the_remains_of_a_killed_clone_are_neither_kept_nor_filled() {
    on_sampled_flavors(async |flavor| {
        let bench = Bench::new(flavor, SOURCE);
        bench.source(
            "CREATE TABLE slow (id INT AUTO_INCREMENT PRIMARY KEY, a TEXT, KEY (a(9))); INSERT INTO slow VALUES (1, REPEAT('x', 65000))",
        );
        for _ in 0..5 {
            bench.source("INSERT INTO slow (a) SELECT a FROM slow");
        }
        kill_clone(&bench).await;
        let before = look(&bench);
        let data_only = CloneOptions { data_only: true, ..if_exists(IfExists::Truncate) };
        for options in [if_exists(IfExists::Skip), if_exists(IfExists::Truncate), CloneOptions::default(), data_only] {
            let overview = bench.job(options.clone()).plan().await.unwrap();
            let errors: Vec<_> = overview.findings.iter().filter(|f| f.severity == Severity::Error).collect();
            assert!(errors.len() == 1 && errors[0].message.contains("_dbgraft_journal"), "{errors:?}");
            let error = bench.clone(options).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Preflight, "{error}");
            assert!(error.to_string().contains("--if-exists drop"), "{error}");
            assert_eq!(before.differences(&look(&bench)), "");
        }
        // A clone that fails afterwards leaves the journal, which marks the database as unfinished.
        let token = CancellationToken::new();
        let cancel = token.clone();
        let listener = move |event| {
            if matches!(event, Event::Phase { phase: Phase::Objects, .. }) {
                cancel.cancel();
            }
        };
        let job = bench.job(if_exists(IfExists::Drop)).on_event(listener).cancellation(token);
        assert_eq!(job.run().await.unwrap_err().kind(), ErrorKind::Cancelled);
        let error = bench.clone(if_exists(IfExists::Skip)).await.unwrap_err();
        assert!(error.to_string().contains("_dbgraft_journal"), "{error}");
        bench.clone(if_exists(IfExists::Drop)).await.unwrap();
        bench.assert_equal();
        bench.clone(if_exists(IfExists::Truncate)).await.unwrap();
        bench.assert_equal();

        kill_clone(&bench).await;
        let part = CloneOptions { include: own(["table:u"]), ..if_exists(IfExists::Drop) };
        let report = bench.clone(part).await.unwrap();
        let names_table = |warning: &String| warning.contains("_dbgraft_journal") && warning.contains("table slow");
        assert!(report.warnings.iter().any(names_table), "{:?}", report.warnings);
        bench.clone(CloneOptions { recreate_database: true, ..CloneOptions::default() }).await.unwrap();
        bench.assert_equal();
    });
}

/// Kills a clone in the middle of its rows.
async fn kill_clone(bench: &Bench) {
    let (begun, flowing) = tokio::sync::oneshot::channel();
    let begun = std::sync::Mutex::new(Some(begun));
    let listener = move |event: Event| {
        if rows_flow(&event)
            && let Some(begun) = begun.lock().unwrap().take()
        {
            let _ = begun.send(());
        }
    };
    let options =
        CloneOptions { memory: 8 << 20, max_rate: Some(200_000), recreate_database: true, ..CloneOptions::default() };
    let running = tokio::spawn(bench.job(options).on_event(listener).run());
    flowing.await.unwrap();
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    let gone = || names(&bench.pair.target, &bench.to).contains("_dbgraft_journal") && unused(bench);
    assert!(wait_until(gone), "the killed clone is still there");
}

/// Whether no connection uses the target's database.
fn unused(bench: &Bench) -> bool {
    let sql = format!("SELECT COUNT(*) FROM {} WHERE DB = '{}'", bench.pair.target.process_list(), bench.to);
    bench.pair.target.sql(&sql).unwrap().trim() == "0"
}

/// Two clones into one database would mistake each other's journal for their own.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_clone_into_the_same_database_is_refused_while_the_first_runs() {
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, SOURCE);
        bench.source("CREATE TABLE slow (id INT PRIMARY KEY, a TEXT); INSERT INTO slow SELECT 1, REPEAT('x', 65000)");
        bench.source("INSERT INTO slow SELECT id + 1, a FROM slow; INSERT INTO slow SELECT id + 2, a FROM slow");
        bench.pair.target.sql(&format!("CREATE DATABASE {}", bench.to)).unwrap();
        let (begun, first_rows) = tokio::sync::oneshot::channel();
        let begun = std::sync::Mutex::new(Some(begun));
        let of = |table: &str, max_rate| CloneOptions {
            include: own([table]),
            memory: 8 << 20,
            threads: 32,
            max_rate,
            ..CloneOptions::default()
        };
        let listener = move |event| {
            if matches!(event, Event::Phase { phase: Phase::Rows, .. })
                && let Some(begun) = begun.lock().unwrap().take()
            {
                let _ = begun.send(());
            }
        };
        let first = bench.job(of("slow", Some(100_000))).on_event(listener).run();
        let second = async {
            first_rows.await.unwrap();
            bench.clone(of("t", None)).await
        };
        let (first, second) = tokio::join!(first, second);
        assert_eq!(first.unwrap().rows, 4);
        let error = second.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Preflight, "{error}");
        assert!(error.to_string().contains("another clone"), "{error}");
        assert_eq!(names(&bench.pair.target, &bench.to), "slow");
        // One after the other they may share it.
        bench.clone(of("t", None)).await.unwrap();
        assert_eq!(names(&bench.pair.target, &bench.to), "slow t");
    }
}
