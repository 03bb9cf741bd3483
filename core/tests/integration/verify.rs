//! A comparison finds every difference, and nothing else.

use std::sync::Arc;

use crate::common::comparing::{TABLES, checksum, difference_lines, large};
use crate::common::{Bench, on_sampled_flavors, sampled_flavors, unique};
use dbgraft::{CloneOptions, Comparison, Error, ErrorKind, Event, LegName, Report, RowLocation, Verify};

fn counts() -> CloneOptions {
    CloneOptions { verify: Verify::Counts, ..CloneOptions::default() }
}

async fn verified(bench: &Bench, options: CloneOptions) -> Comparison {
    bench.job(options).verify().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exact_clone_has_no_difference() {
    for &flavor in sampled_flavors() {
        for (via, options) in [(false, checksum()), (false, counts()), (true, checksum())] {
            let bench = Bench::new(flavor, TABLES);
            let via = via.then(|| bench.s3(&format!("verify-{}", unique())));
            let how = options.verify;
            let report = bench.clone(CloneOptions { via, ..options }).await.unwrap();
            let found = report.verified.unwrap();
            assert_eq!((found.how, found.tables, found.chunks, found.rows), (how, 6, 6, 14));
            assert_eq!(found.differences, []);
            for options in [checksum(), counts(), CloneOptions::default()] {
                let comparison = verified(&bench, options).await;
                assert_eq!((difference_lines(&comparison), comparison.verification.rows), (vec![], 14));
            }
        }
    }
}

#[test]
fn every_change_of_a_row_is_found_and_named_by_its_key() {
    const SAME: &str = "5 rows on both sides, but not the same";
    let changes = [
        ("UPDATE keyed SET v = 'A' WHERE id = 1", "keyed", SAME, "different: id = 1"),
        ("UPDATE keyed SET v = NULL WHERE id = 2", "keyed", SAME, "different: id = 2"),
        ("UPDATE keyed SET v = '' WHERE id = 3", "keyed", SAME, "different: id = 3"),
        ("UPDATE keyed SET v = 'pad ' WHERE id = 5", "keyed", SAME, "different: id = 5"),
        ("UPDATE keyed SET f = 16777218 WHERE id = 4", "keyed", SAME, "different: id = 4"),
        (
            "DELETE FROM keyed WHERE id = 4",
            "keyed",
            "5 rows at the source, 4 at the target",
            "only at the source: id = 4",
        ),
        (
            "INSERT INTO keyed VALUES (-7, 'new', 1)",
            "keyed",
            "5 rows at the source, 6 at the target",
            "only at the target: id = -7",
        ),
        (
            "UPDATE words SET n = 3 WHERE n = 2",
            "words",
            "2 rows on both sides, but not the same",
            "only at the source: w = 'it''s', n = 2",
        ),
        (
            "INSERT INTO heap VALUES ('once', '{}')",
            "heap",
            "3 rows at the source, 4 at the target",
            "only at the target: v = 'once', j = '{}'",
        ),
        (
            "DELETE FROM heap WHERE v = 'twice' LIMIT 1",
            "heap",
            "3 rows at the source, 2 at the target",
            "only at the source: v = 'twice', j = '[1]'",
        ),
        (
            "INSERT INTO nothing VALUES (1)",
            "nothing",
            "0 rows at the source, 1 at the target",
            "only at the target: id = 1",
        ),
        (
            "DELETE FROM computed LIMIT 1",
            "computed",
            "2 rows at the source, 1 at the target",
            "only at the source: a row without stored columns",
        ),
        (
            "UPDATE kinds SET e = 'x' WHERE id = 1",
            "kinds",
            "2 rows on both sides, but not the same",
            "different: id = 1",
        ),
        (
            "UPDATE kinds SET r = 'a' WHERE id = 1",
            "kinds",
            "2 rows on both sides, but not the same",
            "different: id = 1",
        ),
        (
            "UPDATE kinds SET t = '2024-03-31 01:30:00.000002' WHERE id = 1",
            "kinds",
            "2 rows on both sides, but not the same",
            "different: id = 1",
        ),
    ];
    on_sampled_flavors(async |flavor| {
        let bench = Bench::new(flavor, TABLES);
        bench.clone(CloneOptions::default()).await.unwrap();
        for (change, table, what, row) in changes {
            bench.target(change);
            let only_counted = verified(&bench, counts()).await;
            assert_eq!(difference_lines(&only_counted).is_empty(), what.contains("both sides"), "{change}");
            let comparison = verified(&bench, checksum()).await;
            let lines = difference_lines(&comparison);
            assert_eq!(lines[0], format!("table {table}: {what}"), "{change}");
            assert_eq!(lines[1], format!("  {row}"), "{change}");
            let quiet = verified(&bench, CloneOptions::default()).await.verification.differences;
            assert!(quiet.len() == 1 && quiet[0].rows.is_empty(), "{change}: {quiet:?}");
            // Back to what it was.
            bench.target(&format!("DELETE FROM {table}"));
            let columns = if table == "computed" { "()" } else { "" };
            match columns {
                "" => bench.clone(again(table)).await.map(drop).unwrap(),
                _ => drop(bench.target("INSERT INTO computed VALUES (), ()")),
            }
        }
        assert_eq!(difference_lines(&verified(&bench, checksum()).await), Vec::<String>::new());
    });
}

fn again(table: &str) -> CloneOptions {
    CloneOptions { include: vec![table.to_owned()], data_only: true, ..CloneOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_names_its_key_range() {
    for &flavor in sampled_flavors() {
        let bench = large(flavor, "");
        let report = bench.clone(checksum()).await.unwrap();
        let chunks = report.verified.unwrap().chunks;
        assert!(chunks > 1, "{chunks}");
        let last: u32 = bench.target("SELECT MAX(id) FROM large").parse().unwrap();
        bench.target(&format!("UPDATE large SET v = 'y' WHERE id = {last}; DELETE FROM large WHERE id = 1"));
        let comparison = verified(&bench, checksum()).await;
        let lines = difference_lines(&comparison);
        assert_eq!(comparison.verification.chunks, chunks);
        assert!(lines.len() == 4 && lines[0].starts_with("table large, id <= "), "{lines:?}");
        assert_eq!(lines[1], "  only at the source: id = 1");
        assert!(lines[2].starts_with("table large, id > "), "{lines:?}");
        assert_eq!(lines[3], format!("  different: id = {last}"));

        bench.target("UPDATE large SET v = 'z' WHERE id % 10 = 0");
        let differences = verified(&bench, checksum()).await.verification.differences;
        assert_eq!(differences.iter().map(|difference| difference.rows.len()).sum::<usize>(), 100);
        assert!(differences.last().unwrap().more > 0, "{differences:?}");
    }
}

/// Clones, while somebody else alters the target as soon as the small table is complete.
async fn clone_while_somebody_writes(bench: &Arc<Bench>, options: CloneOptions, leg: LegName) -> Result<Report, Error> {
    let other = bench.clone();
    let interfere = move |event: Event| {
        if let Event::Finished { leg: of, object, .. } = event
            && (of, object.name.as_str()) == (leg, "small")
        {
            other.target("UPDATE small SET v = 'changed' WHERE id = 2");
        }
    };
    bench.job(options).on_event(interfere).run().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_in_mid_clone_fails_the_clone_loudly_and_leaves_it_there() {
    for &flavor in sampled_flavors() {
        for via in [false, true] {
            let small =
                "CREATE TABLE small (id INT PRIMARY KEY, v VARCHAR(10)); INSERT INTO small VALUES (1, 'a'), (2, 'b');
                         CREATE VIEW seen AS SELECT id FROM small";
            let bench = Arc::new(large(flavor, small));
            let options = CloneOptions { via: via.then(|| bench.s3(&format!("verify-{}", unique()))), ..checksum() };
            let leg = if via { LegName::Import } else { LegName::Clone };
            let error = clone_while_somebody_writes(&bench, options, leg).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Different, "{error}");
            let message = error.to_string();
            assert!(message.contains("table small: 2 rows on both sides, but not the same"), "{message}");
            let report = Report::from_error(&error).unwrap();
            let found = report.verified.as_ref().unwrap();
            assert_eq!((found.tables, found.differences.len()), (2, 1));
            assert_eq!(found.differences[0].rows[0].place, RowLocation::Both);
            assert_eq!(found.differences[0].rows[0].key, "id = 2");
            // All of it is there, and nothing else.
            assert_eq!(bench.target("SELECT COUNT(*) FROM large"), bench.source("SELECT COUNT(*) FROM large"));
            assert_eq!(bench.target("SHOW TABLES"), "large\nseen\nsmall");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_are_missing_or_have_other_columns_are_named() {
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, TABLES);
        bench.clone(CloneOptions::default()).await.unwrap();
        bench.target(
            "DROP TABLE words; ALTER TABLE keyed DROP COLUMN f; ALTER TABLE heap ADD COLUMN z INT;
                      ALTER TABLE nothing COMMENT 'the rows are the same';
                      ALTER TABLE kinds MODIFY e ENUM('', 'x', 'y'); CREATE TABLE further (id INT)",
        );
        let comparison = verified(&bench, checksum()).await;
        let lines = difference_lines(&comparison);
        let mut expected = vec![
            "table heap: column z is only at the target",
            "table keyed: column f is missing at the target",
            "table kinds: column e: its members are enum('x','','y') at the source, enum('','x','y') at the target",
            "table words: the table is missing at the target",
        ];
        expected.sort_unstable();
        assert_eq!(lines, expected);
        assert_eq!(comparison.verification.tables, 2);
        let chosen =
            CloneOptions { exclude: ["words", "keyed", "heap", "kinds"].map(String::from).to_vec(), ..checksum() };
        assert!(verified(&bench, chosen).await.verification.differences.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_filter_holds_on_both_sides_and_a_clone_with_one_is_compared_as_it_is() {
    let rows = "CREATE TABLE a (id INT PRIMARY KEY, v INT); INSERT INTO a VALUES (1, 1), (2, 2), (3, 3);
                CREATE TABLE wanted (id INT PRIMARY KEY); INSERT INTO wanted VALUES (1), (3)";
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, rows);
        // The other table is not at the target.
        let filters = [("a".to_owned(), format!("id IN (SELECT id FROM {}.wanted)", bench.from))].into();
        let only = CloneOptions { filters, include: vec!["a".into()], ..checksum() };
        assert_eq!(bench.clone(only).await.unwrap().verified.unwrap().rows, 2);
        let whole = verified(&bench, CloneOptions { include: vec!["a".into()], ..checksum() }).await;
        assert_eq!(
            difference_lines(&whole),
            ["table a: 3 rows at the source, 2 at the target", "  only at the source: id = 2"]
        );
        let filters = [("a".to_owned(), "id <> 2".to_owned())].into();
        let part = verified(&bench, CloneOptions { filters, include: vec!["a".into()], ..checksum() }).await;
        assert_eq!((difference_lines(&part), part.verification.rows), (vec![], 2));
    }
}
