use std::fs;

use super::*;
use crate::error::ErrorKind;

#[tokio::test]
async fn the_executable_is_uploaded_once_and_reused() {
    let host = TestHost::new();
    let agent = host.agent();
    let launcher = host.launcher("", Some(&agent));
    assert_answers(&mut launcher.start().await.unwrap()).await;
    assert_eq!(host.login_count(), 3, "a probe, an upload, a start");
    let file = host.cached_file();
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with(concat!("dbgraft-", env!("CARGO_PKG_VERSION"), "-")), "{name}");
    assert_eq!(fs::read(&file).unwrap(), fs::read(&agent).unwrap());
    assert_eq!((mode(&file), mode(&host.cache_dir())), (0o700, 0o700));
    let written = fs::metadata(&file).unwrap().modified().unwrap();
    // The same launcher knows the path, another one finds the file by its probe.
    assert_answers(&mut launcher.start().await.unwrap()).await;
    assert_eq!(host.login_count(), 4);
    assert_answers(&mut host.launcher("", Some(&agent)).start().await.unwrap()).await;
    assert_eq!(host.login_count(), 6);
    assert_eq!(fs::metadata(host.cached_file()).unwrap().modified().unwrap(), written);
}

#[tokio::test]
async fn a_damaged_executable_is_replaced() {
    let host = TestHost::new();
    let agent = host.agent();
    let good = fs::read(&agent).unwrap();
    drop(host.launcher("", Some(&agent)).start().await.unwrap());
    let file = host.cached_file();
    let mut flipped = good.clone();
    flipped[2000] ^= 1;
    for damaged in [&flipped, &good[..good.len() - 1], b"", b"#!/bin/sh\nprintf '\ndbgraft agent 0.1.0\n'"] {
        replace(&file, damaged);
        assert_answers(&mut host.launcher("", Some(&agent)).start().await.unwrap()).await;
        assert_eq!(fs::read(host.cached_file()).unwrap(), good);
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    assert_answers(&mut host.launcher("", Some(&agent)).start().await.unwrap()).await;
    assert_eq!(mode(&host.cached_file()), 0o700);
}

#[tokio::test]
async fn without_sha256sum_only_the_size_is_checked() {
    let host = TestHost::with_login_script("PATH=${0%/*}/bin; eval \"$SSH_ORIGINAL_COMMAND\"");
    fs::create_dir(host.dir.join("bin")).unwrap();
    for tool in ["sh", "uname", "cat", "mkdir", "mv", "chmod", "wc", "rm"] {
        let found = Command::new("sh").args(["-c", &format!("command -v {tool}")]).output().unwrap();
        let path = String::from_utf8(found.stdout).unwrap();
        std::os::unix::fs::symlink(path.trim(), host.dir.join("bin").join(tool)).unwrap();
    }
    let agent = host.agent();
    let mut bytes = fs::read(&agent).unwrap();
    bytes.push(b'x');
    fs::write(&agent, &bytes).unwrap();
    assert_answers(&mut host.launcher("", Some(&agent)).start().await.unwrap()).await;
    assert_eq!(fs::read(host.cached_file()).unwrap(), bytes);
    *bytes.last_mut().unwrap() = b'y';
    replace(&host.cached_file(), &bytes);
    assert_answers(&mut host.launcher("", Some(&agent)).start().await.unwrap()).await;
    assert_eq!(fs::read(host.cached_file()).unwrap(), bytes, "a file of the same size is not uploaded again");
    replace(&host.cached_file(), &bytes[1..]);
    assert_answers(&mut host.launcher("", Some(&agent)).start().await.unwrap()).await;
    assert_eq!(fs::read(host.cached_file()).unwrap(), fs::read(&agent).unwrap());
}

#[tokio::test]
async fn an_interrupted_upload_leaves_no_file() {
    let host = TestHost::new();
    let agent = host.agent();
    fs::File::options().write(true).open(&agent).unwrap().set_len(64 << 20).unwrap();
    let launcher = host.launcher("", Some(&agent));
    let upload = tokio::spawn(async move { launcher.start().await.map(drop) });
    let under_way = async || {
        let Some(name) = host.cached_names().pop() else { return false };
        fs::metadata(host.cache_dir().join(name)).is_ok_and(|file| file.len() > 0)
    };
    assert!(becomes_true(under_way).await);
    upload.abort();
    assert!(upload.await.unwrap_err().is_cancelled());
    assert!(becomes_true(async || host.cached_names().is_empty()).await, "{:?}", host.cached_names());
}

#[tokio::test]
async fn concurrent_uploads_do_not_disturb_each_other() {
    let host = TestHost::new();
    let agent = host.agent();
    let [a, b, c] = [(); 3].map(|()| host.launcher("", Some(&agent)));
    let (a, b, c) = tokio::join!(a.start(), b.start(), c.start());
    for mut agent_process in [a.unwrap(), b.unwrap(), c.unwrap()] {
        assert_answers(&mut agent_process).await;
    }
    assert_eq!(fs::read(host.cached_file()).unwrap(), fs::read(&agent).unwrap());
}

#[tokio::test]
async fn concurrent_first_starts_share_one_probe() {
    let host = TestHost::new();
    let launcher = host.launcher("", Some(&host.agent()));
    let (a, b, c) = tokio::join!(launcher.start(), launcher.start(), launcher.start());
    for mut agent_process in [a.unwrap(), b.unwrap(), c.unwrap()] {
        assert_answers(&mut agent_process).await;
    }
    assert_eq!(host.login_count(), 5, "a probe, an upload, three starts");
}

#[tokio::test]
async fn the_error_for_a_full_disk_contains_the_hosts_message() {
    let limited = TestHost::with_login_script("ulimit -f 8; eval \"$SSH_ORIGINAL_COMMAND\"");
    let agent = limited.agent();
    fs::File::options().write(true).open(&agent).unwrap().set_len(4 << 20).unwrap();
    let error = limited.start_error("", Some(&agent)).await;
    assert!(error.to_string().contains("agent-path="), "{error}");
    assert_eq!((error.kind(), limited.cached_names().len()), (ErrorKind::Preflight, 0), "{error}");

    let Some(unshare) = mount_namespace_command() else { return };
    let full = TestHost::with_login_script(&format!(
        "mkdir -p \"$XDG_CACHE_HOME\"\n\
         exec {unshare} sh -c 'mount -t tmpfs -o size=1m none \"$XDG_CACHE_HOME\"; eval \"$SSH_ORIGINAL_COMMAND\"'"
    ));
    let error = full.start_error("", Some(&agent)).await.to_string();
    assert!(error.contains("No space left on device") && error.contains("agent-path="), "{error}");
    assert!(error.contains(full.cache_dir().to_str().unwrap()), "{error}");
}

#[tokio::test]
async fn the_error_for_a_directory_contains_the_hosts_message() {
    let host = TestHost::new();
    fs::write(host.dir.join("cache"), "a file where a directory should be").unwrap();
    let error = host.start_error("", Some(&host.agent())).await.to_string();
    assert!(error.contains("Not a directory") && error.contains("agent-path="), "{error}");
    assert!(error.contains(host.cache_dir().to_str().unwrap()), "{error}");
}

#[tokio::test]
async fn an_executable_for_another_platform_is_not_uploaded() {
    let host = TestHost::new();
    let agent = host.agent();
    let mut bytes = fs::read(&agent).unwrap();
    // An unassigned machine in the header's e_machine.
    bytes[18..20].copy_from_slice(&[0xff, 0xff]);
    fs::write(&agent, bytes).unwrap();
    let error = host.start_error("", Some(&agent)).await.to_string();
    assert!(error.contains(&format!("Linux {}", std::env::consts::ARCH)), "{error}");
    assert!(error.contains("--agent-binary") && error.contains("agent-path="), "{error}");
    let script = host.dir.join("login.sh");
    let error = host.start_error("", Some(&script)).await.to_string();
    assert!(error.contains("login.sh is no executable for Linux"), "{error}");
    assert!(!host.dir.join("cache").exists());

    let error = host.start_error("", None).await;
    assert!(error.kind() == ErrorKind::Usage && error.to_string().contains("--agent-binary"), "{error}");
    let error = host.launcher("", Some(&host.dir.join("none"))).start().await.err().unwrap();
    assert!(error.kind() == ErrorKind::Usage && error.to_string().contains("No such file"), "{error}");
}

/// Replaces a file, whose old content may still run as a process.
fn replace(file: &Path, bytes: &[u8]) {
    fs::remove_file(file).unwrap();
    fs::write(file, bytes).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o700)).unwrap();
}
