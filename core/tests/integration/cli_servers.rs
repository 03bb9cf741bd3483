//! The command line with real servers.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use crate::common::{Account, BackgroundLoop, Bench, sampled_flavors, unique, with_default_signals};
use dbgraft::{Comparison, PlanReport, Report};
use dbgraft_testkit::Flavor;

const SMALL: &str =
    "CREATE TABLE `a\nb` (id INT PRIMARY KEY, v VARCHAR(10)); INSERT INTO `a\nb` VALUES (1, 'x'), (2, 'y');
                     CREATE TABLE log (id INT PRIMARY KEY); CREATE VIEW seen AS SELECT id FROM `a\nb`";
/// Some six megabytes of rows.
const LARGE: &str = "CREATE TABLE large (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(100) NOT NULL);
                     INSERT INTO large (v) VALUES (REPEAT('x', 90));";

fn dbgraft(verb: &str, bench: &Bench, options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dbgraft"));
    command.args([verb, &bench.source_url(), &bench.target_url()]).args(options).stdin(Stdio::null());
    command
}

fn run(verb: &str, bench: &Bench, options: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = dbgraft(verb, bench, options).output().unwrap();
    let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    for password in [&bench.pair.source.password, &bench.pair.target.password] {
        assert!(password.is_empty() || !format!("{stdout}{stderr}").contains(password), "{stdout}{stderr}");
    }
    (status.code(), stdout, stderr)
}

/// A directory for one test, removed with it.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("dbgraft-cli-{}", unique()));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn join(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_clone_prints_progress_a_summary_and_a_report() {
    for &flavor in sampled_flavors() {
        let (bench, dir) = (Bench::new(flavor, SMALL), Dir::new());
        let file = dir.join("report.json");
        fs::write(&file, "x".repeat(100_000)).unwrap();
        let (code, stdout, stderr) = run("clone", &bench, &["--exclude", "log", "--report", &file]);
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stderr.contains("dbgraft: clone: creating tables\n"), "{stderr}");
        assert!(
            stdout.starts_with("Cloned mysql://") && stdout.contains("a\\nb") && !stdout.contains("a\nb"),
            "{stdout}"
        );
        assert!(stdout.contains("left out: not selected\n  1 table: log\n"), "{stdout}");
        let report: Report = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!((report.rows, report.objects.len(), report.left_out.len()), (2, 2, 1));
        assert_eq!(bench.target("SELECT COUNT(*) FROM seen"), "2");
    }
}

#[test]
fn standard_output_has_json_only() {
    let bench = Bench::new(Flavor::MySql, SMALL);
    let (code, stdout, stderr) = run("clone", &bench, &["--report", "-", "--progress", "json"]);
    assert_eq!(code, Some(0), "{stderr}");
    let lines: Vec<serde_json::Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (report, events) = lines.split_last().unwrap();
    assert!(events.iter().all(|event| event["event"].is_string()) && events.len() > 5, "{stdout}");
    assert_eq!(report["rows"], 2);
    assert!(stderr.starts_with("Cloned mysql://"), "{stderr}");
}

#[test]
fn a_clone_survives_a_closed_standard_output() {
    let bench = Bench::new(Flavor::MySql, SMALL);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = dbgraft("clone", &bench, &["--report", "-", "--progress", "json"]);
    let output = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    bench.assert_equal();
}

