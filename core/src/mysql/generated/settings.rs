//! Which session settings an expression depends on, and which values of them to try. Pure.
//!
//! Source: "CREATE TABLE and Generated Columns" (<https://dev.mysql.com/doc/refman/9.7/en/create-table-generated-columns.html>):
//! a stored value is what the session computed that wrote the row.

use std::collections::{BTreeMap, BTreeSet};

use super::super::ddl::{Dialect, Index, TokenKind, generated_columns, split_table, table_parts, tokens};
use crate::catalog::{Column, Server, Table};

/// No more combinations of values than this are tried.
const MOST: usize = 1200;

/// A session setting that changes what an expression gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::mysql) enum Setting {
    TimeZone,
    Locale,
    WeekFormat,
    DivisionScale,
    /// A flag of `sql_mode`.
    Mode(&'static str),
}

const PAD: Setting = Setting::Mode("PAD_CHAR_TO_FULL_LENGTH");
const SUBTRACTION: Setting = Setting::Mode("NO_UNSIGNED_SUBTRACTION");
const TRUNCATE: Setting = Setting::Mode("TIME_TRUNCATE_FRACTIONAL");

/// The names of months and days in each of these languages differ.
const LOCALES: [&str; 56] = [
    "de_DE", "fr_FR", "es_ES", "it_IT", "pt_BR", "pt_PT", "nl_NL", "ja_JP", "zh_CN", "zh_TW", "ko_KR", "ru_RU",
    "pl_PL", "cs_CZ", "sv_SE", "da_DK", "nb_NO", "fi_FI", "tr_TR", "hu_HU", "el_GR", "uk_UA", "ro_RO", "bg_BG",
    "hr_HR", "sk_SK", "sl_SI", "sr_RS", "et_EE", "lt_LT", "lv_LV", "he_IL", "ar_SA", "ar_EG", "ar_AE", "ar_JO",
    "ar_LB", "hi_IN", "th_TH", "vi_VN", "id_ID", "ms_MY", "ca_ES", "eu_ES", "gl_ES", "is_IS", "fo_FO", "be_BY",
    "mk_MK", "mn_MN", "sq_AL", "ta_IN", "te_IN", "gu_IN", "ur_PK", "de_AT",
];

/// Offsets of time zones that are not whole hours.
const ODD_OFFSETS: [&str; 12] = [
    "+05:30", "+05:45", "+09:30", "+03:30", "+04:30", "+06:30", "-03:30", "-02:30", "+10:30", "+08:45", "+12:45",
    "+13:45",
];

impl Setting {
    /// The name of the server's variable.
    pub(in crate::mysql) fn variable(self) -> &'static str {
        match self {
            Self::TimeZone => "time_zone",
            Self::Locale => "lc_time_names",
            Self::WeekFormat => "default_week_format",
            Self::DivisionScale => "div_precision_increment",
            Self::Mode(_) => "sql_mode",
        }
    }

    /// The values to try: the source's global one, ours, then all others.
    fn values(self, source: &BTreeMap<String, String>) -> Vec<String> {
        let mut values: Vec<String> = Vec::new();
        let global = source.get(self.variable());
        match self {
            Self::TimeZone => values.extend(global.filter(|zone| zone.starts_with(['+', '-'])).cloned()),
            Self::Mode(flag) => values.extend(global.map(|modes| on(has(modes, flag)))),
            _ => values.extend(global.cloned()),
        }
        let strings = |list: &[&str]| list.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
        match self {
            Self::TimeZone => {
                values.push("+00:00".to_owned());
                values.extend((1..=14).flat_map(|hour| [format!("+{hour:02}:00"), format!("-{hour:02}:00")]));
                // The server ends at -13:59.
                values.retain(|zone| zone != "-14:00");
                values.extend(strings(&ODD_OFFSETS));
            }
            Self::Locale => {
                values.push("en_US".to_owned());
                values.extend(strings(&LOCALES));
            }
            Self::WeekFormat => values.extend((0..8).map(|format| format.to_string())),
            Self::DivisionScale => {
                values.push("4".to_owned());
                values.extend((0..=30).map(|scale| scale.to_string()));
            }
            Self::Mode(_) => values.extend(strings(&["OFF", "ON"])),
        }
        let mut seen = BTreeSet::new();
        // They go into a statement as they are, and the first one comes from a server.
        let plain = |value: &str| value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+-:".contains(&byte));
        values.retain(|value| plain(value) && !value.is_empty() && seen.insert(value.clone()));
        values
    }
}

fn has(modes: &str, flag: &str) -> bool {
    modes.split(',').any(|mode| mode.eq_ignore_ascii_case(flag))
}

fn on(is_on: bool) -> String {
    (if is_on { "ON" } else { "OFF" }).to_owned()
}

