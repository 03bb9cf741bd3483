//! What the tests of comparisons share.

use dbgraft::{CloneOptions, Comparison, Difference, Verify};
use dbgraft_testkit::Flavor;

use super::Bench;

/// One table for each way in which a row can hide a change.
pub const TABLES: &str = "
    CREATE TABLE keyed (id INT PRIMARY KEY, v VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, f FLOAT);
    INSERT INTO keyed VALUES (1, 'a', 0.1), (2, '', 1e-45), (3, NULL, NULL), (4, 'tab\t', 16777216), (5, 'pad', -0.0);
    CREATE TABLE words (w VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, n INT, PRIMARY KEY (w, n));
    INSERT INTO words VALUES ('straße', 1), ('it''s', 2);
    CREATE TABLE heap (v VARCHAR(20), j JSON); INSERT INTO heap VALUES ('twice', '[1]'), ('twice', '[1]'), ('once', '{}');
    CREATE TABLE nothing (id INT PRIMARY KEY);
    CREATE TABLE computed (a INT GENERATED ALWAYS AS (1) VIRTUAL); INSERT INTO computed VALUES (), ();
    CREATE TABLE kinds (id INT PRIMARY KEY, e ENUM('x', '', 'y'), b BIT(9), t TIMESTAMP(6) NULL, y YEAR, r BINARY(3));
    INSERT INTO kinds VALUES (1, 'y', b'101', '2024-03-31 01:30:00.000001', 0, 'a\\0b'), (2, '', NULL, NULL, 1999, '')";

/// A table of several chunks: each of its values lies on a page of its own.
pub const LARGE: &str = "CREATE TABLE large (id INT PRIMARY KEY, v LONGTEXT NOT NULL) CHARACTER SET latin1;
                     INSERT INTO large WITH RECURSIVE n AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 50)
                     SELECT a.n * 50 + b.n - 50, REPEAT('x', 8200) FROM n a JOIN n b;
                     ANALYZE TABLE large;";

pub fn large(flavor: Flavor, more: &str) -> Bench {
    Bench::new(flavor, &format!("{LARGE}{more}"))
}

/// By checksum, with rows.
pub fn checksum() -> CloneOptions {
    CloneOptions { verify: Verify::Checksum, list_rows: true, ..CloneOptions::default() }
}

/// The differences, one a line, each followed by its rows.
pub fn difference_lines(comparison: &Comparison) -> Vec<String> {
    let of_one = |difference: &Difference| {
        let rows = difference.rows.iter().map(|row| format!("  {row}"));
        std::iter::once(difference.to_string()).chain(rows).collect::<Vec<_>>()
    };
    comparison.verification.differences.iter().flat_map(of_one).collect()
}
