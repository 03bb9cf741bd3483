//! Promise: whatever a server of one release holds arrives at a server of another as it was, or the report lists the
//! difference, or the clone is refused before anything is written.
//!
//! The themes are those of `conformance/` and of `versions/`, where the first line may name releases too:
//! `-- servers: mysql56`. `make test` runs those of `versions/` between a few releases, `make test-versions` all between
//! all; there `CONFORMANCE=views,text` chooses themes and `PAIRS=mysql56-mysql97` pairs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::common::{exists, quoted, unique};
use dbgraft::{CloneJob, CloneOptions, ErrorKind, ObjectRef, OnUnsupported, Report, Severity};
use dbgraft_testkit::{CompareOptions, Database, Dump, Release, dump, source_of, target_of};
use futures::{StreamExt, stream};

/// The error of a value that a column's type cannot hold.
const WRONG_VALUE: u16 = 1292;

/// What became of a theme, from the best to the worst.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// All is there as it was.
    Exact,
    /// All is there as it was, but for what the report lists.
    Reported,
    /// The preflight refused, and nothing is written.
    Refused(String),
    /// The target refused a value, the error names its column, and nothing is left.
    Stopped(String),
    /// The source takes none of the theme's objects.
    NotLoadable(String),
    /// A difference that nothing lists, or a clone that broke after it had begun to write.
    Wrong(String),
}

#[derive(Clone)]
struct Theme {
    name: String,
    text: String,
}

#[derive(Clone, Copy)]
struct Pair {
    from: Release,
    to: Release,
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.from.id(), self.to.id())
    }
}

/// Whether an environment variable lets a name pass: it is not set, or lists it.
fn chosen(variable: &str, name: &str) -> bool {
    let list = std::env::var(variable).unwrap_or_default();
    list.is_empty() || list.split(',').any(|one| one == name)
}

/// The themes of a folder that run on a release.
fn themes(folder: &str, release: Release) -> Vec<Theme> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut paths: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let theme = |path: &std::path::PathBuf| {
        let (name, text) = (path.file_stem()?.to_str()?.to_owned(), std::fs::read_to_string(path).unwrap());
        let servers = text.lines().next().and_then(|line| line.strip_prefix("-- servers:"));
        let servers = servers.unwrap_or_else(|| panic!("{name} does not say on which servers it runs"));
        let flavor = release.flavor().to_string();
        let runs = servers.split_whitespace().any(|server| server == flavor || server == release.id());
        (runs && chosen("CONFORMANCE", &name)).then_some(Theme { name, text })
    };
    paths.iter().filter_map(theme).collect()
}

/// What a clone must hold, and what its code must print.
struct Expected {
    contents: Dump,
    printed: Vec<(String, Result<String, String>)>,
}

/// A theme on its way between two servers; what it made goes with it.
struct Passage {
    source: &'static Database,
    target: &'static Database,
    theme: Theme,
    /// The database, on both.
    name: String,
    /// Another database that both servers have.
    other: String,
}

impl Passage {
    fn new(pair: Pair, theme: Theme) -> Self {
        let unique = unique();
        let [name, other] = ["versions", "beside"].map(|name| format!("{name}_{unique}"));
        Self { source: source_of(pair.from), target: target_of(pair.to), theme, name, other }
    }

    /// What the theme's lines say that begin with this.
    fn lines<'a>(&'a self, start: &'a str) -> impl Iterator<Item = &'a str> {
        self.theme.text.lines().filter_map(move |line| Some(line.strip_prefix("-- ")?.strip_prefix(start)?.trim()))
    }

    fn sql(&self, server: &Database, database: &str, text: &str) -> Result<String, String> {
        let text = text.replace("{db}", database).replace("{other}", &self.other);
        server.sql_in(database, &text).map_err(|error| error.to_string())
    }

    /// Makes the databases. What the source does not know is left out; fails if nothing is there then.
    fn load(&self) -> Result<(), String> {
        self.source.sql(&format!("CREATE DATABASE {}", quoted(&self.name))).map_err(|error| error.to_string())?;
        for server in [self.source, self.target] {
            server.sql(&format!("CREATE DATABASE {}", quoted(&self.other))).map_err(|error| error.to_string())?;
            for statement in self.lines("elsewhere:") {
                // One of the servers may not know the kind of object.
                let _ = self.sql(server, &self.other, statement);
            }
        }
        let text = self.theme.text.replace("{db}", &self.name).replace("{other}", &self.other);
        let errors = self.source.sql_past_errors(&self.name, &text).map_err(|error| error.to_string())?;
        let tables = self.sql(self.source, &self.name, "SHOW TABLES")?;
        match errors.first() {
            Some(error) if tables.is_empty() => Err(error.to_string()),
            _ => Ok(()),
        }
    }

