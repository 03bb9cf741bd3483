//! Finds the session settings on which an expression depends. No I/O.
//!
//! Source: "CREATE TABLE and Generated Columns" (<https://dev.mysql.com/doc/refman/9.7/en/create-table-generated-columns.html>):
//! a stored value is what the session computed that wrote the row.

use std::collections::BTreeSet;

use super::super::ddl::{
    Dialect, IndexColumns, Token, TokenKind, generated_columns, split_table, table_parts, tokenize,
};
use super::settings::{DATE_RULES, PAD_CHARS, SIGNED_SUBTRACTION, SessionSetting, TRUNCATE_FRACTIONS};
use crate::catalog::{Column, Table};

/// The settings on which the generated columns of a table depend.
///
/// `offsets`: the server accepts offsets in time literals. `zeros`: the rows may hold dates with zero parts.
pub(super) fn column_dependencies(table: &Table, offsets: bool, zeros: bool) -> BTreeSet<SessionSetting> {
    let mut found = BTreeSet::new();
    for generated in generated_columns(&table.create) {
        found.extend(expression_dependencies(&generated.expression, &table.columns));
        let own = table.columns.iter().find(|column| column.name == generated.name);
        if may_produce_invalid_dates(&generated.expression, own, &table.columns, zeros) {
            found.extend(DATE_RULES);
        }
    }
    if !offsets {
        found.remove(&SessionSetting::TimeZone);
        found.remove(&SessionSetting::Encryption);
    }
    found
}

/// The settings that decide whether a table accepts a row: those of its checks, partitions, virtual columns and
/// functional indexes.
pub(super) fn rule_dependencies(table: &Table, offsets: bool) -> BTreeSet<SessionSetting> {
    let mut found = BTreeSet::new();
    for (what, text) in table_parts(&table.create).unwrap_or_default() {
        let text = match what.split_once(' ').map_or(what.as_str(), |(kind, _)| kind) {
            "check" => text,
            "index" if text.contains("( (") => text,
            // MySQL prints partitions inside a comment. The slash that ends the comment is no division.
            "options" => text.split_once("PARTITION BY").map(|(_, rest)| rest.replace("*/", "")).unwrap_or_default(),
            _ => continue,
        };
        found.extend(expression_dependencies(&text, &table.columns));
    }
    for generated in generated_columns(&table.create) {
        found.extend(expression_dependencies(&generated.expression, &table.columns));
    }
    if !offsets {
        found.remove(&SessionSetting::TimeZone);
        found.remove(&SessionSetting::Encryption);
    }
    found
}

/// The indexes whose entries depend on settings and cannot be compared: those over virtual columns or expressions. Each
/// comes with the variables on which it depends.
pub(super) fn dependent_indexes(table: &Table) -> Vec<(String, Vec<&'static str>)> {
    let (Some(parts), Ok(ddl)) = (table_parts(&table.create), split_table(&table.create, Dialect::default())) else {
        return Vec::new();
    };
    let generated = generated_columns(&table.create);
    let is_stored = |name: &str| table.columns.iter().any(|column| column.name == name && column.stored);
    let of_index = |index: &IndexColumns| {
        let mut found = BTreeSet::new();
        for column in &index.columns {
            let virtual_one = column.as_ref().and_then(|name| generated.iter().find(|other| other.name == *name));
            match (column, virtual_one) {
                (_, Some(other)) if !is_stored(&other.name) => {
                    found.extend(expression_dependencies(&other.expression, &table.columns));
                }
                (None, _) => {
                    let text = parts.get(&format!("index {}", index.name));
                    // A column prefix is no expression.
                    let text = text.filter(|text| text.contains("( ("));
                    found.extend(text.map(|text| expression_dependencies(text, &table.columns)).unwrap_or_default());
                }
                _ => {}
            }
        }
        let mut variables: Vec<&str> = found.into_iter().map(SessionSetting::variable).collect();
        variables.dedup();
        (!variables.is_empty()).then(|| (index.name.clone(), variables))
    };
    ddl.indexes.iter().filter_map(of_index).collect()
}

/// Whether some of the settings decide which dates are valid.
pub(super) fn affect_date_validity(settings: &BTreeSet<SessionSetting>) -> bool {
    DATE_RULES.iter().any(|setting| settings.contains(setting))
}

/// Whether an expression makes dates from values that may be no valid dates: from text, or from dates with zero parts.
fn may_produce_invalid_dates(expression: &str, own: Option<&Column>, columns: &[Column], zeros: bool) -> bool {
    let is_temporal = |kind: &str| ["date", "datetime", "timestamp"].contains(&kind);
    let is_text = |column: &Column| column.charset.is_some() || column.data_type == "json";
    let all = tokenize(expression, Dialect::default());
    let has = |words: &[&str]| all.iter().any(|token| token.is_any_word(words));
    let named = |token: &Token<'_>| {
        let name = token.ident().filter(|_| token.kind == TokenKind::QuotedIdent)?;
        columns.iter().find(|column| column.name == *name)
    };
    let converts = has(&["DATE", "DATETIME", "TIMESTAMP"]) || own.is_some_and(|own| is_temporal(&own.data_type));
    has(&["STR_TO_DATE"]) || converts && (zeros || all.iter().filter_map(named).any(is_text))
}

