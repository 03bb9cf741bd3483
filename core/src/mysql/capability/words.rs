//! The words that later releases of a family reserve. An older release takes them as names without quotes.

use super::Availability::{Never, Since};
use super::{Releases, is_available};
use crate::catalog::Server;

/// The words, with the releases of MySQL and of MariaDB that reserve them. To the releases before, each is a name and nothing
/// else: words such as ROWS, which were keywords before they were reserved, are not listed. Sources: "Keywords and Reserved
/// Words" (<https://dev.mysql.com/doc/refman/9.7/en/keywords.html>), "Reserved Words"
/// (<https://mariadb.com/docs/server/reference/sql-structure/sql-language-structure/reserved-words>).
#[rustfmt::skip]
const WORDS: [(&str, Releases); 33] = [
    ("CUBE", (Since(8, 0, 1), Never)),
    ("CUME_DIST", (Since(8, 0, 2), Never)),
    ("DENSE_RANK", (Since(8, 0, 2), Never)),
    ("EMPTY", (Since(8, 0, 4), Never)),
    ("EXCEPT", (Since(8, 0, 0), Since(10, 3, 0))),
    ("EXTERNAL", (Since(9, 4, 0), Never)),
    ("FIRST_VALUE", (Since(8, 0, 2), Never)),
    ("GENERATED", (Since(5, 7, 6), Never)),
    ("GROUPING", (Since(8, 0, 1), Never)),
    ("GROUPS", (Since(8, 0, 2), Never)),
    ("INTERSECT", (Since(8, 0, 31), Since(10, 3, 0))),
    ("JSON_TABLE", (Since(8, 0, 4), Never)),
    ("LAG", (Since(8, 0, 2), Never)),
    ("LAST_VALUE", (Since(8, 0, 2), Never)),
    ("LATERAL", (Since(8, 0, 14), Never)),
    ("LEAD", (Since(8, 0, 2), Never)),
    ("LIBRARY", (Since(9, 2, 0), Never)),
    ("NTH_VALUE", (Since(8, 0, 2), Never)),
    ("NTILE", (Since(8, 0, 2), Never)),
    ("OF", (Since(8, 0, 1), Never)),
    ("OPTIMIZER_COSTS", (Since(5, 7, 5), Never)),
    ("OVER", (Since(8, 0, 2), Never)),
    ("PERCENT_RANK", (Since(8, 0, 2), Never)),
    ("QUALIFY", (Since(8, 4, 0), Never)),
    ("RANK", (Since(8, 0, 2), Never)),
    ("RECURSIVE", (Since(8, 0, 1), Never)),
    ("ROW_NUMBER", (Since(8, 0, 2), Since(10, 7, 0))),
    ("STORED", (Since(5, 7, 6), Never)),
    ("SYSTEM", (Since(8, 0, 3), Never)),
    ("TABLESAMPLE", (Since(8, 4, 0), Never)),
    ("VECTOR", (Never, Since(11, 7, 1))),
    ("VIRTUAL", (Since(5, 7, 6), Never)),
    ("WINDOW", (Since(8, 0, 2), Never)),
];

/// Whether `to` reserves the word and `from`, of the same family, does not.
pub(in crate::mysql) fn is_newly_reserved(word: &str, from: &Server, to: &Server) -> bool {
    let found = WORDS.iter().find(|(reserved, _)| reserved.eq_ignore_ascii_case(word));
    from.flavor == to.flavor
        && found.is_some_and(|(_, releases)| is_available(*releases, to) && !is_available(*releases, from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Flavor;

    #[test]
    fn a_word_is_newly_reserved_in_the_later_release_of_a_family() {
        let (old, new) = (Server::new(Flavor::MySql, "5.6.24"), Server::new(Flavor::MySql, "9.7.4"));
        assert!(is_newly_reserved("rank", &old, &new));
        assert!(!is_newly_reserved("rank", &new, &new));
        assert!(!is_newly_reserved("rows", &old, &new));
        assert!(!is_newly_reserved("rank", &Server::new(Flavor::MariaDb, "10.5.29-MariaDB"), &new));
    }
}
