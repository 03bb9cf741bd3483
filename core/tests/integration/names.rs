//! Every name that a server accepts works, of a database and of its objects.

use crate::common::{Bench, on_sampled_flavors, quoted, sampled_flavors, unique};
use dbgraft::{CloneJob, CloneOptions};
use dbgraft_testkit::{Flavor, compare_with, pair_of, s3};

const NAMES: [&str; 22] = [
    "quo'te\"d",
    "`tick``s`",
    "a.b",
    "..",
    ".",
    "a/b",
    "../../etc",
    "new\nline",
    "tab\tbed",
    "*/ drop -- #",
    "/*!50000 x",
    "100%",
    "%00",
    "back\\slash\\'",
    "sp ace",
    "größe 表",
    "1e5",
    "select",
    "$HOME",
    "?a=b&c",
    "a\u{1}\u{7f}",
    "sixty_four_characters_long_sixty_four_characters_long_sixty_four",
];

/// Objects of every kind under every name.
fn statements(database: &str, flavor: Flavor) -> String {
    let mut sql = String::from("SET NAMES utf8mb4;\n");
    for (number, name) in (0..).zip(NAMES) {
        let name = quoted(name);
        sql.push_str(&format!(
            "CREATE TABLE {name} (id INT PRIMARY KEY, {name} VARCHAR(30), e ENUM('a', 'b'), parent INT, KEY {name} ({name}), KEY (parent), \
             CONSTRAINT {name} FOREIGN KEY (parent) REFERENCES {name} (id)) COMMENT 'of {number}';\n\
             SET foreign_key_checks = 0; INSERT INTO {name} VALUES (1, 'one', 'a', 1), (2, NULL, NULL, 3), (3, 'tab\\tbed', 0x61, NULL);\n\
             CREATE FUNCTION {name}() RETURNS INT DETERMINISTIC NO SQL RETURN {number};\n\
             CREATE PROCEDURE {name}() SELECT * FROM {db}.{name};\n\
             CREATE EVENT {name} ON SCHEDULE EVERY 1 DAY STARTS '2038-01-01 00:00:00' DO DELETE FROM {name} WHERE 0;\n\
             CREATE TRIGGER {name} BEFORE INSERT ON {name} FOR EACH ROW SET NEW.{name} = {db}.{name}();\n",
            db = quoted(database)
        ));
    }
    for name in NAMES {
        let view = if name.chars().count() < 60 { format!("{name}:v") } else { format!("{}_v", &name[..60]) };
        sql.push_str(&format!(
            "CREATE VIEW {} AS SELECT t.{name}, {db}.{name}() AS `f of {}` FROM {db}.{name} AS t;\n",
            quoted(&view),
            name.replace(['`', '\n', '\t'], "_").chars().take(40).collect::<String>(),
            name = quoted(name),
            db = quoted(database),
        ));
    }
    if flavor == Flavor::MariaDb {
        sql.push_str("CREATE SEQUENCE `s'e\"q``.\nx`; SELECT NEXTVAL(`s'e\"q``.\nx`);\n");
        sql.push_str(&format!(
            "CREATE TABLE counted (a INT PRIMARY KEY DEFAULT NEXTVAL({}.`s'e\"q``.\nx`))",
            quoted(database)
        ));
    }
    sql
}

fn bench(flavor: Flavor, from: &str, to: &str) -> Bench {
    let unique = unique();
    let bench = Bench { pair: pair_of(flavor), from: format!("{from}{unique}"), to: format!("{to}{unique}") };
    bench.pair.source.sql(&format!("CREATE DATABASE {}", quoted(&bench.from))).unwrap();
    bench.pair.source.sql_in(&bench.from, &statements(&bench.from, flavor)).unwrap();
    bench
}

#[test]
fn every_name_arrives_in_a_database_of_another_odd_name() {
    on_sampled_flavors(async |flavor| {
        let bench = bench(flavor, "from'\".\n*/%", "t\\o'/..;ö");
        let report = bench.clone(CloneOptions::default()).await.unwrap();
        assert_eq!(report.database.name, bench.from);
        // Notes are single lines, whatever the names in them.
        assert!(report.objects.iter().flat_map(|object| &object.warnings).all(|note| !note.contains('\n')));
        bench.assert_equal();
        // The views call functions of the clone's own database.
        assert_eq!(bench.target("SELECT * FROM `a.b:v` WHERE `a.b` = 'one'"), "one\t2");
        let of_the_source = bench.target(
            "SELECT COUNT(*) FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE() AND VIEW_DEFINITION LIKE '%from''%'",
        );
        assert_eq!(of_the_source, "0");
    });
}

