//! Indexes, checks, options and partitions of tables.

use super::*;

#[test]
fn the_content_of_conditional_comments_is_translated() {
    assert_eq!(mariadb("`a` int DEFAULT '7' /*!80023 INVISIBLE */"), ("`a` int DEFAULT '7' INVISIBLE".into(), none()));
    let (line, issues) = mariadb("KEY `k` (`a` DESC) /*!80000 INVISIBLE */");
    assert_eq!(
        (line.as_str(), issues),
        ("KEY `k` (`a` DESC) IGNORED", vec!["Note index k: INVISIBLE -> IGNORED".into()])
    );
    let (_, options, issues) = to_mariadb(
        &["`a` int"],
        " ENGINE=InnoDB\n/*!50100 PARTITION BY KEY */ /*!50611 ALGORITHM = 1 */ /*!50100 (a)\nPARTITIONS 3 */",
    );
    assert_eq!(
        options.split_whitespace().collect::<Vec<_>>().join(" "),
        "ENGINE=InnoDB PARTITION BY KEY ALGORITHM = 1 (a) PARTITIONS 3"
    );
    assert_eq!(issues, none());
}

#[test]
fn indexes_that_the_target_cannot_have_are_omitted() {
    for line in ["KEY `k` ((lower(`a`)))", "UNIQUE KEY `k` (`a`,(cast(json_extract(`j`,'$.x') as unsigned array)))"] {
        let (lines, _, issues) = to_mariadb(&["`a` int", line], "");
        assert_eq!(lines, ["`a` int"]);
        assert_eq!(issues, [format!("Warning index k: {line}, as the target indexes columns only -> ")]);
    }
    let (lines, _, issues) =
        to_mysql(&["`a` text", "`b` varchar(9)", "UNIQUE KEY `k` (`a`) USING HASH", "KEY `b` (`b`)"], " ENGINE=InnoDB");
    assert_eq!(lines, ["`a` text", "`b` varchar(9)", "KEY `b` (`b`)"]);
    assert_eq!(issues.len(), 1);
    let shapes = ["`g` multipolygon NOT NULL", "SPATIAL KEY `s` (`g`)", "KEY `k` (`g`(30))"];
    let (lines, _, issues) = to_mysql(&shapes, " ENGINE=InnoDB");
    assert_eq!((lines.len(), issues.len()), (2, 1), "{issues:?}");
    let (lines, _, issues) = to_mysql(&["`b` varchar(9)", "KEY `k` (`b`) USING HASH"], " ENGINE=MEMORY");
    assert_eq!((lines.len(), issues), (2, none()));
}

#[test]
fn a_missing_fulltext_parser_is_replaced_by_the_default() {
    let (line, issues) = mariadb("FULLTEXT KEY `f` (`a`) /*!50100 WITH PARSER `ngram` */ ");
    assert_eq!(line, "FULLTEXT KEY `f` (`a`)");
    assert_eq!(issues, ["Warning index f: WITH PARSER ngram -> an index by the server's own parser"]);
}

#[test]
fn checks_keep_their_meaning_or_are_logged() {
    let (lines, _, issues) = to_mariadb(
        &[
            "`a` int",
            "CONSTRAINT `c` CHECK ((`a` > 1)) /*!80016 NOT ENFORCED */",
            "CONSTRAINT `d` CHECK (json_pretty(regexp_like(`a`,_utf8mb4'x',_utf8mb4'c')))",
            "CONSTRAINT `e` CHECK ((`a` <> _utf8mb4'regexp_like(') )",
        ],
        "",
    );
    assert_eq!(lines, ["`a` int", "CONSTRAINT `e` CHECK ((`a` <> 'regexp_like(') )"]);
    assert_eq!(
        issues,
        [
            "Warning check c: ((`a` > 1)) NOT ENFORCED, as the target enforces every check -> ",
            "Warning check d: (json_pretty(regexp_like(`a`,'x','c'))), as the target does not have regexp_like() -> "
        ]
    );
    let (lines, _, issues) = to_mysql(
        &[
            "`a` int(11) CHECK (`a` > `b`)",
            "CONSTRAINT `CONSTRAINT_1` CHECK (`a` > 1)",
            "CONSTRAINT `c` CHECK (`a` > 2)",
        ],
        "",
    );
    assert_eq!(lines, ["`a` int(11)", "CHECK (`a` > 1)", "CONSTRAINT `c` CHECK (`a` > 2)", "CHECK (`a` > `b`)"]);
    assert_eq!(issues.len(), 1);
}

