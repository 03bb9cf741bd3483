use super::*;
use crate::catalog::{Column, ObjectKind};

fn server(flavor: Flavor, version: &str) -> Server {
    Server::new(flavor, version)
}

fn table_of(create: &str) -> Table {
    Table {
        name: "t".into(),
        engine: "InnoDB".into(),
        columns: Vec::new(),
        history: false,
        primary_key: Vec::new(),
        rows_estimate: 0,
        data_bytes: 0,
        index_bytes: 0,
        create: create.into(),
    }
}

/// Translates a table. Returns its items, its options, and the issues: `severity what: source -> target`.
fn table(translator: &Translator<'_>, lines: &[&str], options: &str) -> (Vec<String>, String, Vec<String>) {
    let create = format!("CREATE TABLE `t` (\n  {}\n){options}", lines.join(",\n  "));
    let mut found = Vec::new();
    let image = translator.translate_table(&table_of(&create), &mut found).create;
    let (body, rest) = image.strip_prefix("CREATE TABLE `t` (\n  ").unwrap().rsplit_once("\n)").unwrap();
    let issues = |f: FidelityIssue| format!("{:?} {}: {} -> {}", f.severity, f.what, f.source, f.target);
    (body.split(",\n  ").map(str::to_owned).collect(), rest.to_owned(), found.into_iter().map(issues).collect())
}

fn to_mariadb(lines: &[&str], options: &str) -> (Vec<String>, String, Vec<String>) {
    let (from, to) = (server(Flavor::MySql, "9.7.4"), server(Flavor::MariaDb, "10.11.19-MariaDB"));
    table(&Translator::new(&from, &to, &[]), lines, options)
}

fn to_mysql(lines: &[&str], options: &str) -> (Vec<String>, String, Vec<String>) {
    let (from, to) = (server(Flavor::MariaDb, "10.11.19-MariaDB"), server(Flavor::MySql, "9.7.4"));
    table(&Translator::new(&from, &to, &[]), lines, options)
}

/// Translates one item of a table. Returns it and the issues.
fn mariadb(line: &str) -> (String, Vec<String>) {
    let (lines, _, issues) = to_mariadb(&[line], " ENGINE=InnoDB");
    (lines.join(",\n  "), issues)
}

fn mysql(line: &str) -> (String, Vec<String>) {
    let (lines, _, issues) = to_mysql(&[line], " ENGINE=InnoDB");
    (lines.join(",\n  "), issues)
}

fn none() -> Vec<String> {
    Vec::new()
}

#[test]
fn within_a_release_nothing_changes() {
    let database = Database {
        name: "d".into(),
        charset: "utf8mb4".into(),
        collation: "utf8mb4_0900_ai_ci".into(),
        comment: String::new(),
    };
    let tables = vec![table_of("CREATE TABLE `t` (\n  `a` json /*!80023 INVISIBLE */\n)")];
    let whole = Catalog { server: server(Flavor::MySql, "9.7.4"), database, tables, definitions: Vec::new() };
    let (image, found) = catalog(&whole, &server(Flavor::MySql, "9.7.1"));
    assert!(matches!(image, Cow::Borrowed(_)) && found.is_empty());
}

#[test]
fn collations_of_mysql_have_the_vendors_names_in_mariadb() {
    let (from, new) = (server(Flavor::MySql, "9.7.4"), server(Flavor::MariaDb, "10.11.19"));
    let translator = Translator::new(&from, &new, &[]);
    for (name, expected, same) in [
        ("utf8mb4_0900_ai_ci", "utf8mb4_uca1400_nopad_ai_ci", true),
        ("utf8mb4_0900_as_cs", "utf8mb4_uca1400_nopad_as_cs", true),
        ("utf8mb4_0900_bin", "utf8mb4_nopad_bin", true),
        ("utf8mb4_de_pb_0900_ai_ci", "utf8mb4_uca1400_german2_nopad_ai_ci", true),
        ("utf8mb4_es_trad_0900_as_cs", "utf8mb4_uca1400_spanish2_nopad_as_cs", true),
        ("utf8mb4_nb_0900_ai_ci", "utf8mb4_uca1400_danish_nopad_ai_ci", false),
        ("utf8mb4_ja_0900_as_cs_ks", "utf8mb4_uca1400_nopad_as_cs", false),
        ("utf8mb4_croatian_ci", "utf8mb4_croatian_mysql561_ci", true),
        ("utf8mb3_tolower_ci", "utf8mb3_general_ci", false),
        ("utf8_bin", "utf8mb3_bin", true),
        ("latin1_swedish_ci", "latin1_swedish_ci", true),
    ] {
        assert_eq!(
            collation::nearest_collation(name, &translator),
            Some(collation::CollationMatch { name: expected.into(), exact: same }),
            "{name}"
        );
    }
    assert_eq!(collation::nearest_collation("gb18030_chinese_ci", &translator), None);
    let old = server(Flavor::MariaDb, "10.5.1");
    let translator = Translator::new(&from, &old, &[]);
    let image = collation::nearest_collation("utf8mb4_0900_ai_ci", &translator).unwrap();
    assert_eq!((image.name.as_str(), image.exact), ("utf8mb4_unicode_520_nopad_ci", false));
    assert_eq!(collation::charset_name("utf8mb3", &translator), "utf8");
}

