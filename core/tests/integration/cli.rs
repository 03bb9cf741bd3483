//! The command line: what it refuses, prints and never shows. Needs no database server.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use crate::common::{wait_until, with_default_signals};

const DBGRAFT: &str = env!("CARGO_BIN_EXE_dbgraft");
const SECRET: &str = "s3cr3t-Pa55word";
/// Nothing listens on port 1.
const SOURCE: &str = "mysql://app@127.0.0.1:1/shop";
const TARGET: &str = "mysql://app@127.0.0.1:1/copy";

/// A program in an environment without passwords, AWS keys and option files.
fn command(program: &str) -> Command {
    with_empty_environment(Command::new(program))
}

fn with_empty_environment(mut command: Command) -> Command {
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", "/nonexistent").stdin(Stdio::null());
    command
}

fn dbgraft(arguments: &[&str]) -> Output {
    command(DBGRAFT).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Exit code 2, a message that holds `names`, nothing on standard output, and no panic.
fn refuses(arguments: &[&str], names: &str) {
    let output = dbgraft(arguments);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
    assert!(message.contains(names), "{arguments:?} should name {names}: {message}");
    assert!(!message.contains("panicked") && !message.contains("bug"), "{message}");
    assert_eq!(text(&output.stdout), "", "{arguments:?}");
}

fn refuses_option(options: &[&str], names: &str) {
    for verb in ["clone", "plan"] {
        refuses(&[&[verb, SOURCE, TARGET], options].concat(), names);
    }
}

#[test]
fn a_wrong_command_is_refused_by_name() {
    refuses(&[], "Usage");
    refuses(&["copy", SOURCE, TARGET], "'copy'");
    refuses(&["clone"], "<SOURCE>");
    refuses(&["clone", SOURCE], "<TARGET>");
    refuses(&["clone", SOURCE, TARGET, "third"], "'third'");
    refuses(&["clone", SOURCE, TARGET, "--fast"], "'--fast'");
    refuses(&["plan", SOURCE, TARGET, "--dry-run"], "'--dry-run'");
}

#[test]
fn a_wrong_url_is_refused_by_name() {
    for (url, names) in [
        ("shop", "mysql://user@host:3306/database"),
        ("http://h/d", "http://"),
        ("mysql://app@127.0.0.1:1", "names its database"),
        ("mysql://app@127.0.0.1:1/a/b", "%2F"),
        ("mysql://app@127.0.0.1:99999/a", "from 1 to 65535"),
        ("mysql://app@127.0.0.1:1/d?sslmode=required", "`sslmode`"),
        ("mysql://app@127.0.0.1:1/d?ssl-mode=on", "`on`"),
        ("mysql://app@127.0.0.1:1/d?ssl-cert=/c", "ssl-key"),
        ("mysql://app@127.0.0.1:1/d?ssl-mode=required&ssl-ca=/c", "ssl-ca"),
        ("s3:///prefix", "bucket"),
        ("s3://bucket/prefix?zone=1", "`zone`"),
        ("s3://key:value@bucket/prefix", "AWS environment"),
        ("file:///tmp/x?y=1", "`y`"),
        ("file:", "an endpoint is a URL"),
        ("mysql://app@127.0.0.1:1/shop#copy", "`#copy`"),
        ("s3://bucket/x#2026", "%23"),
        ("s3://bucket:9000/x", ":9000"),
        ("s3://bucket/../../x", "`/../../x`"),
        ("s3://bucket/x?region=a&region=b", "`region` stands twice"),
        ("file://host/x", "`host`"),
        ("postgres://app@h/d", "mysql://"),
        ("ssh://app@h", "--source-agent"),
        ("mysql://app@h/d%zz", "%25"),
        ("mysql://app@h/d%00", "NUL"),
        ("mysql://app@h/d%20", "ends with a space"),
        ("mysql://app@h/performance_schema", "no database to clone"),
        ("mysql://app:a/b@127.0.0.1:1/shop", "%2F"),
    ] {
        refuses(&["clone", url, TARGET], names);
        refuses(&["clone", url, TARGET], "the source: ");
        refuses(&["clone", SOURCE, url], names);
        refuses(&["plan", SOURCE, url], names);
        refuses(&["plan", SOURCE, url], "the target: ");
    }
}

#[test]
fn a_wrong_option_is_refused_by_name() {
    for (options, names) in [
        (&["--where", "orders"][..], "--where orders"),
        (&["--where", "=id > 3"], "--where =id > 3"),
        (&["--where", "orders="], "--where orders="),
        (&["--where", "a=1", "--where", "a=2"], "--where a=2"),
        (&["--if-exists", "maybe"], "'maybe'"),
        (&["--definer", "somebody"], "somebody"),
        (&["--threads", "many"], "'many'"),
        (&["--threads", "0"], "--threads"),
        (&["--threads", "100000"], "--threads"),
        (&["--memory", "lots"], "`lots`"),
        (&["--memory", "1K"], "--memory"),
        (&["--max-rate", "0"], "--max-rate"),
        (&["--max-rate", "-5"], "-5"),
        (&["--max-load", "0"], "--max-load"),
        (&["--max-lag", "5"], "--replica"),
        (&["--replica", "mysql://u@h/d"], "--max-lag"),
        (&["--replica", "s3://b/p", "--max-lag", "5"], "--replica"),
        (&["--replica", "mysql://u:secret@h/d?x=1", "--max-lag", "5"], "`x`"),
        (&["--progress", "loud"], "'loud'"),
        (&["--include", "a["], "a["),
        (&["--via", SOURCE], "--via"),
        (&["--via", "s3://bucket/p?zone=1"], "`zone`"),
        (&["--via", "ftp://h/p"], "ftp://"),
        (&["--via", "s3://bucket/p#1"], "`#1`"),
        (&["--via", "s3://bucket/p?sse=kms"], "`kms`"),
        (&["--encrypt", "hunter2"], "never the passphrase itself"),
        (&["--encrypt", "passphrase", "--via", "file:///tmp/p"], "set DBGRAFT_ARCHIVE_PASSPHRASE"),
        (&["--encrypt", "key-file=/nowhere/key", "--via", "file:///tmp/p"], "key-file=/nowhere/key: it cannot be read"),
        (&["--encrypt", "key-file=/dev/null", "--via", "file:///tmp/p"], "64 hexadecimal digits"),
        (&["--source-tunnel", "ssh://h#1"], "`#1`"),
        (&["--target-agent", "ssh://h?jump=a&jump=b"], "`jump` stands twice"),
        (&["--report", "/nonexistent/report.json"], "/nonexistent/report.json"),
        (&["--report", "/"], "--report /"),
    ] {
        refuses_option(options, names);
    }
}

#[test]
fn contradictions_are_refused_by_name() {
    for (options, names) in [
        (&["--schema-only", "--data-only"][..], "--data-only"),
        (&["--schema-only", "--where", "a=1"], "--where"),
        (&["--data-only", "--recreate-database"], "--recreate-database"),
        (&["--data-only", "--if-exists", "drop"], "--if-exists"),
        (&["--keep-archive"], "--via"),
        (&["--encrypt", "passphrase"], "--via"),
        (&["--triggers", "--no-triggers"], "--no-triggers"),
        (&["--routines", "--no-routines"], "--no-routines"),
        (&["--events", "--no-events"], "--no-events"),
    ] {
        refuses_option(options, names);
    }
}

/// A `~/.my.cnf` that supplies nothing is not read.
#[test]
fn an_option_file_that_the_clients_refuse_is_refused_by_its_line() {
    let home = std::env::temp_dir().join(format!("dbgraft-cli-home-{}", std::process::id()));
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join(".my.cnf"), format!("password={SECRET}\n[client]\n")).unwrap();
    let mut plan = command(DBGRAFT);
    let output = plan.env("HOME", &home).args(["plan", SOURCE, TARGET]).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(".my.cnf, line 1") && said.contains("[client]") && !said.contains(SECRET), "{said}");
    let mut plan = command(DBGRAFT);
    plan.env("HOME", &home).env("DBGRAFT_SOURCE_PASSWORD", "").env("DBGRAFT_TARGET_PASSWORD", "");
    assert_eq!(plan.args(["plan", SOURCE, TARGET]).output().unwrap().status.code(), Some(1));
    fs::remove_dir_all(&home).unwrap();
}