    /// Clones the theme directly and through an archive; the worse outcome counts.
    async fn run(&self) -> Outcome {
        if let Err(error) = self.load() {
            return Outcome::NotLoadable(error);
        }
        let (source, target) = (self.source.url_of(&self.name), self.target.url_of(&self.name));
        let archive = format!("file://{}", self.archive().display());
        let exported = job(&source, &archive).run().await;
        let directly = job(&source, &target).run().await;
        if let Err(error) =
            self.lines("then:").try_for_each(|statement| self.sql(self.source, &self.name, statement).map(drop))
        {
            return Outcome::NotLoadable(error);
        }
        let expected = match self.expected() {
            Ok(expected) => expected,
            Err(error) => return Outcome::Wrong(error),
        };
        let directly = self.outcome(directly, &expected);
        let _ = self.target.sql(&format!("DROP DATABASE IF EXISTS {}", quoted(&self.name)));
        let imported = match exported {
            Ok(_) => job(&archive, &target).run().await,
            failed => failed,
        };
        directly.max(self.outcome(imported, &expected))
    }

    fn contents(&self, server: &Database) -> Result<Dump, String> {
        let options = CompareOptions::between(self.source, self.target);
        dump(server, &self.name, &options).map_err(|error| error.to_string())
    }

    /// What the source holds, and what its code prints. That code may write, so it runs once only, and last.
    fn expected(&self) -> Result<Expected, String> {
        let contents = self.contents(self.source)?;
        // What SHOW prints is the server's own.
        let queries = self.lines("same:").filter(|query| !query.starts_with("SHOW")).map(str::to_owned);
        let prints = |query: String| {
            let printed = self.sql(self.source, &self.name, &query);
            (query, printed)
        };
        Ok(Expected { contents, printed: queries.map(prints).collect() })
    }

    fn outcome(&self, cloned: dbgraft::Result<Report>, expected: &Expected) -> Outcome {
        match cloned {
            Ok(report) => self.judge(&report, expected).unwrap_or_else(Outcome::Wrong),
            Err(error) if exists(self.target, &self.name) => {
                Outcome::Wrong(format!("it failed, and the database is there: {error}"))
            }
            Err(error) if matches!(error.kind(), ErrorKind::Preflight | ErrorKind::Unsupported) => {
                Outcome::Refused(error.to_string())
            }
            Err(error) if error.code() == Some(WRONG_VALUE) && error.to_string().contains(" for column ") => {
                Outcome::Stopped(error.to_string())
            }
            Err(error) => Outcome::Wrong(error.to_string()),
        }
    }

    fn archive(&self) -> PathBuf {
        std::env::temp_dir().join(format!("dbgraft-{}", self.name))
    }

    /// Compares the two databases without a line of the engine.
    fn judge(&self, report: &Report, expected: &Expected) -> Result<Outcome, String> {
        let contents = self.contents(self.target)?;
        let issues = || report.fidelity.iter().map(|issue| (&issue.object, issue.severity));
        let listed: Vec<(&ObjectRef, Severity)> =
            issues().chain(report.left_out.iter().map(|left| (&left.object, Severity::Error))).collect();
        let is_listed = |difference: &String| listed.iter().any(|listed| covers(*listed, difference));
        let silent: Vec<String> =
            expected.contents.differing(&contents).into_iter().filter(|name| !is_listed(name)).collect();
        if !silent.is_empty() {
            return Err(format!("not listed: {}\n{}", silent.join(", "), expected.contents.differences(&contents)));
        }
        for (query, here) in &expected.printed {
            let there = &self.sql(self.target, &self.name, query);
            let is_listed = listed.iter().any(|(object, severity)| {
                *severity > Severity::Note && query.to_lowercase().contains(&object.name.to_lowercase())
            });
            if here.is_ok() && here != there && !is_listed {
                return Err(format!("{query} prints {here:?} at the source and {there:?} in the clone"));
            }
        }
        let worst = listed.iter().map(|(_, severity)| *severity).max();
        Ok(if worst > Some(Severity::Note) { Outcome::Reported } else { Outcome::Exact })
    }
}

fn job(source: &str, target: &str) -> CloneJob {
    let options = CloneOptions { on_unsupported: OnUnsupported::Degrade, ..CloneOptions::default() };
    CloneJob::new(source, target).options(options)
}

