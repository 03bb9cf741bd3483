//! Positions, connections and memory.

use std::time::Duration;

use dbgraft_testkit::{Flavor, Proxy};
use futures::TryStreamExt as _;

use super::{FLAVORS, LoggedDatabase, TABLES, describe};
use crate::change::{LogEvent, LogPosition};
use crate::memory::MemoryBudget;
use crate::mysql::MySqlSource;
use crate::mysql::connect::{ServerAddress, ServerRole};
use crate::options::CloneOptions;
use crate::plan::SnapshotMethod;
use crate::source::Source as _;

#[tokio::test]
async fn rows_of_load_data_and_of_huge_transactions_fit_the_memory() {
    for flavor in FLAVORS {
        let database = LoggedDatabase::with_tables(flavor, "CREATE TABLE big (id INT PRIMARY KEY, v LONGBLOB)");
        let plan = database.snapshot().await;
        let from = database.source.log_end().await.unwrap();
        database.sql(
            "INSERT INTO big WITH RECURSIVE n AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 999) \
             SELECT n, REPEAT('v', 700) FROM n; INSERT INTO big SELECT id + 1000, v FROM big; \
             INSERT INTO big SELECT id + 2000, v FROM big",
        );
        database.sql(
            "INSERT INTO big VALUES (100000, REPEAT(x'00', 5000000)); \
             SELECT id + 200000, v FROM big WHERE id < 10 INTO OUTFILE './{db}.txt'; \
             LOAD DATA INFILE './{db}.txt' INTO TABLE big",
        );
        let goal = database.source.log_end().await.unwrap();
        let memory = MemoryBudget::new(2 << 20, 1);
        let mut changes = database.source.changes(&plan, &from, &memory).await.unwrap();
        let (mut count, mut bytes, mut commits) = (0, 0, 0);
        while let Some(event) = changes.try_next().await.unwrap() {
            match event {
                LogEvent::Rows(rows) => (count, bytes) = (count + rows.rows, bytes + rows.after.unwrap().text.len()),
                LogEvent::Commit { .. } => commits += 1,
                LogEvent::Idle { end, .. } if (&end.file, end.offset) >= (&goal.file, goal.offset) => break,
                _ => {}
            }
        }
        assert_eq!((count, commits), (4011, 5), "{flavor}");
        assert!(bytes > 7_500_000, "{bytes}");
    }
}

#[tokio::test]
async fn positions_are_bound_to_their_server_unless_gtids_tell() {
    for flavor in FLAVORS {
        let database = LoggedDatabase::with_tables(flavor, TABLES);
        let plan = database.snapshot().await;
        let from = database.source.log_end().await.unwrap();
        database.sql("INSERT INTO u VALUES (1)");
        let expected = ["begin", "insert u 1", "commit"];
        let by_file = LogPosition { gtids: None, ..from.clone() };
        assert_eq!(describe(&plan, &database.changes_after(&plan, &by_file).await.unwrap()), expected, "{flavor}");
        let by_gtids = LogPosition { server: "another".into(), file: "x".into(), offset: 1, ..from.clone() };
        assert_eq!(describe(&plan, &database.changes_after(&plan, &by_gtids).await.unwrap()), expected, "{flavor}");
        let unknown = LogPosition { server: "another".into(), ..by_file };
        let error = database.changes_after(&plan, &unknown).await.unwrap_err().to_string();
        assert!(error.contains("another server, another"), "{error}");
    }
    let database = LoggedDatabase::with_tables(Flavor::MySql, TABLES);
    let plan = database.snapshot().await;
    let tagged =
        "SET SESSION gtid_next = 'AUTOMATIC:blue'; INSERT INTO u VALUES (1); SET SESSION gtid_next = 'AUTOMATIC'";
    let events = database.changes_of(&plan, tagged).await.unwrap();
    let LogEvent::Commit { end, .. } = events.last().unwrap() else { panic!("{events:?}") };
    assert!(end.gtids.as_ref().unwrap().contains(":blue:"), "{end:?}");
    database.sql("INSERT INTO u VALUES (2)");
    let events = database.changes_after(&plan, end).await.unwrap();
    assert_eq!(describe(&plan, &events), ["begin", "insert u 2", "commit"]);
}

