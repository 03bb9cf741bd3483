//! Objects that cannot be created exactly are reported, and everything else is cloned.
//!
//! Each file of `reported_differences/` is a database, in the format of `conformance/`: each line `-- fidelity: TEXT` is one entry of the report.

use std::path::Path;

use crate::common::{Bench, FLAVORS};
use dbgraft::{CloneOptions, ErrorKind, FidelityIssue, Severity, Verify};
use dbgraft_testkit::{Flavor, MySql};

fn line(entry: &FidelityIssue) -> String {
    format!("{} {}, {}: {} -> {}", entry.object.kind, entry.object.name, entry.what, entry.source, entry.target)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn definitions_that_a_server_refuses_are_reported_and_the_rest_is_cloned() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reported_differences");
    let mut paths: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = |start: &str| text.lines().filter_map(|line| line.strip_prefix(start)).collect::<Vec<_>>();
        let servers = lines("-- servers: ").concat();
        for flavor in FLAVORS.into_iter().filter(|flavor| servers.contains(&flavor.to_string().to_lowercase())) {
            let bench = Bench::new(flavor, &text);
            let report = bench.clone(CloneOptions { verify: Verify::Checksum, ..CloneOptions::default() }).await;
            let report = report.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let entries: Vec<String> = report.fidelity.iter().map(line).collect();
            let expected = lines("-- fidelity: ");
            let all = expected.iter().all(|text| entries.iter().any(|entry| entry.contains(text)));
            assert!(all && entries.len() == expected.len(), "{}: {entries:#?}", path.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_the_target_cannot_hold_is_found_before_anything_is_written() {
    let narrow = MySql::options().arg("--innodb-default-row-format=compact").start().unwrap();
    let bench = Bench::new(Flavor::MySql, "CREATE TABLE wide (v VARCHAR(255), KEY (v)) CHARSET utf8mb4;");
    let job = dbgraft::CloneJob::new(bench.source_url(), narrow.url_of(&bench.to));
    let error = job.run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Preflight, "{error}");
    assert!(error.to_string().contains("innodb_default_row_format compact"), "{error}");
    assert_eq!(narrow.sql(&format!("SHOW DATABASES LIKE '{}'", bench.to)).unwrap(), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_default_of_a_missing_sequence_is_found_before_anything_is_written() {
    let bench = Bench::new(Flavor::MariaDb, "CREATE SEQUENCE own; CREATE TABLE fine (id INT DEFAULT NEXTVAL(own));");
    let elsewhere = format!("{}_elsewhere", bench.from);
    bench.pair.source.sql(&format!("CREATE DATABASE {elsewhere}; CREATE SEQUENCE {elsewhere}.s")).unwrap();
    bench.source(&format!("CREATE TABLE asks (id INT DEFAULT NEXTVAL({elsewhere}.s))"));
    let error = bench.clone(CloneOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Preflight, "{error}");
    assert!(error.to_string().contains("table asks") && !error.to_string().contains("table fine"), "{error}");
    let without = CloneOptions { exclude: vec!["asks".to_owned()], ..CloneOptions::default() };
    assert_eq!(bench.clone(without).await.unwrap().fidelity, []);
    bench.pair.source.sql(&format!("DROP DATABASE {elsewhere}")).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hidden_key_that_the_target_adds_is_reported() {
    let bench = Bench::new(Flavor::MySql, "CREATE TABLE bare (v INT); INSERT INTO bare VALUES (1), (1);");
    let target = MySql::options().arg("--sql-generate-invisible-primary-key=1").start().unwrap();
    let plain = "CREATE USER plain@'%' IDENTIFIED BY 'p'; GRANT CREATE, DROP, ALTER, INDEX, SELECT, INSERT, DELETE, UPDATE, \
                 REFERENCES, CREATE VIEW, SHOW VIEW ON *.* TO plain@'%'";
    target.sql(plain).unwrap();
    let url = format!("mysql://plain:p@{}:{}/{}", target.host, target.port, bench.to);
    let report = dbgraft::CloneJob::new(bench.source_url(), url.as_str()).run().await.unwrap();
    assert!(report.warnings.iter().any(|warning| warning.contains("hidden one")), "{:?}", report.warnings);
    let hidden = |entry: &FidelityIssue| entry.what == "column my_row_id" && entry.severity == Severity::Warning;
    assert!(report.fidelity.iter().any(hidden), "{:?}", report.fidelity);
}
