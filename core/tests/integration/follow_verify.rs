//! Promise: a comparison with a target that follows tells what differs for good, and nothing that is only late.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dbgraft::{CloneOptions, Comparison, ErrorKind, Event, TargetJob, Verify};

use crate::common::comparing::{checksum, difference_lines};
use crate::common::follower::Follower;
use crate::common::{BackgroundLoop, Bench, no_hang, on_sampled_flavors, wait_until};

const SCHEMA: &str = "
    CREATE TABLE quiet (id INT PRIMARY KEY, v VARCHAR(20));
    CREATE TABLE busy (id INT PRIMARY KEY, n INT NOT NULL, note VARCHAR(20));
    CREATE TABLE hot (id INT PRIMARY KEY, n INT NOT NULL, note VARCHAR(20));
    CREATE TABLE keyless (n INT, t VARCHAR(20));
    CREATE TABLE marks (id INT PRIMARY KEY, mark VARCHAR(40));
    INSERT INTO busy WITH RECURSIVE i AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM i WHERE i < 900) SELECT i, 0, 'n' FROM i;
    INSERT INTO quiet SELECT id, 'v' FROM busy;
    INSERT INTO hot VALUES (1, 0, 'n'), (2, 0, 'n');
    INSERT INTO keyless VALUES (1, 'one'), (1, 'one'), (2, 'two');";

/// Changes all tables but `quiet` again and again: rows up to 500 of `busy`, each row of `hot` each time.
fn writer(bench: &Bench) -> BackgroundLoop {
    let (source, from) = (bench.pair.source.clone(), bench.from.clone());
    BackgroundLoop::new(move |round| {
        let (a, b) = (1 + round * 7 % 500, 1 + round * 13 % 500);
        let sql = format!(
            "UPDATE hot SET n = n + 1 WHERE id = 1; UPDATE hot SET n = n + 1 WHERE id = 2; \
             START TRANSACTION; UPDATE busy SET n = n + 1 WHERE id IN ({a}, {b}); \
             REPLACE INTO busy VALUES ({round} % 20 + 1000, {round}, 'new'); COMMIT; \
             DELETE FROM busy WHERE id = ({round} + 9) % 20 + 1000; \
             UPDATE busy SET note = IF(note = 'n', 'm', 'n') WHERE id BETWEEN 1 AND 20; \
             INSERT INTO keyless VALUES ({round} % 5 + 10, 'x'); DELETE FROM keyless WHERE n > 9 ORDER BY n LIMIT 1;"
        );
        source.sql_in(&from, &sql).is_ok()
    })
}

async fn compare(bench: &Bench, options: CloneOptions) -> Comparison {
    bench.job(options).verify().await.unwrap()
}

fn counts() -> CloneOptions {
    CloneOptions { verify: Verify::Counts, ..CloneOptions::default() }
}

#[test]
fn a_target_that_follows_is_compared_while_both_change() {
    on_sampled_flavors(async |flavor| {
        let bench = Bench::new(flavor, SCHEMA);
        let writer = writer(&bench);
        writer.assert_begun();
        let mut follower = Follower::begin(&bench, "clone", &["--follow", "--verify", "checksum"]).await;
        for options in [checksum(), counts()] {
            let before = writer.rounds();
            assert_eq!(difference_lines(&compare(&bench, options).await), Vec::<String>::new());
            assert!(writer.rounds() > before, "nothing was written meanwhile");
        }
        // What is only late: the follower applies nothing until the comparison waits for it.
        follower.signal("USR1");
        let before = writer.rounds();
        assert!(wait_until(|| writer.rounds() > before + 20));
        let (late, ()) = tokio::join!(compare(&bench, checksum()), async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            follower.signal("USR2");
        });
        assert_eq!(difference_lines(&late), Vec::<String>::new());
        // What differs for good: in a quiet table, in a busy one, and in a row that changes all the time.
        bench.target(
            "UPDATE quiet SET v = 'w' WHERE id = 7; INSERT INTO quiet VALUES (5000, 'more'); \
             UPDATE busy SET note = 'by hand' WHERE id = 600; DELETE FROM busy WHERE id = 899; \
             UPDATE hot SET note = 'by hand' WHERE id = 2; DELETE FROM keyless WHERE n = 1 LIMIT 1;",
        );
        let found = compare(&bench, checksum()).await;
        let lines = difference_lines(&found);
        let rows: Vec<&str> = lines.iter().filter(|line| line.starts_with("  ")).map(|line| line.trim()).collect();
        let expected = [
            "different: id = 600",
            "only at the source: id = 899",
            "different: id = 2",
            "only at the source: n = 1, t = 'one'",
            "only at the target: id = 5000",
            "different: id = 7",
        ];
        assert_eq!(rows, expected, "{lines:#?}");
        assert!(lines[0].starts_with("table busy: ") && lines[0].ends_with("2 rows differ"), "{lines:#?}");
        // Each table by itself: one row less, one row more.
        let counted = difference_lines(&compare(&bench, counts()).await);
        assert!(counted.iter().any(|line| line.starts_with("table quiet: 900 rows at the source, 901")), "{counted:?}");
        drop(writer);
        follower.catch_up(&bench).await;
        follower.kill().await;
        let error = bench.job(checksum()).verify().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Preflight);
        assert!(error.to_string().contains("no process follows"), "{error}");
    });
}

