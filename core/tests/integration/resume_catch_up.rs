//! Promise: a direct clone that was killed in the middle of its tables is resumed at one moment by the source's binary log,
//! although others write all the while and although the resume is killed too; what cannot be brought to one moment is refused
//! by name.

use std::process::Child;

use crate::common::{BackgroundLoop, Bench, becomes_true, on_sampled_flavors, sampled_flavors, wait_until};
use crate::follow::{assert_follows, cut_over};
use crate::resume::{SHOP, SLOWLY, Until, case, kill, kill_at, killed_clone, look, resume, run, state, stderr};
use dbgraft::{CloneOptions, CloneState, ErrorKind, Event, Report, ResumeCase, TargetJob, Verify};
use dbgraft_testkit::{Database, Flavor, ServerOptions, ServerPair};
use tokio_util::sync::CancellationToken;

const TABLES: u32 = 5;
pub(crate) const TOTAL: &str = "1500000";

/// Tables whose amounts have one sum at each moment; beside them what a follower treats differently.
pub(crate) fn schema() -> String {
    let mut sql = "CREATE TABLE n (i INT PRIMARY KEY); \
        INSERT INTO n WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM r WHERE i < 300) SELECT i FROM r; \
        CREATE TABLE audit (id BIGINT AUTO_INCREMENT PRIMARY KEY, what INT, twice INT AS (what * 2) STORED); \
        CREATE TABLE keyless (a INT, t VARCHAR(20)); \
        INSERT INTO keyless SELECT i % 7, 'same' FROM n; \
        CREATE TABLE parents (id INT PRIMARY KEY); \
        CREATE TABLE children (id INT PRIMARY KEY, parent INT, CONSTRAINT of_parent FOREIGN KEY (parent) REFERENCES parents (id)); \
        CREATE EVENT ev ON SCHEDULE EVERY 1 DAY STARTS '2038-01-01 00:00:00' DO DELETE FROM keyless LIMIT 1;"
        .to_owned();
    for table in 0..TABLES {
        sql.push_str(&format!(
            "CREATE TABLE a{table} (id INT PRIMARY KEY, amount INT, moves INT, filler TEXT, KEY (moves)); \
             INSERT INTO a{table} SELECT i, 1000, 0, REPEAT('x', 2000) FROM n;"
        ));
    }
    let sums: Vec<String> = (0..TABLES).map(|table| format!("(SELECT SUM(amount) FROM a{table})")).collect();
    sql.push_str(&format!("CREATE VIEW sums AS SELECT {} AS total;", sums.join(" + ")));
    sql.push_str("CREATE TRIGGER tr AFTER UPDATE ON a0 FOR EACH ROW INSERT INTO audit (what) VALUES (NEW.id);");
    sql
}

/// A transaction over two tables that keeps the sum of all.
fn transaction(round: u32) -> String {
    let (from, to) = (round % TABLES, (round + 1 + round / 7 % (TABLES - 1)) % TABLES);
    // Rows up to 100 stay.
    let (one, other, late) = (round * 7 % 100 + 1, round * 11 % 100 + 1, 101 + round * 13 % 200);
    let more = match round % 4 {
        0 => format!(
            "INSERT IGNORE INTO a{from} VALUES ({}, 0, 1, 'new'); INSERT INTO keyless VALUES ({round}, 'k'), ({round}, 'k');",
            1000 + round
        ),
        1 => format!(
            "UPDATE a{to} SET amount = amount + COALESCE((SELECT amount FROM a{from} WHERE id = {late}), 0) WHERE id = 1; \
             DELETE FROM a{from} WHERE id = {late}; DELETE FROM keyless WHERE a = {} LIMIT 1;",
            round.saturating_sub(41)
        ),
        2 => format!(
            "INSERT IGNORE INTO parents VALUES ({one}); INSERT IGNORE INTO children VALUES ({round}, {one}); \
             UPDATE a{from} SET filler = CONCAT(filler, 'y') WHERE id IN ({one}, {late});"
        ),
        _ => format!(
            "UPDATE keyless SET t = 't{round}' WHERE a = {} LIMIT 2; DELETE FROM children WHERE id < {round} - 50;",
            round % 7
        ),
    };
    format!(
        "START TRANSACTION; UPDATE a{from} SET amount = amount - 1, moves = moves + 1 WHERE id = {one}; \
         UPDATE a{to} SET amount = amount + 1, moves = moves + 1 WHERE id = {other}; {more} COMMIT;"
    )
}

