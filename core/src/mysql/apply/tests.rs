//! The plan of an applier, on real servers.

use std::time::Duration;

use dbgraft_testkit as testkit;

use super::MySqlApplier;
use crate::change::{ChangeKind, LogPosition, RowChanges, RowImages};
use crate::change_applier::{DefinitionOutcome, LoggedDefinition};
use crate::checkpoint::Checkpoint;
use crate::clone::{CloneJob, TargetJob};
use crate::clone_record::CloneState;
use crate::mysql::MySqlSink;
use crate::mysql::connect::{ServerAddress, ServerRole};
use crate::mysql::target::TargetDatabase;
use crate::options::CloneOptions;
use crate::plan::Plan;
use crate::sink::Sink;
use crate::{CancellationToken, ChangeApplier};

fn columns(plan: &Plan) -> Vec<usize> {
    plan.tables.iter().map(|planned| planned.table.columns.len()).collect()
}

/// A clone that can be followed, and goes with the test.
struct FollowedClone {
    pair: &'static testkit::ServerPair,
    name: String,
    /// The target's.
    address: ServerAddress,
}

impl FollowedClone {
    async fn make(flavor: testkit::Flavor, name: &str, table: &str) -> Self {
        let (pair, name) = (testkit::pair_of(flavor), format!("{name}_{}", std::process::id()));
        let account = (pair.target.user.clone(), pair.target.password.clone().into());
        let server = (pair.target.host.as_str(), pair.target.port);
        let address = ServerAddress::new(ServerRole::Target, server, account, name.clone());
        let clone = Self { pair, name, address };
        pair.source.sql(&format!("CREATE DATABASE {}", clone.name)).unwrap();
        pair.source.sql_in(&clone.name, table).unwrap();
        let options = CloneOptions { follow: true, ..CloneOptions::default() };
        let (source, target) = (pair.source.url_of(&clone.name), pair.target.url_of(&clone.name));
        let token = CancellationToken::new();
        let job = CloneJob::new(source, target.clone()).options(options).cancellation(token.clone());
        let running = tokio::spawn(job.run());
        let state = async || TargetJob::new(&target).status().await.map_or(CloneState::None, |status| status.state);
        while state().await != CloneState::Following {
            assert!(!running.is_finished(), "{:?}", running.await.unwrap().err());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        token.cancel();
        running.await.unwrap().unwrap_err();
        clone
    }

    fn sink(&self) -> MySqlSink {
        MySqlSink::new(self.address.clone(), &CloneOptions::default())
    }

    async fn recorded_plan(&self) -> Plan {
        self.sink().clone_record().await.unwrap().unwrap().plan.unwrap()
    }
}

impl Drop for FollowedClone {
    fn drop(&mut self) {
        for server in [&self.pair.source, &self.pair.target] {
            let _ = server.sql(&format!("DROP DATABASE IF EXISTS {}", self.name));
        }
    }
}

/// Takes up, once the server has noticed that the connection of an earlier applier is closed.
async fn take_up(applier: &dyn ChangeApplier) -> (LogPosition, Plan) {
    loop {
        match applier.take_up().await {
            Ok((checkpoint, plan)) => return (checkpoint.applied, plan.unwrap()),
            Err(error) => assert!(error.to_string().contains("over connection"), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn the_plan_that_a_statement_leaves_is_used_and_kept_whoever_has_an_older_one() {
    for flavor in [testkit::Flavor::MySql, testkit::Flavor::MariaDb] {
        testkit::no_hang(async {
            let clone = FollowedClone::make(flavor, "plans", "CREATE TABLE t (id INT PRIMARY KEY, v INT)").await;
            let old = clone.recorded_plan().await;
            let applier = clone.sink().change_applier(&old).await.unwrap();
            let (start, plan) = take_up(&*applier).await;
            assert_eq!(columns(&plan), [2]);
            let end = LogPosition { offset: start.offset + 1, ..start.clone() };
            let definition = LoggedDefinition {
                sql: "ALTER TABLE t ADD c INT".to_owned(),
                database: clone.name.clone(),
                settings: Vec::new(),
                start,
                end: end.clone(),
                with_rows: false,
                obstacle: None,
            };
            let outcome = applier.apply_definition(&definition, &[]).await.unwrap();
            assert_eq!(outcome, DefinitionOutcome::Applied, "{flavor}");
            // The caller may not get this outcome, and goes on by this call.
            let (applied, plan) = take_up(&*applier).await;
            assert_eq!((applied, columns(&plan)), (end.clone(), vec![3]), "{flavor}");
            applier.close().await;
            drop(applier);
            // An agent that takes the place of a lost one is given the plan with which following began.
            let applier = clone.sink().change_applier(&old).await.unwrap();
            let (applied, plan) = take_up(&*applier).await;
            assert_eq!((applied, columns(&plan)), (end, vec![3]), "{flavor}");
            assert_eq!(clone.recorded_plan().await, plan, "{flavor}");
            applier.close().await;
        })
        .await;
    }
}

/// Changes of the only table, which has two columns.
fn rows(kind: ChangeKind, before: &str, after: &str) -> RowChanges {
    let images = |text: &str| {
        let columns = vec![0, 1];
        (!text.is_empty()).then(|| RowImages { columns, text: text.replace(' ', "\t").replace(',', "\n").into() })
    };
    let count = before.matches(',').count().max(after.matches(',').count()) as u64;
    RowChanges { table: 0, kind, rows: count, before: images(before), after: images(after), with_cascades: false }
}

/// Applies changes in one transaction, by several statements in a packet or by one.
async fn apply(applier: &MySqlApplier, together: bool, changes: &[RowChanges], end: &LogPosition) -> crate::Result<()> {
    let state = applier.state();
    let mut session = state.session().await?;
    session.set_multi_statements(together).await?;
    state.put_back(session);
    let mut open = applier.begin(0, false).await?;
    for change in changes {
        open.apply(change).await?;
    }
    open.commit(&Checkpoint { applied: end.clone(), ..Checkpoint::default() }).await
}

#[tokio::test]
async fn statements_run_together_or_one_by_one_and_each_must_do_what_the_log_says() {
    use ChangeKind::{Delete, Insert, Update};
    for flavor in [testkit::Flavor::MySql, testkit::Flavor::MariaDb] {
        testkit::no_hang(async {
            let table = "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20) UNIQUE)";
            let clone = FollowedClone::make(flavor, "together", table).await;
            let plan = clone.recorded_plan().await;
            let target = TargetDatabase::new(clone.address.clone(), &CloneOptions::default());
            let applier = MySqlApplier::new(std::sync::Arc::new(target), &plan).await.unwrap();
            let (start, _) = take_up(&applier).await;
            let mut end = start.clone();
            let table = || clone.pair.target.sql_in(&clone.name, "SELECT * FROM t ORDER BY id").unwrap();
            for together in [true, false] {
                let changes = [
                    rows(Insert, "", "1 a,2 b,3 it's;x,"),
                    rows(Update, "1 a,", "1 c,"),
                    rows(Insert, "", "4 a,"),
                    rows(Update, "2 b,", "5 b,"),
                    rows(Update, "1 c,5 b,", "1 b,5 c,"),
                    rows(Delete, "4 a,", ""),
                    rows(Insert, "", "4 \\N,"),
                ];
                end.offset += 1;
                apply(&applier, together, &changes, &end).await.unwrap();
                assert_eq!(table(), "1\tb\n3\tit's;x\n4\tNULL\n5\tc", "{flavor} {together}");
                let refused = [
                    (rows(Delete, "7 x,", ""), "says to delete 2 row(s), and the target has 1"),
                    (rows(Update, "7 x,", "7 y,"), "says to update 1 row(s), and the target has 0"),
                    (rows(Insert, "", "9 c,"), "Duplicate entry"),
                    (rows(Insert, "", "9 a_text_that_is_longer_than_the_column,"), "Data too long"),
                ];
                for (change, message) in refused {
                    let changes = [rows(Delete, "1 b,", ""), change, rows(Insert, "", "8 h,")];
                    let error = apply(&applier, together, &changes, &end).await.unwrap_err().to_string();
                    assert!(error.contains(message) && error.contains("table t"), "{flavor} {together}: {error}");
                    assert_eq!(table(), "1\tb\n3\tit's;x\n4\tNULL\n5\tc", "{flavor} {together}");
                }
                end.offset += 1;
                apply(&applier, together, &[rows(Delete, "1 b,3 it's;x,4 \\N,5 c,", "")], &end).await.unwrap();
                assert_eq!(table(), "");
                assert_eq!(take_up(&applier).await.0, end, "{flavor} {together}");
            }
            applier.close().await;
        })
        .await;
    }
}
