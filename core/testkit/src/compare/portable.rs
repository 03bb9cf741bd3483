//! How everything in a database is defined, in terms that servers of all series have and say in one way.

use std::collections::BTreeMap;

use super::{CompareOptions, literal, with_fixed_settings};
use crate::database::Database;
use crate::error::Result;

/// A kind of object: the query's first value names the object, the second the table that it belongs to, and the rest says
/// what it is. `{of}` stands for the database's name.
struct Kind {
    name: &'static str,
    query: &'static str,
}

const DATABASE: Kind = Kind {
    name: "database",
    query: "SELECT '', NULL, default_collation_name FROM information_schema.schemata WHERE schema_name = {of}",
};

/// Of a view only the names of its columns count: their types follow from what each server takes expressions for.
const TABLES: [Kind; 3] = [
    Kind {
        name: "table",
        query: "SELECT table_name, table_name, table_type, engine, table_collation, table_comment \
                FROM information_schema.tables WHERE table_schema = {of} AND table_type <> 'VIEW'",
    },
    Kind {
        name: "view",
        query: "SELECT table_name, table_name FROM information_schema.tables \
                WHERE table_schema = {of} AND table_type = 'VIEW'",
    },
    Kind {
        name: "column",
        query: "SELECT CONCAT(c.table_name, '.', c.column_name), c.table_name, c.ordinal_position, \
                IF(t.table_type = 'VIEW', '', CONCAT_WS(' ', \
                REPLACE(c.data_type, 'geomcollection', 'geometrycollection'), IF(c.data_type IN ('enum', 'set'), c.column_type, c.character_maximum_length), \
                IF(c.data_type IN ('decimal', 'float', 'double', 'bit'), \
                CONCAT_WS(',', c.numeric_precision, c.numeric_scale), NULL), c.datetime_precision, \
                IF(c.column_type LIKE '%unsigned%', 'unsigned', NULL), \
                IF(c.column_type LIKE '%zerofill%', 'zerofill', NULL), c.collation_name, c.is_nullable, \
                IF(c.extra LIKE '%auto_increment%', 'counts', NULL), \
                IF(c.extra LIKE '%on update%', 'on update', NULL), \
                IF(c.extra LIKE '%GENERATED%' AND c.extra NOT LIKE '%DEFAULT_GENERATED%', c.extra, NULL), \
                IF(c.extra LIKE '%INVISIBLE%', 'invisible', NULL), c.column_comment)) \
                FROM information_schema.columns AS c JOIN information_schema.tables AS t \
                ON t.table_schema = c.table_schema AND t.table_name = c.table_name WHERE c.table_schema = {of}",
    },
];

/// What belongs to a table and counts as a part of it.
const PARTS: [Kind; 2] = [
    Kind {
        name: "index",
        query: "SELECT table_name, table_name, index_name, non_unique, seq_in_index, column_name, sub_part, \
                IF(index_type IN ('NONE', 'SE_SPECIFIC'), 'engine', index_type) \
                FROM information_schema.statistics WHERE table_schema = {of} \
                ORDER BY table_name, index_name, seq_in_index",
    },
    // Where an action is not said, some servers show RESTRICT and some NO ACTION; the two mean the same.
    Kind {
        name: "foreign key",
        query: "SELECT k.table_name, k.table_name, k.constraint_name, k.column_name, k.referenced_table_name, \
                k.referenced_column_name, REPLACE(r.update_rule, 'RESTRICT', 'NO ACTION'), \
                REPLACE(r.delete_rule, 'RESTRICT', 'NO ACTION') \
                FROM information_schema.key_column_usage AS k JOIN information_schema.referential_constraints AS r \
                ON r.constraint_schema = k.constraint_schema AND r.constraint_name = k.constraint_name \
                AND r.table_name = k.table_name WHERE k.table_schema = {of} AND k.referenced_table_name IS NOT NULL \
                ORDER BY k.table_name, k.constraint_name, k.ordinal_position",
    },
];

const PROGRAMS: [Kind; 3] = [
    Kind {
        name: "trigger",
        query: "SELECT trigger_name, event_object_table, event_object_table, event_manipulation, action_timing \
                FROM information_schema.triggers WHERE trigger_schema = {of}",
    },
    Kind {
        name: "routine",
        query: "SELECT CONCAT(LOWER(r.routine_type), ' ', r.routine_name), NULL, r.is_deterministic, \
                r.sql_data_access, r.security_type, r.routine_comment, \
                (SELECT GROUP_CONCAT(CONCAT_WS(' ', p.parameter_mode, p.parameter_name, p.data_type) \
                ORDER BY p.ordinal_position) FROM information_schema.parameters AS p \
                WHERE p.specific_schema = r.routine_schema AND p.specific_name = r.routine_name \
                AND p.routine_type = r.routine_type) \
                FROM information_schema.routines AS r WHERE r.routine_schema = {of}",
    },
    Kind {
        name: "event",
        query: "SELECT event_name, NULL, event_type, execute_at, interval_value, interval_field, starts, ends, status, \
                on_completion, time_zone, event_comment FROM information_schema.events WHERE event_schema = {of}",
    },
];

pub(super) fn read(server: &Database, name: &str, options: &CompareOptions) -> Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    let programs: &[Kind] = if options.programs { &PROGRAMS } else { &[] };
    for kind in std::iter::once(&DATABASE).chain(&TABLES).chain(programs) {
        for (object, definition) in objects(server, name, kind, options)? {
            all.insert(format!("{} {object}", kind.name).trim_end().to_owned(), definition);
        }
    }
    for kind in &PARTS {
        for (table, definition) in objects(server, name, kind, options)? {
            if let Some(text) = all.get_mut(&format!("table {table}")) {
                text.push_str(&format!("\n{} {definition}", kind.name));
            }
        }
    }
    Ok(all)
}

/// The names and definitions of all objects of a kind.
fn objects(server: &Database, name: &str, kind: &Kind, options: &CompareOptions) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for row in server.rows(&with_fixed_settings(&format!("{};", kind.query.replace("{of}", &literal(name)))))? {
        if let [object, table, rest @ ..] = row.as_slice()
            && (table == "NULL" || options.includes(table))
        {
            found.push((object.clone(), without_old_names(&rest.join(" "))));
        }
    }
    Ok(found)
}

/// What newer servers call utf8mb3, older ones call utf8.
fn without_old_names(text: &str) -> String {
    text.replace("utf8_", "utf8mb3_")
}