#[test]
fn every_name_arrives_through_s3_and_none_is_part_of_a_key() {
    on_sampled_flavors(async |flavor| {
        let bench = bench(flavor, "../fr?om&#", "to=\u{e9} ;x");
        let prefix = format!("names-{}", unique());
        let archive = bench.s3(&prefix);
        CloneJob::new(bench.source_url(), archive.as_str()).run().await.unwrap();
        let odd = |c: char| !(c.is_ascii_alphanumeric() || "/-._".contains(c));
        let keys = s3().keys(&prefix).unwrap();
        assert!(
            keys.len() > NAMES.len() && !keys.iter().any(|key| key.contains(odd) || key.contains("..")),
            "{keys:?}"
        );
        CloneJob::new(archive, bench.target_url()).run().await.unwrap();
        bench.assert_equal();
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn patterns_and_filters_find_odd_names() {
    for &flavor in sampled_flavors() {
        let bench = bench(flavor, "p'", "p`");
        let options = CloneOptions {
            include: vec!["table:a/b".into(), r"100%".into(), "table:new\nline".into(), "view:..:v".into()],
            exclude: vec!["table:100%".into()],
            filters: [("a/b".to_owned(), "`a/b` = 'one' -- ' \" `".to_owned())].into(),
            ..CloneOptions::default()
        };
        let report = bench.clone(options).await.unwrap();
        assert_eq!(bench.target("SELECT COUNT(*) FROM `a/b`"), "1");
        assert_eq!(bench.target("SELECT COUNT(*) FROM `new\nline`"), "3");
        let mut cloned: Vec<&str> = report.objects.iter().map(|object| object.object.name.as_str()).collect();
        cloned.sort_unstable();
        assert_eq!(cloned, ["a/b", "new\nline"]);
        // It calls a function that is not chosen.
        assert!(report.fidelity.iter().any(|lost| lost.object.name == "..:v"), "{:?}", report.fidelity);
    }
}

/// Names that a server keeps apart and a careless comparison takes for one.
#[tokio::test(flavor = "multi_thread")]
async fn databases_and_tables_that_differ_by_case_or_accent_only_are_kept_apart() {
    for &flavor in sampled_flavors() {
        let name = unique();
        let bench = Bench { pair: pair_of(flavor), from: format!("case_é_{name}"), to: format!("case_{name}") };
        let others: Vec<String> =
            ["case_e", "CASE_É", "Case_é", "case_É", "cäse_e"].iter().map(|other| format!("{other}_{name}")).collect();
        let make = |database: &str, tag: &str| {
            let database = quoted(database);
            bench.pair.source.sql(&format!(
                "SET NAMES utf8mb4; CREATE DATABASE {database}; USE {database}; \
                 CREATE TABLE t (a VARCHAR(20)); INSERT INTO t VALUES ('{tag}'); CREATE TABLE {tag} (a INT PRIMARY KEY, {tag} INT); \
                 CREATE VIEW v{tag} AS SELECT * FROM t; CREATE FUNCTION f{tag}() RETURNS INT DETERMINISTIC RETURN 1; \
                 CREATE TRIGGER tr{tag} BEFORE INSERT ON t FOR EACH ROW SET @x = 1; \
                 CREATE EVENT e{tag} ON SCHEDULE EVERY 1 YEAR STARTS '2038-01-01 00:00:00' DO DO 1;"
            ))
        };
        make(&bench.from, "proper").unwrap();
        for (number, other) in others.iter().enumerate() {
            make(other, &format!("wrong{number}")).unwrap();
        }
        bench.source("CREATE TABLE T (A INT, B INT); INSERT INTO T VALUES (1, 2)");
        let result = bench.clone(CloneOptions::default()).await;
        let compared =
            compare_with(&bench.pair.source, &bench.from, &bench.pair.target, &bench.to, &Default::default());
        for other in &others {
            bench.pair.source.sql(&format!("DROP DATABASE {}", quoted(other))).unwrap();
        }
        let report = result.unwrap();
        let wrong: Vec<String> = report.objects.iter().map(|object| object.object.name.clone()).collect();
        assert!(!wrong.iter().any(|name| name.contains("wrong")), "{flavor}: {wrong:?}");
        compared.unwrap();
    }
}
