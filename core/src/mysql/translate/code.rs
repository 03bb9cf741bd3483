//! Views, routines, triggers and events: their texts pass as they are, but for what they name.

use super::super::ddl::{Dialect, tokens};
use super::edit::Edit;
use super::{Log, Way, collation, expression};
use crate::catalog::{Definition, ObjectKind};

/// Modes that only one family has, or that the newest versions no longer have; those that are marked change what a body
/// does.
const OF_MARIADB: [(&str, bool); 16] = [
    ("ORACLE", true),
    ("EMPTY_STRING_IS_NULL", true),
    ("SIMULTANEOUS_ASSIGNMENT", true),
    ("TIME_ROUND_FRACTIONAL", false),
    ("IGNORE_BAD_TABLE_OPTIONS", false),
    ("NO_AUTO_CREATE_USER", false),
    ("NO_FIELD_OPTIONS", false),
    ("NO_KEY_OPTIONS", false),
    ("NO_TABLE_OPTIONS", false),
    ("DB2", false),
    ("MAXDB", false),
    ("MSSQL", false),
    ("MYSQL323", false),
    ("MYSQL40", false),
    ("POSTGRESQL", false),
    ("NOT_USED", false),
];
const OF_MYSQL: [(&str, bool); 1] = [("TIME_TRUNCATE_FRACTIONAL", false)];

/// The definition for the target.
pub(super) fn definition(definition: &Definition, way: &Way<'_>, log: &mut Log) -> Definition {
    let kind = definition.object.kind;
    match (kind, way.to_mariadb()) {
        (ObjectKind::Sequence, false) => log.none("definition", "MySQL has no sequences"),
        (ObjectKind::Package | ObjectKind::PackageBody, false) => log.none("definition", "MySQL has no packages"),
        (ObjectKind::Library, true) => log.none("definition", "MariaDB has no libraries"),
        _ => {}
    }
    let all = tokens(&definition.create, Dialect::of(&definition.sql_mode));
    let mut edit = Edit::new(&all);
    collation::rename(&mut edit, way, log, false);
    expression::respell(&mut edit, way, log);
    let session = |name: &str| collation::image(name, way).map_or_else(|| name.to_owned(), |image| image.name);
    Definition {
        create: edit.text(),
        sql_mode: mode(&definition.sql_mode, way, log),
        character_set_client: match definition.character_set_client.as_str() {
            "" => String::new(),
            "gb18030" if way.to_mariadb() => "utf8mb4".to_owned(),
            charset => collation::charset(charset, way),
        },
        collation_connection: session(&definition.collation_connection),
        database_collation: session(&definition.database_collation),
        ..definition.clone()
    }
}

/// The modes that the target has.
fn mode(modes: &str, way: &Way<'_>, log: &mut Log) -> String {
    let gone: &[(&str, bool)] = if way.to_mariadb() { &OF_MYSQL } else { &OF_MARIADB };
    let mut kept = Vec::new();
    for mode in modes.split(',') {
        match gone.iter().find(|(name, _)| mode.eq_ignore_ascii_case(name)) {
            None => kept.push(mode),
            Some((name, true)) => log.warn("sql_mode", *name, "without, as the target does not have it"),
            Some((_, false)) => {}
        }
    }
    kept.join(",")
}
