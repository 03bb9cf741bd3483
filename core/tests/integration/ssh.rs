//! A tunnel goes over hosts whose keys are checked; otherwise nothing is done.

use std::fs;

use crate::common::{Bench, sampled_flavors, unique};
use dbgraft::{CloneOptions, ErrorKind, Verify};
use dbgraft_testkit::{Sshd, sshd};

const ROWS: &str = "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(20)); INSERT INTO t VALUES (1, 'one'), (2, 'two')";

#[tokio::test]
async fn a_clone_goes_over_a_chain_of_hosts() {
    let (first, dir) = (Sshd::start().unwrap(), std::env::temp_dir().join(format!("dbgraft-ssh-{}", unique())));
    fs::create_dir_all(&dir).unwrap();
    let accepted = dir.join("accepted");
    fs::copy(first.identity.with_extension("pub"), &accepted).unwrap();
    let second = Sshd::options().line(format!("AuthorizedKeysFile {}", accepted.display())).start().unwrap();
    let known: String = [&first, &second].map(|host| fs::read_to_string(&host.known_hosts).unwrap()).concat();
    fs::write(dir.join("known"), known).unwrap();
    let files = format!("identity={}&known-hosts={}", first.identity.display(), dir.join("known").display());
    let url = format!("{}?config=/dev/null&{files}&jump={}@{}:{}", second.url, first.user, first.host, first.port);
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, ROWS);
        let options = CloneOptions {
            source_tunnel: Some(url.clone()),
            target_tunnel: Some(url.clone()),
            verify: Verify::Checksum,
            ..CloneOptions::default()
        };
        bench.clone(options).await.unwrap();
        // This blocks the only thread of the runtime: an open connection would keep the databases from being removed.
        bench.assert_equal();
    }
    assert!(first.log().contains("Accepted publickey") && second.log().contains("Accepted publickey"));
    fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn nothing_is_done_over_a_host_that_is_not_trusted() {
    let host = sshd();
    let url = format!("{}?config=/dev/null&identity={}&known-hosts=/dev/null", host.url, host.identity.display());
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, ROWS);
        let options = CloneOptions { target_tunnel: Some(url.clone()), ..CloneOptions::default() };
        let error = bench.clone(options.clone()).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Authentication && error.to_string().contains("ssh-keyscan"), "{error}");
        assert!(!bench.target_exists());
        let options = CloneOptions { insecure_accept_any_host_key: true, ..options };
        bench.clone(options).await.unwrap();
        bench.assert_equal();
    }
}