#[test]
fn a_plan_writes_nothing_and_fails_when_there_is_a_problem() {
    let (bench, dir) = (Bench::new(Flavor::MySql, SMALL), Dir::new());
    let file = dir.join("plan.json");
    let (code, stdout, stderr) = run("plan", &bench, &["--report", &file]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("2 tables, 1 view") && stdout.contains("1 view: seen"), "{stdout}");
    let overview: PlanReport = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(overview.plan.tables.len(), 2);
    assert!(!bench.target_exists());

    bench.pair.target.sql(&format!("CREATE DATABASE {0}; CREATE TABLE {0}.log (x INT)", bench.to)).unwrap();
    for (verb, option) in [("plan", "--progress=none"), ("clone", "--dry-run")] {
        let (code, stdout, stderr) = run(verb, &bench, &[option]);
        assert_eq!(code, Some(1), "{stderr}");
        let problem = stdout.lines().find(|line| line.starts_with("PROBLEM: ")).unwrap();
        assert!(problem.contains("log") && stdout.contains("about rows"), "{stdout}");
    }
    let (code, stdout, stderr) = run("clone", &bench, &["--progress=none"]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.starts_with("dbgraft: ") && stderr.contains("log"), "{stderr}");
    assert_eq!(bench.target("SHOW TABLES"), "log");
}

#[test]
fn a_pattern_that_matches_nothing_is_wrong_usage() {
    let bench = Bench::new(Flavor::MySql, SMALL);
    for (options, name) in [(["--include", "ordres"], "ordres"), (["--where", "ordres=id=1"], "ordres")] {
        let (code, _, stderr) = run("clone", &bench, &options);
        assert!(code == Some(2) && stderr.contains(name), "{stderr}");
    }
    assert!(!bench.target_exists());
}

#[test]
fn the_exit_code_of_a_comparison_reports_a_difference() {
    for &flavor in sampled_flavors() {
        let (bench, dir) = (Bench::new(flavor, SMALL), Dir::new());
        let (code, stdout, stderr) = run("clone", &bench, &["--verify", "checksum"]);
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stdout.contains("verified 2 tables, 2 rows by checksum\n"), "{stdout}");
        let (code, stdout, stderr) = run("verify", &bench, &[]);
        assert_eq!(code, Some(0), "{stderr}");
        assert!(
            stdout.contains("verified 2 tables, 2 rows by checksum\n") && stdout.ends_with("no difference\n"),
            "{stdout}"
        );

        bench.target("UPDATE `a\nb` SET v = 'X' WHERE id = 1");
        let file = dir.join("comparison.json");
        let (code, stdout, stderr) = run("verify", &bench, &["--list-rows", "--report", &file]);
        assert_eq!(code, Some(1), "{stderr}");
        let lines = "different:\n  table a\\nb: 2 rows on both sides, but not the same\n      different: id = 1\n";
        assert!(stdout.ends_with(lines), "{stdout}");
        let comparison: Comparison = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!(comparison.verification.differences[0].rows.len(), 1);
        assert_eq!(run("verify", &bench, &["--verify", "counts"]).0, Some(0));
        assert_eq!(run("verify", &bench, &["--include", "log"]).0, Some(0));

        for wrong in [vec!["--if-exists", "drop"], vec!["--verify", "none"], vec!["--include", "lag"]] {
            assert_eq!(run("verify", &bench, &wrong).0, Some(2), "{wrong:?}");
        }
        assert_eq!(run("clone", &bench, &["--verify", "counts", "--schema-only"]).0, Some(2));
    }
}

#[test]
fn a_clone_that_is_found_different_fails_and_has_its_report() {
    let doubled = "INSERT INTO large (v) SELECT v FROM large;".repeat(14);
    let small = "CREATE TABLE a (id INT PRIMARY KEY, v VARCHAR(10)); INSERT INTO a VALUES (1, 'x'), (2, 'y');";
    let (bench, dir) = (Bench::new(Flavor::MySql, &format!("{LARGE}{doubled}{small}")), Dir::new());
    let file = dir.join("report.json");
    // Somebody alters each row of the small table, which comes last.
    let (server, to) = (bench.pair.target.clone(), bench.to.clone());
    let trigger = "CREATE TRIGGER other BEFORE INSERT ON a FOR EACH ROW SET NEW.v = UPPER(NEW.v)";
    let somebody = BackgroundLoop::new(move |_| server.sql_in(&to, trigger).is_ok());
    let options = ["--verify", "checksum", "--threads=1", "--max-rate=1M", "--memory=8M", "--report", &file];
    let (code, stdout, stderr) = run("clone", &bench, &options);
    assert_eq!((somebody.rounds(), code), (1, Some(1)), "{stdout}{stderr}");
    assert!(stderr.contains("\n  - table a: 2 rows on both sides, but not the same\n"), "{stderr}");
    assert!(stdout.contains("different:\n  table a: 2 rows"), "{stdout}");
    let report: Report = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(report.verified.unwrap().differences.len(), 1);
    assert_eq!(bench.target("SELECT GROUP_CONCAT(v ORDER BY id) FROM a"), "X,Y");
}

