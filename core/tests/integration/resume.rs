//! Promise: a clone that is killed can be resumed or abandoned; nothing is lost, doubled or left, and nothing else is
//! touched.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::common::{Bench, FLAVORS, exists, quoted, wait_until};
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
pub(crate) const SLOWLY: [&str; 6] = ["--threads", "1", "--memory", "8M", "--max-rate", "2M"];

/// What a test waits for before it kills.
#[derive(Clone, Copy)]
enum Until {
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
fn kill_at(bench: &Bench, mut clone: Child, until: Until) {
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
    kill(bench, clone);
}

/// Kills a clone and waits until its connections are gone.
pub(crate) fn kill(bench: &Bench, mut clone: Child) {
    clone.kill().unwrap();
    clone.wait().unwrap();
    let idle = || {
        let sql = format!("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = '{}'", bench.to);
        bench.pair.target.sql(&sql).unwrap().trim() == "0"
    };
    assert!(wait_until(idle), "the killed clone still has connections");
}

pub(crate) fn stderr(clone: &mut Child) -> String {
    use std::io::Read as _;
    let mut text = String::new();
    clone.stderr.take().map(|mut stream| stream.read_to_string(&mut text).unwrap());
    text
}

fn resume() -> CloneOptions {
    CloneOptions { resume: true, ..CloneOptions::default() }
}

pub(crate) async fn state(bench: &Bench) -> CloneState {
    TargetJob::new(bench.target_url()).status().await.unwrap().state
}

/// An archive of the source in the bucket.
async fn archive(bench: &Bench) -> String {
    let url = bench.s3(&format!("resume-{}", bench.to));
    dbgraft::CloneJob::new(bench.source_url(), url.as_str()).run().await.unwrap();
    url
}

/// An import that was killed.
async fn killed_import(flavor: Flavor, until: Until) -> (Bench, String) {
    let bench = Bench::new(flavor, SHOP);
    let from = archive(&bench).await;
    let clone = run(&[&["clone", &from, &bench.target_url()][..], &SLOWLY].concat());
    kill_at(&bench, clone, until);
    (bench, from)
}

/// A direct clone that was killed.
fn killed_clone(flavor: Flavor, options: &[&str], until: Until) -> Bench {
    let bench = Bench::new(flavor, SHOP);
    let clone = run(&[&["clone", &bench.source_url(), &bench.target_url()][..], &SLOWLY, options].concat());
    kill_at(&bench, clone, until);
    bench
}

/// What the target holds, to see that a refusal changed nothing.
fn look(bench: &Bench) -> String {
    let tables = bench.target("SHOW FULL TABLES");
    let names: Vec<&str> = tables.lines().filter_map(|line| line.split('\t').next()).collect();
    let sums: Vec<String> = names.iter().map(|name| bench.target(&format!("CHECKSUM TABLE `{name}`"))).collect();
    format!("{tables}\n{}", sums.join("\n"))
}

fn case(report: &Report) -> ResumeCase {
    report.resumed.as_ref().unwrap().case
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_was_killed_goes_on_exactly_where_it_was() {
    for flavor in FLAVORS {
        for until in [Until::Batches(1), Until::Batches(4), Until::Complete(1), Until::Complete(4)] {
            let (bench, from) = killed_import(flavor, until).await;
            assert_eq!(state(&bench).await, CloneState::Dead);
            let options = CloneOptions { verify: Verify::Checksum, ..resume() };
            let job = dbgraft::CloneJob::new(from.as_str(), bench.target_url()).options(options);
            let report = job.run().await.unwrap();
            assert_eq!(case(&report), ResumeCase::OneMoment);
            assert_eq!(report.rows, 3000);
            let resumed = report.resumed.unwrap();
            if matches!(until, Until::Batches(1)) {
                assert_eq!(resumed.continued.len(), 1, "{resumed:?}");
            }
            assert_eq!(resumed.taken_over.len() + resumed.continued.len() + resumed.read_again.len(), 6, "{resumed:?}");
            bench.assert_equal();
            assert_eq!(report.fidelity, []);
            let next = bench.target("SELECT AUTO_INCREMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'customers'");
            assert_eq!(next, "5000");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_clone_has_nothing_to_resume_and_an_empty_target_neither() {
    for flavor in FLAVORS {
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
    for flavor in FLAVORS {
        let bench = killed_clone(flavor, &[], Until::Complete(2));
        let before = look(&bench);
        let error = bench.clone(resume()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Preflight);
        for named in ["abandon", "--if-exists drop", "--no-consistency", "following"] {
            assert!(error.to_string().contains(named), "{error}");
        }
        let error = bench.clone(CloneOptions::default()).await.unwrap_err();
        assert!(error.to_string().contains("--resume") && error.to_string().contains("abandon"), "{error}");
        assert_eq!(look(&bench), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_several_moments_are_whole_and_what_does_not_fit_is_named() {
    for flavor in FLAVORS {
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
    for flavor in FLAVORS {
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
        let idle = || state_of_lock(server, &bench.to);
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
        assert_eq!(state(&bench).await, CloneState::None);
    }
}

fn kill_quickly(mut clone: Child) {
    clone.kill().unwrap();
    clone.wait().unwrap();
}

/// Whether nobody holds the lock of clones into this database.
fn state_of_lock(server: &Database, to: &str) -> bool {
    let sql = format!("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = '{to}'");
    server.sql(&sql).unwrap().trim() == "0"
}

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
async fn a_running_clone_is_neither_resumed_nor_abandoned() {
    for flavor in FLAVORS {
        let bench = Bench::new(flavor, SHOP);
        let mut clone = run(&[&["clone", &bench.source_url(), &bench.target_url()][..], &SLOWLY].concat());
        let flows = || lines(&bench.pair.target, &bench.to, "kind = 'batch'").is_some_and(|lines| lines > 0);
        assert!(wait_until(flows));
        assert_eq!(state(&bench).await, CloneState::Running);
        let error = TargetJob::new(bench.target_url()).abandon().await.unwrap_err();
        assert!(error.kind() == ErrorKind::Preflight && error.to_string().contains("runs"), "{error}");
        let error = bench.clone(CloneOptions { no_consistency: true, ..resume() }).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Preflight && error.to_string().contains("runs now"), "{error}");
        let ended = clone.wait().unwrap();
        assert!(ended.success(), "{}", stderr(&mut clone));
        bench.assert_equal();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_as_the_journal_says_is_refused_by_name_and_stays() {
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
    for flavor in FLAVORS {
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
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_source_another_option_and_another_archive_are_refused_by_name() {
    for flavor in FLAVORS {
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
        assert!(refused(&from, resume()).await.contains("the moment of the archive"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_resumes_at_once_one_is_refused() {
    for flavor in FLAVORS {
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

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_was_restarted_meanwhile_is_resumed_and_tables_without_transactions_are_made_anew() {
    for flavor in FLAVORS {
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
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_there_before_is_treated_by_a_resume_as_by_the_clone() {
    for flavor in FLAVORS {
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

/// A process whose lock was lost with its connection writes nothing once another one has taken over.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_lost_its_clone_to_a_resume_writes_no_more() {
    for flavor in FLAVORS {
        let bench = Bench::new(flavor, SHOP);
        let from = archive(&bench).await;
        let mut clone = run(&[&["clone", &from, &bench.target_url()][..], &SLOWLY].concat());
        let flows = || lines(&bench.pair.target, &bench.to, "kind = 'batch'").is_some_and(|lines| lines > 0);
        assert!(wait_until(flows));
        let status = TargetJob::new(bench.target_url()).status().await.unwrap();
        let holder = status.message.split("connection ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
        bench.pair.target.sql(&format!("KILL {holder}")).unwrap();
        while state(&bench).await == CloneState::Running {}
        dbgraft::CloneJob::new(from.as_str(), bench.target_url()).options(resume()).run().await.unwrap();
        assert!(!clone.wait().unwrap().success(), "the first process has not noticed");
        let said = stderr(&mut clone);
        assert!(said.contains("another dbgraft has resumed"), "{said}");
        bench.assert_equal();
    }
}

/// The state of an archive, and its complete tables.
async fn archive_state(url: &str) -> (CloneState, Vec<String>) {
    let status = TargetJob::new(url).status().await.unwrap();
    let complete = status.tables.iter().filter(|table| table.complete).map(|table| table.name.clone()).collect();
    (status.state, complete)
}

/// An export that was killed when this many tables were complete.
async fn killed_export(bench: &Bench, url: &str, complete: usize) -> Vec<String> {
    let mut clone = run(&[&["clone", &bench.source_url(), url][..], &SLOWLY].concat());
    let begun = std::time::Instant::now();
    loop {
        let ended = clone.try_wait().unwrap();
        assert!(ended.is_none() && begun.elapsed() < Duration::from_secs(60), "{}", stderr(&mut clone));
        let (state, tables) = archive_state(url).await;
        if state == CloneState::Unfinished && tables.len() >= complete {
            break;
        }
    }
    kill_quickly(clone);
    archive_state(url).await.1
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_was_killed_keeps_its_complete_tables() {
    for flavor in FLAVORS {
        let bench = Bench::new(flavor, SHOP);
        let prefix = format!("export-{}", bench.to);
        let url = bench.s3(&prefix);
        let complete = killed_export(&bench, &url, 2).await;
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
        assert_eq!(case(&job(CloneOptions { no_consistency: true, ..resume() }).await.unwrap()), ResumeCase::Finished);
        let import = dbgraft::CloneJob::new(url.as_str(), bench.target_url());
        let options = CloneOptions { verify: Verify::Checksum, ..CloneOptions::default() };
        let imported = import.options(options).run().await.unwrap();
        assert_eq!(imported.rows, report.rows);
        let positions = imported.objects.iter().filter(|object| object.position.is_some()).count();
        assert_eq!(positions, complete.len(), "each table brings its moment");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_without_a_complete_table_is_read_again_at_one_moment() {
    for flavor in FLAVORS {
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
    }
}
