//! Each `ssl-mode` verifies what it promises, also with the certificates that MySQL generates.

use dbgraft::{CloneJob, CloneOptions, ErrorKind};
use dbgraft_testkit::{Database, Flavor, Tls, pair_of};

/// Tries to read an empty database under these parameters.
async fn plan(server: &Database, parameters: &str) -> dbgraft::Result<()> {
    let source = format!("{}?{parameters}", server.url_of("tls"));
    let target = format!("file://{}", std::env::temp_dir().join(format!("dbgraft-{}", std::process::id())).display());
    CloneJob::new(source, target).options(CloneOptions::default()).plan().await.map(drop)
}

#[tokio::test]
async fn a_certificate_of_the_named_authority_is_taken_and_any_other_refused() {
    for &flavor in crate::common::sampled_flavors() {
        let server = crate::common::started(flavor, Tls::WithSan);
        let ca = server.ca.clone().unwrap();
        let ca = ca.display();
        for mode in ["verify-ca", "verify-identity"] {
            plan(&server, &format!("ssl-mode={mode}&ssl-ca={ca}")).await.unwrap();
            // Without the file only the public authorities are trusted.
            let error = plan(&server, &format!("ssl-mode={mode}")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
        }
        plan(&server, "ssl-mode=required").await.unwrap();
    }
}

#[tokio::test]
async fn the_certificates_that_mysql_makes_itself_can_be_verified_but_bear_no_name() {
    let server = crate::common::started(Flavor::MySql, Tls::Auto);
    let ca = server.ca.clone().unwrap();
    plan(&server, &format!("ssl-mode=verify-ca&ssl-ca={}", ca.display())).await.unwrap();
    let error = plan(&server, &format!("ssl-mode=verify-identity&ssl-ca={}", ca.display())).await.unwrap_err();
    assert!(error.to_string().contains("TLS"), "{error}");
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_asked_for() {
    for &flavor in crate::common::sampled_flavors() {
        let server = crate::common::started(flavor, Tls::Off);
        let error = plan(&server, "ssl-mode=required").await.unwrap_err();
        assert!(error.to_string().contains("no TLS"), "{error}");
        plan(&server, "ssl-mode=preferred").await.unwrap();
    }
}

#[tokio::test]
async fn passwords_of_every_login_plugin_work_with_and_without_tls() {
    let plugins = [
        (Flavor::MySql, "caching_sha2_password"),
        (Flavor::MySql, "sha256_password"),
        (Flavor::MariaDb, "mysql_native_password"),
        (Flavor::MariaDb, "ed25519"),
    ];
    for (flavor, plugin) in plugins {
        let root = &pair_of(flavor).source;
        if plugin == "ed25519" && root.sql("INSTALL SONAME 'auth_ed25519'").is_err() {
            continue;
        }
        let user = format!("u_{plugin}");
        let how = match flavor {
            Flavor::MySql => format!("IDENTIFIED WITH {plugin} BY 'p w:@/#'"),
            Flavor::MariaDb => format!("IDENTIFIED VIA {plugin} USING PASSWORD('p w:@/#')"),
        };
        root.sql(&format!(
            "CREATE DATABASE IF NOT EXISTS tls; CREATE USER {user}@'%' {how}; GRANT ALL ON tls.* TO {user}@'%'"
        ))
        .unwrap();
        for mode in ["disabled", "required"] {
            let account = root.with_account(&user, "p w:@/#");
            plan(&account, &format!("ssl-mode={mode}"))
                .await
                .unwrap_or_else(|error| panic!("{plugin} {mode}: {error}"));
            let wrong = root.with_account(&user, "wrong");
            let error = plan(&wrong, &format!("ssl-mode={mode}")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Authentication, "{error}");
        }
        root.sql(&format!("DROP USER {user}@'%'")).unwrap();
    }
}
