//! Promise: a resume of one moment asks the source for no row, as the source's counters show; and of several moments each
//! table is of one, also while others write.

use crate::common::{BackgroundLoop, Bench, sampled_flavors, wait_until};
use crate::resume::{SHOP, SLOWLY, Until, case, kill_at, kill_quickly, lines, resume, run};
use dbgraft::{CloneJob, CloneOptions, ResumeCase};
use dbgraft_testkit::{Database, Server, ServerOptions, compare, s3};

/// A server of one test's own with the shop, so that nobody else moves its counters.
fn source(bench: &Bench, more: &str) -> Server {
    let server = ServerOptions::new(bench.pair.source.flavor).start().unwrap();
    server.sql(&format!("CREATE DATABASE {}", bench.from)).unwrap();
    server.sql_in(&bench.from, &format!("{SHOP}{more}")).unwrap();
    server
}

/// Counters of connections, statements and rows. Reading them moves some of them.
fn counters(server: &Database) -> Vec<(String, u64)> {
    let names = ["Connections", "Com_select", "Handler_read%", "Innodb_rows_read", "Com_show_create_table"];
    let read = |name: &&str| server.sql(&format!("SHOW GLOBAL STATUS LIKE '{name}'")).unwrap();
    let text = names.iter().map(read).collect::<Vec<_>>().join("\n");
    let parse = |line: &str| line.split_once('\t').map(|(name, value)| (name.to_owned(), value.parse().unwrap()));
    text.lines().filter_map(parse).collect()
}

fn difference(before: &[(String, u64)], after: &[(String, u64)]) -> Vec<(String, u64)> {
    before.iter().zip(after).map(|((name, then), (_, now))| (name.clone(), now - then)).collect()
}

/// Counts what happens at the source during `work`, beyond the counting itself.
async fn assert_untouched<T>(server: &Database, work: impl Future<Output = T>) -> T {
    let (first, second) = (counters(server), counters(server));
    let done = work.await;
    let third = counters(server);
    assert_eq!(difference(&second, &third), difference(&first, &second), "the source was asked");
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_staged_are_not_read_again() {
    for &flavor in sampled_flavors() {
        let bench = Bench::names(flavor);
        let source = source(&bench, "");
        let (prefix, to) = (format!("staged-{}", bench.to), &bench.to);
        let (server, via) = (&bench.pair.target, bench.s3(&prefix));
        let arguments = ["clone", &source.url_of(&bench.from), &bench.target_url(), "--via", &via];
        let clone = run(&[&arguments[..], &["--threads", "1", "--memory", "8M"]].concat());
        assert!(
            wait_until(|| lines(server, to, "kind = 'table'").is_some_and(|lines| lines >= 6)),
            "no table was begun"
        );
        let locked = server.session(&format!("LOCK TABLES {to}.computed WRITE, {to}.orders WRITE, {to}.keyless WRITE"));
        let is_staged = || s3().keys(&prefix).unwrap().iter().any(|key| key.ends_with("manifest.json"));
        assert!(wait_until(is_staged), "the export is not complete");
        kill_quickly(clone);
        drop(locked.unwrap());
        let options = CloneOptions { via: Some(via), ..resume() };
        let job = CloneJob::new(source.url_of(&bench.from), bench.target_url()).options(options);
        let report = assert_untouched(&source, job.run()).await.unwrap();
        assert!(matches!(case(&report), ResumeCase::OneMoment | ResumeCase::NoRowMissing), "{report:?}");
        compare(&source, &bench.from, server, to).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_that_lacks_objects_only_does_not_ask_the_source() {
    for &flavor in sampled_flavors() {
        let bench = Bench::names(flavor);
        let functions = |n| format!("CREATE FUNCTION f{n}() RETURNS INT DETERMINISTIC RETURN {n};");
        let source = source(&bench, &(0..400).map(functions).collect::<String>());
        let clone = run(&["clone", &source.url_of(&bench.from), &bench.target_url()]);
        kill_at(&bench, clone, Until::Complete(6));
        let job = CloneJob::new(source.url_of(&bench.from), bench.target_url()).options(resume());
        let report = assert_untouched(&source, job.run()).await.unwrap();
        assert_eq!(case(&report), ResumeCase::NoRowMissing);
        compare(&source, &bench.from, &bench.pair.target, &bench.to).unwrap();
    }
}

const TABLES: u32 = 6;

/// Moves amounts between two rows of each table, again and again: the sum of a table stays only at one moment.
fn transfers(bench: &Bench) -> BackgroundLoop {
    let (server, database) = (bench.pair.source.clone(), bench.from.clone());
    BackgroundLoop::new(move |round| {
        let each = (0..TABLES).map(|table| {
            let (one, other) = (round * 7 % 600 + 1, round * 11 % 600 + 1);
            format!(
                "START TRANSACTION; UPDATE a{table} SET amount = amount - 1, moves = moves + 1 WHERE id = {one}; \
                 UPDATE a{table} SET amount = amount + 1, moves = moves + 1 WHERE id = {other}; COMMIT;"
            )
        });
        server.sql_in(&database, &each.collect::<String>()).is_ok()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn under_a_writer_each_table_of_several_moments_is_of_one() {
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, "CREATE TABLE n (i INT PRIMARY KEY)");
        bench.source("INSERT INTO n WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM r WHERE i < 600) SELECT i FROM r");
        for table in 0..TABLES {
            bench.source(&format!(
                "CREATE TABLE a{table} (id INT PRIMARY KEY, amount INT, moves INT, filler TEXT); \
                 INSERT INTO a{table} SELECT i, 1000, 0, REPEAT('x', 2000) FROM n"
            ));
        }
        let writer = transfers(&bench);
        writer.assert_begun();
        let clone = run(&[&["clone", &bench.source_url(), &bench.target_url()][..], &SLOWLY].concat());
        kill_at(&bench, clone, Until::Complete(3));
        let rounds = writer.rounds();
        assert!(wait_until(|| writer.rounds() > rounds + 3), "the writer stands still");
        let options = CloneOptions { no_consistency: true, max_rate: Some(4 << 20), memory: 8 << 20, ..resume() };
        let report = bench.job(options).on_event(writer.listener()).run().await.unwrap();
        assert_eq!(case(&report), ResumeCase::SeveralMoments);
        drop(writer);
        let read = report.resumed.unwrap().read_again;
        assert!(read.len() >= 2, "{read:?}");
        let mut moves = Vec::new();
        for table in 0..TABLES {
            let row = bench.target(&format!("SELECT COUNT(*), SUM(amount), SUM(moves) FROM a{table}"));
            let numbers: Vec<u64> = row.split('\t').map(|number| number.parse().unwrap()).collect();
            assert_eq!((numbers[0], numbers[1], numbers[2] % 2), (600, 600_000, 0), "a{table} is of no moment: {row}");
            moves.push(numbers[2]);
        }
        moves.sort_unstable();
        assert!(moves.first() < moves.last(), "nothing was written between the two moments: {moves:?}");
    }
}
