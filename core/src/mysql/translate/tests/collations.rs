//! Character sets and collations.

use super::*;

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