#[test]
fn a_password_that_is_not_utf_8_is_refused_by_its_variable() {
    use std::os::unix::ffi::OsStrExt as _;
    let mut plan = command(DBGRAFT);
    plan.env("DBGRAFT_TARGET_PASSWORD", std::ffi::OsStr::from_bytes(b"\xFF"));
    let output = plan.args(["plan", SOURCE, TARGET]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("DBGRAFT_TARGET_PASSWORD in the environment is not UTF-8"));
}

#[test]
fn a_server_that_cannot_be_reached_is_a_failure_in_one_line() {
    for verb in ["clone", "plan"] {
        let output = dbgraft(&[verb, SOURCE, TARGET, "--progress", "none"]);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.starts_with("dbgraft: ") && message.contains("127.0.0.1:1"), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn a_password_is_never_shown() {
    let with_password = |rest: &str| format!("mysql://app:{SECRET}@{rest}");
    let good = with_password("127.0.0.1:1/shop");
    for arguments in [
        vec!["clone", &good, TARGET],
        vec!["clone", SOURCE, &good, "--progress", "json"],
        vec!["plan", &good, &good],
        // Refused in the middle of reading the arguments or the URL.
        vec!["clone", &good, &good, &good],
        vec!["clone", &good, &with_password("127.0.0.1:99999/shop")],
        vec!["clone", &with_password("127.0.0.1:1/shop?sslmode=x"), TARGET],
        vec!["clone", &with_password("127.0.0.1:1/a/b"), TARGET],
        vec!["clone", &with_password("/x"), TARGET],
        vec!["clone", SOURCE, TARGET, "--via", &format!("s3://key:{SECRET}@bucket/p")],
        vec!["clone", SOURCE, TARGET, &format!("--via={good}")],
        vec![&good],
        vec!["clone", &format!("mysql://app:{SECRET}/with-a-slash@127.0.0.1:1/shop"), TARGET],
        vec!["clone", &format!("mysql://app:{SECRET}"), TARGET],
        vec!["clone", &format!("mysql://app:{SECRET}#1@127.0.0.1:1/shop"), TARGET],
        vec!["clone", &format!("app:{SECRET}@127.0.0.1:1/shop"), TARGET],
        vec!["clone", &with_password("127.0.0.1:1/shop?ssl-mode=x@y"), TARGET],
    ] {
        let output = dbgraft(&arguments);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert_ne!(output.status.code(), Some(0), "{arguments:?}: {said}");
        assert!(!said.contains(SECRET) && !said.contains("panicked"), "{arguments:?}: {said}");
    }
}

#[test]
fn without_aws_keys_the_error_lists_the_places_searched() {
    let mut command = command(DBGRAFT);
    command.env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_PROFILE", "nobody");
    let output = command.args(["plan", "s3://bucket/x?region=eu-west-1", TARGET]).output().unwrap();
    let said = text(&output.stderr);
    assert!(said.contains("AWS_ACCESS_KEY_ID") && said.contains("the profile `nobody`"), "{said}");
    assert!(!said.contains("Attempted"), "{said}");
}

/// `ssh -G` runs the commands of `Match exec`.
#[test]
fn a_command_of_the_ssh_settings_sees_no_secret() {
    let dir = std::env::temp_dir().join(format!("dbgraft-cli-ssh-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let (config, seen) = (dir.join("config"), dir.join("seen"));
    fs::write(&config, format!("Match exec \"env > {}\"\n  Hostname 127.0.0.1\n  Port 1\n", seen.display())).unwrap();
    let tunnel = format!("ssh://app@h?config={}", config.display());
    let mut command = command(DBGRAFT);
    let secrets = [
        "DBGRAFT_SOURCE_PASSWORD",
        "DBGRAFT_TARGET_SSH_PASSWORD",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "MYSQL_PWD",
    ];
    command.envs(secrets.map(|name| (name, SECRET))).env("AWS_PROFILE", "kept");
    let output = command.args(["plan", SOURCE, TARGET, "--source-tunnel", &tunnel]).output().unwrap();
    let seen = fs::read_to_string(&seen).unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)));
    fs::remove_dir_all(&dir).unwrap();
    assert!(seen.contains("AWS_PROFILE=kept") && !seen.contains(SECRET), "{seen}");
}

#[test]
fn help_and_version_survive_a_closed_pipe() {
    let help = text(&dbgraft(&["clone", "--help"]).stdout);
    assert!(help.contains("--recreate-database") && help.contains("DBGRAFT_TARGET_PASSWORD"), "{help}");
    assert!(text(&dbgraft(&["--version"]).stdout).starts_with("dbgraft "));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command(DBGRAFT).arg("--help").stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
}

#[test]
fn a_report_file_of_a_failed_clone_is_as_it_was_before() {
    let dir = std::env::temp_dir().join(format!("dbgraft-cli-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let (old, new) = (dir.join("old.json"), dir.join("new.json"));
    fs::write(&old, "kept").unwrap();
    for file in [&old, &new] {
        let output = dbgraft(&["clone", SOURCE, TARGET, "--report", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1));
    }
    assert_eq!(fs::read_to_string(&old).unwrap(), "kept");
    assert!(!new.exists());
    fs::remove_dir_all(&dir).unwrap();
}

/// A clone from a server that accepts a connection and then sends nothing: it runs until a signal ends it.
struct HangingClone {
    child: Child,
    _server: (TcpListener, TcpStream),
}

impl HangingClone {
    fn start(program: &[&str], options: &[&str]) -> Self {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let source = format!("mysql://app:{SECRET}@{}/shop", server.local_addr().unwrap());
        let target = format!("mysql://app:{SECRET}-too@127.0.0.1:1/copy");
        let words = [program, &["clone", &source, &target], options].concat();
        let mut command = with_empty_environment(with_default_signals(words[0]));
        let child = command.args(&words[1..]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (connection, _) = server.accept().unwrap();
        Self { child, _server: (server, connection) }
    }

    fn proc(&self, file: &str) -> String {
        let path = PathBuf::from("/proc").join(self.child.id().to_string()).join(file);
        text(&fs::read(path).unwrap()).replace('\0', " ")
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the end: the exit code, and what was said.
    fn end(mut self) -> (Option<i32>, String) {
        if !wait_until(|| self.child.try_wait().unwrap().is_some()) {
            self.child.kill().unwrap();
            panic!("it hangs");
        }
        let mut said = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code(), said)
    }
}

#[test]
fn a_running_clone_shows_no_password_to_ps() {
    let running = HangingClone::start(&[DBGRAFT], &[]);
    let line = running.proc("cmdline");
    assert!(line.contains("mysql://app@127.0.0.1") && line.contains("clone"), "{line}");
    assert!(!line.contains(SECRET), "{line}");
    assert!(!running.proc("environ").contains(SECRET));
    assert_eq!(running.proc("comm").trim(), "dbgraft");
    running.signal("TERM");
    let (code, said) = running.end();
    assert_eq!(code, Some(130), "{said}");
    assert!(!said.contains(SECRET), "{said}");
}

#[test]
fn sigint_sigterm_and_sighup_cancel() {
    for signal in ["INT", "TERM", "HUP"] {
        let running = HangingClone::start(&[DBGRAFT], &[]);
        running.signal(signal);
        let (code, said) = running.end();
        assert_eq!(code, Some(130), "{signal}: {said}");
        assert_eq!(said.matches("cancelling…").count(), 1, "{said}");
        assert!(said.ends_with("dbgraft: cancelled\n"), "{said}");
    }
}

#[test]
fn a_clone_that_nohup_started_keeps_sighup_ignored() {
    const SIGHUP: u64 = 1;
    for (program, ignores) in [(&["nohup", DBGRAFT][..], true), (&[DBGRAFT], false)] {
        let running = HangingClone::start(program, &[]);
        // It has connected, so it has set up its signals.
        let status = running.proc("status");
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
        assert_eq!(u64::from_str_radix(mask.trim(), 16).unwrap() & SIGHUP != 0, ignores, "{status}");
        running.signal("TERM");
        assert_eq!(running.end().0, Some(130));
    }
}

#[test]
fn json_progress_is_lines_of_json_on_standard_output() {
    let mut running = HangingClone::start(&[DBGRAFT], &["--progress", "json"]);
    let mut first = String::new();
    BufReader::new(running.child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(first, "{\"event\":\"phase\",\"leg\":\"clone\",\"phase\":\"preflight\"}\n");
    running.signal("INT");
    assert_eq!(running.end().0, Some(130));
}
