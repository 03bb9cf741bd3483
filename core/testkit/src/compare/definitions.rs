//! Reads the definitions of a database in a normal form: equal definitions are equal texts.

use std::collections::BTreeMap;

use super::{CompareOptions, identifier, literal, with_fixed_settings};
use crate::database::Database;
use crate::error::Result;

pub(super) fn read(server: &Database, name: &str, options: &CompareOptions) -> Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    let schema = literal(name);
    let database = format!(
        "SELECT default_character_set_name, default_collation_name \
         FROM information_schema.schemata WHERE schema_name = {schema}"
    );
    for row in server.rows(&database)? {
        all.insert("database".to_owned(), row.join(" "));
    }
    tables_and_views(server, name, options, &mut all)?;
    table_options(server, name, options, &mut all)?;
    columns(server, name, options, &mut all)?;
    if options.programs {
        for kind in PROGRAMS {
            programs(server, name, options, kind, &mut all)?;
        }
    }
    Ok(all)
}

fn tables_and_views(
    server: &Database,
    name: &str,
    options: &CompareOptions,
    all: &mut BTreeMap<String, String>,
) -> Result<()> {
    let found = server.rows(&format!(
        "SELECT table_name, IF(table_type = 'VIEW', 'VIEW', 'TABLE') FROM information_schema.tables \
         WHERE table_schema = {}",
        literal(name)
    ))?;
    let mut statements = String::new();
    let mut keys = Vec::new();
    for row in found {
        if let [object, kind] = row.as_slice()
            && options.includes(object)
        {
            let path = format!("{}.{}", identifier(name), identifier(object));
            statements.push_str(&format!("SHOW CREATE {kind} {path};\n"));
            keys.push(format!("{} {object}", kind.to_ascii_lowercase()));
        }
    }
    if keys.is_empty() {
        return Ok(());
    }
    let definitions = server.rows(&with_fixed_settings(&statements))?;
    for (key, row) in keys.into_iter().zip(definitions) {
        let text = row.get(1..).unwrap_or_default().join("\n");
        let text = without_name(&text, name);
        all.insert(key, normalize(&text, options));
    }
    Ok(())
}

/// Reads the options of tables. SHOW CREATE omits those that are defaults.
fn table_options(
    server: &Database,
    name: &str,
    options: &CompareOptions,
    all: &mut BTreeMap<String, String>,
) -> Result<()> {
    let rows = server.rows(&with_fixed_settings(&format!(
        "SELECT table_name, table_type, engine, row_format, table_collation, create_options, table_comment \
         FROM information_schema.tables WHERE table_schema = {} AND table_type <> 'VIEW';",
        literal(name)
    )))?;
    for row in rows {
        if let [table, rest @ ..] = row.as_slice()
            && options.includes(table)
        {
            all.insert(format!("options {table}"), rest.join(" "));
        }
    }
    Ok(())
}

fn columns(server: &Database, name: &str, options: &CompareOptions, all: &mut BTreeMap<String, String>) -> Result<()> {
    // MySQL 5.6 has no generated columns.
    let generated = "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = 'information_schema' \
                     AND table_name = 'columns' AND column_name = 'generation_expression'";
    let has_generated = server.rows(generated)?.concat() != ["0"];
    let expression = if has_generated { "generation_expression" } else { "NULL" };
    let rows = server.rows(&format!(
        "SELECT table_name, column_name, ordinal_position, column_type, character_set_name, collation_name, \
         is_nullable, IF(data_type = 'timestamp', NULL, column_default), extra, {expression}, column_comment \
         FROM information_schema.columns WHERE table_schema = {}",
        literal(name)
    ))?;
    for row in rows {
        if let [table, column, rest @ ..] = row.as_slice()
            && options.includes(table)
        {
            all.insert(format!("column {table}.{column}"), without_name(&rest.join(" "), name));
        }
    }
    Ok(())
}

struct ProgramKind {
    name: &'static str,
    /// The number of values of `SHOW CREATE` to compare, after the first; 0 if there is no such statement.
    shown: usize,
    /// The column with the database name.
    schema: &'static str,
    /// A query for the key, the table or NULL, the definer, and the other properties.
    query: &'static str,
}

const PROGRAMS: [&ProgramKind; 4] = [
    &ProgramKind {
        name: "trigger",
        shown: 5,
        schema: "trigger_schema",
        query: "SELECT trigger_name, event_object_table, definer, event_manipulation, action_timing, action_order, \
                action_statement, sql_mode, character_set_client, collation_connection, database_collation \
                FROM information_schema.triggers",
    },
    &ProgramKind {
        name: "routine",
        shown: 5,
        schema: "routine_schema",
        query: "SELECT CONCAT(LOWER(routine_type), ' ', routine_name), NULL, definer, dtd_identifier, \
                routine_definition, is_deterministic, sql_data_access, security_type, sql_mode, routine_comment, \
                character_set_client, collation_connection, database_collation \
                FROM information_schema.routines",
    },
    &ProgramKind {
        name: "parameter",
        shown: 0,
        schema: "specific_schema",
        query: "SELECT CONCAT(LOWER(routine_type), ' ', specific_name, ' ', ordinal_position), NULL, '', \
                parameter_mode, parameter_name, dtd_identifier, character_set_name, collation_name \
                FROM information_schema.parameters",
    },
    &ProgramKind {
        name: "event",
        shown: 6,
        schema: "event_schema",
        query: "SELECT event_name, NULL, definer, event_definition, event_type, execute_at, interval_value, \
                interval_field, starts, ends, status, on_completion, time_zone, event_comment, sql_mode, \
                character_set_client, collation_connection, database_collation \
                FROM information_schema.events",
    },
];