pub(crate) fn writer(source: &Database, from: &str) -> BackgroundLoop {
    let (source, from) = (source.clone(), from.to_owned());
    let writer = BackgroundLoop::new(move |round| source.sql_in(&from, &transaction(round)).is_ok());
    writer.assert_begun();
    writer
}

pub(crate) fn start(bench: &Bench, more: &[&str]) -> Child {
    run(&[&["clone", &bench.source_url(), &bench.target_url()][..], &SLOWLY, more].concat())
}

fn with_threads(bench: &Bench, threads: &str, more: &[&str]) -> Child {
    let (source, target) = (bench.source_url(), bench.target_url());
    let slowly = ["clone", &source, &target, "--threads", threads, "--memory", "8M", "--max-rate", "500K"];
    run(&[&slowly[..], more].concat())
}

/// Waits until further transactions are committed.
pub(crate) fn let_work(writer: &BackgroundLoop) {
    let rounds = writer.rounds();
    assert!(wait_until(|| writer.rounds() > rounds + 30), "the writer stands still");
}

/// Waits until a resume has applied so many transactions.
pub(crate) async fn assert_catches_up(bench: &Bench, clone: &mut Child, transactions: u64) {
    let catches_up = async || {
        assert!(clone.try_wait().unwrap().is_none(), "it ended before it was killed: {}", stderr(clone));
        let status = TargetJob::new(bench.target_url()).status().await.unwrap();
        // What an earlier resume has applied counts too.
        let catches_up = status.state == CloneState::Running
            && status.following.is_some_and(|following| following.checkpoint.transactions >= transactions);
        assert!(!catches_up || status.message.contains("one moment"), "{}", status.message);
        catches_up
    };
    assert!(becomes_true(catches_up).await);
}

/// Kills a resume once it has applied so many transactions.
async fn kill_while_it_catches_up(bench: &Bench, mut clone: Child, transactions: u64) {
    assert_catches_up(bench, &mut clone, transactions).await;
    kill(bench, clone);
    let status = TargetJob::new(bench.target_url()).status().await.unwrap();
    assert_eq!(status.state, CloneState::Dead);
    assert!(status.following.is_some() && status.message.contains("--resume"), "{}", status.message);
}

fn assert_caught_up(report: &Report) {
    assert_eq!(case(report), ResumeCase::CaughtUp);
    let resumed = report.resumed.as_ref().unwrap();
    let caught_up = resumed.caught_up.as_ref().unwrap();
    assert!(caught_up.transactions > 0 && caught_up.start != caught_up.end, "{caught_up:?}");
    assert_eq!(report.position.binlog_position, Some(caught_up.end.offset));
    assert!(report.objects.iter().all(|object| object.position.is_none()), "{report:?}");
    assert_eq!(report.fidelity, []);
}

#[test]
fn tables_of_two_moments_are_brought_to_one() {
    on_sampled_flavors(async |flavor| {
        let bench = Bench::new(flavor, &schema());
        let writing = writer(&bench.pair.source, &bench.from);
        kill_at(&bench, start(&bench, &[]), Until::Complete(2));
        let status = TargetJob::new(bench.target_url()).status().await.unwrap();
        let complete: Vec<String> =
            status.tables.iter().filter(|table| table.complete).map(|table| table.name.clone()).collect();
        assert!(complete.len() >= 2 && complete.len() < status.tables.len(), "{complete:?}");
        let_work(&writing);
        drop(writing);
        let plan = bench.job(resume()).plan().await.unwrap();
        assert!(plan.findings[0].message.contains("one moment"), "{:?}", plan.findings);
        // The source stands still now, so that the clone is equal to it.
        let (sender, lines) = std::sync::mpsc::channel();
        let options = CloneOptions { verify: Verify::Checksum, ..resume() };
        let job = bench.job(options).on_event(move |event| {
            if let Event::Resumed { message } = event {
                sender.send(message).unwrap();
            }
        });
        let report = job.run().await.unwrap();
        assert_caught_up(&report);
        // The end may be in a later file than was foreseen: other tests write into the log too.
        let start = report.resumed.as_ref().unwrap().caught_up.as_ref().unwrap().start.clone();
        let (line, start) = (lines.recv().unwrap(), format!("from {}:{}", start.file, start.offset));
        assert!(line.contains(&start) && line.contains("up to"), "{line}, and not {start}");
        assert_eq!(report.resumed.unwrap().taken_over, complete);
        assert_eq!(report.verified.unwrap().differences, []);
        bench.assert_equal();
        assert_eq!(state(&bench).await, CloneState::None);
    });
}