#[test]
fn collations_of_mariadb_have_the_nearest_of_mysql() {
    let (from, to) = (server(Flavor::MariaDb, "11.8.1"), server(Flavor::MySql, "8.4.0"));
    let translator = Translator::new(&from, &to, &[]);
    for (name, expected, same) in [
        ("utf8mb4_uca1400_nopad_ai_ci", "utf8mb4_0900_ai_ci", true),
        ("utf8mb4_uca1400_nopad_as_cs", "utf8mb4_0900_as_cs", true),
        ("utf8mb4_uca1400_nopad_ai_cs", "utf8mb4_0900_as_cs", false),
        ("utf8mb4_uca1400_ai_ci", "utf8mb4_unicode_520_ci", true),
        ("utf8mb4_uca1400_as_cs", "utf8mb4_0900_as_cs", false),
        ("utf8mb4_uca1400_german2_nopad_ai_ci", "utf8mb4_de_pb_0900_ai_ci", true),
        ("utf8mb4_uca1400_german2_ai_ci", "utf8mb4_de_pb_0900_ai_ci", false),
        ("utf8mb4_uca1400_persian_ai_ci", "utf8mb4_persian_ci", false),
        ("utf8mb3_uca1400_ai_ci", "utf8mb3_unicode_520_ci", true),
        ("utf8mb3_uca1400_swedish_as_ci", "utf8mb3_swedish_ci", false),
        ("ucs2_uca1400_as_cs", "ucs2_bin", false),
        ("utf8mb4_nopad_bin", "utf8mb4_0900_bin", true),
        ("latin2_nopad_bin", "latin2_bin", false),
        ("utf8mb4_general_nopad_ci", "utf8mb4_general_ci", false),
        ("utf8mb4_croatian_mysql561_ci", "utf8mb4_croatian_ci", true),
        ("utf8mb4_croatian_ci", "utf8mb4_hr_0900_ai_ci", false),
        ("utf8mb4_thai_520_w2", "utf8mb4_unicode_520_ci", false),
        ("utf8mb4_general_ci", "utf8mb4_general_ci", true),
    ] {
        assert_eq!(
            collation::nearest_collation(name, &translator),
            Some(collation::CollationMatch { name: expected.into(), exact: same }),
            "{name}"
        );
    }
}

#[test]
fn every_collation_is_replaced_and_logged_once() {
    let (lines, options, issues) = to_mariadb(
        &[
            "`a` varchar(9) COLLATE utf8mb4_0900_as_cs DEFAULT 'COLLATE utf8mb4_0900_ai_ci'",
            "`b` char(3) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_as_cs GENERATED ALWAYS AS ((`a` collate utf8mb4_0900_bin)) VIRTUAL",
        ],
        " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci COMMENT='COLLATE=utf8mb4_0900_ai_ci'",
    );
    assert_eq!(
        lines,
        [
            "`a` varchar(9) COLLATE utf8mb4_uca1400_nopad_as_cs DEFAULT 'COLLATE utf8mb4_0900_ai_ci'",
            "`b` char(3) CHARACTER SET utf8mb4 COLLATE utf8mb4_uca1400_nopad_as_cs GENERATED ALWAYS AS ((`a` collate utf8mb4_nopad_bin)) VIRTUAL"
        ]
    );
    assert_eq!(
        options,
        " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_uca1400_nopad_ai_ci COMMENT='COLLATE=utf8mb4_0900_ai_ci'"
    );
    assert_eq!(
        issues,
        [
            "Note collation: utf8mb4_0900_as_cs -> utf8mb4_uca1400_nopad_as_cs",
            "Note collation: utf8mb4_0900_bin -> utf8mb4_nopad_bin",
            "Note collation: utf8mb4_0900_ai_ci -> utf8mb4_uca1400_nopad_ai_ci"
        ]
    );
}

