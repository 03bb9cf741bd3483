use std::fs;

use super::*;
use crate::error::ErrorKind;

#[tokio::test]
async fn an_agent_of_another_version_is_refused() {
    let site = Site::new();
    let error = site.refuses("", Some(&site.compiled(&["-DVERSION=\"0.0.9\""]))).await;
    assert_eq!(error.kind(), ErrorKind::Preflight);
    let error = error.to_string();
    assert!(error.contains("is dbgraft 0.0.9, this is ") && error.contains(env!("CARGO_PKG_VERSION")), "{error}");
}

#[tokio::test]
async fn an_agent_that_ends_at_its_start_says_why() {
    let site = Site::new();
    let told = async |options: &[&str]| {
        let error = site.refuses("", Some(&site.compiled(options))).await;
        assert_eq!(error.kind(), ErrorKind::Preflight, "{error}");
        error.to_string()
    };
    let error = told(&["-DCODE=3"]).await;
    assert!(error.contains("exit code 3 (the reason)"), "{error}");
    let error = told(&["-DSIGNAL=SIGILL"]).await;
    assert!(error.contains("processor"), "{error}");
    let error = told(&["-DSIGNAL=SIGKILL"]).await;
    assert!(error.contains("memory"), "{error}");
    let error = told(&[VERSION, "-Wl,--dynamic-linker=/nowhere/ld.so"]).await;
    assert!(error.contains("loader") && error.contains("make agent"), "{error}");
}

#[tokio::test]
async fn a_library_that_the_host_has_not_is_told() {
    let site = Site::new();
    let library = site.dir.join("libnobodyhas.so");
    let made = Command::new("cc").args(["-shared", "-x", "c", "/dev/null", "-o"]).arg(&library).status();
    assert!(made.unwrap().success());
    let agent = site.compiled(&[VERSION, "-Wl,--no-as-needed", library.to_str().unwrap()]);
    fs::remove_file(library).unwrap();
    let error = site.refuses("", Some(&agent)).await.to_string();
    assert!(error.contains("libnobodyhas.so") && error.contains("make agent"), "{error}");
}

#[tokio::test]
async fn a_filesystem_without_the_right_to_execute_is_told() {
    let Some(unshare) = mounting() else { return };
    let site = Site::forcing(&format!(
        "mkdir -p \"$XDG_CACHE_HOME\"\n\
         exec {unshare} sh -c 'c=$XDG_CACHE_HOME; mount --bind \"$c\" \"$c\" && mount -o remount,bind,noexec \"$c\"\n\
         eval \"$SSH_ORIGINAL_COMMAND\"'"
    ));
    let error = site.refuses("", Some(&site.agent())).await.to_string();
    assert!(error.contains("noexec") && error.contains("agent-path="), "{error}");
    assert!(error.contains(site.copy().to_str().unwrap()), "{error}");
}

#[tokio::test]
async fn an_installed_agent_is_used_where_it_is() {
    let site = Site::new();
    let agent = site.agent();
    fs::create_dir(site.dir.join("home/bin")).unwrap();
    let odd = site.dir.join("home/bin/it's $HOME \\ \"odd\"!");
    fs::copy(&agent, &odd).unwrap();
    let escape =
        |path: &str| percent_encoding::utf8_percent_encode(path, percent_encoding::NON_ALPHANUMERIC).to_string();
    let whole = escape(odd.to_str().unwrap());
    let from_home = escape("~/bin/it's $HOME \\ \"odd\"!");
    for path in [whole, from_home] {
        let launcher = site.launcher(&format!("&agent-path={path}"), None);
        answers(&mut launcher.start().await.unwrap()).await;
        answers(&mut launcher.start().await.unwrap()).await;
    }
    assert_eq!((site.logins(), site.dir.join("cache").exists()), (6, false));

    let error = site.refuses("&agent-path=/nowhere/dbgraft", None).await.to_string();
    assert!(error.contains("agent-path `/nowhere/dbgraft` does not exist"), "{error}");
    let error = site.refuses("&agent-path=no-such-command", Some(&agent)).await.to_string();
    assert!(error.contains("agent-path `no-such-command` does not exist"), "{error}");
    let plain = site.dir.join("login.sh");
    let error = site.refuses(&format!("&agent-path={}", plain.display()), None).await.to_string();
    assert!(error.contains("login.sh` is there, but no executable file"), "{error}");
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_greeting_may_be_tried_again() {
    let site = Site::new();
    let silent = site.compiled(&["-DSILENT"]);
    let launcher = site.launcher(&format!("&agent-path={}", silent.display()), None);
    let starting = tokio::spawn(async move { launcher.start().await.err() });
    assert!(soon(|| site.logins() == 2).await);
    site.sshd.kill().unwrap();
    let error = starting.await.unwrap().unwrap();
    assert!(error.is_retryable() && error.kind() == ErrorKind::Connection, "{error}");
}