#[test]
fn check_names_that_two_tables_share_are_removed_for_mysql() {
    let (from, to) = (server(Flavor::MariaDb, "10.11.19"), server(Flavor::MySql, "9.7.4"));
    let create = "CREATE TABLE `t` (\n  `a` int(11),\n  CONSTRAINT `C` CHECK (`a` > 1)\n)";
    let (one, other) = (table_of(create), table_of(&create.replace("`C`", "`c`")));
    let translator = Translator::new(&from, &to, &[&one, &other]);
    assert_eq!(
        translator.translate_table(&one, &mut Vec::new()).create,
        "CREATE TABLE `t` (\n  `a` int(11),\n  CHECK (`a` > 1)\n)"
    );
}

#[test]
fn history_and_periods_are_omitted_and_their_columns_kept() {
    let (lines, options, issues) = to_mysql(
        &[
            "`a` int(11) WITHOUT SYSTEM VERSIONING",
            "`rs` timestamp(6) GENERATED ALWAYS AS ROW START",
            "`re` timestamp(6) GENERATED ALWAYS AS ROW END",
            "PERIOD FOR SYSTEM_TIME (`rs`, `re`)",
            "PRIMARY KEY (`a`,`re`)",
            "KEY `k` (`rs`)",
        ],
        " ENGINE=InnoDB WITH SYSTEM VERSIONING\n PARTITION BY SYSTEM_TIME \n(PARTITION `p0` HISTORY ENGINE = InnoDB)",
    );
    assert_eq!(lines, ["`a` int(11)", "PRIMARY KEY (`a`)"]);
    assert_eq!(options, " ENGINE=InnoDB");
    assert!(issues[0].starts_with("Warning history"), "{issues:?}");
    let (lines, _, issues) = to_mysql(
        &[
            "`a` int(11)",
            "`s` date NOT NULL",
            "`e` date NOT NULL",
            "PERIOD FOR `p` (`s`, `e`)",
            "UNIQUE KEY `k` (`a`,`p` WITHOUT OVERLAPS)",
        ],
        "",
    );
    assert_eq!(lines[3..], ["CHECK (`s` < `e`)", "UNIQUE KEY `k` (`a`,`s`,`e`)"]);
    assert_eq!(issues.len(), 2);
}

#[test]
fn storage_options_are_omitted() {
    let (_, options, issues) = to_mariadb(
        &["`a` int"],
        " /*!80023 AUTOEXTEND_SIZE=4194304 */ ENGINE=InnoDB AUTO_INCREMENT=7 COMPRESSION='zlib' STATS_PERSISTENT=1",
    );
    assert_eq!(
        options.split_whitespace().collect::<Vec<_>>().join(" "),
        "ENGINE=InnoDB AUTO_INCREMENT=7 STATS_PERSISTENT=1"
    );
    assert_eq!(issues.len(), 2);
    let (_, options, issues) = to_mysql(
        &["`a` int"],
        " ENGINE=Aria ROW_FORMAT=PAGE PAGE_CHECKSUM=1 TRANSACTIONAL=1 `page_compressed`='1' COMMENT='x'",
    );
    assert_eq!(options, " ENGINE=InnoDB COMMENT='x'");
    assert_eq!(issues[0], "Note engine: Aria -> InnoDB");
}

#[test]
fn partitions_of_unsupported_engines_become_innodb() {
    let (_, options, issues) =
        to_mysql(&["`a` int(11)"], " ENGINE=MyISAM\n PARTITION BY HASH (`a`)\n(PARTITION `p` ENGINE = MyISAM)");
    assert_eq!(options, " ENGINE=InnoDB\n PARTITION BY HASH (`a`)\n(PARTITION `p` ENGINE = InnoDB)");
    assert_eq!(issues, ["Note engine: MyISAM -> InnoDB"]);
    assert_eq!(to_mysql(&["`a` int(11)"], " ENGINE=MyISAM").1, " ENGINE=MyISAM");
}
