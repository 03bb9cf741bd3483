//! Encrypted archives come back exactly, show nothing to the store, and are refused when they were touched.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::region::Region;
use crate::common::{Bench, KeyFile, on_sampled_flavors, unique, wait_until};
use dbgraft::{CloneJob, CloneOptions, Encryption, Error, ErrorKind, Event, Phase, SecretString, Verify};
use dbgraft_testkit::{Flavor, s3};

/// A word in a row, and one in a definition.
const MARKERS: [&str; 2] = ["marker-in-a-row", "marker-in-a-comment"];
const PASSPHRASE: &str = "correct horse battery staple";

fn filled(flavor: Flavor) -> Bench {
    Bench::new(
        flavor,
        "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(99)) COMMENT 'marker-in-a-comment'; \
         INSERT INTO t (v) WITH RECURSIVE n AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 500) \
         SELECT CONCAT('marker-in-a-row', SHA2(n, 256)) FROM n; \
         CREATE TABLE other (id INT PRIMARY KEY, v TEXT); INSERT INTO other VALUES (1, 'marker-in-a-row'), (2, NULL); \
         CREATE VIEW w AS SELECT * FROM t; CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET @x = 1",
    )
}

/// An archive, with the directory of its files.
struct Archive {
    url: String,
    dir: PathBuf,
}

impl Archive {
    fn in_directory() -> Self {
        let dir = std::env::temp_dir().join(format!("dbgraft-encrypted-{}", unique()));
        Self { url: format!("file://{}", dir.display()), dir }
    }

    fn in_s3(bench: &Bench) -> Self {
        let prefix = format!("encrypted-{}", unique());
        let dir = s3().data_dir.as_ref().unwrap().join(&s3().bucket).join(&prefix);
        Self { url: bench.s3(&prefix), dir }
    }

    fn both(bench: &Bench) -> [Self; 2] {
        [Self::in_directory(), Self::in_s3(bench)]
    }

    fn file(&self, key: &str) -> PathBuf {
        self.dir.join(key)
    }

    /// Puts an object in the place of one of an archive.
    fn copy(&self, key: &str, to: &Self, place: &str) {
        fs::copy(self.file(key), to.file(place)).unwrap();
    }

    /// Edits the stored bytes of an object.
    fn edit(&self, key: &str, edit: fn(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.file(key)).unwrap();
        edit(&mut bytes);
        fs::write(self.file(key), bytes).unwrap();
    }

    /// The stored bytes of every object.
    fn bytes(&self) -> Vec<u8> {
        let bytes = files(&self.dir).iter().flat_map(|path| fs::read(path).unwrap()).collect::<Vec<_>>();
        assert!(bytes.len() > 1000, "there is an archive");
        bytes
    }

    fn shows(&self, marker: &str) -> bool {
        self.bytes().windows(marker.len()).any(|window| window == marker.as_bytes())
    }