/// The settings that the generated columns of a table depend on, on a server that has `offsets` in its time literals.
pub(in crate::mysql) fn dependencies(table: &Table, offsets: bool) -> BTreeSet<Setting> {
    let mut found = BTreeSet::new();
    for column in generated_columns(&table.create) {
        found.extend(of_expression(&column.expression, &table.columns));
    }
    if !offsets {
        found.remove(&Setting::TimeZone);
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
    let of_index = |index: &Index| {
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

fn of_expression(expression: &str, columns: &[Column]) -> BTreeSet<Setting> {
    let mut found = BTreeSet::new();
    for token in tokens(expression, Dialect::default()) {
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

/// Values of the settings that a table depends on; nothing where it depends on none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::mysql) struct Settings(Vec<(Setting, String)>);

impl Settings {
    /// All that are worth trying, the likeliest first: the source's global ones, then those in which one setting differs.
    pub(super) fn candidates(dependencies: &BTreeSet<Setting>, source: &Server) -> Vec<Self> {
        let mut all = vec![(0, Self::default())];
        for &setting in dependencies {
            let values = setting.values(&source.settings);
            let with = |(rank, settings): &(usize, Self)| {
                let (rank, settings) = (*rank, settings.clone());
                let further = |(place, value): (usize, &String)| {
                    let mut settings = settings.clone();
                    settings.0.push((setting, value.clone()));
                    (rank + place, settings)
                };
                values.iter().enumerate().map(further).collect::<Vec<_>>()
            };
            all = all.iter().flat_map(with).collect();
            all.sort_by_key(|(rank, _)| *rank);
            all.truncate(MOST);
        }
        all.into_iter().map(|(_, settings)| settings).collect()
    }

    /// The assignments of a `SET`; `modes` is the session's own `sql_mode`.
    pub(in crate::mysql) fn assignments(&self, modes: &str) -> String {
        let mut parts = vec![format!("sql_mode = '{modes}{}'", self.modes())];
        parts.extend(self.0.iter().filter_map(|(setting, value)| {
            let variable = setting.variable();
            match setting {
                Setting::Mode(_) => None,
                Setting::WeekFormat | Setting::DivisionScale => Some(format!("{variable} = {value}")),
                Setting::TimeZone | Setting::Locale => Some(format!("{variable} = '{value}'")),
            }
        }));
        parts.join(", ")
    }

    /// The assignments that take them back.
    pub(in crate::mysql) fn defaults(&self, modes: &str) -> String {
        let mut parts = vec![format!("sql_mode = '{modes}'")];
        parts.extend(self.0.iter().filter_map(|(setting, _)| {
            Some(match setting {
                Setting::TimeZone => "time_zone = '+00:00'".to_owned(),
                Setting::Mode(_) => return None,
                other => format!("{} = DEFAULT", other.variable()),
            })
        }));
        parts.join(", ")
    }

    fn modes(&self) -> String {
        let set = self.0.iter().filter(|(_, value)| value == "ON");
        let flag = |(setting, _): &(Setting, String)| match setting {
            Setting::Mode(flag) => format!(",{flag}"),
            _ => String::new(),
        };
        set.map(flag).collect()
    }

    /// Whether the session's time zone is another one than the one that times travel in.
    pub(in crate::mysql) fn moves_time(&self) -> bool {
        self.0.iter().any(|(setting, value)| *setting == Setting::TimeZone && value != "+00:00")
    }

    /// Those that count when the server opens the table, not when it writes a row: it then keeps what it made of an
    /// expression.
    pub(super) fn fixed_at_open(&self) -> Self {
        let counts_for_each_row = |setting: &Setting| *setting == Setting::TimeZone || *setting == PAD;
        Self(self.0.iter().filter(|(setting, _)| !counts_for_each_row(setting)).cloned().collect())
    }

    /// For people, those that are not as usual: `time_zone +09:00, lc_time_names de_DE`.
    pub(super) fn describe(&self) -> String {
        let usual = |(setting, value): &&(Setting, String)| match setting {
            Setting::TimeZone => value == "+00:00",
            Setting::Locale => value == "en_US",
            Setting::WeekFormat => value == "0",
            Setting::DivisionScale => value == "4",
            Setting::Mode(_) => value == "OFF",
        };
        let one = |(setting, value): &(Setting, String)| match setting {
            Setting::Mode(flag) => (*flag).to_owned(),
            other => format!("{} {value}", other.variable()),
        };
        self.0.iter().filter(|pair| !usual(pair)).map(one).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Flavor;

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

    #[test]
    fn the_sources_own_settings_come_first_and_combinations_are_bounded() {
        let mut server = Server::new(Flavor::MySql, "9.7.0");
        server.settings.insert("time_zone".to_owned(), "+02:00".to_owned());
        server.settings.insert("sql_mode".to_owned(), "ANSI,PAD_CHAR_TO_FULL_LENGTH".to_owned());
        let dependencies = BTreeSet::from([Setting::TimeZone, PAD]);
        let all = Settings::candidates(&dependencies, &server);
        assert_eq!(all[0].describe(), "time_zone +02:00, PAD_CHAR_TO_FULL_LENGTH");
        assert_eq!(all[0].assignments("X"), "sql_mode = 'X,PAD_CHAR_TO_FULL_LENGTH', time_zone = '+02:00'");
        assert_eq!(all[0].defaults("X"), "sql_mode = 'X', time_zone = '+00:00'");
        let many =
            BTreeSet::from([Setting::TimeZone, PAD, Setting::Locale, Setting::WeekFormat, Setting::DivisionScale]);
        assert_eq!(Settings::candidates(&many, &server).len(), MOST);
        assert_eq!(Settings::candidates(&BTreeSet::new(), &server), [Settings::default()]);
    }
}
