//! Promise: a clone that is killed can be resumed or abandoned; nothing is lost, doubled or left, and nothing else is
//! touched.

use std::process::{Child, Command, Stdio};

use crate::common::{Bench, exists, on_sampled_flavors, quoted, sampled_flavors, wait_until};
use dbgraft::{CloneOptions, CloneState, ErrorKind, IfExists, Report, ResumeCase, Severity, TargetJob, Verify};
use dbgraft_testkit::{Database, Flavor, compare, s3};

const DBGRAFT: &str = env!("CARGO_BIN_EXE_dbgraft");

/// A table of each kind that a resume treats differently, and objects that come after the rows.
pub(crate) const SHOP: &str = "
    CREATE TABLE customers (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(50), UNIQUE KEY by_name (name)) AUTO_INCREMENT = 5000;
    CREATE TABLE orders (id INT AUTO_INCREMENT PRIMARY KEY, customer INT, note TEXT, KEY by_note (note(20)), \
        CONSTRAINT of_customer FOREIGN KEY (customer) REFERENCES customers (id));
    CREATE TABLE keyless (line TEXT);
    CREATE TABLE aged (id INT PRIMARY KEY, v VARCHAR(100)) ENGINE = MyISAM;
    CREATE TABLE computed (id INT PRIMARY KEY, a VARCHAR(200), b VARCHAR(210) AS (CONCAT(a, 'x')) STORED);
    CREATE TABLE empty_one (id INT PRIMARY KEY);
    INSERT INTO customers (id, name) WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 600) \
        SELECT i, CONCAT('c', i) FROM n;
    INSERT INTO orders (customer, note) WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 600) \
        SELECT i, REPEAT(CONCAT('o', i), 1400) FROM n;
    INSERT INTO keyless SELECT REPEAT('same', 1000) FROM orders;
    INSERT INTO aged SELECT id, name FROM customers;
    INSERT INTO computed (id, a) SELECT id, REPEAT('g', 150) FROM orders;
    CREATE VIEW v AS SELECT * FROM customers;
    CREATE TRIGGER tr BEFORE INSERT ON orders FOR EACH ROW SET NEW.note = COALESCE(NEW.note, '');
    CREATE PROCEDURE p() SELECT 1;
    CREATE EVENT ev ON SCHEDULE EVERY 1 DAY STARTS '2038-01-01 00:00:00' DO DELETE FROM keyless LIMIT 1;";

/// Batches of a few hundred kilobytes, one at a time.
pub(crate) const SLOWLY: [&str; 6] = ["--threads", "1", "--memory", "8M", "--max-rate", "500K"];

/// What a test waits for before it kills.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    /// The journal has this many batches.
    Batches(u32),
    /// This many tables are complete.
    Complete(u32),
}

