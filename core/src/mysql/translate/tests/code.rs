//! Views, programs and the expressions in them.

use super::*;

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
    assert_eq!(image, "select 'a',cast(1 as char(3) charset utf8mb4) COLLATE utf8mb4_uca1400_nopad_ai_ci,_latin1'a'");
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
