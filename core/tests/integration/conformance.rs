//! Every object arrives as it was, directly and through an archive, under the source's name and under another one. Every
//! third archive is encrypted. In `make test` each theme takes one of the two ways, in the other family the other one.
//!
//! Each file of `conformance/` is one theme, a script for the server's own client. `{db}` stands for the name of the
//! database, `{other}` for another one that both servers have. `CONFORMANCE=views,triggers` runs these themes only.
//! Lines that begin like this say more:
//!
//! | line | meaning |
//! | --- | --- |
//! | `-- servers: mysql mariadb` | the families that it runs on; the first line |
//! | `-- elsewhere: STATEMENT` | is run in `{other}`, on both servers |
//! | `-- fidelity: TEXT` | an entry of the report that holds this text; as many entries as lines, none without |
//! | `-- said: TEXT` | a warning of the report that holds this text |
//! | `-- same: QUERY` | prints the same in the source and in each clone |
//! | `-- then: STATEMENT` | is run in the source after the cloning, before the comparison |

use std::path::Path;

use crate::common::{Bench, KeyFile, is_sampled, quoted, unique};
use dbgraft::{CloneJob, CloneOptions, Definer, Report};
use dbgraft_testkit::{CompareOptions, Database, Flavor, compare_with, pair_of};
use futures::{StreamExt, stream};

struct Theme {
    number: usize,
    name: String,
    flavor: Flavor,
    text: String,
}

/// The clones of a theme.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Direct,
    Archive,
}

impl Way {
    const ALL: [Self; 2] = [Self::Direct, Self::Archive];
}

fn themes(flavor: Flavor) -> Vec<Theme> {
    let wanted = std::env::var("CONFORMANCE").unwrap_or_default();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut paths: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let is_theme = |name: &str| paths.iter().any(|path| path.file_stem().is_some_and(|stem| stem == name));
    let unknown = wanted.split(',').find(|name| !wanted.is_empty() && !is_theme(name));
    assert_eq!(unknown, None, "CONFORMANCE names a theme that is not there");
    let theme = |(number, path): (usize, &std::path::PathBuf)| {
        let name = path.file_stem()?.to_str()?.to_owned();
        let text = std::fs::read_to_string(path).unwrap();
        let servers = text.lines().next().and_then(|line| line.strip_prefix("-- servers:"));
        let servers = servers.unwrap_or_else(|| panic!("{name} does not say on which servers it runs"));
        let runs = servers.split_whitespace().any(|server| server == flavor.to_string().to_lowercase());
        let chosen = wanted.is_empty() || wanted.split(',').any(|one| one == name);
        (runs && chosen).then_some(Theme { number, name, flavor, text })
    };
    paths.iter().enumerate().filter_map(theme).collect()
}

