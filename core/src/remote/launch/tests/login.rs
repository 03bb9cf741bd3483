use super::*;
use crate::error::ErrorKind;

/// What hosts print, and how they run a command.
const NOISY: [&str; 6] = [
    "echo Welcome; echo; eval \"$SSH_ORIGINAL_COMMAND\"",
    "printf 'no newline at the end'; echo warning >&2; eval \"$SSH_ORIGINAL_COMMAND\"",
    "printf 'dbgraft agent 0.0.1\\n\\ndbgraft agent'; eval \"$SSH_ORIGINAL_COMMAND\"",
    "head -c 60000 /dev/zero; printf '\\377\\376\\n'; eval \"$SSH_ORIGINAL_COMMAND\"",
    "echo \"$SSH_ORIGINAL_COMMAND\"; echo \"$SSH_ORIGINAL_COMMAND\" >&2; eval \"$SSH_ORIGINAL_COMMAND\"",
    "set -x; (sleep 1; echo late) & eval \"$SSH_ORIGINAL_COMMAND\"",
];

#[tokio::test]
async fn what_a_login_prints_does_no_harm() {
    for script in NOISY {
        let site = Site::forcing(script);
        let launcher = site.launcher("", Some(&site.agent()));
        answers(&mut launcher.start().await.unwrap()).await;
    }
}

#[tokio::test]
async fn any_shell_runs_an_agent() {
    for shell in ["bash", "dash", "zsh", "ksh", "mksh", "fish", "tcsh", "csh", "busybox sh"] {
        let (program, applet) = shell.split_once(' ').unwrap_or((shell, ""));
        let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap();
        if !found.status.success() {
            eprintln!("SKIPPED: no {shell} here");
            continue;
        }
        let program = String::from_utf8(found.stdout).unwrap();
        let site = Site::forcing(&format!("exec {} {applet} -c \"$SSH_ORIGINAL_COMMAND\"", program.trim()));
        let odd = site.dir.join("home/it's $HOME \\ \"odd\"!");
        std::fs::copy(site.agent(), &odd).unwrap();
        let started = site.launcher("", Some(&odd)).start().await;
        answers(&mut started.unwrap_or_else(|error| panic!("{shell}: {error}"))).await;
        let path = percent_encoding::utf8_percent_encode(odd.to_str().unwrap(), percent_encoding::NON_ALPHANUMERIC);
        let started = site.launcher(&format!("&agent-path={path}"), None).start().await;
        answers(&mut started.unwrap_or_else(|error| panic!("{shell}: {error}"))).await;
    }
}

#[tokio::test]
async fn an_account_that_may_not_run_commands_is_told_so() {
    let told = async |script: &str| {
        let site = Site::forcing(script);
        let error = site.refuses("", Some(&site.agent())).await;
        assert_eq!(error.kind(), ErrorKind::Preflight, "{error}");
        assert!(error.to_string().contains("--source-tunnel"), "{error}");
        error.to_string()
    };
    let error = told("echo; echo This account is currently not available.; exit 1").await;
    assert!(error.contains("it printed `This account is currently not available.`"), "{error}");
    let error = told("echo Only sftp here >&2; exit 1").await;
    assert!(error.contains("it printed `Only sftp here`"), "{error}");
    assert!(told("exit 0").await.contains("it printed nothing"));
    // The command comes back, and is not mistaken for its output.
    assert!(told("echo \"$SSH_ORIGINAL_COMMAND\"").await.contains("it printed `exec sh -c "));
    assert!(told("head -c 1000000 /dev/zero; exit 1").await.contains("it printed"));
}

#[tokio::test]
async fn a_login_for_files_only_is_told_so() {
    let site = Site::new();
    let sshd = Sshd::options().line("ForceCommand internal-sftp").start().unwrap();
    let files_only = Site { sshd, dir: site.dir.join("files") };
    let error = files_only.refuses("", Some(&site.agent())).await.to_string();
    assert!(error.contains("the account cannot run commands") && error.contains("--target-tunnel"), "{error}");
}