    fn assert_hidden(&self) {
        for marker in MARKERS {
            assert!(!self.shows(marker), "{marker} can be read at {}", self.url);
        }
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn by_passphrase() -> CloneOptions {
    CloneOptions { encrypt: Some(Encryption::Passphrase), ..CloneOptions::default() }
}

fn job(from: &str, to: &str, passphrase: &str) -> CloneJob {
    CloneJob::new(from, to).options(by_passphrase()).archive_passphrase(SecretString::from(passphrase))
}

async fn export(bench: &Bench, archive: &Archive) {
    job(&bench.source_url(), &archive.url, PASSPHRASE).run().await.unwrap();
}

async fn import(bench: &Bench, archive: &Archive, passphrase: &str) -> dbgraft::Result<()> {
    job(&archive.url, &bench.target_url(), passphrase).run().await.map(drop)
}

#[test]
fn an_encrypted_archive_is_imported_planned_and_compared() {
    on_sampled_flavors(async |flavor| {
        let bench = filled(flavor);
        for archive in Archive::both(&bench) {
            let report = job(&bench.source_url(), &archive.url, PASSPHRASE)
                .options(CloneOptions { verify: Verify::Checksum, ..by_passphrase() });
            assert_eq!(report.run().await.unwrap().rows, 502);
            archive.assert_hidden();
            let planned = job(&archive.url, &bench.target_url(), PASSPHRASE).plan().await.unwrap();
            assert_eq!((planned.plan.tables.len(), planned.findings.len()), (2, 0), "{:?}", planned.findings);
            import(&bench, &archive, PASSPHRASE).await.unwrap();
            bench.assert_equal();
            let compared = job(&archive.url, &bench.target_url(), PASSPHRASE).verify().await.unwrap();
            assert_eq!((compared.verification.differences.len(), compared.verification.rows), (0, 502));
            bench.target("UPDATE other SET v = 'x' WHERE id = 2");
            let compared = job(&bench.target_url(), &archive.url, PASSPHRASE).verify().await.unwrap();
            assert_eq!(compared.verification.differences.len(), 1);
            bench.pair.target.sql(&format!("DROP DATABASE {}", bench.to)).unwrap();
        }
        // The search finds what is readable.
        let open = Archive::in_directory();
        CloneJob::new(bench.source_url(), open.url.as_str()).run().await.unwrap();
        assert!(open.shows(MARKERS[1]));
    });
}

#[tokio::test]
async fn a_staged_archive_is_encrypted_and_nothing_of_it_is_left() {
    let (bench, key) = (filled(Flavor::MySql), KeyFile::new());
    for archive in Archive::both(&bench) {
        for keep_archive in [true, false] {
            let via = Some(archive.url.clone());
            let encrypt = Some(key.encryption());
            let verify = Verify::Checksum;
            let options = CloneOptions { via, encrypt, verify, keep_archive, ..CloneOptions::default() };
            bench.clone(CloneOptions { recreate_database: true, ..options }).await.unwrap();
            bench.assert_equal();
            if keep_archive {
                archive.assert_hidden();
                fs::remove_dir_all(&archive.dir).unwrap();
            } else {
                assert_eq!(files(&archive.dir), [""; 0].map(PathBuf::from));
            }
        }
    }
}

#[tokio::test]
async fn agents_encrypt_and_decrypt_and_show_no_key() {
    let (bench, near, far, key) = (filled(Flavor::MariaDb), Region::new(), Region::new(), KeyFile::new());
    let archive = Archive::in_s3(&bench);
    let mut seen = String::new();
    let secrets = [PASSPHRASE.to_owned(), key.digits()];
    for (encrypt, passphrase) in [(Encryption::Passphrase, Some(PASSPHRASE)), (key.encryption(), None)] {
        let options = CloneOptions {
            via: Some(archive.url.clone()),
            encrypt: Some(encrypt),
            keep_archive: true,
            verify: Verify::Checksum,
            recreate_database: true,
            source_agent: Some(near.url()),
            target_agent: Some(far.url()),
            ..CloneOptions::default()
        };
        let mut job = bench.job(options);
        if let Some(passphrase) = passphrase {
            job = job.archive_passphrase(passphrase.into());
        }
        std::thread::scope(|scope| {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            let running = scope.spawn(move || runtime.block_on(job.run()));
            // While the agents run.
            let has_ended = || {
                seen += &(near.visible() + &far.visible());
                running.is_finished()
            };
            assert!(wait_until(has_ended), "it hangs");
            running.join().unwrap().unwrap();
        });
        bench.assert_equal();
        archive.assert_hidden();
        fs::remove_dir_all(&archive.dir).unwrap();
    }
    assert!(seen.contains("agent"), "an agent was seen");
    for secret in secrets {
        assert!(!seen.contains(&secret), "{secret} can be seen");
    }
}

#[tokio::test]
async fn an_export_and_an_import_by_agents_are_encrypted() {
    let (bench, there) = (filled(Flavor::MySql), Region::new());
    let archive = Archive::in_s3(&bench);
    let site = || dbgraft::ExecutionSite::Agent(there.url());
    job(&bench.source_url(), &archive.url, PASSPHRASE).source_site(site()).run().await.unwrap();
    archive.assert_hidden();
    let wrong = job(&archive.url, &bench.target_url(), "wrong").target_site(site()).run().await.unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Authentication, "{wrong}");
    assert!(!bench.target_exists());
    job(&archive.url, &bench.target_url(), PASSPHRASE).target_site(site()).run().await.unwrap();
    bench.assert_equal();
}

/// Checks that a clone failed and left no target.
fn assert_refused(bench: &Bench, outcome: dbgraft::Result<()>, kind: ErrorKind, message: &str, what: &str) {
    let error: Error = outcome.expect_err(what);
    assert_eq!(error.kind(), kind, "{what}: {error}");
    assert!(error.to_string().contains(message), "{what}: {error}");
    assert!(!error.to_string().contains(PASSPHRASE), "{what}: {error}");
    assert!(!bench.target_exists(), "{what}: something was written");
}

#[tokio::test]
async fn an_archive_of_another_key_is_refused_and_nothing_is_written() {
    let (bench, key) = (filled(Flavor::MySql), KeyFile::new());
    for archive in Archive::both(&bench) {
        export(&bench, &archive).await;
        let wrong = import(&bench, &archive, "wrong").await;
        assert_refused(&bench, wrong, ErrorKind::Authentication, "the passphrase is not that of the archive", "wrong");
        let to = bench.target_url();
        let none = CloneJob::new(archive.url.as_str(), to.as_str()).run().await.map(drop);
        assert_refused(&bench, none, ErrorKind::Usage, "is encrypted: add --encrypt passphrase, or", "no key");
        let options = CloneOptions { encrypt: Some(key.encryption()), ..CloneOptions::default() };
        let file = CloneJob::new(archive.url.as_str(), to.as_str()).options(options).run().await.map(drop);
        assert_refused(&bench, file, ErrorKind::Usage, "is encrypted by a passphrase: say --encrypt", "a key file");
        let planned = job(&archive.url, &to, "wrong").plan().await.map(drop);
        assert_refused(&bench, planned, ErrorKind::Authentication, "the passphrase is not that", "a plan");
        let over = CloneJob::new(bench.source_url(), archive.url.as_str()).run().await.unwrap_err();
        assert!(over.to_string().contains("an archive is already at"), "{over}");

        fs::remove_dir_all(&archive.dir).unwrap();
        CloneJob::new(bench.source_url(), archive.url.as_str()).run().await.unwrap();
        let open = import(&bench, &archive, PASSPHRASE).await;
        assert_refused(&bench, open, ErrorKind::Usage, "is not encrypted: leave out --encrypt", "an open archive");
    }
}

/// Changes the first archive; the second one is of the same rows and passphrase.
type Touch = Box<dyn Fn(&Archive, &Archive)>;

#[tokio::test]
async fn an_archive_that_was_touched_is_refused() {
    const FIRST: &str = "data/0/0-0.tsv.zst";
    const SECOND: &str = "data/1/0-0.tsv.zst";
    let flip: fn(&mut Vec<u8>) = |bytes| *bytes.last_mut().unwrap() ^= 1;
    let touched: Vec<(&str, ErrorKind, &str, Touch)> = vec![
        ("a flipped byte", ErrorKind::Data, FIRST, Box::new(move |at, _| at.edit(FIRST, flip))),
        ("a flipped byte of the plan", ErrorKind::Data, "plan.json", Box::new(move |at, _| at.edit("plan.json", flip))),
        ("a cut object", ErrorKind::Data, SECOND, Box::new(move |at, _| at.edit(SECOND, |bytes| bytes.truncate(60)))),
        ("an empty object", ErrorKind::Data, FIRST, Box::new(move |at, _| at.edit(FIRST, Vec::clear))),
        (
            "swapped objects",
            ErrorKind::Data,
            "data/",
            Box::new(|at, _| {
                let (one, two) = (fs::read(at.file(FIRST)).unwrap(), fs::read(at.file(SECOND)).unwrap());
                fs::write(at.file(FIRST), two).unwrap();
                fs::write(at.file(SECOND), one).unwrap();
            }),
        ),
        (
            "the manifest in the place of the plan",
            ErrorKind::Data,
            "plan.json",
            Box::new(|at, _| at.copy("manifest.json", at, "plan.json")),
        ),
        (
            "an object of another archive of the same rows",
            ErrorKind::Data,
            FIRST,
            Box::new(|at, other| other.copy(FIRST, at, FIRST)),
        ),
        ("a removed object", ErrorKind::Storage, FIRST, Box::new(|at, _| fs::remove_file(at.file(FIRST)).unwrap())),
        (
            "a removed header",
            ErrorKind::Data,
            "has lost its encryption.json",
            Box::new(|at, _| fs::remove_file(at.file("encryption.json")).unwrap()),
        ),
        (
            "the header of another archive",
            ErrorKind::Data,
            ".json is damaged",
            Box::new(|at, other| other.copy("encryption.json", at, "encryption.json")),
        ),
        (
            "an edited header",
            ErrorKind::Authentication,
            "or its encryption.json was changed",
            Box::new(|at, _| {
                let header = fs::read_to_string(at.file("encryption.json")).unwrap();
                let edited = header.replace("\"passes\":3", "\"passes\":1");
                assert_ne!(edited, header);
                fs::write(at.file("encryption.json"), edited).unwrap();
            }),
        ),
    ];
    let bench = filled(Flavor::MySql);
    for (archive, other) in Archive::both(&bench).iter().zip(&Archive::both(&bench)) {
        export(&bench, archive).await;
        export(&bench, other).await;
        let good: Vec<_> = files(&archive.dir).into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
        for (what, kind, message, touch) in &touched {
            touch(archive, other);
            assert_refused(&bench, import(&bench, archive, PASSPHRASE).await, *kind, message, what);
            good.iter().for_each(|(bytes, path)| fs::write(path, bytes).unwrap());
        }
        import(&bench, archive, PASSPHRASE).await.unwrap();
        bench.assert_equal();
        bench.pair.target.sql(&format!("DROP DATABASE {}", bench.to)).unwrap();
    }
}

#[tokio::test]
async fn a_failed_export_leaves_no_header() {
    let bench = filled(Flavor::MariaDb);
    for archive in Archive::both(&bench) {
        let token = dbgraft::CancellationToken::new();
        let (cancelling, header) = (token.clone(), archive.file("encryption.json"));
        let options = CloneOptions { max_rate: Some(1000), ..by_passphrase() };
        let job = job(&bench.source_url(), &archive.url, PASSPHRASE).options(options).cancellation(token);
        let job = job.on_event(move |event| {
            if matches!(event, Event::Phase { phase: Phase::Rows, .. }) {
                assert!(header.exists(), "the header comes first");
                cancelling.cancel();
            }
        });
        assert_eq!(job.run().await.unwrap_err().kind(), ErrorKind::Cancelled);
        assert_eq!(files(&archive.dir), [""; 0].map(PathBuf::from));
    }
}

#[tokio::test]
async fn a_key_without_an_archive_is_refused() {
    let bench = filled(Flavor::MySql);
    let error = bench.clone(by_passphrase()).await.unwrap_err();
    assert_eq!(error.to_string(), "--encrypt is for archives, and there is none: name one as an end or by --via");
    let archive = Archive::in_directory();
    let job = CloneJob::new(bench.source_url(), archive.url.as_str()).archive_passphrase(PASSPHRASE.into());
    let error = job.run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(!archive.dir.exists());
}

#[cfg(feature = "cli")]
#[test]
fn the_command_takes_the_passphrase_from_the_environment() {
    use std::process::{Command, Stdio};
    let bench = filled(Flavor::MySql);
    let archive = Archive::in_directory();
    let run = |from: &str, to: &str, passphrase: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dbgraft"));
        command.args(["clone", from, to, "--encrypt", "passphrase", "--progress=plain"]).stdin(Stdio::null());
        let output = command.envs(passphrase.map(|value| ("DBGRAFT_ARCHIVE_PASSPHRASE", value))).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    let (source, target) = (bench.source_url(), bench.target_url());
    let (code, said) = run(&source, &archive.url, None);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--encrypt passphrase: there is no passphrase: set DBGRAFT_ARCHIVE_PASSPHRASE"), "{said}");
    assert_eq!(run(&source, &archive.url, Some("")).0, Some(2));
    assert!(!archive.dir.exists());
    let (code, said) = run(&source, &archive.url, Some(PASSPHRASE));
    assert!(code == Some(0) && !said.contains(PASSPHRASE), "{said}");
    archive.assert_hidden();
    let (code, said) = run(&archive.url, &target, Some("another"));
    assert!(code == Some(1) && said.contains("the passphrase is not that of the archive"), "{said}");
    assert!(!bench.target_exists());
    assert_eq!(run(&archive.url, &target, Some(PASSPHRASE)).0, Some(0));
    bench.assert_equal();
}
