//! Types, defaults and attributes of columns.

use super::*;

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
