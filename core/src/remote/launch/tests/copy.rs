use std::fs;

use super::*;
use crate::error::ErrorKind;

#[tokio::test]
async fn an_executable_is_copied_once_and_used_again() {
    let site = Site::new();
    let agent = site.agent();
    let launcher = site.launcher("", Some(&agent));
    answers(&mut launcher.start().await.unwrap()).await;
    assert_eq!(site.logins(), 3, "a look, a copy, a start");
    let copy = site.copy();
    let name = copy.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with(concat!("dbgraft-", env!("CARGO_PKG_VERSION"), "-")), "{name}");
    assert_eq!(fs::read(&copy).unwrap(), fs::read(&agent).unwrap());
    assert_eq!((mode(&copy), mode(&site.cache())), (0o700, 0o700));
    let written = fs::metadata(&copy).unwrap().modified().unwrap();
    // The same launcher knows the way, another one finds the copy.
    answers(&mut launcher.start().await.unwrap()).await;
    assert_eq!(site.logins(), 4);
    answers(&mut site.launcher("", Some(&agent)).start().await.unwrap()).await;
    assert_eq!(site.logins(), 6);
    assert_eq!(fs::metadata(site.copy()).unwrap().modified().unwrap(), written);
}

#[tokio::test]
async fn a_damaged_copy_is_replaced() {
    let site = Site::new();
    let agent = site.agent();
    let good = fs::read(&agent).unwrap();
    drop(site.launcher("", Some(&agent)).start().await.unwrap());
    let copy = site.copy();
    let mut flipped = good.clone();
    flipped[2000] ^= 1;
    for damaged in [&flipped, &good[..good.len() - 1], b"", b"#!/bin/sh\nprintf '\ndbgraft agent 0.1.0\n'"] {
        replace(&copy, damaged);
        answers(&mut site.launcher("", Some(&agent)).start().await.unwrap()).await;
        assert_eq!(fs::read(site.copy()).unwrap(), good);
    }
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).unwrap();
    answers(&mut site.launcher("", Some(&agent)).start().await.unwrap()).await;
    assert_eq!(mode(&site.copy()), 0o700);
}

#[tokio::test]
async fn without_sha256sum_the_size_decides() {
    let site = Site::forcing("PATH=${0%/*}/bin; eval \"$SSH_ORIGINAL_COMMAND\"");
    fs::create_dir(site.dir.join("bin")).unwrap();
    for tool in ["sh", "uname", "cat", "mkdir", "mv", "chmod", "wc", "rm"] {
        let found = Command::new("sh").args(["-c", &format!("command -v {tool}")]).output().unwrap();
        let path = String::from_utf8(found.stdout).unwrap();
        std::os::unix::fs::symlink(path.trim(), site.dir.join("bin").join(tool)).unwrap();
    }
    let agent = site.agent();
    let mut bytes = fs::read(&agent).unwrap();
    bytes.push(b'x');
    fs::write(&agent, &bytes).unwrap();
    answers(&mut site.launcher("", Some(&agent)).start().await.unwrap()).await;
    assert_eq!(fs::read(site.copy()).unwrap(), bytes);
    *bytes.last_mut().unwrap() = b'y';
    replace(&site.copy(), &bytes);
    answers(&mut site.launcher("", Some(&agent)).start().await.unwrap()).await;
    assert_eq!(fs::read(site.copy()).unwrap(), bytes, "the same size is the same file");
    replace(&site.copy(), &bytes[1..]);
    answers(&mut site.launcher("", Some(&agent)).start().await.unwrap()).await;
    assert_eq!(fs::read(site.copy()).unwrap(), fs::read(&agent).unwrap());
}

#[tokio::test]
async fn a_copy_that_is_cut_off_leaves_nothing() {
    let site = Site::new();
    let agent = site.agent();
    fs::File::options().write(true).open(&agent).unwrap().set_len(64 << 20).unwrap();
    let launcher = site.launcher("", Some(&agent));
    let copying = tokio::spawn(async move { launcher.start().await.map(drop) });
    let under_way = || {
        let Some(name) = site.cached().pop() else { return false };
        fs::metadata(site.cache().join(name)).is_ok_and(|file| file.len() > 0)
    };
    assert!(soon(under_way).await);
    copying.abort();
    assert!(copying.await.unwrap_err().is_cancelled());
    assert!(soon(|| site.cached().is_empty()).await, "{:?}", site.cached());
}