pub(crate) fn run(arguments: &[&str]) -> Child {
    let mut command = Command::new(DBGRAFT);
    command.args(arguments).args(["--progress", "none"]).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// The number of lines of the journal that fit the condition; `None` without a journal.
pub(crate) fn lines(target: &Database, to: &str, condition: &str) -> Option<u32> {
    let sql = format!("SELECT COUNT(*) FROM {}._dbgraft_journal WHERE {condition}", quoted(to));
    target.sql(&sql).ok()?.trim().parse().ok()
}

/// Kills a running clone as soon as its target shows that it has come so far.
pub(crate) fn kill_at(bench: &Bench, clone: Child, until: Until) {
    kill(bench, reach(bench, clone, until));
}

/// Waits until the target shows that a running clone has come so far.
pub(crate) fn reach(bench: &Bench, mut clone: Child, until: Until) -> Child {
    let condition = |until| match until {
        Until::Batches(count) => ("kind = 'batch'", count),
        Until::Complete(count) => ("kind = 'table' AND content LIKE '%\"state\":\"complete\"%'", count),
    };
    let (condition, count) = condition(until);
    let reached = wait_until(|| {
        let ended = clone.try_wait().unwrap();
        assert!(ended.is_none(), "the clone ended before it was killed: {}", stderr(&mut clone));
        lines(&bench.pair.target, &bench.to, condition).is_some_and(|found| found >= count)
    });
    assert!(reached, "the clone has not come so far");
    clone
}

/// Kills a clone and waits until its connections are gone.
pub(crate) fn kill(bench: &Bench, mut clone: Child) {
    clone.kill().unwrap();
    clone.wait().unwrap();
    let idle = || is_idle(&bench.pair.target, &bench.to);
    assert!(wait_until(idle), "the killed clone still has connections");
}

pub(crate) fn stderr(clone: &mut Child) -> String {
    use std::io::Read as _;
    let mut text = String::new();
    clone.stderr.take().map(|mut stream| stream.read_to_string(&mut text).unwrap());
    text
}

pub(crate) fn resume() -> CloneOptions {
    CloneOptions { resume: true, ..CloneOptions::default() }
}

pub(crate) async fn state(bench: &Bench) -> CloneState {
    TargetJob::new(bench.target_url()).status().await.unwrap().state
}

/// An archive of the source in the bucket.
pub(crate) async fn archive(bench: &Bench) -> String {
    let url = bench.s3(&format!("resume-{}", bench.to));
    dbgraft::CloneJob::new(bench.source_url(), url.as_str()).run().await.unwrap();
    url
}

/// An import that was killed.
pub(crate) async fn killed_import(flavor: Flavor, until: Until) -> (Bench, String) {
    let bench = Bench::new(flavor, SHOP);
    let from = archive(&bench).await;
    let clone = run(&[&["clone", &from, &bench.target_url()][..], &SLOWLY].concat());
    kill_at(&bench, clone, until);
    (bench, from)
}

/// A direct clone that was killed.
pub(crate) fn killed_clone(flavor: Flavor, options: &[&str], until: Until) -> Bench {
    let bench = Bench::new(flavor, SHOP);
    let clone = run(&[&["clone", &bench.source_url(), &bench.target_url()][..], &SLOWLY, options].concat());
    kill_at(&bench, clone, until);
    bench
}

/// What the target holds, to see that a refusal changed nothing.
pub(crate) fn look(bench: &Bench) -> String {
    let tables = bench.target("SHOW FULL TABLES");
    let names: Vec<&str> = tables.lines().filter_map(|line| line.split('\t').next()).collect();
    let sums: Vec<String> = names.iter().map(|name| bench.target(&format!("CHECKSUM TABLE `{name}`"))).collect();
    format!("{tables}\n{}", sums.join("\n"))
}

pub(crate) fn case(report: &Report) -> ResumeCase {
    report.resumed.as_ref().unwrap().case
}

#[test]
fn an_import_that_was_killed_goes_on_exactly_where_it_was() {
    on_sampled_flavors(async |flavor| {
        for until in [Until::Batches(1), Until::Batches(4), Until::Complete(1), Until::Complete(4)] {
            let (bench, from) = killed_import(flavor, until).await;
            assert_eq!(state(&bench).await, CloneState::Dead);
            let options = CloneOptions { verify: Verify::Checksum, ..resume() };
            let job = dbgraft::CloneJob::new(from.as_str(), bench.target_url()).options(options);
            let report = job.run().await.unwrap();
            // The rows may all have been there before the kill.
            assert!(matches!(case(&report), ResumeCase::OneMoment | ResumeCase::NoRowMissing), "{report:?}");
            assert_eq!(report.rows, 3000);
            let resumed = report.resumed.unwrap();
            if matches!(until, Until::Batches(1)) {
                assert!(!resumed.continued.is_empty() || !resumed.taken_over.is_empty(), "{resumed:?}");
            }
            assert_eq!(resumed.taken_over.len() + resumed.continued.len() + resumed.read_again.len(), 6, "{resumed:?}");
            bench.assert_equal();
            assert_eq!(report.fidelity, []);
            let next = bench.target("SELECT AUTO_INCREMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'customers'");
            assert_eq!(next, "5000");
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_clone_has_nothing_to_resume_and_an_empty_target_neither() {
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, SHOP);
        let error = bench.clone(resume()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Preflight);
        assert!(error.to_string().contains("nothing to resume"), "{error}");
        assert!(!bench.target_exists());
        bench.clone(CloneOptions::default()).await.unwrap();
        let before = look(&bench);
        let report = bench.clone(resume()).await.unwrap();
        assert_eq!(case(&report), ResumeCase::Finished);
        assert_eq!(look(&bench), before);
        assert_eq!(state(&bench).await, CloneState::None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direct_clone_that_lacks_rows_is_not_mixed_with_another_moment_unasked() {
    for &flavor in sampled_flavors() {
        let bench = killed_clone(flavor, &[], Until::Complete(2));
        let before = look(&bench);
        let error = bench.clone(resume()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Preflight);
        for named in ["abandon", "--if-exists drop", "--no-consistency", "binary log", "aged"] {
            assert!(error.to_string().contains(named), "{error}");
        }
        let error = bench.clone(CloneOptions::default()).await.unwrap_err();
        assert!(error.to_string().contains("--resume") && error.to_string().contains("abandon"), "{error}");
        assert_eq!(look(&bench), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_several_moments_are_whole_and_what_does_not_fit_is_named() {
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, SHOP);
        // `customers` is complete first: it has no other rows to wait for.
        let only = ["clone", &bench.source_url(), &bench.target_url()];
        let clone = run(&[&only[..], &SLOWLY].concat());
        kill_at(&bench, clone, Until::Complete(2));
        let status = TargetJob::new(bench.target_url()).status().await.unwrap();
        let complete: Vec<String> =
            status.tables.iter().filter(|table| table.complete).map(|table| table.name.clone()).collect();
        assert!(complete.len() >= 2, "{status:?}");
        bench.source(
            "INSERT INTO customers (name) VALUES ('later'); INSERT INTO orders (customer, note) SELECT MAX(id), 'later' FROM customers; \
             INSERT INTO aged VALUES (9999, 'later'); INSERT INTO computed (id, a) VALUES (9999, 'later'); \
             INSERT INTO keyless VALUES ('later'); INSERT INTO empty_one VALUES (1)",
        );
        let report = bench.clone(CloneOptions { no_consistency: true, ..resume() }).await.unwrap();
        assert_eq!(case(&report), ResumeCase::SeveralMoments);
        for object in report.objects.iter().filter(|object| object.object.kind == dbgraft::ObjectKind::Table) {
            let name = &object.object.name;
            let count = |server: &dyn Fn(&str) -> String| server(&format!("SELECT COUNT(*) FROM {name}"));
            let (here, there) = (count(&|sql| bench.source(sql)), count(&|sql| bench.target(sql)));
            let is_old = complete.contains(name);
            assert_eq!(object.position.is_some(), is_old, "{name}");
            let later = here.parse::<u32>().unwrap() - there.parse::<u32>().unwrap();
            assert_eq!(later, u32::from(is_old), "{name}");
        }
        let orphan = |found: &&dbgraft::FidelityIssue| found.what == "foreign key of_customer";
        let is_violated = complete.contains(&"customers".to_owned()) && !complete.contains(&"orders".to_owned());
        assert_eq!(report.fidelity.iter().find(orphan).is_some(), is_violated, "{:?}", report.fidelity);
        assert!(report.fidelity.iter().all(|found| found.severity == Severity::Warning));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_through_an_archive_takes_the_missing_rows_from_there() {
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, SHOP);
        let (prefix, server) = (format!("via-{}", bench.to), &bench.pair.target);
        let via = bench.s3(&prefix);
        // The target's database holds one table that somebody locks: the import waits, and the export completes.
        server.sql(&format!("CREATE DATABASE {}", bench.to)).unwrap();
        let arguments =
            ["clone", &bench.source_url(), &bench.target_url(), "--via", &via, "--threads", "1", "--memory", "8M"];
        let clone = run(&arguments);
        let begun = || lines(server, &bench.to, "kind = 'table'").is_some_and(|lines| lines >= 6);
        assert!(wait_until(begun), "no table was begun");
        let lock =
            server.session(&format!("LOCK TABLES {0}.computed WRITE, {0}.orders WRITE, {0}.keyless WRITE", bench.to));
        let staged = || s3().keys(&prefix).unwrap().iter().any(|key| key.ends_with("manifest.json"));
        assert!(wait_until(staged), "the export is not complete");
        kill_quickly(clone);
        drop(lock.unwrap());
        let idle = || is_idle(server, &bench.to);
        assert!(wait_until(idle), "the killed clone is still there");
        let status = TargetJob::new(bench.target_url()).status().await.unwrap();
        assert!(status.staging.as_ref().is_some_and(|url| url.contains(&prefix)), "{status:?}");
        bench.source("INSERT INTO keyless VALUES ('later'); DELETE FROM aged");
        let options = CloneOptions { via: Some(via), ..resume() };
        let report = bench.clone(options).await.unwrap();
        assert!(matches!(case(&report), ResumeCase::OneMoment | ResumeCase::NoRowMissing), "{report:?}");
        assert_eq!(bench.target("SELECT COUNT(*) FROM keyless WHERE line = 'later'"), "0");
        assert_eq!(bench.target("SELECT COUNT(*) FROM aged"), "600");
        assert_eq!(s3().keys(&prefix).unwrap(), [""; 0], "staged objects are left");
        // The server may not have noticed yet that the connection with the lock is closed.
        assert!(wait_until(|| is_idle(server, &bench.to)));
        assert_eq!(state(&bench).await, CloneState::None);
    }
}

pub(crate) fn kill_quickly(mut clone: Child) {
    clone.kill().unwrap();
    clone.wait().unwrap();
}

/// Whether the server has noticed that the clone into this database is gone: nobody uses it or holds its lock.
fn is_idle(server: &Database, to: &str) -> bool {
    let sql = format!("SELECT COUNT(*) FROM {} WHERE DB = '{to}'", server.process_list());
    let status = Command::new(DBGRAFT).args(["status", &server.url_of(to), "--json"]).output().unwrap();
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    server.sql(&sql).unwrap().trim() == "0" && status["state"] != "running"
}

#[test]
fn a_target_that_was_restarted_meanwhile_is_resumed_and_tables_without_transactions_are_made_anew() {
    on_sampled_flavors(async |flavor| {
        let bench = Bench::new(flavor, SHOP);
        let from = archive(&bench).await;
        let mut server = dbgraft_testkit::ServerOptions::new(flavor).start().unwrap();
        let url = server.url_of(&bench.to);
        let mut clone = run(&[&["clone", &from, &url][..], &SLOWLY].concat());
        let database = server.database().clone();
        let aged = "kind = 'table' AND content LIKE '%complete%'";
        assert!(wait_until(|| lines(&database, &bench.to, aged).is_some_and(|lines| lines >= 3)));
        clone.kill().unwrap();
        clone.wait().unwrap();
        server.kill().unwrap();
        server.restart().unwrap();
        let job = dbgraft::CloneJob::new(from.as_str(), server.url_of(&bench.to)).options(resume());
        let report = job.run().await.unwrap();
        assert_eq!(case(&report), ResumeCase::OneMoment);
        compare(&bench.pair.source, &bench.from, server.database(), &bench.to).unwrap();
        assert!(!exists(&bench.pair.target, &bench.to));
    });
}

#[test]
fn what_was_there_before_is_treated_by_a_resume_as_by_the_clone() {
    on_sampled_flavors(async |flavor| {
        let bench = Bench::new(flavor, SHOP);
        let from = archive(&bench).await;
        bench.clone(CloneOptions::default()).await.unwrap();
        let kept = CloneOptions { if_exists: IfExists::Truncate, ..resume() };
        for (flags, options) in [
            (&["--if-exists", "truncate"][..], kept.clone()),
            (&["--if-exists", "drop"], CloneOptions { if_exists: IfExists::Drop, ..resume() }),
            (&["--recreate-database"], CloneOptions { recreate_database: true, ..resume() }),
        ] {
            for until in [Until::Batches(1), Until::Complete(2)] {
                let clone = run(&[&["clone", &from, &bench.target_url()][..], &SLOWLY, flags].concat());
                kill_at(&bench, clone, until);
                let job = dbgraft::CloneJob::new(from.as_str(), bench.target_url()).options(options.clone());
                let report = job.run().await.unwrap_or_else(|error| panic!("{flags:?}: {error}"));
                assert_eq!((case(&report), report.rows), (ResumeCase::OneMoment, 3000), "{flags:?}");
                bench.assert_equal();
            }
        }
        // Tables that were there stay; what they held is gone since the clone emptied them.
        let clone = run(&[&["clone", &from, &bench.target_url()][..], &SLOWLY, &["--if-exists", "truncate"]].concat());
        kill_at(&bench, clone, Until::Batches(2));
        TargetJob::new(bench.target_url()).abandon().await.unwrap();
        assert_eq!(bench.target("SELECT (SELECT COUNT(*) FROM orders) + (SELECT COUNT(*) FROM customers)"), "0");
        assert_eq!(state(&bench).await, CloneState::None);
    });
}

/// The tables that the clone itself has made are not taken for those that it skips.
#[tokio::test(flavor = "multi_thread")]
async fn a_clone_that_skips_existing_tables_is_resumed() {
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, SHOP);
        bench
            .pair
            .target
            .sql(&format!("CREATE DATABASE `{0}`; CREATE TABLE `{0}`.empty_one (mine INT)", bench.to))
            .unwrap();
        let skip = ["clone", &bench.source_url(), &bench.target_url(), "--if-exists", "skip"];
        kill_at(&bench, run(&[&skip[..], &SLOWLY].concat()), Until::Complete(1));
        bench.clone(CloneOptions { if_exists: IfExists::Skip, no_consistency: true, ..resume() }).await.unwrap();
        assert_eq!(bench.target("SELECT GROUP_CONCAT(COLUMN_NAME) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'empty_one'"), "mine");
        let both = |sql: &str| assert_eq!(bench.source(sql), bench.target(sql), "{sql}");
        ["orders", "keyless", "aged", "computed", "customers"]
            .iter()
            .for_each(|name| both(&format!("SELECT COUNT(*) FROM {name}")));
    }
}