#[tokio::test]
async fn a_line_that_is_cut_is_noticed_by_its_silence() {
    for flavor in FLAVORS {
        let database = LoggedDatabase::with_tables(flavor, TABLES);
        let plan = database.snapshot().await;
        let from = database.source.log_end().await.unwrap();
        let proxy = Proxy::start((database.server.host.as_str(), database.server.port)).unwrap();
        let mut address = database.address.clone();
        (address.port, address.stall_timeout) = (proxy.port(), Duration::from_secs(3));
        let source = MySqlSource::new(address, &CloneOptions::default());
        let memory = MemoryBudget::new(1 << 20, 1);
        let mut changes = source.changes(&plan, &from, &memory).await.unwrap();
        // Other tests write to the log too.
        while !matches!(changes.try_next().await.unwrap(), Some(LogEvent::Idle { logged_at_ms: None, .. })) {}
        proxy.stall(true);
        let lost = loop {
            match changes.try_next().await {
                Ok(event) => assert!(matches!(event, Some(LogEvent::Idle { .. })), "{event:?}"),
                Err(error) => break error,
            }
        };
        assert!(lost.is_retryable() && lost.to_string().contains("each second"), "{lost}");
    }
}
#[tokio::test]
async fn reading_goes_on_after_each_commit() {
    for flavor in FLAVORS {
        let database = LoggedDatabase::with_tables(flavor, TABLES);
        let plan = database.snapshot().await;
        let all = database
            .changes_of(
                &plan,
                "INSERT INTO t VALUES (1, 'a'); INSERT INTO t VALUES (2, 'b'); FLUSH BINARY LOGS; \
                                               INSERT INTO u VALUES (3); INSERT INTO u VALUES (4)",
            )
            .await
            .unwrap();
        let all = describe(&plan, &all);
        assert_eq!(all.len(), 12, "{all:?}");
        let from = plan.position.log_position().unwrap();
        let mut events = database.changes_after(&plan, &from).await.unwrap();
        for number in 1..=4 {
            let LogEvent::Commit { end, committed_at_ms } = &events[2] else { panic!("{events:?}") };
            assert!(*committed_at_ms > 1_700_000_000_000, "{committed_at_ms}");
            let end = end.clone();
            events = database.changes_after(&plan, &end).await.unwrap();
            assert_eq!(describe(&plan, &events), all[3 * number..], "{flavor} from {end:?}");
        }
    }
}

#[tokio::test]
async fn without_a_lock_the_position_is_of_a_moment_before_the_snapshot() {
    for flavor in FLAVORS {
        let mut database = LoggedDatabase::with_tables(flavor, TABLES);
        let (user, name) = (format!("u_{}", database.name), database.name.clone());
        let privileges = match flavor {
            Flavor::MySql => "REPLICATION SLAVE, REPLICATION CLIENT",
            Flavor::MariaDb => "REPLICATION SLAVE, BINLOG MONITOR",
        };
        database.sql(&format!(
            "CREATE USER '{user}'@'%' IDENTIFIED BY 'Secret-1'; GRANT SELECT ON `{name}`.* TO '{user}'@'%'; \
             GRANT {privileges} ON *.* TO '{user}'@'%'"
        ));
        let account = (user.clone(), "Secret-1".to_owned().into());
        let server = (database.server.host.as_str(), database.server.port);
        let address = ServerAddress::new(ServerRole::Source, server, account, name);
        database.source = MySqlSource::new(address, &CloneOptions::default());
        let plan = database.snapshot().await;
        assert_eq!(plan.position.rung, SnapshotMethod::SingleTransaction, "{flavor}");
        assert!(plan.position.before_snapshot, "{flavor}");
        let from = plan.position.log_position().unwrap();
        database.sql("INSERT INTO u VALUES (1)");
        let events = database.changes_after(&plan, &from).await.unwrap();
        assert_eq!(describe(&plan, &events), ["begin", "insert u 1", "commit"], "{flavor}");
        database.source.close().await.unwrap();
        database.sql(&format!("DROP USER '{user}'@'%'"));
    }
}

#[tokio::test]
async fn the_log_is_measured_over_several_files() {
    for flavor in FLAVORS {
        let database = LoggedDatabase::with_tables(flavor, TABLES);
        let from = database.source.log_end().await.unwrap();
        let extent = async |from: &LogPosition| database.source.log_extent(from).await.unwrap();
        let one = extent(&from).await.unwrap();
        assert!(one.files.first().is_some_and(|(name, bytes)| *name == from.file && *bytes >= from.offset), "{one:?}");
        for id in [1, 2] {
            database.sql(&format!("FLUSH BINARY LOGS; INSERT INTO t SELECT {id}, REPEAT('v', 20)"));
        }
        database.sql("CREATE TABLE big (v LONGTEXT); INSERT INTO big VALUES (REPEAT('v', 300000))");
        let end = database.source.log_end().await.unwrap();
        let several = extent(&from).await.unwrap();
        assert!(several.files.len() >= 3 && several.files.iter().any(|(name, _)| *name == end.file), "{several:?}");
        // Other tests write into the same log.
        let (far, near) = (several.bytes_after(&from).unwrap(), several.bytes_after(&end).unwrap());
        assert!(far >= near + 300_000, "{far} {near}");
        for other in [
            LogPosition { server: "another".into(), ..from.clone() },
            LogPosition { file: "gone.000001".into(), ..from.clone() },
            LogPosition { offset: 1 << 40, ..from.clone() },
        ] {
            assert_eq!(extent(&other).await, None, "{other:?}");
        }
    }
}