/// A running clone that takes a long time, with an account of its own.
struct SlowClone {
    bench: Bench,
    account: Account,
    stage: Dir,
    child: Child,
}

impl SlowClone {
    /// Returns when the first rows are in.
    fn start(flavor: Flavor) -> Self {
        let doubled = "INSERT INTO large (v) SELECT v FROM large;".repeat(16);
        let bench = Bench::new(flavor, &format!("{LARGE}{doubled}"));
        let account = Account::new(&bench.pair.source, &["ALL PRIVILEGES ON *.*"]);
        let stage = Dir::new();
        let mut command = with_default_signals(env!("CARGO_BIN_EXE_dbgraft"));
        command.args(["clone", &account.server().url_of(&bench.from), &bench.target_url()]);
        command.args(["--via", &format!("file://{}", stage.join("stage")), "--max-rate", "300K", "--memory", "8M"]);
        command.args(["--progress", "json"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines().map(Result::unwrap);
        let mut events = lines.map(|line| serde_json::from_str::<serde_json::Value>(&line).unwrap());
        assert!(events.any(|event| event["leg"] == "import" && event["rows"].as_u64() > Some(0)), "it ended too early");
        Self { bench, account, stage, child }
    }

    fn proc(&self, file: &str) -> String {
        let bytes = fs::read(format!("/proc/{}/{file}", self.child.id())).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Waits for the end: the exit code, and what is on standard error.
    fn end(&mut self) -> (Option<i32>, String) {
        let mut stderr = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        (self.child.wait().unwrap().code(), stderr)
    }
}

#[test]
fn a_cancelled_clone_leaves_nothing_behind() {
    for &flavor in sampled_flavors() {
        let mut slow = SlowClone::start(flavor);
        // The environment of a test names the test's own servers, but not this account.
        for seen in [slow.proc("cmdline"), slow.proc("environ")] {
            assert!(!seen.contains(&slow.account.server().password), "{seen}");
        }
        assert!(!slow.account.processes().is_empty());
        slow.signal("INT");
        let (code, stderr) = slow.end();
        assert_eq!(code, Some(130), "{stderr}");
        assert!(stderr.ends_with("dbgraft: cancelled\n"), "{stderr}");
        assert!(!slow.bench.target_exists());
        let stage = slow.stage.0.join("stage");
        let left: Vec<_> =
            fs::read_dir(&stage).map(|left| left.map(|entry| entry.unwrap().path()).collect()).unwrap_or_default();
        assert_eq!(left, Vec::<PathBuf>::new());
        slow.account.assert_gone();
    }
}

#[test]
fn a_second_ctrl_c_ends_without_clean_up() {
    let mut slow = SlowClone::start(Flavor::MySql);
    // While this transaction is open, the clean-up cannot drop the table.
    let sql = format!("START TRANSACTION; SELECT COUNT(*) FROM `{}`.large", slow.bench.to);
    let reader = slow.bench.pair.target.session(&sql).unwrap();
    reader.wait().unwrap();
    slow.signal("INT");
    let mut line = String::new();
    let mut stderr = BufReader::new(slow.child.stderr.take().unwrap());
    while !line.contains("cancelling…") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "it ended");
    }
    slow.signal("INT");
    // A clean-up, also one that fails, would end with a message.
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!((slow.child.wait().unwrap().code(), rest.as_str()), (Some(130), ""));
    assert!(slow.bench.target_exists());
    drop(reader);
}
