//! Session settings on which expressions depend, and the values to try for them. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::Server;

/// The most combinations of values to try.
const MAX_CANDIDATES: usize = 1200;

/// A session setting that changes the result of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SessionSetting {
    TimeZone,
    Locale,
    WeekFormat,
    DivisionScale,
    /// The mode of AES_ENCRYPT and AES_DECRYPT.
    Encryption,
    /// A flag of `sql_mode`.
    Mode(&'static str),
}

pub(super) const PAD_CHARS: SessionSetting = SessionSetting::Mode("PAD_CHAR_TO_FULL_LENGTH");
pub(super) const SIGNED_SUBTRACTION: SessionSetting = SessionSetting::Mode("NO_UNSIGNED_SUBTRACTION");
pub(super) const TRUNCATE_FRACTIONS: SessionSetting = SessionSetting::Mode("TIME_TRUNCATE_FRACTIONAL");
/// The modes that decide which dates are valid, and so which values the row's plain columns accept.
pub(super) const DATE_RULES: [SessionSetting; 3] = [
    SessionSetting::Mode("ALLOW_INVALID_DATES"),
    SessionSetting::Mode("NO_ZERO_DATE"),
    SessionSetting::Mode("NO_ZERO_IN_DATE"),
];

/// Locales with different names of months and days.
const LOCALES: [&str; 56] = [
    "de_DE", "fr_FR", "es_ES", "it_IT", "pt_BR", "pt_PT", "nl_NL", "ja_JP", "zh_CN", "zh_TW", "ko_KR", "ru_RU",
    "pl_PL", "cs_CZ", "sv_SE", "da_DK", "nb_NO", "fi_FI", "tr_TR", "hu_HU", "el_GR", "uk_UA", "ro_RO", "bg_BG",
    "hr_HR", "sk_SK", "sl_SI", "sr_RS", "et_EE", "lt_LT", "lv_LV", "he_IL", "ar_SA", "ar_EG", "ar_AE", "ar_JO",
    "ar_LB", "hi_IN", "th_TH", "vi_VN", "id_ID", "ms_MY", "ca_ES", "eu_ES", "gl_ES", "is_IS", "fo_FO", "be_BY",
    "mk_MK", "mn_MN", "sq_AL", "ta_IN", "te_IN", "gu_IN", "ur_PK", "de_AT",
];

/// The time zone offsets that are no whole hours.
const FRACTIONAL_OFFSETS: [&str; 12] = [
    "+05:30", "+05:45", "+09:30", "+03:30", "+04:30", "+06:30", "-03:30", "-02:30", "+10:30", "+08:45", "+12:45",
    "+13:45",
];

impl SessionSetting {
    /// The name of the server's variable.
    pub(super) fn variable(self) -> &'static str {
        match self {
            Self::TimeZone => "time_zone",
            Self::Locale => "lc_time_names",
            Self::WeekFormat => "default_week_format",
            Self::DivisionScale => "div_precision_increment",
            Self::Encryption => "block_encryption_mode",
            Self::Mode(_) => "sql_mode",
        }
    }

    /// The values to try: the source's global value, the clone's own, then all others.
    fn values(self, source: &BTreeMap<String, String>) -> Vec<String> {
        let mut values: Vec<String> = Vec::new();
        let global = source.get(self.variable());
        match self {
            Self::TimeZone => values.extend(global.filter(|zone| zone.starts_with(['+', '-'])).cloned()),
            Self::Mode(flag) => values.extend(global.map(|modes| on_or_off(has_mode(modes, flag)))),
            _ => values.extend(global.cloned()),
        }
        let strings = |list: &[&str]| list.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
        match self {
            Self::TimeZone => {
                values.push("+00:00".to_owned());
                values.extend((1..=14).flat_map(|hour| [format!("+{hour:02}:00"), format!("-{hour:02}:00")]));
                // The least offset that the server accepts is -13:59.
                values.retain(|zone| zone != "-14:00");
                values.extend(strings(&FRACTIONAL_OFFSETS));
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
            Self::Encryption => {
                let sizes = ["128", "256", "192"].into_iter();
                let modes = ["ecb", "cbc", "cfb1", "cfb8", "cfb128", "ofb"];
                values.extend(sizes.flat_map(|size| modes.map(|mode| format!("aes-{size}-{mode}"))));
            }
            Self::Mode(_) => values.extend(strings(&["OFF", "ON"])),
        }
        let mut seen = BTreeSet::new();
        // The values are not quoted, and the first one comes from a server.
        let plain = |value: &str| value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+-:".contains(&byte));
        values.retain(|value| plain(value) && !value.is_empty() && seen.insert(value.clone()));
        values
    }
}