fn programs(
    server: &Database,
    name: &str,
    options: &CompareOptions,
    kind: &ProgramKind,
    all: &mut BTreeMap<String, String>,
) -> Result<()> {
    // Compares bytes: MariaDB treats database names that differ by case or accent as equal here.
    let (column, name_of) = (kind.schema, literal(name));
    let of_this = format!("{column} = {name_of} AND CAST({column} AS BINARY) = CAST({name_of} AS BINARY)");
    let (mut keys, mut statements) = (Vec::new(), String::new());
    for row in server.rows(&with_fixed_settings(&format!("{} WHERE {of_this};", kind.query)))? {
        let [key, table, definer, rest @ ..] = row.as_slice() else { continue };
        if kind.name == "trigger" && !options.includes(table) {
            continue;
        }
        let mut text = without_name(&rest.join("\n"), name);
        if kind.name == "trigger" {
            text = format!("ON {table}\n{text}");
        }
        if options.definers {
            text = format!("DEFINER {definer}\n{text}");
        }
        let (what, object) = if kind.name == "routine" { routine(key) } else { (kind.name, key.as_str()) };
        statements.push_str(&format!("SHOW CREATE {what} {}.{};\n", identifier(name), identifier(object)));
        keys.push(format!("{} {key}", kind.name));
        all.insert(format!("{} {key}", kind.name), text);
    }
    if kind.shown == 0 || keys.is_empty() {
        return Ok(());
    }
    for (key, row) in keys.into_iter().zip(server.rows(&with_fixed_settings(&statements))?) {
        let text = row.iter().skip(1).take(kind.shown).cloned().collect::<Vec<_>>().join("\n");
        let text = without_name(&text, name);
        let text = if options.definers { text } else { without(&text, " DEFINER=", end_of_account) };
        all.insert(format!("text of {key}"), text);
    }
    Ok(())
}

/// The kind and the name in a key like `package body p`.
fn routine(key: &str) -> (&str, &str) {
    let kinds = ["package body", "package", "function", "procedure"];
    let split = |kind: &'static str| Some((kind, key.strip_prefix(kind)?.strip_prefix(' ')?));
    kinds.into_iter().find_map(split).unwrap_or(("procedure", key))
}

/// Removes the name of the database, which views and bodies contain.
fn without_name(text: &str, name: &str) -> String {
    let mut text = text.replace(&format!("{}.", identifier(name)), "");
    // SHOW TABLES FROM and SHOW COLUMNS IN name the database alone.
    for word in ["FROM", "IN"] {
        for end in [" ", ";", "\n"] {
            text = text.replace(&format!(" {word} {name}{end}"), &format!(" {word} DATABASE{end}"));
        }
    }
    let (mut kept, mut rest) = (String::new(), text.as_str());
    while let Some((before, after)) = rest.split_once(&format!("{name}.")) {
        kept.push_str(before);
        if before.ends_with(|last: char| last.is_alphanumeric() || "_$`".contains(last)) {
            kept.push_str(&format!("{name}."));
        }
        rest = after;
    }
    kept + rest
}

/// Removes parts that are not compared, and sorts indexes and constraints.
fn normalize(definition: &str, options: &CompareOptions) -> String {
    let mut text = definition.to_owned();
    if !options.definers {
        text = without(&text, " DEFINER=", end_of_account);
    }
    if !options.auto_increment {
        text =
            without(&text, " AUTO_INCREMENT=", |rest| rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
    }
    let is_key = |line: &str| {
        let line = line.trim_start();
        ["KEY ", "UNIQUE KEY ", "FULLTEXT KEY ", "SPATIAL KEY ", "CONSTRAINT "]
            .iter()
            .any(|start| line.starts_with(start))
    };
    let mut lines: Vec<&str> = text.lines().collect();
    let first = lines.iter().position(|line| is_key(line)).unwrap_or(lines.len());
    let count = lines.iter().skip(first).take_while(|line| is_key(line)).count();
    let mut keys: Vec<&str> = lines.drain(first..first + count).map(|line| line.trim_end_matches(',')).collect();
    if !options.key_order {
        keys.sort_unstable();
    }
    lines.splice(first..first, keys);
    lines.join("\n")
}

/// Removes each part that begins with `start`, with the length that `length` returns for the text after `start`.
fn without(text: &str, start: &str, length: impl Fn(&str) -> usize) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(start) {
        kept.push_str(before);
        rest = after.get(length(after)..).unwrap_or_default();
    }
    kept + rest
}

/// The length of `` `user`@`host` ``.
fn end_of_account(text: &str) -> usize {
    let mut quoted = false;
    text.find(|c: char| {
        quoted ^= c == '`';
        c == ' ' && !quoted
    })
    .unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_order_and_auto_increment_are_not_compared() {
        let one = "CREATE TABLE `t` (\n  `a` int,\n  PRIMARY KEY (`a`),\n  KEY `x` (`a`),\n  KEY `y` (`a`)\n) AUTO_INCREMENT=7 X";
        let two = "CREATE TABLE `t` (\n  `a` int,\n  PRIMARY KEY (`a`),\n  KEY `y` (`a`),\n  KEY `x` (`a`)\n) X";
        let options = CompareOptions::default();
        assert_eq!(normalize(one, &options), normalize(two, &options));
        let strict = CompareOptions { auto_increment: true, ..options };
        assert_ne!(normalize(one, &strict), normalize(two, &strict));
    }

    #[test]
    fn a_definer_with_a_space_is_removed() {
        let text = "CREATE ALGORITHM=UNDEFINED DEFINER=`a b`@`%` SQL SECURITY DEFINER VIEW `v` AS select 1";
        assert_eq!(
            normalize(text, &CompareOptions::default()),
            "CREATE ALGORITHM=UNDEFINED SQL SECURITY DEFINER VIEW `v` AS select 1"
        );
    }
}
