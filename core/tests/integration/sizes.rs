//! Databases of every size: empty ones, rows of 64 MiB, a thousand tables.

use crate::common::{Bench, on_sampled_flavors, sampled_flavors};
use dbgraft::{CloneJob, CloneOptions};
use dbgraft_testkit::{Flavor, Server, ServerOptions, compare};

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_and_empty_tables() {
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, "ALTER DATABASE CHARACTER SET utf8mb3 COLLATE utf8mb3_bin");
        let report = bench.clone(CloneOptions::default()).await.unwrap();
        assert_eq!((report.rows, report.objects.len()), (0, 0));
        bench.assert_equal();
        bench.source("CREATE TABLE a (id INT PRIMARY KEY, b INT, KEY (b)); CREATE TABLE b (a INT); CREATE VIEW v AS SELECT 1 AS a");
        let archive = bench.s3(&format!("nothing-{}", bench.from));
        CloneJob::new(bench.source_url(), archive.as_str()).run().await.unwrap();
        let options = CloneOptions { recreate_database: true, ..CloneOptions::default() };
        CloneJob::new(archive, bench.target_url()).options(options).run().await.unwrap();
        bench.assert_equal();
    }
}

#[test]
fn a_thousand_tables() {
    on_sampled_flavors(async |flavor| {
        // A thousand on one family are enough to find what grows with their number.
        let count: u32 = if flavor == Flavor::MariaDb { 1000 } else { 250 };
        let tables: String = (0..count)
            .map(|n| match n % 10 {
                0 => format!("CREATE TABLE t{n} (id INT PRIMARY KEY, a VARCHAR(20), KEY (a)); INSERT INTO t{n} VALUES (1, 'a'), (2, 'b');"),
                _ => format!("CREATE TABLE t{n} (id INT PRIMARY KEY);"),
            })
            .collect();
        let bench = Bench::new(flavor, &tables);
        let report = bench.clone(CloneOptions::default()).await.unwrap();
        assert_eq!((report.objects.len(), report.rows), (count as usize, u64::from(count) / 5));
        let names =
            "SELECT COUNT(*), SUM(CRC32(TABLE_NAME)) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()";
        assert_eq!(bench.source(names), bench.target(names));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn wide_tables_and_tables_of_generated_columns_only() {
    for &flavor in sampled_flavors() {
        let columns: Vec<String> =
            (0..1000).map(|n| format!("c{n} {}", ["INT", "VARCHAR(3)", "BIT(3)"][n % 3])).collect();
        let values: Vec<String> = (0..1000).map(|n| ["7", "'x\\n'", "NULL"][n % 3].to_owned()).collect();
        let bench = Bench::new(
            flavor,
            &format!(
                "CREATE TABLE wide ({}); INSERT INTO wide VALUES ({v}), ({v}); \
                 CREATE TABLE made (a INT AS (1 + 1) STORED, b INT AS (7) VIRTUAL); INSERT INTO made () VALUES (), (), ()",
                columns.join(", "),
                v = values.join(", ")
            ),
        );
        bench.clone(CloneOptions::default()).await.unwrap();
        bench.assert_equal();
        assert_eq!(bench.target("SELECT COUNT(*) FROM made"), "3");
    }
}

fn large(flavor: Flavor, more: &[&str]) -> Server {
    let options = ServerOptions::new(flavor).arg("--max-allowed-packet=512M").arg("--innodb-log-file-size=1G");
    let options = if flavor == Flavor::MySql {
        ServerOptions::new(flavor).arg("--max-allowed-packet=512M").arg("--innodb-redo-log-capacity=1G")
    } else {
        options
    };
    more.iter().fold(options, |options, arg| options.arg(*arg)).start().unwrap()
}

#[test]
#[ignore = "long: make test-long"]
fn rows_of_64_mib_and_rows_around_the_largest_packet() {
    on_sampled_flavors(async |flavor| {
        let (source, target) = (large(flavor, &[]), large(flavor, &[]));
        source.sql("CREATE DATABASE d").unwrap();
        let edge = 0xFF_FFFF_u32;
        // Beside the value the row's packet has ten bytes: a header, a bitmap, the number, the length.
        let around = [edge - 11, edge - 10, edge - 9, edge, edge + 1]
            .map(|length| format!("INSERT INTO edges VALUES ({length}, REPEAT('e', {length}));"));
        let around = around.concat();
        source
            .sql_in(
                "d",
                &format!(
                    "CREATE TABLE edges (id INT PRIMARY KEY, v LONGBLOB); {around} \
                     CREATE TABLE giants (id INT PRIMARY KEY, b LONGBLOB, t LONGTEXT); \
                     INSERT INTO giants VALUES (1, REPEAT(0x5c0a0900, 16777216), NULL), (2, 'small', REPEAT('ä', 1000)), (3, NULL, NULL)"
                ),
            )
            .unwrap();
        // One family directly, the other through S3: each way once.
        let bench = Bench::names(flavor);
        let via = (flavor == Flavor::MariaDb).then(|| bench.s3(&format!("giants-{}", bench.from)));
        let options = CloneOptions { memory: 256 << 20, via, ..CloneOptions::default() };
        CloneJob::new(source.url_of("d"), target.url_of("d")).options(options).run().await.unwrap();
        compare(&source, "d", &target, "d").unwrap();
    });
}
