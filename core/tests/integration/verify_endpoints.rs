//! Comparisons of servers and archives, over broken connections, and when they are cancelled.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::comparing::{TABLES, checksum, difference_lines, large};
use crate::common::{Account, Bench, on_sampled_flavors, sampled_flavors, unique};
use dbgraft::{
    Batch, CancellationToken, CloneJob, CloneOptions, ErrorKind, Event, Note, Phase, Plan, Receipt, ResumeState,
};
use dbgraft::{Sink, SinkEndpoint, TablePlan, Verify};
use dbgraft_testkit::{Flavor, Proxy};

/// An archive in a directory.
struct ArchiveDirectory(PathBuf);

impl ArchiveDirectory {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("dbgraft-verify-{}", unique())))
    }

    fn url(&self) -> String {
        format!("file://{}", self.0.display())
    }

    /// The objects with rows.
    fn batches(&self) -> Vec<PathBuf> {
        let tables = fs::read_dir(self.0.join("data")).unwrap().map(|table| table.unwrap().path());
        tables.flat_map(|table| fs::read_dir(table).unwrap().map(|file| file.unwrap().path())).collect()
    }
}

impl Drop for ArchiveDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn an_archive_is_compared_like_a_server_and_its_damage_is_found() {
    on_sampled_flavors(async |flavor| {
        let bench = large(flavor, TABLES);
        let dir = ArchiveDirectory::new();
        let exported = CloneJob::new(bench.source_url(), dir.url()).options(checksum()).run().await.unwrap();
        assert_eq!((exported.verified.as_ref().unwrap().tables, exported.verified.unwrap().rows), (7, exported.rows));
        let export = || CloneJob::new(bench.source_url(), dir.url()).options(checksum()).verify();
        let import = || CloneJob::new(dir.url(), bench.target_url()).options(checksum()).verify();
        assert_eq!(difference_lines(&export().await.unwrap()), Vec::<String>::new());
        let imported = CloneJob::new(dir.url(), bench.target_url()).options(checksum()).run().await.unwrap();
        assert_eq!(imported.verified.unwrap().rows, exported.rows);
        assert_eq!(difference_lines(&import().await.unwrap()), Vec::<String>::new());

        bench.target("DELETE FROM large WHERE id = 5");
        bench.source("UPDATE keyed SET v = 'later' WHERE id = 1");
        let import_lines = difference_lines(&import().await.unwrap());
        assert!(import_lines.len() == 2 && import_lines[0].starts_with("table large, id <= "), "{import_lines:?}");
        assert_eq!(import_lines[1], "  only at the source: id = 5");
        assert_eq!(difference_lines(&export().await.unwrap())[1], "  different: id = 1");

        let batches = dir.batches();
        let mut bytes = fs::read(&batches[0]).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&batches[0], bytes).unwrap();
        fs::remove_file(&batches[1]).unwrap();
        for comparison in [export().await.unwrap(), import().await.unwrap()] {
            let lines = difference_lines(&comparison).join("\n");
            assert!(lines.contains("is damaged") && lines.matches("cannot be read").count() == 2, "{lines}");
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_needs_no_right_to_write_and_leaves_no_connection() {
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, TABLES);
        bench.clone(CloneOptions::default()).await.unwrap();
        let source = Account::new(&bench.pair.source, &[&format!("SELECT ON {}.*", bench.from)]);
        let target = Account::new(&bench.pair.target, &[&format!("SELECT ON {}.*", bench.to)]);
        let job = CloneJob::new(source.server().url_of(&bench.from), target.server().url_of(&bench.to));
        let comparison = job.options(checksum()).verify().await.unwrap();
        assert_eq!((difference_lines(&comparison), comparison.verification.tables), (vec![], 6));
        source.assert_gone();
        target.assert_gone();
    }
}

/// What both families hold in the same way, JSON as the text that MySQL prints.
const COMMON: &str = "
    CREATE TABLE a (id BIGINT UNSIGNED PRIMARY KEY, f FLOAT, d DOUBLE, n DECIMAL(65, 30), j JSON, b BIT(9), y YEAR,
                    t TIMESTAMP(6) NULL, m TIME(3), e ENUM('x', '', 'y'), s SET('p', 'q'), r VARBINARY(300),
                    l VARCHAR(20) CHARACTER SET latin1, g POINT SRID 0);
    INSERT INTO a VALUES (18446744073709551615, 0.1, -1.5, 0.000000000000000000000000000001, '{\"a\": [1, 2.5]}', b'101',
                          1901, '2024-03-31 01:30:00.000001', '-838:59:59', '', 'p,q', x'0009ff5c0a', _latin1 x'e9', POINT(1, 2)),
                         (0, 1e-38, 5e-324, NULL, NULL, NULL, 0, NULL, NULL, NULL, '', '', '', NULL)";

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_holds_between_the_families() {
    let mysql = Bench::new(Flavor::MySql, COMMON);
    let mariadb = Bench::new(Flavor::MariaDb, &COMMON.replace("SRID 0", "REF_SYSTEM_ID=0"));
    let ends = [(mysql.source_url(), mariadb.source_url()), (mariadb.source_url(), mysql.source_url())];
    for (source, target) in &ends {
        let comparison = CloneJob::new(source.clone(), target.clone()).options(checksum()).verify().await.unwrap();
        assert_eq!((difference_lines(&comparison), comparison.verification.rows), (vec![], 2));
    }
    mariadb.source("UPDATE a SET d = -1.5000000000000002 WHERE id > 0");
    for (source, target) in ends {
        let comparison = CloneJob::new(source, target).options(checksum()).verify().await.unwrap();
        assert_eq!(difference_lines(&comparison)[1], "  different: id = 18446744073709551615");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_that_sort_differently_there_are_no_difference() {
    // The one takes `_` for less than a letter, the other for more.
    let rows = |collation: &str| {
        format!(
            "CREATE TABLE t (k VARCHAR(20) PRIMARY KEY, v LONGTEXT) CHARACTER SET utf8mb4 COLLATE {collation};
             INSERT INTO t WITH RECURSIVE n AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 50)
             SELECT CONCAT(IF(a.n > 25, '_', 'm'), a.n * 50 + b.n), REPEAT('x', 8200) FROM n a JOIN n b;
             ANALYZE TABLE t"
        )
    };
    let mysql = Bench::new(Flavor::MySql, &rows("utf8mb4_0900_ai_ci"));
    let mariadb = Bench::new(Flavor::MariaDb, &rows("utf8mb4_general_ci"));
    for options in [checksum(), CloneOptions { verify: Verify::Counts, ..CloneOptions::default() }] {
        let job = CloneJob::new(mysql.source_url(), mariadb.source_url()).options(options);
        let found = job.verify().await.unwrap();
        assert_eq!((difference_lines(&found), found.verification.rows), (vec![], 2500));
        assert!(found.verification.chunks > 1);
    }
    mariadb.source("UPDATE t SET v = 'changed' WHERE k = 'm51'");
    let found = CloneJob::new(mysql.source_url(), mariadb.source_url()).verify().await.unwrap();
    assert!(!found.verification.differences.is_empty());
}

#[test]
fn a_line_that_breaks_is_no_difference() {
    on_sampled_flavors(async |flavor| {
        let bench = large(flavor, "");
        bench.clone(CloneOptions::default()).await.unwrap();
        let target = &bench.pair.target;
        let proxy = Arc::new(Proxy::start((target.host.as_str(), target.port)).unwrap());
        let behind = target.with_address("127.0.0.1", proxy.port()).url_of(&bench.to);
        let (line, warned) = (proxy.clone(), Arc::new(AtomicBool::new(false)));
        let heard = warned.clone();
        let cutting = move |event: Event| match event {
            Event::Phase { phase: Phase::Verify, .. } => line.cut_after(3_000_000),
            Event::Warning { message } if message.contains("tried again") => heard.store(true, Ordering::Relaxed),
            _ => {}
        };
        let job = CloneJob::new(bench.source_url(), behind).options(checksum()).on_event(cutting);
        let comparison = job.verify().await.unwrap();
        assert_eq!((difference_lines(&comparison), comparison.verification.rows), (vec![], 2500));
        assert!(warned.load(Ordering::Relaxed));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_comparison_leaves_no_statement_running() {
    for &flavor in sampled_flavors() {
        let bench = large(flavor, "");
        bench.clone(CloneOptions::default()).await.unwrap();
        let source = Account::new(&bench.pair.source, &["SELECT ON *.*"]);
        let target = Account::new(&bench.pair.target, &["SELECT ON *.*"]);
        let cancellation = CancellationToken::new();
        let token = cancellation.clone();
        let cancel = move |event: Event| {
            if matches!(event, Event::Progress { .. }) {
                token.cancel();
            }
        };
        let job = CloneJob::new(source.server().url_of(&bench.from), target.server().url_of(&bench.to));
        let options = CloneOptions { max_rate: Some(1 << 20), ..checksum() };
        let error = job.options(options).on_event(cancel).cancellation(cancellation).verify().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
        source.assert_gone();
        target.assert_gone();
        assert_eq!(bench.target("SELECT COUNT(*) FROM large"), "2500");
    }
}

/// A sink that cannot read back.
struct WriteOnlySink;

#[async_trait::async_trait]
impl Sink for WriteOnlySink {
    async fn begin(&self, _plan: &Plan) -> dbgraft::Result<ResumeState> {
        panic!("nothing may be written")
    }

    async fn write(&self, _table: &TablePlan, batch: Batch) -> dbgraft::Result<Receipt> {
        Ok(Receipt::for_batch(&batch))
    }

    async fn finish(&self, _plan: &Plan) -> dbgraft::Result<Vec<Note>> {
        Ok(Vec::new())
    }

    async fn abort(&self) -> dbgraft::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_cannot_be_read_back_is_refused_before_anything_is_written() {
    let bench = Bench::new(Flavor::MySql, TABLES);
    let job = || CloneJob::new(bench.source_url(), SinkEndpoint::Own(Arc::new(WriteOnlySink))).options(checksum());
    let refused = job().run().await.unwrap_err();
    assert!(refused.kind() == ErrorKind::Preflight && refused.to_string().contains("--verify"), "{refused}");
    assert_eq!(job().verify().await.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_compared_is_wrong_usage() {
    let bench = Bench::new(Flavor::MySql, TABLES);
    let wrong =
        [CloneOptions { schema_only: true, ..checksum() }, CloneOptions { list_rows: true, ..CloneOptions::default() }];
    for options in wrong {
        assert_eq!(bench.clone(options).await.unwrap_err().kind(), ErrorKind::Usage);
    }
    let missing = bench.job(checksum()).verify().await.unwrap_err();
    assert!(missing.kind() == ErrorKind::Usage && missing.to_string().contains(&bench.to), "{missing}");
    assert!(!bench.target_exists());
}