#[test]
fn rows_that_filters_choose_are_brought_to_one_moment() {
    on_sampled_flavors(async |flavor| {
        let bench = Bench::new(flavor, &schema());
        let writing = writer(&bench.pair.source, &bench.from);
        let filters: Vec<(String, String)> =
            (0..TABLES).map(|table| (format!("a{table}"), "moves % 2 = 0".to_owned())).collect();
        let all: Vec<String> = filters.iter().map(|(table, filter)| format!("--where={table}={filter}")).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        kill_at(&bench, start(&bench, &all), Until::Complete(2));
        let_work(&writing);
        drop(writing);
        let options = CloneOptions { filters: filters.iter().cloned().collect(), ..resume() };
        let report = bench.clone(options).await.unwrap();
        assert_caught_up(&report);
        for (table, filter) in filters {
            let left_out = bench.source(&format!("DELETE FROM {table} WHERE NOT ({filter}); SELECT ROW_COUNT()"));
            assert_ne!(left_out, "0", "{table}");
        }
        bench.assert_equal();
    });
}

#[test]
fn under_a_writer_a_clone_of_three_moments_is_of_one_although_each_resume_is_killed() {
    on_sampled_flavors(async |flavor| {
        let bench = Bench::new(flavor, &schema());
        let writing = writer(&bench.pair.source, &bench.from);
        kill_at(&bench, start(&bench, &[]), Until::Complete(2));
        let_work(&writing);
        kill_at(&bench, start(&bench, &["--resume"]), Until::Complete(4));
        let_work(&writing);
        kill_while_it_catches_up(&bench, start(&bench, &["--resume"]), 20).await;
        kill_while_it_catches_up(&bench, with_threads(&bench, "3", &["--resume"]), 60).await;
        // Nothing is compared with what was read: the tables were changed since then.
        let report = bench.clone(CloneOptions { verify: Verify::Checksum, ..resume() }).await.unwrap();
        assert_caught_up(&report);
        assert_eq!(report.verified.unwrap().tables, 0);
        assert_eq!(bench.target("SELECT total FROM sums"), TOTAL);
        drop(writing);
        assert_eq!(state(&bench).await, CloneState::None);
    });
}

#[test]
fn a_clone_that_follows_is_resumed_and_follows_on() {
    on_sampled_flavors(async |flavor| {
        let bench = Bench::new(flavor, &schema());
        let target = bench.target_url();
        let writing = writer(&bench.pair.source, &bench.from);
        kill_at(&bench, start(&bench, &["--follow"]), Until::Complete(2));
        let_work(&writing);
        kill_while_it_catches_up(&bench, start(&bench, &["--follow", "--resume"]), 10).await;
        let fast = ["clone", &bench.source_url(), &target, "--follow", "--resume", "--threads", "3"];
        let mut clone = run(&fast);
        assert_follows(&mut clone, &target).await;
        let_work(&writing);
        drop(writing);
        cut_over(clone, &target).await;
        bench.assert_equal();
        assert_eq!(bench.target("SHOW TABLES LIKE '%journal'"), "");
    });
}

