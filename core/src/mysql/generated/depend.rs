//! Which session settings an expression depends on. Pure.
//!
//! Source: "CREATE TABLE and Generated Columns" (<https://dev.mysql.com/doc/refman/9.7/en/create-table-generated-columns.html>):
//! a stored value is what the session computed that wrote the row.

use std::collections::BTreeSet;

use super::super::ddl::{
    Dialect, IndexColumns, Token, TokenKind, generated_columns, split_table, table_parts, tokenize,
};
use super::settings::{DATES, PAD, SUBTRACTION, Setting, TRUNCATE};
use crate::catalog::{Column, Table};

/// The settings that the generated columns of a table depend on, on a server that has `offsets` in its time literals;
/// `zeros` where its rows may hold dates with parts that are zero.
pub(super) fn dependencies(table: &Table, offsets: bool, zeros: bool) -> BTreeSet<Setting> {
    let mut found = BTreeSet::new();
    for generated in generated_columns(&table.create) {
        found.extend(of_expression(&generated.expression, &table.columns));
        let own = table.columns.iter().find(|column| column.name == generated.name);
        if makes_dates(&generated.expression, own, &table.columns, zeros) {
            found.extend(DATES);
        }
    }
    if !offsets {
        found.remove(&Setting::TimeZone);
        found.remove(&Setting::Encryption);
    }
    found
}

/// The settings that decide whether a table takes a row: of its checks, its partitions, and what it computes for virtual
/// columns and indexes.
pub(super) fn of_rules(table: &Table, offsets: bool) -> BTreeSet<Setting> {
    let mut found = BTreeSet::new();
    for (what, text) in table_parts(&table.create).unwrap_or_default() {
        let text = match what.split_once(' ').map_or(what.as_str(), |(kind, _)| kind) {
            "check" => text,
            "index" if text.contains("( (") => text,
            "options" => text.split_once("PARTITION BY").map(|(_, rest)| rest.to_owned()).unwrap_or_default(),
            _ => continue,
        };
        found.extend(of_expression(&text, &table.columns));
    }
    for generated in generated_columns(&table.create) {
        found.extend(of_expression(&generated.expression, &table.columns));
    }
    if !offsets {
        found.remove(&Setting::TimeZone);
        found.remove(&Setting::Encryption);
    }
    found
}

/// The indexes of a table whose entries depend on settings and are in no column that could be compared: over virtual
/// columns, or over expressions; with the variables that they depend on.
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
                    found.extend(of_expression(&other.expression, &table.columns));
                }
                (None, _) => {
                    let text = parts.get(&format!("index {}", index.name));
                    // The first characters of a column are no expression.
                    let text = text.filter(|text| text.contains("( ("));
                    found.extend(text.map(|text| of_expression(text, &table.columns)).unwrap_or_default());
                }
                _ => {}
            }
        }
        let mut variables: Vec<&str> = found.into_iter().map(Setting::variable).collect();
        variables.dedup();
        (!variables.is_empty()).then(|| (index.name.clone(), variables))
    };
    ddl.indexes.iter().filter_map(of_index).collect()
}

/// Whether some of them say what is a date.
pub(super) fn judge_dates(settings: &BTreeSet<Setting>) -> bool {
    DATES.iter().any(|setting| settings.contains(setting))
}

/// Whether an expression makes dates of what may be none: of text, or of dates with zeros.
fn makes_dates(expression: &str, own: Option<&Column>, columns: &[Column], zeros: bool) -> bool {
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

fn of_expression(expression: &str, columns: &[Column]) -> BTreeSet<Setting> {
    let mut found = BTreeSet::new();
    for token in tokenize(expression, Dialect::default()) {
        let column = token.ident().filter(|_| token.kind == TokenKind::QuotedIdent);
        if let Some(column) = column.and_then(|name| columns.iter().find(|column| column.name == *name)) {
            match column.data_type.as_str() {
                "timestamp" => found.extend([Setting::TimeZone]),
                "char" => found.extend([PAD]),
                _ => {}
            }
        } else if token.is_any_word(&["FROM_UNIXTIME", "UNIX_TIMESTAMP", "CONVERT_TZ"]) {
            found.insert(Setting::TimeZone);
        } else if token.is_any_word(&["DATE_FORMAT", "TIME_FORMAT", "DAYNAME", "MONTHNAME"]) {
            found.insert(Setting::Locale);
        } else if token.is_word("WEEK") {
            found.insert(Setting::WeekFormat);
        } else if token.is_any_word(&["AES_ENCRYPT", "AES_DECRYPT"]) {
            found.insert(Setting::Encryption);
        } else if token.is_punct("/") {
            found.insert(Setting::DivisionScale);
        } else if token.is_punct("-") {
            let is_unsigned = |column: &Column| column.column_type.contains("unsigned");
            if columns.iter().any(is_unsigned) || expression.to_ascii_lowercase().contains("unsigned") {
                found.insert(SUBTRACTION);
            }
        } else if token.is_any_word(&["DATETIME", "TIME"]) {
            found.insert(TRUNCATE);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(expression: &str) -> Vec<Setting> {
        let columns = [("at", "timestamp"), ("c", "char(9)"), ("u", "int unsigned"), ("v", "varchar(9)")];
        let table = Table::define("t", columns, &[]);
        of_expression(expression, &table.columns).into_iter().collect()
    }

    #[test]
    fn an_expression_tells_what_it_depends_on() {
        assert_eq!(of("cast(`at` as date)"), [Setting::TimeZone]);
        assert_eq!(of("concat(`c`,_utf8mb4'/ week')"), [PAD]);
        assert_eq!(of("(`v` / 2)"), [Setting::DivisionScale]);
        assert_eq!(of("`u` - 1"), [SUBTRACTION]);
        assert_eq!(of("week(date_format(`v`,'%M'))"), [Setting::Locale, Setting::WeekFormat]);
        assert_eq!(of("upper(`v`)"), []);
        assert_eq!(of("aes_encrypt(`v`,'k')"), [Setting::Encryption]);
    }

    #[test]
    fn dates_are_judged_where_they_come_from_text_or_hold_zeros() {
        let mut table = Table::define("t", [("at", "datetime"), ("v", "varchar(9)"), ("made", "datetime")], &[]);
        table.columns[1].charset = Some("utf8mb4".to_owned());
        let makes = |expression: &str, own: usize, zeros| {
            makes_dates(expression, table.columns.get(own), &table.columns, zeros)
        };
        assert!(
            makes("cast(`v` as date)", 1, false) && makes("`v`", 2, false) && makes("str_to_date(1,'%Y')", 1, false)
        );
        assert!(!makes("cast(`at` as date)", 2, false) && makes("cast(`at` as date)", 2, true));
        assert!(!makes("upper(`v`)", 1, true));
    }

    #[test]
    fn rules_tell_what_they_depend_on() {
        let mut table = Table::define("t", [("at", "timestamp"), ("u", "int unsigned")], &[]);
        let rules = ",\n  CONSTRAINT `c` CHECK ((hour(`at`) < 9))\n) ENGINE=InnoDB\n/*!50100 PARTITION BY RANGE ((`u` - 5)) \
            (PARTITION a VALUES LESS THAN (0)) */";
        let columns = table.create.split_once("\n) ENGINE").unwrap().0;
        table.create = format!("{columns}{rules}");
        assert_eq!(of_rules(&table, true).into_iter().collect::<Vec<_>>(), [Setting::TimeZone, SUBTRACTION]);
        assert_eq!(of_rules(&table, false).into_iter().collect::<Vec<_>>(), [SUBTRACTION]);
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
