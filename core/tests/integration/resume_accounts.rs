//! Promise: an account that may take no lock resumes a clone at a moment that the log proves.

use crate::common::{Account, Bench, on_sampled_flavors};
use crate::resume::{SLOWLY, Until, case, kill_at, resume, run};
use dbgraft::{CloneJob, ResumeCase, SnapshotMethod};
use dbgraft_testkit::{Flavor, ServerOptions, ServerPair};

const TABLES: &str = "CREATE TABLE big (id INT PRIMARY KEY, filler TEXT); \
    INSERT INTO big WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 900) SELECT i, REPEAT('x', 3000) FROM n; \
    CREATE TABLE middle (id INT PRIMARY KEY, filler TEXT); INSERT INTO middle SELECT id, LEFT(filler, 1000) FROM big; \
    CREATE TABLE small (id INT PRIMARY KEY, filler TEXT); INSERT INTO small SELECT id, LEFT(filler, 700) FROM big;";

#[test]
fn an_account_without_locks_resumes_by_the_log() {
    on_sampled_flavors(async |flavor| {
        // A server of its own, whose log others do not write.
        let options = ServerOptions::new(flavor);
        let options = match flavor {
            Flavor::MySql => options.arg("--gtid-mode=ON").arg("--enforce-gtid-consistency=ON"),
            Flavor::MariaDb => options,
        };
        let server = options.start().unwrap();
        let shared = Bench::names(flavor);
        let pair = ServerPair { source: server.database().clone(), target: shared.pair.target.clone() };
        let bench = Bench { pair: Box::leak(Box::new(pair)), from: shared.from.clone(), to: shared.to.clone() };
        server.sql(&format!("CREATE DATABASE {}", bench.from)).unwrap();
        bench.source(TABLES);
        let log = match flavor {
            Flavor::MySql => "REPLICATION SLAVE, REPLICATION CLIENT ON *.*",
            Flavor::MariaDb => "REPLICATION SLAVE, BINLOG MONITOR ON *.*",
        };
        let locks = format!("SELECT, LOCK TABLES ON `{}`.*", bench.from);
        let account = Account::new(&bench.pair.source, &[&locks, log]);
        let url = account.server().url_of(&bench.from);
        let clone = run(&[&["clone", &url, &bench.target_url()][..], &SLOWLY].concat());
        kill_at(&bench, clone, Until::Complete(1));
        server.sql(&format!("REVOKE LOCK TABLES ON `{}`.* FROM '{}'@'%'", bench.from, account.name)).unwrap();
        bench.source(
            "UPDATE big SET filler = 'later' WHERE id < 9; DELETE FROM middle WHERE id > 890; INSERT INTO small VALUES (1000, 'later')",
        );
        let report = CloneJob::new(url, bench.target_url()).options(resume()).run().await.unwrap();
        assert_eq!(case(&report), ResumeCase::CaughtUp, "{report:?}");
        assert_eq!(report.position.rung, SnapshotMethod::UnchangedLog, "{:?}", report.position);
        bench.assert_equal();
        account.assert_gone();
    });
}