impl Drop for Passage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.archive());
        for server in [self.source, self.target] {
            for name in [&self.name, &self.other] {
                let _ = server.sql(&format!("DROP DATABASE IF EXISTS {}", quoted(name)));
            }
        }
    }
}

/// Whether an entry of the report says that this may differ: rows only by a warning about their table.
fn covers((object, severity): (&ObjectRef, Severity), difference: &str) -> bool {
    if let Some(table) = difference.strip_prefix("rows of ") {
        return table == object.name && severity > Severity::Note;
    }
    let column = difference.strip_prefix("column ").and_then(|rest| rest.strip_prefix(object.name.as_str()));
    difference.ends_with(&format!(" {}", object.name)) || column.is_some_and(|rest| rest.starts_with('.'))
}

/// The outcomes of all themes between two releases.
async fn outcomes(pair: Pair, themes: Vec<Theme>) -> Vec<(String, Outcome)> {
    let runs = themes.into_iter().map(|theme| async move {
        let name = theme.name.clone();
        let ran = tokio::spawn(async move { Passage::new(pair, theme).run().await }).await;
        (name, ran.unwrap_or_else(|_| Outcome::Wrong("it panicked, as said above".to_owned())))
    });
    stream::iter(runs).buffer_unordered(2).collect().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_old_and_new_releases_hold_arrives_or_is_listed() {
    use Release::{MariaDb105, MariaDb118, MariaDb1011, MySql56, MySql97};
    let mut failures = Vec::new();
    for (from, to) in [
        (MySql56, MySql97),
        (MySql56, MariaDb1011),
        (MariaDb105, MariaDb1011),
        (MariaDb1011, MariaDb118),
        (MariaDb118, MariaDb1011),
        (MariaDb118, MySql97),
    ] {
        let pair = Pair { from, to };
        let themes = themes("versions", from);
        assert!(!themes.is_empty(), "no theme runs on {from}");
        let arrived = |outcome: &Outcome| matches!(outcome, Outcome::Exact | Outcome::Reported);
        let failed = outcomes(pair, themes).await.into_iter().filter(|(_, outcome)| !arrived(outcome));
        failures.extend(failed.map(|(name, outcome)| format!("== {name} of {from} into {to}\n{outcome:?}")));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
#[ignore = "takes long; `make test-versions` runs it"]
async fn every_theme_arrives_between_all_releases_or_is_listed_or_refused() {
    let mut wrong = Vec::new();
    let pairs = Release::ALL.into_iter().flat_map(|from| {
        // Nobody moves to a release that is no longer maintained.
        let targets = [Release::MySql97, Release::MariaDb1011, Release::MariaDb118];
        targets.into_iter().filter(move |to| *to != from).map(move |to| Pair { from, to })
    });
    let pairs: Vec<Pair> = pairs.filter(|pair| chosen("PAIRS", &pair.to_string())).collect();
    assert!(!pairs.is_empty(), "PAIRS names no pair of a source and a target, such as mysql56-mysql97");
    for pair in pairs {
        let begun = Instant::now();
        let mut all = themes("conformance", pair.from);
        all.extend(themes("versions", pair.from));
        let mut results = outcomes(pair, all).await;
        results.sort_by(|(one, _), (other, _)| one.cmp(other));
        let count = |is: fn(&Outcome) -> bool| results.iter().filter(|(_, outcome)| is(outcome)).count();
        println!(
            "{} -> {}: {} exact, {} told, {} refused, {} stopped, {} not loadable, {} WRONG ({} s)",
            pair.from,
            pair.to,
            count(|outcome| *outcome == Outcome::Exact),
            count(|outcome| *outcome == Outcome::Reported),
            count(|outcome| matches!(outcome, Outcome::Refused(_))),
            count(|outcome| matches!(outcome, Outcome::Stopped(_))),
            count(|outcome| matches!(outcome, Outcome::NotLoadable(_))),
            count(|outcome| matches!(outcome, Outcome::Wrong(_))),
            begun.elapsed().as_secs()
        );
        for (name, outcome) in &results {
            match outcome {
                Outcome::Exact | Outcome::Reported => {}
                Outcome::Refused(why) => println!("  refused: {name}: {}", first_line(why)),
                Outcome::Stopped(why) => println!("  stopped: {name}: {}", first_line(why)),
                Outcome::NotLoadable(why) => println!("  not loadable: {name}: {}", first_line(why)),
                Outcome::Wrong(why) => {
                    println!("  WRONG: {name}: {why}");
                    wrong.push(format!("{name} of {pair}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} themes did not arrive: {}", wrong.len(), wrong.join(", "));
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