#[test]
fn a_character_set_without_a_collation_gets_the_sources_default() {
    let (lines, options, issues) = to_mariadb(&["`a` char(1) CHARACTER SET latin1"], " DEFAULT CHARSET=utf8");
    assert_eq!(lines, ["`a` char(1) CHARACTER SET latin1 COLLATE latin1_swedish_ci"]);
    assert_eq!((options.as_str(), issues), (" DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci", none()));
    let (from, to) = (server(Flavor::MySql, "5.7.44"), server(Flavor::MariaDb, "11.8.1"));
    let (_, options, _) = table(&Translator::new(&from, &to, &[]), &["`a` int"], " DEFAULT CHARSET=utf8mb4");
    assert_eq!(options, " DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci");
}

#[test]
fn a_missing_character_set_is_an_error() {
    let (_, issues) = mariadb("`a` char(1) CHARACTER SET gb18030 COLLATE gb18030_bin");
    assert!(issues.iter().all(|line| line.starts_with("Error")) && !issues.is_empty(), "{issues:?}");
}

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
fn json_becomes_text_with_a_check() {
    let (line, issues) = mariadb("`j` json DEFAULT (json_array())");
    assert_eq!(line, "`j` json DEFAULT (json_array())");
    assert_eq!(issues, ["Note column j: json -> longtext with CHECK (json_valid())"]);
    let (lines, issues) =
        mysql("`j` longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT json_array() CHECK (json_valid(`j`))");
    assert_eq!(
        lines,
        "`j` longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT (json_array()),\n  CHECK (json_valid(`j`))"
    );
    assert_eq!(issues, none());
}

#[test]
fn types_of_one_family_become_types_that_hold_every_value() {
    assert_eq!(mariadb("`g` geomcollection DEFAULT NULL"), ("`g` geometrycollection DEFAULT NULL".into(), none()));
    let (line, issues) = mariadb("`v` vector(3) DEFAULT NULL");
    assert_eq!(
        (line.as_str(), issues),
        ("`v` varbinary(12) DEFAULT NULL", vec!["Warning column v: vector(3) -> varbinary(12)".into()])
    );
    let ascii = "CHARACTER SET ascii COLLATE ascii_general_ci";
    let (line, issues) = mysql("`u` uuid NOT NULL DEFAULT uuid()");
    assert_eq!(line, format!("`u` char(36) {ascii} NOT NULL DEFAULT (uuid())"));
    assert_eq!(issues, [format!("Warning column u: uuid -> char(36) {ascii}")]);
    assert_eq!(mysql("`i` inet6 DEFAULT '::1'").0, format!("`i` varchar(39) {ascii} DEFAULT '::1'"));
    assert_eq!(mysql("`d` decimal(50,38)").1, ["Error column d: the target has no decimal(50,38) -> "]);
    assert_eq!(mysql("`d` decimal(50,30)").1, none());
    assert_eq!(
        mysql("`c` text /*M!100301 COMPRESSED*/ DEFAULT NULL"),
        (
            "`c` text DEFAULT NULL".into(),
            vec!["Note column c: COMPRESSED -> without, as it concerns storage only".into()]
        )
    );
}

#[test]
fn the_catalogs_columns_get_the_translated_types() {
    let (from, to) = (server(Flavor::MariaDb, "10.11.19"), server(Flavor::MySql, "9.7.4"));
    let column = Column {
        name: "u".into(),
        data_type: "uuid".into(),
        column_type: "uuid".into(),
        charset: None,
        collation: None,
        nullable: true,
        generated: false,
        stored: false,
    };
    let image = type_mapping::map_column(&column, &Translator::new(&from, &to, &[]));
    assert_eq!((image.data_type.as_str(), image.column_type.as_str()), ("char", "char(36)"));
    assert_eq!((image.charset.as_deref(), image.collation.as_deref()), (Some("ascii"), Some("ascii_general_ci")));
}