#[tokio::test]
async fn two_coordinators_may_copy_at_once() {
    let site = Site::new();
    let agent = site.agent();
    let [a, b, c] = [(); 3].map(|()| site.launcher("", Some(&agent)));
    let (a, b, c) = tokio::join!(a.start(), b.start(), c.start());
    for mut launched in [a.unwrap(), b.unwrap(), c.unwrap()] {
        answers(&mut launched).await;
    }
    assert_eq!(fs::read(site.copy()).unwrap(), fs::read(&agent).unwrap());
}

#[tokio::test]
async fn first_calls_at_once_look_at_the_host_once() {
    let site = Site::new();
    let launcher = site.launcher("", Some(&site.agent()));
    let (a, b, c) = tokio::join!(launcher.start(), launcher.start(), launcher.start());
    for mut launched in [a.unwrap(), b.unwrap(), c.unwrap()] {
        answers(&mut launched).await;
    }
    assert_eq!(site.logins(), 5, "a look, a copy, three starts");
}

#[tokio::test]
async fn a_full_disk_is_told_in_the_hosts_words() {
    let limited = Site::forcing("ulimit -f 8; eval \"$SSH_ORIGINAL_COMMAND\"");
    let agent = limited.agent();
    fs::File::options().write(true).open(&agent).unwrap().set_len(4 << 20).unwrap();
    let error = limited.refuses("", Some(&agent)).await;
    assert!(error.to_string().contains("agent-path="), "{error}");
    assert_eq!((error.kind(), limited.cached().len()), (ErrorKind::Preflight, 0), "{error}");

    let Some(unshare) = mounting() else { return };
    let full = Site::forcing(&format!(
        "mkdir -p \"$XDG_CACHE_HOME\"\n\
         exec {unshare} sh -c 'mount -t tmpfs -o size=1m none \"$XDG_CACHE_HOME\"; eval \"$SSH_ORIGINAL_COMMAND\"'"
    ));
    let error = full.refuses("", Some(&agent)).await.to_string();
    assert!(error.contains("No space left on device") && error.contains("agent-path="), "{error}");
    assert!(error.contains(full.cache().to_str().unwrap()), "{error}");
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_told_in_the_hosts_words() {
    let site = Site::new();
    fs::write(site.dir.join("cache"), "a file where a directory should be").unwrap();
    let error = site.refuses("", Some(&site.agent())).await.to_string();
    assert!(error.contains("Not a directory") && error.contains("agent-path="), "{error}");
    assert!(error.contains(site.cache().to_str().unwrap()), "{error}");
}

#[tokio::test]
async fn nothing_is_copied_that_cannot_run_at_the_host() {
    let site = Site::new();
    let agent = site.agent();
    let mut bytes = fs::read(&agent).unwrap();
    // A machine nobody has: the header's e_machine.
    bytes[18..20].copy_from_slice(&[0xff, 0xff]);
    fs::write(&agent, bytes).unwrap();
    let error = site.refuses("", Some(&agent)).await.to_string();
    assert!(error.contains(&format!("Linux {}", std::env::consts::ARCH)), "{error}");
    assert!(error.contains("--agent-binary") && error.contains("agent-path="), "{error}");
    let script = site.dir.join("login.sh");
    let error = site.refuses("", Some(&script)).await.to_string();
    assert!(error.contains("login.sh is no executable for Linux"), "{error}");
    assert!(!site.dir.join("cache").exists());

    let error = site.refuses("", None).await;
    assert!(error.kind() == ErrorKind::Usage && error.to_string().contains("--agent-binary"), "{error}");
    let error = site.launcher("", Some(&site.dir.join("none"))).start().await.err().unwrap();
    assert!(error.kind() == ErrorKind::Usage && error.to_string().contains("No such file"), "{error}");
}

/// Another executable under the same name; the old one may still run.
fn replace(file: &Path, bytes: &[u8]) {
    fs::remove_file(file).unwrap();
    fs::write(file, bytes).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o700)).unwrap();
}
