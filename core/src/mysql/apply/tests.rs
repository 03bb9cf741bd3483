//! The plan of an applier, on real servers.

use std::time::Duration;

use dbgraft_testkit as testkit;

use crate::change::LogPosition;
use crate::change_applier::{DefinitionOutcome, LoggedDefinition};
use crate::clone::{CloneJob, TargetJob};
use crate::clone_record::CloneState;
use crate::mysql::MySqlSink;
use crate::mysql::connect::{ServerAddress, ServerRole};
use crate::options::CloneOptions;
use crate::plan::Plan;
use crate::sink::Sink;
use crate::{CancellationToken, ChangeApplier};

fn columns(plan: &Plan) -> Vec<usize> {
    plan.tables.iter().map(|planned| planned.table.columns.len()).collect()
}

/// Makes a clone that can be followed.
async fn make_clone(pair: &testkit::ServerPair, name: &str) {
    let options = CloneOptions { follow: true, ..CloneOptions::default() };
    let (source, target) = (pair.source.url_of(name), pair.target.url_of(name));
    let token = CancellationToken::new();
    let running =
        tokio::spawn(CloneJob::new(source, target.clone()).options(options).cancellation(token.clone()).run());
    let state = async || TargetJob::new(&target).status().await.map_or(CloneState::None, |status| status.state);
    while state().await != CloneState::Following {
        assert!(!running.is_finished(), "{:?}", running.await.unwrap().err());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    token.cancel();
    running.await.unwrap().unwrap_err();
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
        let pair = testkit::pair_of(flavor);
        let name = format!("plans_{}", std::process::id());
        pair.source.sql(&format!("CREATE DATABASE {name}")).unwrap();
        pair.source.sql_in(&name, "CREATE TABLE t (id INT PRIMARY KEY, v INT)").unwrap();
        testkit::no_hang(async {
            make_clone(pair, &name).await;
            let account = (pair.target.user.clone(), pair.target.password.clone().into());
            let server = (pair.target.host.as_str(), pair.target.port);
            let address = ServerAddress::new(ServerRole::Target, server, account, name.clone());
            let sink = || MySqlSink::new(address.clone(), &CloneOptions::default());
            let recorded = async || sink().clone_record().await.unwrap().unwrap().plan.unwrap();
            let old = recorded().await;
            let applier = sink().change_applier(&old).await.unwrap();
            let (start, plan) = take_up(&*applier).await;
            assert_eq!(columns(&plan), [2]);
            let end = LogPosition { offset: start.offset + 1, ..start.clone() };
            let definition = LoggedDefinition {
                sql: "ALTER TABLE t ADD c INT".to_owned(),
                database: name.clone(),
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
            let applier = sink().change_applier(&old).await.unwrap();
            let (applied, plan) = take_up(&*applier).await;
            assert_eq!((applied, columns(&plan)), (end, vec![3]), "{flavor}");
            assert_eq!(recorded().await, plan, "{flavor}");
            applier.close().await;
        })
        .await;
        for server in [&pair.source, &pair.target] {
            server.sql(&format!("DROP DATABASE {name}")).unwrap();
        }
    }
}