#[test]
fn a_cut_over_compares_before_if_it_is_asked_to() {
    on_sampled_flavors(async |flavor| {
        let bench = Bench::new(flavor, SCHEMA);
        let mut follower = Follower::begin(&bench, "clone", &["--follow"]).await;
        let writer = writer(&bench);
        writer.assert_begun();
        bench.target("UPDATE quiet SET v = 'w' WHERE id = 7");
        for _ in 0..2 {
            let job = TargetJob::new(bench.target_url()).options(checksum());
            let error = job.cut_over(None, Duration::from_secs(120)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Different, "{error}");
            assert!(error.to_string().contains("table quiet"), "{error}");
        }
        drop(writer);
        bench.target("UPDATE quiet SET v = 'v' WHERE id = 7");
        follower.catch_up(&bench).await;
        follower.cut_over_with(checksum()).await;
        assert_eq!(bench.target("SHOW TABLES LIKE '%journal'"), "");
        bench.assert_equal();
    });
}

#[test]
fn a_job_compares_before_its_own_cut_over() {
    on_sampled_flavors(async |flavor| {
        let bench = Bench::new(flavor, SCHEMA);
        let told = Arc::new(Mutex::new(Vec::new()));
        let listener = told.clone();
        let job = bench.job(CloneOptions { follow: true, ..CloneOptions::default() }).on_event(move |event| {
            if let Event::CutOverRefused { differences } = event {
                listener.lock().unwrap().extend(differences);
            }
        });
        let control = job.control();
        let running = tokio::spawn(job.run());
        no_hang(async {
            while control.follow_progress().is_none() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        // A paused job is behind by what is written meanwhile.
        control.pause();
        bench.source("INSERT INTO busy SELECT id + 5000, id, REPEAT('v', 20) FROM quiet");
        let behind = || control.follow_progress().and_then(|progress| progress.lag_bytes);
        assert!(wait_until(|| behind().is_some_and(|bytes| bytes > 20_000)), "{:?}", behind());
        control.unpause();
        assert!(wait_until(|| behind().is_some_and(|bytes| bytes < 20_000)), "{:?}", behind());
        bench.target("DELETE FROM quiet WHERE id = 7");
        control.cut_over(Verify::Counts);
        assert!(wait_until(|| running.is_finished() || !told.lock().unwrap().is_empty()));
        assert!(!running.is_finished());
        let refused = std::mem::take(&mut *told.lock().unwrap());
        assert!(
            refused.len() == 1 && refused[0].starts_with("table quiet: 900 rows at the source, 899"),
            "{refused:?}"
        );
        bench.target("INSERT INTO quiet VALUES (7, 'v')");
        bench.source("UPDATE quiet SET v = 'last' WHERE id = 8");
        control.cut_over(Verify::Checksum);
        running.await.unwrap().unwrap();
        assert_eq!(*told.lock().unwrap(), Vec::<String>::new());
        bench.assert_equal();
    });
}
