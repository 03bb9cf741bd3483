//! The servers, hosts and databases of the soak test. They are its own, so that it may kill them.

use std::process::Child;

use crate::common::region::{Region, kill as signal};
use crate::common::{becomes_true, exists, unique, wait_until};
use crate::resume::{SHOP, lines, run, stderr};
use dbgraft::{CloneJob, CloneOptions, CloneState, Report, TargetJob};
use dbgraft_testkit::{Flavor, Server, ServerOptions, compare, s3};

/// The ways of a clone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// From an archive.
    Import,
    /// From the source through S3.
    Via,
    /// From the source directly.
    Direct,
    /// By agents, through S3.
    Agents,
    /// By agents, through the coordinator.
    Lanes,
}

impl Way {
    pub(super) const ALL: [Self; 5] = [Self::Import, Self::Via, Self::Direct, Self::Agents, Self::Lanes];

    fn is_staged(self) -> bool {
        matches!(self, Self::Via | Self::Agents)
    }

    pub(super) fn has_agents(self) -> bool {
        matches!(self, Self::Agents | Self::Lanes)
    }

    /// Whether all rows can be read again at their moment, whatever was killed.
    fn is_repeatable(self) -> bool {
        self == Self::Import
    }
}

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Victim {
    Coordinator,
    Agent,
    TargetServer,
    SourceServer,
}

/// How a killed clone was brought to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// It went on by itself, and was complete.
    Survived,
    Resumed,
    /// The resume was refused for a right reason; the clone was abandoned and made anew.
    Refused,
}

pub(super) struct Lab {
    source: Server,
    target: Server,
    near: Region,
    far: Region,
    archive: String,
    /// The name of the database at both ends, and of the prefix of staged objects.
    name: String,
}

impl Lab {
    /// The source: the shop; composite and text keys, a big table, so many small ones, and code.
    pub(super) async fn new(flavor: Flavor, small: u32, doublings: u32) -> Self {
        let name = format!("soak_{}", unique());
        let [source, target] = [(); 2].map(|()| ServerOptions::new(flavor).start().unwrap());
        source.sql(&format!("CREATE DATABASE {name}")).unwrap();
        source.sql_in(&name, &statements(small, doublings)).unwrap();
        // A server that is killed leaves tables of MyISAM that were written and not closed as crashed.
        source.sql("FLUSH TABLES").unwrap();
        let archive = url(&format!("archive-{name}"));
        CloneJob::new(source.url_of(&name), archive.as_str()).run().await.unwrap();
        Self { source, target, near: Region::new(), far: Region::new(), archive, name }
    }

    pub(super) fn flavor(&self) -> Flavor {
        self.target.flavor
    }

    fn source_url(&self, way: Way) -> String {
        if way == Way::Import { self.archive.clone() } else { self.source.url_of(&self.name) }
    }

    fn target_url(&self) -> String {
        self.target.url_of(&self.name)
    }

    fn options(&self, way: Way) -> CloneOptions {
        CloneOptions {
            via: way.is_staged().then(|| url(&self.name)),
            source_agent: way.has_agents().then(|| self.near.url()),
            target_agent: way.has_agents().then(|| self.far.url()),
            ..CloneOptions::default()
        }
    }

    /// Starts the command, slowly enough to be killed.
    fn start(&self, way: Way, more: &[&str]) -> Child {
        let (source, target, options) = (self.source_url(way), self.target_url(), self.options(way));
        let mut arguments = vec!["clone", &source, &target, "--threads", "2", "--memory", "8M", "--max-rate", "6M"];
        let named = [
            ("--via", &options.via),
            ("--source-agent", &options.source_agent),
            ("--target-agent", &options.target_agent),
        ];
        for (option, value) in &named {
            arguments.extend(value.iter().flat_map(|value| [*option, value.as_str()]));
        }
        run(&[&arguments[..], more].concat())
    }

    /// Starts a clone, and kills the victim once the journal has so many lines that fit the condition. Returns whether
    /// the clone then ended without success; `None` if it ended before.
    pub(super) fn start_and_kill(
        &mut self,
        way: Way,
        victim: Victim,
        more: &[&str],
        (condition, count): (&str, u32),
        pick: u64,
    ) -> Option<bool> {
        let mut clone = self.start(way, more);
        let mut ended = None;
        let reached = wait_until(|| {
            ended = clone.try_wait().unwrap();
            ended.is_some() || lines(&self.target, &self.name, condition).is_some_and(|found| found >= count)
        });
        assert!(reached, "neither {condition} >= {count} nor the end");
        if let Some(status) = ended {
            assert!(status.success(), "{}", stderr(&mut clone));
            return None;
        }
        match victim {
            Victim::Coordinator => clone.kill().unwrap(),
            Victim::Agent => {
                let agents = [self.near.agents(), self.far.agents()].concat();
                let chosen = usize::try_from(pick).unwrap() % agents.len().max(1);
                // One that has ended meanwhile was not needed any more.
                agents.get(chosen).iter().for_each(|agent| signal("KILL", **agent));
            }
            Victim::TargetServer => self.target.restart().unwrap(),
            Victim::SourceServer => self.source.restart().unwrap(),
        }
        assert!(wait_until(|| clone.try_wait().unwrap().is_some()), "the clone hangs");
        let status = clone.wait().unwrap();
        let said = stderr(&mut clone);
        assert!(!said.contains("panicked"), "{said}");
        assert!(status.success() || victim == Victim::Coordinator || said.starts_with("dbgraft: "), "{said}");
        Some(!status.success())
    }

