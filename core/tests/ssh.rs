//! Promise: nothing is done over a host that is not trusted.

#![allow(clippy::unwrap_used, reason = "a test, helpers included")]

mod common;

use common::{Bench, FLAVORS};
use dbgraft::{CloneOptions, ErrorKind};
use dbgraft_testkit::sshd;

const ROWS: &str = "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(20)); INSERT INTO t VALUES (1, 'one'), (2, 'two')";

#[tokio::test]
async fn nothing_is_done_over_a_host_that_is_not_trusted() {
    let host = sshd();
    let url = format!("{}?config=/dev/null&identity={}&known-hosts=/dev/null", host.url, host.identity.display());
    for flavor in FLAVORS {
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
