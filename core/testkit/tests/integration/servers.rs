//! Servers start, serve, accept options and end.

use dbgraft_testkit::{
    Database, Flavor, MariaDb, MySql, Proxy, Release, Server, ServerOptions, Tls, source_of, target_of,
};
use mysql_async::SslOpts;

fn serves(release: Release) {
    let mut server = ServerOptions::new(release).start().unwrap();
    assert_eq!(server.flavor, release.flavor());
    assert_eq!(server.sql("SELECT 'a\tb', NULL; SELECT '🦀\\n'").unwrap(), "a\tb\tNULL\n🦀\n");
    let again = Database::from_url(&server.url).unwrap();
    assert_eq!(again.flavor, release.flavor());
    assert_eq!(again.version, server.version);
    assert_eq!(again.sql("SELECT CURRENT_USER(), @@log_bin, @@local_infile").unwrap(), "root@%\t1\t1");
    let error = server.sql("SELECT nonsense").unwrap_err().to_string();
    assert!(error.contains("nonsense"), "{error}");
    assert!(server.with_account("root", "wrong").sql("SELECT 1").is_err());
    assert!(server.with_account("root", "").sql("SELECT 1").is_err());

    // What was committed survives a crash.
    server.sql("CREATE DATABASE d; CREATE TABLE d.t (a INT); INSERT INTO d.t VALUES (42)").unwrap();
    server.kill().unwrap();
    assert!(!server.is_running());
    assert!(server.sql("SELECT 1").is_err());
    server.restart().unwrap();
    assert_eq!(server.sql_in("d", "SELECT a FROM t").unwrap(), "42");

    let dir = server.data_dir.clone().unwrap();
    drop(server);
    assert!(!dir.exists());
    assert!(again.sql("SELECT 1").is_err());
}

#[test]
fn mysql_serves() {
    serves(Release::MySql97);
}

#[test]
fn mariadb_serves() {
    serves(Release::MariaDb1011);
}

#[test]
fn other_releases_serve() {
    for (release, version) in Release::EXTRA.into_iter().zip(["5.6.", "10.5.", "11.8."]) {
        serves(release);
        let shared = source_of(release);
        assert!(shared.version.starts_with(version), "{release}: {}", shared.version);
        assert_eq!(target_of(release).url, shared.url);
    }
    let error = ServerOptions::new(Release::MySql56).tls(Tls::WithSan).start().unwrap_err();
    assert!(error.to_string().contains("MySQL 5.6 speaks no version of TLS"), "{error}");
}

#[test]
fn mysql_takes_options() {
    let server = MySql::options()
        .arg("--local-infile=0")
        .arg("--lower-case-table-names=1")
        .arg("--sql-require-primary-key=1")
        .tls(Tls::WithSan)
        .start()
        .unwrap();
    assert_eq!(server.sql("SELECT @@local_infile, @@lower_case_table_names").unwrap(), "0\t1");
    assert!(server.sql("CREATE DATABASE d; CREATE TABLE d.t (a INT)").is_err());
    assert!(verified(&server).contains("TLS"));
}

#[test]
fn mariadb_takes_options() {
    let server = MariaDb::options().arg("--max-allowed-packet=2M").arg("--lower-case-table-names=1").start().unwrap();
    assert_eq!(server.sql("SELECT @@max_allowed_packet, @@lower_case_table_names").unwrap(), "2097152\t1");
    assert!(verified(&server).contains("TLS"));
}

#[test]
fn tls_can_be_off() {
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        let server = ServerOptions::new(flavor).tls(Tls::Off).start().unwrap();
        assert!(server.ca.is_none());
        assert_eq!(server.sql("SHOW STATUS LIKE 'Ssl_version'").unwrap(), "Ssl_version\t");
    }
}

/// The TLS version of a connection that checks the server's name.
fn verified(server: &Server) -> String {
    let authority = server.ca.clone().unwrap();
    let tls = SslOpts::default().with_root_certs(vec![authority.into()]).with_disable_built_in_roots(true);
    server.sql_over_tls(tls, "SHOW STATUS LIKE 'Ssl_version'").unwrap()
}

#[test]
fn a_proxy_simulates_a_bad_link_to_a_server() {
    let server = MariaDb::start().unwrap();
    let proxy = Proxy::start((server.host.as_str(), server.port)).unwrap();
    let far = server.with_address("127.0.0.1", proxy.port());
    assert_eq!(far.sql("SELECT LENGTH(REPEAT('x', 1000))").unwrap(), "1000");
    assert!(proxy.sent_down() > 100 && proxy.sent_up() > 50);
    proxy.cut_after(50_000);
    assert!(far.sql("SELECT REPEAT('x', 1000000)").is_err());
    assert_eq!(far.sql("SELECT 1").unwrap(), "1");
}
