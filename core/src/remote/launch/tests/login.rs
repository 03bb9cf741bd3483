use super::*;
use crate::error::ErrorKind;

/// LoginOptions scripts with output before and around the command.
const NOISY_LOGINS: [&str; 6] = [
    "echo Welcome; echo; eval \"$SSH_ORIGINAL_COMMAND\"",
    "printf 'no newline at the end'; echo warning >&2; eval \"$SSH_ORIGINAL_COMMAND\"",
    "printf 'dbgraft agent 0.0.1\\n\\ndbgraft agent'; eval \"$SSH_ORIGINAL_COMMAND\"",
    "head -c 60000 /dev/zero; printf '\\377\\376\\n'; eval \"$SSH_ORIGINAL_COMMAND\"",
    "echo \"$SSH_ORIGINAL_COMMAND\"; echo \"$SSH_ORIGINAL_COMMAND\" >&2; eval \"$SSH_ORIGINAL_COMMAND\"",
    "set -x; (sleep 1; echo late) & eval \"$SSH_ORIGINAL_COMMAND\"",
];

#[tokio::test]
async fn output_of_the_login_does_not_disturb_the_agent() {
    for script in NOISY_LOGINS {
        let host = TestHost::with_login_script(script);
        let launcher = host.launcher("", Some(&host.agent()));
        assert_answers(&mut launcher.start().await.unwrap()).await;
    }
}

#[tokio::test]
async fn every_login_shell_runs_an_agent() {
    for shell in ["bash", "dash", "zsh", "ksh", "mksh", "fish", "tcsh", "csh", "busybox sh"] {
        let (program, applet) = shell.split_once(' ').unwrap_or((shell, ""));
        let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap();
        if !found.status.success() {
            eprintln!("SKIPPED: no {shell} here");
            continue;
        }
        let program = String::from_utf8(found.stdout).unwrap();
        let host =
            TestHost::with_login_script(&format!("exec {} {applet} -c \"$SSH_ORIGINAL_COMMAND\"", program.trim()));
        let odd = host.dir.join("home/it's $HOME \\ \"odd\"!");
        std::fs::copy(host.agent(), &odd).unwrap();
        let started = host.launcher("", Some(&odd)).start().await;
        assert_answers(&mut started.unwrap_or_else(|error| panic!("{shell}: {error}"))).await;
        let path = percent_encoding::utf8_percent_encode(odd.to_str().unwrap(), percent_encoding::NON_ALPHANUMERIC);
        let started = host.launcher(&format!("&agent-path={path}"), None).start().await;
        assert_answers(&mut started.unwrap_or_else(|error| panic!("{shell}: {error}"))).await;
    }
}

#[tokio::test]
async fn an_account_without_commands_is_an_error() {
    let error_for = async |script: &str| {
        let host = TestHost::with_login_script(script);
        let error = host.start_error("", Some(&host.agent())).await;
        assert_eq!(error.kind(), ErrorKind::Preflight, "{error}");
        assert!(error.to_string().contains("--source-tunnel"), "{error}");
        error.to_string()
    };
    let error = error_for("echo; echo This account is currently not available.; exit 1").await;
    assert!(error.contains("it printed `This account is currently not available.`"), "{error}");
    let error = error_for("echo Only sftp here >&2; exit 1").await;
    assert!(error.contains("it printed `Only sftp here`"), "{error}");
    assert!(error_for("exit 0").await.contains("it printed nothing"));
    // The host prints the command, which is not mistaken for its output.
    assert!(error_for("echo \"$SSH_ORIGINAL_COMMAND\"").await.contains("it printed `exec sh -c "));
    assert!(error_for("head -c 1000000 /dev/zero; exit 1").await.contains("it printed"));
}

#[tokio::test]
async fn a_login_for_files_only_is_an_error() {
    let host = TestHost::new();
    let sshd = Sshd::options().line("ForceCommand internal-sftp").start().unwrap();
    let files_only = TestHost { sshd, dir: host.dir.join("files") };
    let error = files_only.start_error("", Some(&host.agent())).await.to_string();
    assert!(error.contains("the account cannot run commands") && error.contains("--target-tunnel"), "{error}");
}