fn has_mode(modes: &str, flag: &str) -> bool {
    modes.split(',').any(|mode| mode.eq_ignore_ascii_case(flag))
}

fn on_or_off(is_on: bool) -> String {
    (if is_on { "ON" } else { "OFF" }).to_owned()
}

/// Values of the settings on which a table depends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::mysql) struct SessionSettings(Vec<(SessionSetting, String)>);

impl SessionSettings {
    /// All combinations to try, the most likely first: the source's global values, then those that differ in one setting.
    pub(super) fn candidates(dependencies: &BTreeSet<SessionSetting>, source: &Server) -> Vec<Self> {
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
            all.truncate(MAX_CANDIDATES);
        }
        all.into_iter().map(|(_, settings)| settings).collect()
    }

    /// The assignments of a `SET`; `modes` is the session's own `sql_mode`.
    pub(in crate::mysql) fn assignments(&self, modes: &str) -> String {
        let mut parts = vec![format!("sql_mode = '{}'", self.merged_modes(modes))];
        parts.extend(self.0.iter().filter_map(|(setting, value)| {
            let variable = setting.variable();
            match setting {
                SessionSetting::Mode(_) => None,
                SessionSetting::WeekFormat | SessionSetting::DivisionScale => Some(format!("{variable} = {value}")),
                SessionSetting::TimeZone | SessionSetting::Locale | SessionSetting::Encryption => {
                    Some(format!("{variable} = '{value}'"))
                }
            }
        }));
        parts.join(", ")
    }

    /// The assignments that restore the session's own values.
    pub(in crate::mysql) fn default_assignments(&self, modes: &str) -> String {
        let mut parts = vec![format!("sql_mode = '{modes}'")];
        parts.extend(self.0.iter().filter_map(|(setting, _)| {
            Some(match setting {
                SessionSetting::TimeZone => "time_zone = '+00:00'".to_owned(),
                SessionSetting::Mode(_) => return None,
                other => format!("{} = DEFAULT", other.variable()),
            })
        }));
        parts.join(", ")
    }

    /// The session's own modes without those that are off in these settings, and with those that are on.
    fn merged_modes(&self, own: &str) -> String {
        let flag = |wanted: &'static str| {
            move |(setting, value): &(SessionSetting, String)| match setting {
                SessionSetting::Mode(flag) if value == wanted => Some(*flag),
                _ => None,
            }
        };
        let off: Vec<&str> = self.0.iter().filter_map(flag("OFF")).collect();
        let kept = own.split(',').filter(|mode| !off.contains(mode));
        kept.chain(self.0.iter().filter_map(flag("ON"))).collect::<Vec<_>>().join(",")
    }

    /// The settings with signed results of unsigned subtractions. Some tables can be created only under them.
    pub(in crate::mysql) fn signed_subtraction() -> Self {
        Self(vec![(SIGNED_SUBTRACTION, "ON".to_owned())])
    }

    /// The same settings, but accepting every date, for rows that may hold invalid dates.
    pub(super) fn accepting_all_dates(&self) -> Self {
        Self(self.0.iter().filter(|(setting, _)| !DATE_RULES.contains(setting)).cloned().collect())
    }

    /// Adds those of the other settings that are missing in these.
    pub(in crate::mysql) fn completed_by(&self, others: &Self) -> Self {
        let is_missing = |(setting, _): &&(SessionSetting, String)| !self.0.iter().any(|(own, _)| own == setting);
        let mut all = self.clone();
        all.0.extend(others.0.iter().filter(is_missing).cloned());
        // A fixed order makes equal settings comparable.
        all.0.sort();
        all
    }

    /// Whether no setting has different values in both.
    pub(in crate::mysql) fn is_consistent_with(&self, other: &Self) -> bool {
        self.0.iter().all(|(setting, value)| other.0.iter().all(|(same, there)| same != setting || there == value))
    }

    /// Whether the session's time zone differs from UTC, in which batches hold times.
    pub(in crate::mysql) fn changes_time_zone(&self) -> bool {
        self.0.iter().any(|(setting, value)| *setting == SessionSetting::TimeZone && value != "+00:00")
    }

    /// The settings that count when the server opens the table instead of when it writes a row, because the server keeps
    /// the parsed expressions of an open table.
    pub(in crate::mysql) fn fixed_at_table_open(&self) -> Self {
        let counts_for_each_row =
            |setting: &SessionSetting| *setting == SessionSetting::TimeZone || *setting == PAD_CHARS;
        Self(self.0.iter().filter(|(setting, _)| !counts_for_each_row(setting)).cloned().collect())
    }

    /// Describes the settings that differ from the defaults: `time_zone +09:00, lc_time_names de_DE`.
    pub(super) fn describe(&self) -> String {
        let usual = |(setting, value): &&(SessionSetting, String)| match setting {
            SessionSetting::TimeZone => value == "+00:00",
            SessionSetting::Locale => value == "en_US",
            SessionSetting::WeekFormat => value == "0",
            SessionSetting::DivisionScale => value == "4",
            SessionSetting::Encryption => value == "aes-128-ecb",
            SessionSetting::Mode(_) => value == "OFF",
        };
        let one = |(setting, value): &(SessionSetting, String)| match setting {
            SessionSetting::Mode(flag) => (*flag).to_owned(),
            other => format!("{} {value}", other.variable()),
        };
        self.0.iter().filter(|pair| !usual(pair)).map(one).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Flavor;

    #[test]
    fn modes_that_are_off_are_removed_from_the_session() {
        let settings = SessionSettings(vec![
            (DATE_RULES[0], "OFF".to_owned()),
            (DATE_RULES[1], "ON".to_owned()),
            (PAD_CHARS, "OFF".to_owned()),
        ]);
        assert_eq!(settings.assignments("A,ALLOW_INVALID_DATES"), "sql_mode = 'A,NO_ZERO_DATE'");
        assert_eq!(
            settings.accepting_all_dates().assignments("A,ALLOW_INVALID_DATES"),
            "sql_mode = 'A,ALLOW_INVALID_DATES'"
        );
        assert!(settings.is_consistent_with(&SessionSettings::signed_subtraction()));
        assert!(!settings.is_consistent_with(&SessionSettings(vec![(PAD_CHARS, "ON".to_owned())])));
        let both = SessionSettings(vec![(SIGNED_SUBTRACTION, "ON".to_owned()), (DATE_RULES[1], "ON".to_owned())]);
        assert_eq!(SessionSettings(both.0[1..].to_vec()).completed_by(&SessionSettings::signed_subtraction()), both);
        let off = SessionSettings(vec![(SIGNED_SUBTRACTION, "OFF".to_owned())]);
        assert_eq!(SessionSettings::signed_subtraction().completed_by(&both).completed_by(&off), both);
    }

    #[test]
    fn candidates_begin_with_the_sources_settings_and_are_limited() {
        let mut server = Server::new(Flavor::MySql, "9.7.0");
        server.settings.insert("time_zone".to_owned(), "+02:00".to_owned());
        server.settings.insert("sql_mode".to_owned(), "ANSI,PAD_CHAR_TO_FULL_LENGTH".to_owned());
        let dependencies = BTreeSet::from([SessionSetting::TimeZone, PAD_CHARS]);
        let all = SessionSettings::candidates(&dependencies, &server);
        assert_eq!(all[0].describe(), "time_zone +02:00, PAD_CHAR_TO_FULL_LENGTH");
        assert_eq!(all[0].assignments("X"), "sql_mode = 'X,PAD_CHAR_TO_FULL_LENGTH', time_zone = '+02:00'");
        assert_eq!(all[0].default_assignments("X"), "sql_mode = 'X', time_zone = '+00:00'");
        let many = BTreeSet::from([
            SessionSetting::TimeZone,
            PAD_CHARS,
            SessionSetting::Locale,
            SessionSetting::WeekFormat,
            SessionSetting::DivisionScale,
        ]);
        assert_eq!(SessionSettings::candidates(&many, &server).len(), MAX_CANDIDATES);
        assert_eq!(SessionSettings::candidates(&BTreeSet::new(), &server), [SessionSettings::default()]);
    }
}