fn expression_dependencies(expression: &str, columns: &[Column]) -> BTreeSet<SessionSetting> {
    let mut found = BTreeSet::new();
    for token in tokenize(expression, Dialect::default()) {
        let column = token.ident().filter(|_| token.kind == TokenKind::QuotedIdent);
        if let Some(column) = column.and_then(|name| columns.iter().find(|column| column.name == *name)) {
            match column.data_type.as_str() {
                "timestamp" => found.extend([SessionSetting::TimeZone]),
                "char" => found.extend([PAD_CHARS]),
                _ => {}
            }
        } else if token.is_any_word(&["FROM_UNIXTIME", "UNIX_TIMESTAMP", "CONVERT_TZ"]) {
            found.insert(SessionSetting::TimeZone);
        } else if token.is_any_word(&["DATE_FORMAT", "TIME_FORMAT", "DAYNAME", "MONTHNAME"]) {
            found.insert(SessionSetting::Locale);
        } else if token.is_word("WEEK") {
            found.insert(SessionSetting::WeekFormat);
        } else if token.is_any_word(&["AES_ENCRYPT", "AES_DECRYPT"]) {
            found.insert(SessionSetting::Encryption);
        } else if token.is_punct("/") {
            found.insert(SessionSetting::DivisionScale);
        } else if token.is_punct("-") {
            let is_unsigned = |column: &Column| column.column_type.contains("unsigned");
            if columns.iter().any(is_unsigned) || expression.to_ascii_lowercase().contains("unsigned") {
                found.insert(SIGNED_SUBTRACTION);
            }
        } else if token.is_any_word(&["DATETIME", "TIME"]) {
            found.insert(TRUNCATE_FRACTIONS);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dependencies_of(expression: &str) -> Vec<SessionSetting> {
        let columns = [("at", "timestamp"), ("c", "char(9)"), ("u", "int unsigned"), ("v", "varchar(9)")];
        let table = Table::define("t", columns, &[]);
        expression_dependencies(expression, &table.columns).into_iter().collect()
    }

    #[test]
    fn dependencies_of_expressions_are_found() {
        assert_eq!(dependencies_of("cast(`at` as date)"), [SessionSetting::TimeZone]);
        assert_eq!(dependencies_of("concat(`c`,_utf8mb4'/ week')"), [PAD_CHARS]);
        assert_eq!(dependencies_of("(`v` / 2)"), [SessionSetting::DivisionScale]);
        assert_eq!(dependencies_of("`u` - 1"), [SIGNED_SUBTRACTION]);
        assert_eq!(
            dependencies_of("week(date_format(`v`,'%M'))"),
            [SessionSetting::Locale, SessionSetting::WeekFormat]
        );
        assert_eq!(dependencies_of("upper(`v`)"), []);
        assert_eq!(dependencies_of("aes_encrypt(`v`,'k')"), [SessionSetting::Encryption]);
    }

    #[test]
    fn dates_from_text_or_with_zeros_may_be_invalid() {
        let mut table = Table::define("t", [("at", "datetime"), ("v", "varchar(9)"), ("made", "datetime")], &[]);
        table.columns[1].charset = Some("utf8mb4".to_owned());
        let makes = |expression: &str, own: usize, zeros| {
            may_produce_invalid_dates(expression, table.columns.get(own), &table.columns, zeros)
        };
        assert!(
            makes("cast(`v` as date)", 1, false) && makes("`v`", 2, false) && makes("str_to_date(1,'%Y')", 1, false)
        );
        assert!(!makes("cast(`at` as date)", 2, false) && makes("cast(`at` as date)", 2, true));
        assert!(!makes("upper(`v`)", 1, true));
    }

    #[test]
    fn dependencies_of_rules_are_found() {
        let mut table = Table::define("t", [("at", "timestamp"), ("u", "int unsigned")], &[]);
        let rules = ",\n  CONSTRAINT `c` CHECK ((hour(`at`) < 9))\n) ENGINE=InnoDB\n/*!50100 PARTITION BY RANGE ((`u` - 5)) \
            (PARTITION a VALUES LESS THAN (0)) */";
        let columns = table.create.split_once("\n) ENGINE").unwrap().0;
        table.create = format!("{columns}{rules}");
        assert_eq!(
            rule_dependencies(&table, true).into_iter().collect::<Vec<_>>(),
            [SessionSetting::TimeZone, SIGNED_SUBTRACTION]
        );
        // The slash that ends the comment is no division.
        assert_eq!(rule_dependencies(&table, false).into_iter().collect::<Vec<_>>(), [SIGNED_SUBTRACTION]);
    }

    #[test]
    fn indexes_that_depend_on_settings_are_found() {
        let mut table = Table::define("t", [("at", "timestamp"), ("v", "varchar(9)")], &[]);
        table.columns.push(Column { name: "d".into(), generated: true, ..table.columns[0].clone() });
        let keys = "  `d` date GENERATED ALWAYS AS (cast(`at` as date)) VIRTUAL,\n  KEY `one` (`v`,`d`),\n  KEY `two` \
            ((week(`v`))),\n  KEY `three` (`v`(3)),\n  KEY `four` (`at`),\n  KEY `five` ((upper(`v`)))\n) ENGINE";
        table.create = table.create.replacen("\n) ENGINE", &format!(",\n{keys}"), 1);
        let found = dependent_indexes(&table);
        assert_eq!(found, [("one".into(), vec!["time_zone"]), ("two".into(), vec!["default_week_format"])]);
    }
}