#[test]
fn a_resume_that_is_cancelled_or_killed_after_the_rows_keeps_what_it_has() {
    on_sampled_flavors(async |flavor| {
        let functions = |n| format!("CREATE FUNCTION f{n}() RETURNS INT DETERMINISTIC RETURN {n};");
        let bench = Bench::new(flavor, &format!("{}{}", schema(), (0..400).map(functions).collect::<String>()));
        let writing = writer(&bench.pair.source, &bench.from);
        kill_at(&bench, start(&bench, &[]), Until::Complete(2));
        let_work(&writing);
        drop(writing);
        let (token, stop) = (CancellationToken::new(), CancellationToken::new());
        let stopped = stop.clone();
        let slow = CloneOptions { max_rate: Some(400 << 10), ..resume() };
        let job = bench.job(slow).cancellation(token.clone()).on_event(move |event| {
            if matches!(event, Event::Following(_)) {
                stopped.cancel();
            }
        });
        let (error, ()) = tokio::join!(job.run(), async {
            stop.cancelled().await;
            token.cancel();
        });
        let error = error.unwrap_err();
        assert!(error.kind() == ErrorKind::Cancelled && error.to_string().contains("--resume"), "{error}");
        assert_eq!(state(&bench).await, CloneState::Dead);
        let mut clone = run(&["clone", &bench.source_url(), &bench.target_url(), "--resume"]);
        let made = format!("SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = '{}'", bench.to);
        assert!(wait_until(|| {
            let ended = clone.try_wait().unwrap();
            assert!(ended.is_none(), "it ended before it was killed: {}", stderr(&mut clone));
            bench.pair.target.sql(&made).unwrap().trim().parse::<u32>().unwrap() > 3
        }));
        kill(&bench, clone);
        let status = TargetJob::new(bench.target_url()).status().await.unwrap();
        assert!(status.state == CloneState::Dead && status.following.is_none(), "{status:?}");
        let report = bench.clone(CloneOptions { verify: Verify::Checksum, ..resume() }).await.unwrap();
        assert_eq!(case(&report), ResumeCase::NoRowMissing);
        assert!(report.objects.iter().all(|object| object.position.is_none()), "{report:?}");
        bench.assert_equal();
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn both_servers_may_be_restarted_while_a_resume_catches_up() {
    for &flavor in sampled_flavors() {
        let start_server = || {
            let options = ServerOptions::new(flavor).fsync(true).arg("--sync-binlog=1");
            options.arg("--innodb-flush-log-at-trx-commit=1").start().unwrap()
        };
        let (mut source, mut target) = (start_server(), start_server());
        let pair = ServerPair { source: source.database().clone(), target: target.database().clone() };
        let bench = Bench { pair: Box::leak(Box::new(pair)), from: "source_one".into(), to: "target_one".into() };
        source.sql("CREATE DATABASE source_one").unwrap();
        source.sql_in("source_one", &schema()).unwrap();
        let writing = writer(&source, &bench.from);
        kill_at(&bench, start(&bench, &[]), Until::Complete(2));
        let_work(&writing);
        let_work(&writing);
        drop(writing);
        let mut clone = start(&bench, &["--resume"]);
        assert_catches_up(&bench, &mut clone, 1).await;
        target.restart().unwrap();
        source.restart().unwrap();
        assert!(wait_until(|| clone.try_wait().unwrap().is_some()), "it hangs");
        assert!(clone.wait().unwrap().success(), "{}", stderr(&mut clone));
        bench.assert_equal();
        assert_eq!(state(&bench).await, CloneState::None);
    }
}

#[test]
fn without_a_complete_table_all_are_read_again() {
    on_sampled_flavors(async |flavor| {
        let bench = killed_clone(flavor, &[], Until::Batches(1));
        bench.source("INSERT INTO keyless VALUES ('later'); DELETE FROM aged LIMIT 3");
        let report = bench.clone(resume()).await.unwrap();
        assert_eq!(case(&report), ResumeCase::ReadAgain);
        bench.assert_equal();
    });
}

#[test]
fn a_definition_that_changed_in_between_ends_the_resume_and_names_its_place() {
    on_sampled_flavors(async |flavor| {
        let bench = Bench::new(flavor, &schema());
        kill_at(&bench, start(&bench, &[]), Until::Complete(2));
        let writing = writer(&bench.pair.source, &bench.from);
        let_work(&writing);
        // The definition is the same again: only the log knows.
        bench.source("ALTER TABLE keyless ADD COLUMN c INT; ALTER TABLE keyless DROP COLUMN c;");
        let_work(&writing);
        for _ in 0..2 {
            let error = bench.clone(resume()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Changed, "{error}");
            for named in ["ADD COLUMN c", "abandon", "--no-consistency"] {
                assert!(error.to_string().contains(named), "{error}");
            }
            assert_eq!(state(&bench).await, CloneState::Dead);
        }
        let report = bench.clone(CloneOptions { no_consistency: true, ..resume() }).await.unwrap();
        assert_eq!(case(&report), ResumeCase::SeveralMoments);
        assert!(report.objects.iter().any(|object| object.position.is_some()), "{report:?}");
        drop(writing);
        // Each table is whole: what moves between two rows of one is there twice or not at all.
        assert_eq!(bench.target("SELECT COUNT(*) FROM n"), "300");
        assert_eq!(state(&bench).await, CloneState::None);
    });
}

#[test]
fn a_log_that_is_gone_and_one_without_rows_are_refused_by_name() {
    on_sampled_flavors(async |flavor| {
        let source = ServerOptions::new(flavor).start().unwrap();
        let shared = Bench::names(flavor);
        let pair = ServerPair { source: source.database().clone(), target: shared.pair.target.clone() };
        let bench = Bench { pair: Box::leak(Box::new(pair)), from: shared.from.clone(), to: shared.to.clone() };
        source.sql(&format!("CREATE DATABASE {}", bench.from)).unwrap();
        bench.source(&schema());
        kill_at(&bench, start(&bench, &[]), Until::Complete(2));
        bench.source(&transaction(0));
        let before = look(&bench);
        let refused = async |named: &str| {
            let error = bench.clone(resume()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Preflight, "{error}");
            for named in ["rows are missing", named, "abandon", "--if-exists drop", "--no-consistency"] {
                assert!(error.to_string().contains(named), "{error}");
            }
            assert_eq!(look(&bench), before);
        };
        source.sql("SET GLOBAL binlog_format = 'MIXED'").unwrap();
        refused("binlog_format = MIXED").await;
        source.sql("SET GLOBAL binlog_format = 'ROW'").unwrap();
        source.sql("FLUSH BINARY LOGS").unwrap();
        let logs = || source.sql("SHOW BINARY LOGS").unwrap();
        let last = logs().lines().last().unwrap().split('\t').next().unwrap().to_owned();
        // MariaDB keeps a file until what it holds is on the disk.
        let is_purged = || {
            source.sql(&format!("PURGE BINARY LOGS TO '{last}'")).unwrap();
            logs().lines().count() == 1
        };
        assert!(wait_until(is_purged), "{}", logs());
        refused("has no binary log from").await;
        TargetJob::new(bench.target_url()).abandon().await.unwrap();
        assert!(!bench.target_exists());
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_followed_is_refused_by_name() {
    let keys = "CREATE TABLE small (id INT PRIMARY KEY, a INT, CONSTRAINT goes FOREIGN KEY (a) REFERENCES small (id) ON DELETE CASCADE);";
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, &format!("{}{keys}", schema()));
        kill_at(&bench, start(&bench, &[]), Until::Complete(2));
        let resumed = bench.clone(resume()).await;
        match flavor {
            // It logs what the keys change.
            Flavor::MySql => assert_eq!(case(&resumed.unwrap()), ResumeCase::CaughtUp),
            Flavor::MariaDb => {
                let error = resumed.unwrap_err().to_string();
                assert!(error.contains("goes of table small") && error.contains("rows are missing"), "{error}");
            }
        }
        let bench = Bench::new(flavor, SHOP);
        kill_at(&bench, start(&bench, &[]), Until::Complete(2));
        let error = bench.clone(resume()).await.unwrap_err().to_string();
        assert!(error.contains("table aged has the engine MyISAM"), "{error}");
    }
}
