//! Promise: the rows of an XA transaction are applied from its commit on, whenever it was prepared.

use std::time::Duration;

use dbgraft::TargetJob;
use dbgraft_testkit::{ServerOptions, pair_of};

use crate::common::{BackgroundLoop, FLAVORS, on_sampled_flavors, wait_until};
use crate::follow::{applied, assert_applies, assert_follows, bench_between, cut_over, end_prepared, kill, start};

#[tokio::test(flavor = "multi_thread")]
async fn transactions_that_are_prepared_at_a_kill_are_applied_at_their_commit() {
    for flavor in FLAVORS {
        // A server of its own: one with prepared transactions is not followed by the tests beside this one.
        let server = ServerOptions::new(flavor).start().unwrap();
        let table = "CREATE TABLE t (id INT PRIMARY KEY, v INT); INSERT INTO t VALUES (1, 1);";
        let bench = bench_between(server.database(), &pair_of(flavor).target, table);
        let (source, target) = (bench.source_url(), bench.target_url());
        let mut child = start(&["clone", &source, &target, "--follow"]);
        assert_follows(&mut child, &target).await;
        for (name, id) in [("kept", 2), ("undone", 3)] {
            let xid = format!("'{} {name}'", bench.from);
            bench.source(&format!(
                "XA START {xid}; INSERT INTO t VALUES ({id}, 0); UPDATE t SET v = v + 1 WHERE id = {id}; XA END {xid}; XA PREPARE {xid}"
            ));
        }
        bench.source("INSERT INTO t VALUES (4, 4)");
        assert_applies(&mut child, &target, 1).await;
        let refused = TargetJob::new(&target).cut_over(None, Duration::from_secs(1)).await.unwrap_err();
        assert!(refused.to_string().contains("XA transactions are prepared"), "{refused}");
        // Those of other databases are nobody's concern.
        let elsewhere = format!("{}_elsewhere", bench.from);
        server.sql(&format!("CREATE DATABASE {elsewhere}; CREATE TABLE {elsewhere}.o (id INT PRIMARY KEY)")).unwrap();
        server.sql_in(&elsewhere, "XA START 'o'; INSERT INTO o VALUES (1); XA END 'o'; XA PREPARE 'o'").unwrap();
        kill(child, &target).await;
        // The server may not have noticed yet that the session which prepared them is gone.
        for end in ["COMMIT 'FROM kept'", "ROLLBACK 'FROM undone'"] {
            let sql = format!("XA {}", end.replace("FROM", &bench.from));
            assert!(wait_until(|| bench.pair.source.sql(&sql).is_ok()), "{sql}");
        }
        let mut child = start(&["follow", &source, &target]);
        assert_follows(&mut child, &target).await;
        cut_over(child, &target).await;
        assert_eq!(bench.target("SELECT GROUP_CONCAT(id, ':', v ORDER BY id) FROM t"), "1:1,2:1,4:4", "{flavor}");
        bench.assert_equal();
    }
}

#[test]
fn transactions_that_stay_prepared_are_found_in_the_log() {
    on_sampled_flavors(async |flavor| {
        let server = ServerOptions::new(flavor).start().unwrap();
        let table = "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1);";
        let bench = bench_between(server.database(), &pair_of(flavor).target, table);
        let prepare = |xid: &str, sql: &str| format!("XA START {xid}; {sql}; XA END {xid}; XA PREPARE {xid}");
        server
            .sql("CREATE DATABASE elsewhere; CREATE TABLE elsewhere.o (id INT PRIMARY KEY); FLUSH BINARY LOGS")
            .unwrap();
        let other = "'gr\u{fc}n','a branch',7";
        bench.source(&prepare(other, "INSERT INTO elsewhere.o VALUES (1)"));
        bench.source(&prepare("'ours'", "INSERT INTO t VALUES (2)"));
        bench.source("INSERT INTO t VALUES (3); FLUSH BINARY LOGS; INSERT INTO t VALUES (4)");
        let (source, target) = (bench.source_url(), bench.target_url());
        let mut child = start(&["clone", &source, &target, "--follow"]);
        assert_follows(&mut child, &target).await;
        assert_eq!(bench.target("SELECT GROUP_CONCAT(id ORDER BY id) FROM t"), "1,3,4", "{flavor}");
        let refused = TargetJob::new(&target).cut_over(None, Duration::from_secs(1)).await.unwrap_err();
        assert!(refused.to_string().contains("XA transactions are prepared"), "{refused}");
        kill(child, &target).await;
        bench.source("XA COMMIT 'ours'; INSERT INTO t VALUES (5)");
        let mut child = start(&["follow", &source, &target]);
        assert_follows(&mut child, &target).await;
        assert!(TargetJob::new(&target).status().await.unwrap().following.unwrap().checkpoint.applied.gtids.is_some());
        // The one of the other database is still prepared.
        cut_over(child, &target).await;
        assert_eq!(bench.target("SELECT GROUP_CONCAT(id ORDER BY id) FROM t"), "1,2,3,4,5", "{flavor}");
        bench.source(&format!(
            "SET SESSION sql_log_bin = 0; {}",
            prepare("'unlogged'", "INSERT INTO elsewhere.o VALUES (2)")
        ));
        let again = ["clone", &source, &target, "--follow", "--if-exists", "drop"];
        let refused = start(&again).wait_with_output().unwrap();
        let message = String::from_utf8_lossy(&refused.stderr);
        assert!(message.contains("unlogged") && message.contains("XA RECOVER"), "{message}");
        // They hold locks, for which the end of the database would wait.
        server.sql(&format!("XA ROLLBACK {other}; XA ROLLBACK 'unlogged'")).unwrap();
    });
}

/// Long; `make soak` runs it. `binlog/tests/xa.rs` has each case of what a killed MariaDB has logged and not done.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn soak_a_source_is_killed_amid_xa_transactions() {
    for flavor in FLAVORS {
        let options = ServerOptions::new(flavor).fsync(true).arg("--sync-binlog=1").arg("--innodb-use-native-aio=OFF");
        let mut server = options.arg("--innodb-flush-log-at-trx-commit=1").start().unwrap();
        let source = server.database().clone();
        let table = "CREATE TABLE t (id BIGINT AUTO_INCREMENT PRIMARY KEY, v INT)";
        let bench = bench_between(&source, &pair_of(flavor).target, table);
        let target = bench.target_url();
        let mut child = start(&["clone", &bench.source_url(), &target, "--follow"]);
        assert_follows(&mut child, &target).await;
        for round in 0..10 {
            let writers = [0, 1, 2, 3].map(|writer| {
                let (source, from) = (source.clone(), bench.from.clone());
                BackgroundLoop::new(move |batch| {
                    let transactions = (0..100).map(|number| {
                        let xid = format!("'{from} {round} {writer} {batch} {number}'");
                        format!(
                            "XA START {xid}; INSERT INTO t (v) VALUES ({number}); XA END {xid}; XA PREPARE {xid}; XA COMMIT {xid};"
                        )
                    });
                    source.sql_in(&from, &transactions.collect::<String>()).is_ok()
                })
            });
            let goal = applied(&target).await + 200;
            assert_applies(&mut child, &target, goal).await;
            server.restart().unwrap();
            drop(writers);
            end_prepared(&server);
            assert_follows(&mut child, &target).await;
        }
        cut_over(child, &target).await;
        bench.assert_equal();
    }
}
