//! A host for an agent needs an sshd and nothing else; dbgraft uploads its executable, once.

#![cfg(feature = "cli")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{Bench, unique};
use dbgraft::{CloneOptions, ErrorKind, Verify};
use dbgraft_testkit::{Flavor, Sshd};

const DBGRAFT: &str = env!("CARGO_BIN_EXE_dbgraft");

/// A host whose account has an empty home.
struct BareHost {
    sshd: Sshd,
    dir: PathBuf,
}

impl BareHost {
    fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("dbgraft-bare-{}", unique()));
        fs::create_dir_all(&dir).unwrap();
        // An empty XDG_CACHE_HOME is as good as none.
        let home = format!("SetEnv HOME={} XDG_CACHE_HOME=", dir.display());
        Self { sshd: Sshd::options().line(home).start().unwrap(), dir }
    }

    /// The one file that was left there.
    fn copy(&self) -> PathBuf {
        let files = fs::read_dir(self.dir.join(".cache/dbgraft")).unwrap();
        let files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        files[0].clone()
    }
}

impl Drop for BareHost {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn assert_is_dbgraft(copy: &Path) {
    assert!(fs::read(copy).unwrap() == fs::read(DBGRAFT).unwrap(), "{} is another file", copy.display());
}

#[tokio::test]
async fn the_executable_is_uploaded_to_a_bare_host_once() {
    let (bench, host) =
        (Bench::new(Flavor::MariaDb, "CREATE TABLE t (id INT); INSERT INTO t VALUES (1)"), BareHost::new());
    let options = |source: Option<String>, target: Option<String>| CloneOptions {
        source_agent: source,
        target_agent: target,
        verify: Verify::Checksum,
        ..CloneOptions::default()
    };
    // The library knows no executable by itself.
    let error = bench.clone(options(Some(host.sshd.login_url()), None)).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Usage && error.to_string().contains("agent-binary"), "{error}");
    // Two agents come to the same host at the same time.
    let both = options(Some(host.sshd.login_url()), Some(host.sshd.login_url()));
    bench.clone(CloneOptions { agent_binary: Some(DBGRAFT.into()), ..both }).await.unwrap();
    bench.assert_equal();
    let copy = host.copy();
    assert_is_dbgraft(&copy);
    let name = copy.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with(concat!("dbgraft-", env!("CARGO_PKG_VERSION"), "-")), "{name}");
    let written = || fs::metadata(host.copy()).unwrap().modified().unwrap();
    let first = written();
    // The command takes itself.
    let verify = || {
        let ends = [bench.source_url(), bench.target_url()];
        let run = Command::new(DBGRAFT)
            .arg("verify")
            .args(ends)
            .args(["--source-agent", &host.sshd.login_url()])
            .output()
            .unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    };
    verify();
    assert_eq!(written(), first, "it was copied again");
    fs::File::options().write(true).open(&copy).unwrap().set_len(1 << 20).unwrap();
    verify();
    assert_is_dbgraft(&host.copy());
}