#[test]
fn a_spatial_reference_system_becomes_an_unchecked_attribute() {
    let (line, issues) = mariadb("`g` geometry NOT NULL /*!80003 SRID 4326 */");
    assert_eq!(line, "`g` geometry REF_SYSTEM_ID=4326 NOT NULL");
    assert_eq!(issues, ["Note column g: SRID 4326 -> REF_SYSTEM_ID=4326, which the server does not check"]);
}

#[test]
fn a_generated_column_gets_a_check_instead_of_not_null() {
    let (line, issues) = mariadb("`k` int GENERATED ALWAYS AS ((`a` + 1)) STORED NOT NULL COMMENT 'NOT NULL'");
    assert_eq!(line, "`k` int GENERATED ALWAYS AS ((`a` + 1)) STORED COMMENT 'NOT NULL' CHECK (`k` IS NOT NULL)");
    assert_eq!(issues, ["Note column k: NOT NULL -> CHECK (`k` IS NOT NULL)"]);
}

#[test]
fn defaults_get_brackets_where_mysql_requires_them() {
    for (line, expected) in [
        ("`a` int(11) DEFAULT -3", "`a` int(11) DEFAULT -3"),
        ("`a` text DEFAULT 'it''s'", "`a` text DEFAULT ('it''s')"),
        ("`a` text DEFAULT NULL COMMENT 'DEFAULT uuid()'", "`a` text DEFAULT NULL COMMENT 'DEFAULT uuid()'"),
        ("`a` text DEFAULT _utf8mb4'x'", "`a` text DEFAULT ('x')"),
        ("`a` varchar(9) DEFAULT concat('a',')')", "`a` varchar(9) DEFAULT (concat('a',')'))"),
        ("`a` int(11) INVISIBLE DEFAULT (1 << 2)", "`a` int(11) INVISIBLE DEFAULT (1 << 2)"),
        ("`a` bit(3) DEFAULT b'101'", "`a` bit(3) DEFAULT b'101'"),
        ("`a` date DEFAULT curdate()", "`a` date DEFAULT (curdate())"),
        ("`a` varchar(30) DEFAULT current_timestamp()", "`a` varchar(30) DEFAULT (current_timestamp())"),
        (
            "`a` datetime(3) DEFAULT current_timestamp(3) ON UPDATE current_timestamp(3)",
            "`a` datetime(3) DEFAULT current_timestamp(3) ON UPDATE current_timestamp(3)",
        ),
    ] {
        assert_eq!(mysql(line), (expected.to_owned(), none()));
    }
}