    async fn state(&self) -> CloneState {
        TargetJob::new(self.target_url()).status().await.unwrap().state
    }

    /// The state of a clone that was killed, once its agents have ended and its server has noticed.
    pub(super) async fn state_after_kill(&self) -> CloneState {
        self.near.assert_no_agent();
        self.far.assert_no_agent();
        let ended = async || self.state().await != CloneState::Running;
        assert!(becomes_true(ended).await, "the killed clone still has a connection");
        self.state().await
    }

    async fn clone(&self, way: Way, resume: bool, no_consistency: bool) -> dbgraft::Result<Report> {
        let options = CloneOptions { resume, no_consistency, ..self.options(way) };
        CloneJob::new(self.source_url(way), self.target_url()).options(options).run().await
    }

    /// Resumes what was killed; or finds it refused rightly, abandons it and clones anew.
    pub(super) async fn finish(&self, way: Way) -> Outcome {
        self.state_after_kill().await;
        let mut resumed = self.clone(way, true, false).await;
        if resumed.as_ref().is_err_and(|error| error.to_string().contains("rows are missing")) {
            assert!(!way.is_repeatable(), "{resumed:?}");
            // The source stands still, so that several moments are one.
            resumed = self.clone(way, true, true).await;
        }
        let error = match resumed {
            Ok(report) => {
                assert_eq!(report.fidelity, []);
                return Outcome::Resumed;
            }
            Err(error) => error.to_string(),
        };
        // Killed before its plan was recorded; or it has undone itself.
        assert!(error.contains("before it had a plan") || error.contains("nothing to resume"), "{error}");
        TargetJob::new(self.target_url()).abandon().await.unwrap();
        self.clone(way, false, false).await.unwrap();
        Outcome::Refused
    }

    /// Compares both databases, sees that nothing is left, and removes the copy.
    pub(super) async fn assert_complete(&self) {
        compare(&self.source, &self.name, &self.target, &self.name).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(self.state().await, CloneState::None);
        assert_eq!(s3().keys(&self.name).unwrap(), [""; 0], "staged objects are left");
        self.near.assert_no_agent();
        self.far.assert_no_agent();
        assert_eq!(self.target.sql("SHOW DATABASES LIKE '\\_dbgraft%'").unwrap(), "");
        self.target.sql(&format!("DROP DATABASE {}", self.name)).unwrap();
        assert!(!exists(&self.target, &self.name));
    }
}

fn url(prefix: &str) -> String {
    format!("{}?endpoint={}", s3().url_of(prefix), s3().endpoint)
}

fn statements(small: u32, doublings: u32) -> String {
    let mut sql = SHOP.to_owned();
    sql.push_str(
        "CREATE TABLE composite (a VARCHAR(40), b INT, c TEXT, PRIMARY KEY (a, b), KEY (b)); \
         INSERT INTO composite SELECT CONCAT('k', id % 9), id, REPEAT('c', 300) FROM customers; \
         CREATE TABLE texts (code VARCHAR(60) PRIMARY KEY, v INT, UNIQUE KEY (v)); \
         INSERT INTO texts SELECT CONCAT('é', SHA2(id, 224)), id FROM customers; \
         CREATE TABLE big (id INT AUTO_INCREMENT PRIMARY KEY, a VARCHAR(200), b INT, KEY (b), KEY (a)); \
         INSERT INTO big (a, b) SELECT CONCAT(SHA2(id, 256), SHA2(id + 1, 256)), id FROM customers;",
    );
    for _ in 0..doublings {
        sql.push_str("INSERT INTO big (a, b) SELECT CONCAT(SHA2(id, 256), SHA2(b + id, 256)), b + 1 FROM big;");
    }
    for number in 0..small {
        sql.push_str(&format!(
            "CREATE TABLE small_{number} (a VARCHAR(20), b INT, PRIMARY KEY (a, b)); \
             INSERT INTO small_{number} VALUES ('x', 1), ('y', {number});"
        ));
    }
    for number in 0..8 {
        sql.push_str(&format!(
            "CREATE VIEW view_{number} AS SELECT a FROM small_{number}; \
             CREATE FUNCTION f_{number}() RETURNS INT DETERMINISTIC RETURN {number};"
        ));
    }
    sql
}