async fn all_arrive(flavor: Flavor) {
    let runs = themes(flavor).into_iter().map(|theme| async move {
        let name = theme.name.clone();
        let ran = tokio::spawn(async move { theme.arrives().await }).await;
        let failure = ran.unwrap_or_else(|_| Err("it panicked, see above".to_owned())).err()?;
        Some(format!("== {name} ({flavor})\n{failure}"))
    });
    let failures: Vec<String> =
        stream::iter(runs).buffer_unordered(2).filter_map(|failed| async { failed }).collect().await;
    assert!(failures.is_empty(), "{} themes did not arrive\n{}", failures.len(), failures.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_mysql_holds_arrives_as_it_was() {
    all_arrive(Flavor::MySql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_mariadb_holds_arrives_as_it_was() {
    all_arrive(Flavor::MariaDb).await;
}

impl Theme {
    /// What the lines say that begin with this.
    fn lines<'a>(&'a self, start: &'a str) -> impl Iterator<Item = &'a str> {
        self.text.lines().filter_map(move |line| Some(line.strip_prefix("-- ")?.strip_prefix(start)?.trim()))
    }

    async fn arrives(&self) -> Result<(), String> {
        let unique = unique();
        let pair = pair_of(self.flavor);
        let other = format!("other_{unique}");
        let named = |text: &str, database: &str| text.replace("{db}", database).replace("{other}", &other);
        let elsewhere: Vec<&str> = self.lines("elsewhere:").collect();
        let _others: Vec<Elsewhere<'_>> = match elsewhere.is_empty() {
            true => Vec::new(),
            false => [&pair.source, &pair.target].into_iter().map(|server| Elsewhere::new(server, &other)).collect(),
        };
        for server in [&pair.source, &pair.target] {
            for statement in &elsewhere {
                server.sql_in(&other, &named(statement, "")).map_err(|error| error.to_string())?;
            }
        }
        let from = format!("{}_{unique}", self.name);
        pair.source.sql(&format!("CREATE DATABASE {}", quoted(&from))).unwrap();
        let bench = |way: &Way| match way {
            Way::Direct => Bench { pair, to: format!("copy_{unique}"), from: from.clone() },
            Way::Archive => Bench { pair, to: from.clone(), from: from.clone() },
        };
        let clones: Vec<(Way, Bench)> = self.ways().iter().map(|way| (*way, bench(way))).collect();
        pair.source.sql_in(&from, &named(&self.text, &from)).map_err(|error| format!("cannot be made: {error}"))?;
        let mut reports = Vec::new();
        for (way, bench) in &clones {
            reports.push(self.clone_it(bench, *way).await);
        }
        for statement in self.lines("then:") {
            pair.source.sql_in(&from, &named(statement, &from)).map_err(|error| error.to_string())?;
        }
        for ((way, bench), report) in clones.iter().zip(reports) {
            let checked = report.map_err(|error| error.to_string()).and_then(|report| self.check(&report, bench));
            checked.map_err(|failure| format!("{way:?}: {failure}"))?;
        }
        // They may write, so they come last.
        for query in self.lines("same:") {
            let prints = |server: &Database, name: &str| server.sql_in(name, &named(query, name));
            let source = prints(&pair.source, &from);
            for (_, bench) in &clones {
                let clone = prints(&pair.target, &bench.to);
                if source.is_err() || source.as_ref().ok() != clone.as_ref().ok() {
                    return Err(format!("{query} prints {source:?} at the source and {clone:?} in the clone"));
                }
            }
        }
        Ok(())
    }

    fn ways(&self) -> &'static [Way] {
        // Archives of even numbers are in S3.
        let first = (self.number / 2 + usize::from(self.flavor == Flavor::MariaDb)) % Way::ALL.len();
        if is_sampled() { &Way::ALL[first..=first] } else { &Way::ALL }
    }

    async fn clone_it(&self, bench: &Bench, way: Way) -> dbgraft::Result<Report> {
        if way == Way::Direct {
            return bench.clone(CloneOptions::default()).await;
        }
        let key = KeyFile::new();
        let encrypt = self.number.is_multiple_of(3).then(|| key.encryption());
        let options = CloneOptions { definer: Definer::Keep, encrypt, ..CloneOptions::default() };
        if self.number.is_multiple_of(2) {
            let prefix = format!("conformance-{}", bench.from);
            return bench.clone(CloneOptions { via: Some(bench.s3(&prefix)), ..options }).await;
        }
        let folder = std::env::temp_dir().join(format!("dbgraft-{}", bench.from));
        let archive = format!("file://{}", folder.display());
        let exported = CloneJob::new(bench.source_url(), archive.as_str()).options(options.clone()).run().await;
        let imported = match exported {
            Ok(_) => CloneJob::new(archive, bench.target_url()).options(options).run().await,
            failed => failed,
        };
        let _ = std::fs::remove_dir_all(folder);
        imported
    }

    fn check(&self, report: &Report, bench: &Bench) -> Result<(), String> {
        let entries: Vec<String> = report.fidelity.iter().map(|entry| format!("{entry:?}")).collect();
        let expected: Vec<&str> = self.lines("fidelity:").collect();
        let missing: Vec<_> =
            expected.iter().filter(|text| !entries.iter().any(|entry| entry.contains(**text))).collect();
        if !missing.is_empty() || entries.len() != expected.len() {
            return Err(format!("fidelity: expected {expected:?}, the report has {entries:#?}"));
        }
        let said: Vec<&String> =
            report.warnings.iter().chain(report.objects.iter().flat_map(|o| &o.warnings)).collect();
        if let Some(unsaid) = self.lines("said:").find(|text| !said.iter().any(|one| one.contains(*text))) {
            return Err(format!("the report does not say {unsaid:?}, but {said:#?}"));
        }
        let Bench { pair, from, to } = bench;
        let options =
            CompareOptions { auto_increment: true, key_order: true, definers: from == to, ..CompareOptions::default() };
        compare_with(&pair.source, from, &pair.target, to, &options).map_err(|error| error.to_string())
    }
}

/// Another database, on one server.
struct Elsewhere<'a> {
    server: &'a Database,
    name: &'a str,
}

impl<'a> Elsewhere<'a> {
    fn new(server: &'a Database, name: &'a str) -> Self {
        server.sql(&format!("CREATE DATABASE {name}")).unwrap();
        Self { server, name }
    }
}

impl Drop for Elsewhere<'_> {
    fn drop(&mut self) {
        let _ = self.server.sql(&format!("DROP DATABASE {}", self.name));
    }
}