#[test]
fn a_default_that_the_target_cannot_compute_is_omitted() {
    let (line, issues) = mysql("`a` int(11) NOT NULL DEFAULT nextval(`d`.`s`) COMMENT 'x'");
    assert_eq!(line, "`a` int(11) NOT NULL COMMENT 'x'");
    assert_eq!(issues, ["Warning default of column a: nextval(`d`.`s`), as the target does not have nextval() -> "]);
    let (line, issues) = mariadb("`a` binary(16) DEFAULT (uuid_to_bin(uuid(),1))");
    assert_eq!(line, "`a` binary(16)");
    assert_eq!(issues.len(), 1);
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
fn code_keeps_its_text_except_for_collations_and_modes() {
    let (from, to) = (server(Flavor::MariaDb, "10.11.19"), server(Flavor::MySql, "9.7.4"));
    let definition = Definition {
        object: ObjectRef::new(ObjectKind::Procedure, "p"),
        create: "CREATE PROCEDURE `p`() SELECT 'COLLATE uca' COLLATE utf8mb4_uca1400_nopad_ai_ci".into(),
        sql_mode: "NO_AUTO_CREATE_USER,ANSI_QUOTES".into(),
        character_set_client: "utf8".into(),
        collation_connection: "utf8mb4_uca1400_ai_ci".into(),
        database_collation: "latin1_swedish_ci".into(),
        time_zone: String::new(),
        columns: Vec::new(),
        state: None,
    };
    let mut found = Vec::new();
    let image = Translator::new(&from, &to, &[]).translate_definition(&definition, &mut found);
    assert_eq!(image.create, "CREATE PROCEDURE `p`() SELECT 'COLLATE uca' COLLATE utf8mb4_0900_ai_ci");
    assert_eq!((image.sql_mode.as_str(), image.character_set_client.as_str()), ("ANSI_QUOTES", "utf8mb3"));
    assert_eq!(image.collation_connection, "utf8mb4_unicode_520_ci");
    assert!(found.len() == 3 && found.iter().all(|found| found.severity == Severity::Note), "{found:?}");
}

#[test]
fn regexp_like_becomes_the_operator() {
    let (line, issues) = mariadb(
        "CONSTRAINT `c` CHECK (((`a` > 1) or regexp_like(regexp_like(`a`,_utf8mb4'x,'),concat(`b`,_utf8mb4'('))))",
    );
    assert_eq!(line, "CONSTRAINT `c` CHECK (((`a` > 1) or (((`a` regexp 'x,')) regexp concat(`b`,'('))))");
    assert_eq!(issues[0], "Note expression: regexp_like(`a`,'x,') -> (`a` regexp 'x,')");
    assert_eq!(issues.len(), 2);
}

#[test]
fn an_invisible_column_without_a_default_is_visible_in_mariadb() {
    let (line, issues) = mariadb("`a` int NOT NULL /*!80023 INVISIBLE */ COMMENT 'x'");
    assert_eq!(line, "`a` int NOT NULL COMMENT 'x'");
    assert_eq!(issues, ["Warning column a: INVISIBLE -> visible, as it has no default"]);
    for line in
        ["`a` int INVISIBLE", "`a` int NOT NULL DEFAULT '1' INVISIBLE", "`a` bigint NOT NULL AUTO_INCREMENT INVISIBLE"]
    {
        assert_eq!(mariadb(line), (line.to_owned(), none()));
    }
}

#[test]
fn partitions_of_unsupported_engines_become_innodb() {
    let (_, options, issues) =
        to_mysql(&["`a` int(11)"], " ENGINE=MyISAM\n PARTITION BY HASH (`a`)\n(PARTITION `p` ENGINE = MyISAM)");
    assert_eq!(options, " ENGINE=InnoDB\n PARTITION BY HASH (`a`)\n(PARTITION `p` ENGINE = InnoDB)");
    assert_eq!(issues, ["Note engine: MyISAM -> InnoDB"]);
    assert_eq!(to_mysql(&["`a` int(11)"], " ENGINE=MyISAM").1, " ENGINE=MyISAM");
}

#[test]
fn a_databases_defaults_are_translated_and_losses_noted() {
    let (from, to) = (server(Flavor::MariaDb, "10.11.19"), server(Flavor::MySql, "9.7.4"));
    let database = |collation: &str, comment: &str| Database {
        name: "d".into(),
        charset: "utf8mb4".into(),
        collation: collation.into(),
        comment: comment.into(),
    };
    let source = database("utf8mb4_uca1400_ai_ci", "shop");
    let image = Translator::new(&from, &to, &[]).translate_database(&source);
    assert_eq!(image.collation, "utf8mb4_unicode_520_ci");
    assert_eq!(database_notes(&source, &image, &to).len(), 2);
    let plain = database("utf8mb4_bin", "");
    assert!(database_notes(&plain, &Translator::new(&from, &to, &[]).translate_database(&plain), &to).is_empty());
}

/// Translates a view or a routine. Returns it and the issues.
fn code(from: Flavor, kind: ObjectKind, create: &str, sql_mode: &str) -> (String, Vec<String>) {
    let (mysql, mariadb) = (server(Flavor::MySql, "9.7.4"), server(Flavor::MariaDb, "10.11.19"));
    let (from, to, collation) = match from {
        Flavor::MySql => (&mysql, &mariadb, "utf8mb4_0900_ai_ci"),
        Flavor::MariaDb => (&mariadb, &mysql, "utf8mb4_general_ci"),
    };
    let definition = Definition {
        object: ObjectRef::new(kind, "o"),
        create: create.into(),
        sql_mode: sql_mode.into(),
        character_set_client: "utf8mb4".into(),
        collation_connection: collation.into(),
        database_collation: "latin1_swedish_ci".into(),
        time_zone: String::new(),
        columns: Vec::new(),
        state: None,
    };
    let mut found = Vec::new();
    let image = Translator::new(from, to, &[]).translate_definition(&definition, &mut found);
    found.retain(|found| found.what != "collation");
    (image.create, found.iter().map(|f| format!("{:?} {}: {} -> {}", f.severity, f.what, f.source, f.target)).collect())
}

#[test]
fn functions_of_one_family_become_those_of_the_other() {
    for (create, expected) in [
        ("select regexp_like(`a`,concat('x','y'))", "select (`a` regexp concat('x','y'))"),
        ("select any_value(uuid_to_bin(`a`))", "select (unhex(replace(`a`,'-','')))"),
        (
            "SET a = NEW.`j`->>'$.a', b = j -> '$.b'",
            "SET a = json_unquote(json_extract(NEW.`j`, '$.a')), b = json_extract(j, '$.b')",
        ),
        ("SELECT 1 FROM t FOR SHARE", "SELECT 1 FROM t LOCK IN SHARE MODE"),
        ("select json_value(`j`, '$.a' returning char(512))", "select json_value(`j`,'$.a')"),
        ("select json_value(`j`, '$.a' returning signed)", "select cast(json_value(`j`,'$.a') as signed)"),
        ("select `regexp_like`(1,2), x.any_value(3)", "select `regexp_like`(1,2), x.any_value(3)"),
    ] {
        let (image, issues) = code(Flavor::MySql, ObjectKind::View, create, "");
        assert_eq!(image, expected);
        assert!(issues.iter().all(|issues| issues.starts_with("Note expression: ")), "{issues:?}");
    }
    for (create, expected) in [
        ("SELECT NVL(a, NVL2(b, 1, 2))", "SELECT ifnull(a,if(b is not null,1,2))"),
        ("SELECT LENGTHB(a), lpad(a,3), lpad(a,3,'x')", "SELECT length(a), lpad(a,3,' '), lpad(a,3,'x')"),
    ] {
        assert_eq!(code(Flavor::MariaDb, ObjectKind::Procedure, create, "").0, expected);
    }
}

#[test]
fn code_with_unsupported_functions_or_in_oracle_mode_is_refused() {
    let (_, issues) = code(Flavor::MySql, ObjectKind::Trigger, "SET @a = IS_UUID(NEW.a)", "");
    assert_eq!(issues, ["Error definition: it uses is_uuid(), which the target does not have -> "]);
    let (_, issues) =
        code(Flavor::MySql, ObjectKind::Procedure, "CREATE PROCEDURE p(j JSON) INSERT INTO grouping (a) SELECT 1", "");
    assert_eq!(issues, none());
    let (_, issues) = code(Flavor::MariaDb, ObjectKind::Event, "NULL", "PIPES_AS_CONCAT,ORACLE");
    assert_eq!(issues, ["Error definition: it is written in sql_mode ORACLE, which MySQL does not have -> "]);
}

#[test]
fn code_with_slightly_different_results_is_logged() {
    let create = "select json_object('a',1), std(`a`), cast(`a` as datetime)";
    let (image, issues) = code(Flavor::MySql, ObjectKind::View, create, "");
    assert_eq!(image, create);
    assert_eq!(
        issues,
        [
            "Warning JSON: json_object() -> prints JSON in the target's way: order of keys, spaces, true or 1",
            "Warning digits: std() -> has more or fewer of them at the target",
            "Note fractions of a second: cast to datetime: rounded -> cut",
        ]
    );
}

#[test]
fn strings_in_code_keep_their_collation() {
    let (image, _) =
        code(Flavor::MySql, ObjectKind::View, "select _utf8mb4'a',cast(1 as char(3) charset utf8mb4),_latin1'a'", "");
    assert_eq!(image, "select 'a',cast(1 as char(3)),_latin1'a'");
    let create =
        "CREATE FUNCTION `f`(a VARCHAR(9) CHARACTER SET utf8mb4, b TEXT) RETURNS varchar(9) CHARSET utf8mb4\nRETURN a";
    let (image, _) = code(Flavor::MySql, ObjectKind::Function, create, "");
    assert_eq!(
        image,
        "CREATE FUNCTION `f`(a VARCHAR(9) CHARACTER SET utf8mb4 COLLATE utf8mb4_uca1400_nopad_ai_ci, b TEXT) RETURNS varchar(9) CHARSET utf8mb4 COLLATE utf8mb4_uca1400_nopad_ai_ci\nRETURN a"
    );
}

#[test]
fn bytes_of_another_character_set_stay_unchanged() {
    let (line, _) = mariadb("`c` varchar(20) GENERATED ALWAYS AS (concat(_latin1 x'e9',`a`)) VIRTUAL");
    assert_eq!(line, "`c` varchar(20) GENERATED ALWAYS AS (concat(convert(x'e9' using latin1),`a`)) VIRTUAL");
}
