use std::fs;

use super::*;
use crate::error::ErrorKind;

#[tokio::test]
async fn an_agent_of_another_version_is_refused() {
    let host = TestHost::new();
    let error = host.start_error("", Some(&host.compile_agent(&["-DVERSION=\"0.0.9\""]))).await;
    assert_eq!(error.kind(), ErrorKind::Preflight);
    let error = error.to_string();
    assert!(error.contains("is dbgraft 0.0.9, this is ") && error.contains(env!("CARGO_PKG_VERSION")), "{error}");
}

#[tokio::test]
async fn the_error_for_an_agent_that_ends_contains_the_cause() {
    let host = TestHost::new();
    let error_for = async |options: &[&str]| {
        let error = host.start_error("", Some(&host.compile_agent(options))).await;
        assert_eq!(error.kind(), ErrorKind::Preflight, "{error}");
        error.to_string()
    };
    let error = error_for(&["-DCODE=3"]).await;
    assert!(error.contains("exit code 3 (the reason)"), "{error}");
    let error = error_for(&["-DSIGNAL=SIGILL"]).await;
    assert!(error.contains("processor"), "{error}");
    let error = error_for(&["-DSIGNAL=SIGKILL"]).await;
    assert!(error.contains("memory"), "{error}");
    let error = error_for(&[&version_option(), "-Wl,--dynamic-linker=/nowhere/ld.so"]).await;
    assert!(error.contains("loader") && error.contains("make agent"), "{error}");
}

#[tokio::test]
async fn the_error_for_a_missing_library_names_it() {
    let host = TestHost::new();
    let library = host.dir.join("libmissing.so");
    let made = Command::new("cc").args(["-shared", "-x", "c", "/dev/null", "-o"]).arg(&library).status();
    assert!(made.unwrap().success());
    let agent = host.compile_agent(&[&version_option(), "-Wl,--no-as-needed", library.to_str().unwrap()]);
    fs::remove_file(library).unwrap();
    let error = host.start_error("", Some(&agent)).await.to_string();
    assert!(error.contains("libmissing.so") && error.contains("make agent"), "{error}");
}

#[tokio::test]
async fn the_error_for_a_noexec_filesystem_names_the_file() {
    let Some(unshare) = mount_namespace_command() else { return };
    let host = TestHost::with_login_script(&format!(
        "mkdir -p \"$XDG_CACHE_HOME\"\n\
         exec {unshare} sh -c 'c=$XDG_CACHE_HOME; mount --bind \"$c\" \"$c\" && mount -o remount,bind,noexec \"$c\"\n\
         eval \"$SSH_ORIGINAL_COMMAND\"'"
    ));
    let error = host.start_error("", Some(&host.agent())).await.to_string();
    assert!(error.contains("noexec") && error.contains("agent-path="), "{error}");
    assert!(error.contains(host.cached_file().to_str().unwrap()), "{error}");
}

#[tokio::test]
async fn an_installed_agent_is_not_uploaded() {
    let host = TestHost::new();
    let agent = host.agent();
    fs::create_dir(host.dir.join("home/bin")).unwrap();
    let odd = host.dir.join("home/bin/it's $HOME \\ \"odd\"!");
    fs::copy(&agent, &odd).unwrap();
    let escape =
        |path: &str| percent_encoding::utf8_percent_encode(path, percent_encoding::NON_ALPHANUMERIC).to_string();
    let whole = escape(odd.to_str().unwrap());
    let from_home = escape("~/bin/it's $HOME \\ \"odd\"!");
    for path in [whole, from_home] {
        let launcher = host.launcher(&format!("&agent-path={path}"), None);
        assert_answers(&mut launcher.start().await.unwrap()).await;
        assert_answers(&mut launcher.start().await.unwrap()).await;
    }
    assert_eq!((host.login_count(), host.dir.join("cache").exists()), (6, false));

    let error = host.start_error("&agent-path=/nowhere/dbgraft", None).await.to_string();
    assert!(error.contains("agent-path `/nowhere/dbgraft` does not exist"), "{error}");
    let error = host.start_error("&agent-path=no-such-command", Some(&agent)).await.to_string();
    assert!(error.contains("agent-path `no-such-command` does not exist"), "{error}");
    let plain = host.dir.join("login.sh");
    let error = host.start_error(&format!("&agent-path={}", plain.display()), None).await.to_string();
    assert!(error.contains("login.sh` is there, but no executable file"), "{error}");
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_handshake_is_retryable() {
    let host = TestHost::new();
    let silent = host.compile_agent(&["-DSILENT"]);
    let launcher = host.launcher(&format!("&agent-path={}", silent.display()), None);
    let starting = tokio::spawn(async move { launcher.start().await.err() });
    assert!(becomes_true(async || host.login_count() == 2).await);
    host.sshd.kill().unwrap();
    let error = starting.await.unwrap().unwrap();
    assert!(error.is_retryable() && error.kind() == ErrorKind::Connection, "{error}");
}
