//! Promise: a replica can take the place of the source that is followed, if its GTIDs prove that it has everything that is
//! applied. Otherwise nothing is applied.

use dbgraft_testkit::{Database, Flavor, Server, ServerOptions, ServerPair, compare, pair_of};

use crate::common::follower::Follower;
use crate::common::{Bench, sampled_flavors, unique, wait_until};

/// Starts a server that logs with GTIDs.
fn start_server(flavor: Flavor, id: u32) -> Server {
    let options = ServerOptions::new(flavor).arg(format!("--server-id={id}"));
    let options = match flavor {
        Flavor::MySql => options.arg("--gtid-mode=ON").arg("--enforce-gtid-consistency=ON"),
        Flavor::MariaDb => options.arg("--log-slave-updates"),
    };
    options.start().unwrap()
}

/// Makes a server a replica of another one.
fn replicate(replica: &Database, source: &Database) {
    let (port, password) = (source.port, &source.password);
    match replica.flavor {
        Flavor::MySql => replica.sql(&format!(
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {port}, SOURCE_USER = 'root', \
             SOURCE_PASSWORD = '{password}', SOURCE_AUTO_POSITION = 1, SOURCE_SSL = 1; START REPLICA"
        )),
        Flavor::MariaDb => replica.sql(&format!(
            "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port}, MASTER_USER = 'root', \
             MASTER_PASSWORD = '{password}', MASTER_USE_GTID = slave_pos; START SLAVE"
        )),
    }
    .unwrap();
}

fn stop_replica(replica: &Database) {
    replica.sql(if replica.flavor == Flavor::MySql { "STOP REPLICA" } else { "STOP SLAVE" }).unwrap();
}

/// The rows of `t`, or nothing while there is no such table.
fn count(server: &Database, database: &str) -> String {
    server.sql_in(database, "SELECT COUNT(*) FROM t").unwrap_or_default().trim().to_owned()
}

/// Waits until the server has this many rows.
fn assert_arrives(server: &Database, database: &str, rows: &str) {
    assert!(wait_until(|| count(server, database) == rows), "{} rows", count(server, database));
}

/// The database `moved` of a server and a database of the target.
fn bench(source: &Database, target: &Database, to: &str) -> Bench {
    let pair = Box::leak(Box::new(ServerPair { source: source.clone(), target: target.clone() }));
    Bench { pair, from: "moved".to_owned(), to: to.to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_takes_the_place_of_the_source() {
    for &flavor in sampled_flavors() {
        let servers = [11, 12, 13].map(|id| start_server(flavor, id));
        let (target, to) = (&pair_of(flavor).target, unique());
        let benches = [0, 1, 2].map(|index: usize| bench(servers[index].database(), target, &to));
        let [source, replica, lagging] = &benches;
        // Places in the log of the source have higher numbers than those of later transactions in the replica's.
        servers[0].sql(&"FLUSH BINARY LOGS;".repeat(5)).unwrap();
        for server in &servers[1..] {
            replicate(server, &servers[0]);
        }
        servers[0].sql("CREATE DATABASE moved").unwrap();
        source.source("CREATE TABLE t (id INT, v INT); INSERT INTO t VALUES (1, 1), (2, 2)");
        let follower = Follower::begin(source, "clone", &["--follow"]).await;
        source.source("INSERT INTO t VALUES (3, 3)");
        assert_arrives(target, &to, "3");
        assert_arrives(&servers[2], "moved", "3");
        stop_replica(&servers[2]);
        source.source("INSERT INTO t VALUES (4, 4); INSERT INTO t VALUES (4, 4)");
        assert_arrives(target, &to, "5");
        assert_arrives(&servers[1], "moved", "5");
        // The last transactions may be applied before the position of the target has passed them.
        follower.kill().await;

        // This one lacks the last transactions, and goes on by itself.
        lagging.source("INSERT INTO t VALUES (9, 9)");
        let message = Follower::start(lagging, "follow", &[]).ended();
        let reasons = ["has not executed all transactions", "another server has taken the place"];
        assert!(reasons.iter().any(|reason| message.contains(reason)), "{message}");
        assert_eq!(count(target, &to), "5");

        // The source is lost while it is followed: nothing is left before its turn.
        let follower = Follower::begin(source, "follow", &[]).await;
        source.source("INSERT INTO t VALUES (5, 5)");
        assert_arrives(target, &to, "6");
        assert_arrives(&servers[1], "moved", "6");
        servers[0].kill().unwrap();
        stop_replica(&servers[1]);
        follower.signal("TERM");
        follower.ended();
        replica.source("INSERT INTO t VALUES (6, 6), (6, 6); DELETE FROM t WHERE id = 1");
        let follower = Follower::begin(replica, "follow", &[]).await;
        assert_arrives(target, &to, "7");
        follower.signal("TERM");
        follower.ended();
        // The lines of this server in the journal must win over those of the first one.
        replica.source("INSERT INTO t VALUES (7, 7)");
        let follower = Follower::begin(replica, "follow", &[]).await;
        assert_arrives(target, &to, "8");
        follower.cut_over().await;
        compare(&servers[1], "moved", target, &to).unwrap();
    }
}
