//! Values of key columns: literals that the server compares exactly as the column's own values, and probe points
//! between two values. No I/O.

use super::ddl::quote_name;
use crate::catalog::Column;

/// The number of probe points between two values.
const PROBE_COUNT: i128 = 7;
/// The decimal digits of a number that count. Differences of numbers of this length fit into an `i128`.
const MAX_DIGITS: usize = 36;
/// The characters that count after the common prefix of two texts.
const COMPARED_CHARACTERS: u32 = 3;
/// The bytes that count after the common prefix of two byte strings.
const COMPARED_BYTES: usize = 8;

/// A key column whose values can bound a range of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyColumn {
    pub(super) name: String,
    /// The quoted name.
    pub(super) quoted: String,
    kind: KeyColumnType,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum KeyColumnType {
    Number,
    /// `DATE`, `DATETIME`, `TIMESTAMP` or `TIME`, with the greatest value of each two-digit part, last part first.
    Temporal(&'static [i128]),
    Binary,
    Text {
        charset: String,
        collation: String,
    },
}

/// A value of a key column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyColumnValue {
    /// The SQL literal.
    pub(super) literal: String,
    /// The form from which probe points are computed.
    text: String,
}

impl KeyColumn {
    /// Returns `None` if the server does not compare literals exactly and by the index: floating point numbers, and
    /// members of `ENUM` and `SET`, whose ranges the servers do not look up.
    pub(super) fn from_column(column: &Column) -> Option<Self> {
        let kind = match column.data_type.as_str() {
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "year" => KeyColumnType::Number,
            "date" => KeyColumnType::Temporal(&[31, 12]),
            "datetime" | "timestamp" => KeyColumnType::Temporal(&[59, 59, 23, 31, 12]),
            "time" => KeyColumnType::Temporal(&[59, 59]),
            "binary" | "varbinary" => KeyColumnType::Binary,
            "char" | "varchar" => match column.charset.as_deref()? {
                "binary" => KeyColumnType::Binary,
                charset => KeyColumnType::Text { charset: charset.to_owned(), collation: column.collation.clone()? },
            },
            _ => return None,
        };
        Some(Self { name: column.name.clone(), quoted: quote_name(&column.name), kind })
    }

    /// The SELECT expression whose result [`parse_value`](Self::parse_value) parses.
    pub(super) fn select_expression(&self) -> String {
        let name = &self.quoted;
        match self.kind {
            KeyColumnType::Number | KeyColumnType::Temporal(_) => format!("CAST({name} AS CHAR)"),
            KeyColumnType::Binary => format!("HEX({name})"),
            KeyColumnType::Text { .. } => format!("CONCAT(HEX({name}), ' ', CONVERT({name} USING utf8mb4))"),
        }
    }

    /// Parses a result of [`select_expression`](Self::select_expression).
    pub(super) fn parse_value(&self, read: &str) -> KeyColumnValue {
        let text = read.to_owned();
        match &self.kind {
            KeyColumnType::Number => KeyColumnValue { literal: text.clone(), text },
            KeyColumnType::Temporal(_) => {
                let digits = read.chars().filter(|c| c.is_ascii_digit() || *c == '.');
                let sign = if read.starts_with('-') { "-" } else { "" };
                KeyColumnValue { literal: format!("'{read}'"), text: format!("{sign}{}", digits.collect::<String>()) }
            }
            KeyColumnType::Binary => KeyColumnValue { literal: format!("x'{read}'"), text },
            KeyColumnType::Text { charset, .. } => {
                let (hex, text) = read.split_once(' ').unwrap_or((read, ""));
                // The column's collation takes precedence over a literal's, and the target may lack it.
                KeyColumnValue { literal: format!("_{charset} x'{hex}'"), text: text.to_owned() }
            }
        }
    }

    /// Returns literals that probably lie between two values of the column, at even distances.
    ///
    /// The real keys may cluster, and only the server knows the order of texts. With `use_prefixes`, texts are built from
    /// prefixes of both values, for ranges where the usual points did not help.
    pub(super) fn probe_points(&self, low: &KeyColumnValue, high: &KeyColumnValue, use_prefixes: bool) -> Vec<String> {
        let (low, high) = (low.text.as_str(), high.text.as_str());
        match &self.kind {
            KeyColumnType::Number => numbers_between(low, high),
            KeyColumnType::Temporal(limits) => numbers_between(low, high)
                .iter()
                .map(|digits| format!("'{}'", nearest_valid_time(digits, limits)))
                .collect(),
            KeyColumnType::Binary => bytes_between(low, high).iter().map(|hex| format!("x'{hex}'")).collect(),
            KeyColumnType::Text { charset, collation } => {
                let literal = |text: &String| {
                    format!("CONVERT(_utf8mb4 x'{}' USING {charset}) COLLATE {collation}", to_hex(text.as_bytes()))
                };
                texts_between(low, high, collation.ends_with("_bin"), use_prefixes).iter().map(literal).collect()
            }
        }
    }
}

/// Returns at most [`PROBE_COUNT`] numbers between two numbers, without these.
fn evenly_between(low: i128, high: i128) -> impl Iterator<Item = i128> {
    let step = ((high - low) / (PROBE_COUNT + 1)).max(1);
    (1..=PROBE_COUNT).map(move |part| low + step * part).take_while(move |point| *point < high)
}

/// Returns decimal numbers between two that the server printed with the same number of decimals.
fn numbers_between(low: &str, high: &str) -> Vec<String> {
    let decimals = low.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let digits = |text: &str| text.chars().filter(|c| *c != '.').collect::<String>();
    let (low, high) = (digits(low), digits(high));
    let cut = low.len().max(high.len()).saturating_sub(MAX_DIGITS);
    let number = |digits: &str| -> Option<i128> {
        match digits.get(..digits.len().saturating_sub(cut))? {
            "" | "-" => Some(0),
            digits => digits.parse().ok(),
        }
    };
    let (Some(low), Some(high)) = (number(&low), number(&high)) else { return Vec::new() };
    let print = |number: i128| {
        let sign = if number < 0 { "-" } else { "" };
        let digits =
            format!("{:0>width$}", format!("{}{}", number.unsigned_abs(), "0".repeat(cut)), width = decimals + 1);
        match digits.split_at_checked(digits.len() - decimals) {
            Some((whole, decimals)) if !decimals.is_empty() => format!("{sign}{whole}.{decimals}"),
            _ => format!("{sign}{digits}"),
        }
    };
    evenly_between(low, high).map(print).collect()
}

/// Corrects the digits of a time so that each part is valid: a number between two times may have a 73rd minute.
fn nearest_valid_time(digits: &str, limits: &[i128]) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
    let (whole, fraction) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    let mut rest: i128 = whole.parse().unwrap_or(0);
    let mut parts = String::new();
    for limit in limits {
        parts.insert_str(0, &format!("{:02}", (rest % 100).min(*limit)));
        rest /= 100;
    }
    let first = if limits.contains(&12) { format!("{rest:04}") } else { format!("{rest:02}") };
    format!("{sign}{first}{parts}{fraction}")
}

/// Returns byte strings between two, all in hexadecimal.
fn bytes_between(low: &str, high: &str) -> Vec<String> {
    let common = low.bytes().zip(high.bytes()).take_while(|(low, high)| low == high).count() / 2 * 2;
    let number = |hex: &str| {
        let bytes: String = hex.chars().skip(common).chain(std::iter::repeat('0')).take(2 * COMPARED_BYTES).collect();
        i128::from_str_radix(&bytes, 16).unwrap_or(0)
    };
    let prefix = low.get(..common).unwrap_or_default();
    evenly_between(number(low), number(high))
        .map(|point| format!("{prefix}{point:0width$X}", width = 2 * COMPARED_BYTES))
        .collect()
}

/// Returns texts between two in an order that resembles that of most collations.
fn texts_between(low: &str, high: &str, binary: bool, use_prefixes: bool) -> Vec<String> {
    let (low, high): (Vec<char>, Vec<char>) = (low.chars().collect(), high.chars().collect());
    let same = |pair: &(&char, &char)| pair.0 == pair.1 || (!binary && pair.0.eq_ignore_ascii_case(pair.1));
    let common = low.iter().zip(&high).take_while(same).count();
    let rest =
        |text: &[char]| text.iter().skip(common).take(COMPARED_CHARACTERS as usize).copied().collect::<Vec<char>>();
    let (low_rest, high_rest) = (rest(&low), rest(&high));
    let mut alphabets = alphabets(binary).into_iter();
    let fits = |alphabet: &Vec<char>| low_rest.iter().chain(&high_rest).all(|c| alphabet.contains(c));
    let prefix: String = high.iter().take(common).collect();
    let mut points: Vec<String> = match alphabets.find(fits) {
        Some(alphabet) => words_between(&low_rest, &high_rest, &alphabet),
        None => characters_between(&low_rest, &high_rest),
    };
    if use_prefixes || points.len() < 3 {
        points = extended_prefixes(&low_rest).chain(extended_prefixes(&high_rest)).collect();
    }
    points.into_iter().map(|point| format!("{prefix}{point}")).collect()
}

/// Returns prefixes of a text, each followed by another character.
fn extended_prefixes(text: &[char]) -> impl Iterator<Item = String> {
    let beginnings = (0..COMPARED_CHARACTERS as usize).filter_map(|length| text.get(..length));
    beginnings.flat_map(|text| ['4', 'F', 'P'].map(|c| text.iter().copied().chain([c]).collect()))
}

/// Returns texts of these characters between two texts.
fn words_between(low: &[char], high: &[char], alphabet: &[char]) -> Vec<String> {
    let base = alphabet.len() as i128;
    let rank = |c: Option<&char>| c.and_then(|c| alphabet.iter().position(|a| a == c)).unwrap_or(0) as i128;
    let number = |text: &[char]| {
        (0..COMPARED_CHARACTERS as usize).fold(0, |number, place| number * base + rank(text.get(place)))
    };
    let character = |rank: i128| usize::try_from(rank).ok().and_then(|rank| alphabet.get(rank));
    let text = |point: i128| {
        (0..COMPARED_CHARACTERS).rev().filter_map(|place| character(point / base.pow(place) % base)).collect()
    };
    evenly_between(number(low), number(high)).map(text).collect()
}

/// Returns texts of one character, whose code lies between those of the first characters of two texts.
fn characters_between(low: &[char], high: &[char]) -> Vec<String> {
    let number = |text: &[char]| text.first().map_or(32, |c| i128::from(u32::from(*c)));
    let character = |point: i128| u32::try_from(point).ok().and_then(char::from_u32);
    evenly_between(number(low), number(high) + 1).filter_map(character).map(String::from).collect()
}

/// The character sets of common keys in collation order, small sets first.
fn alphabets(binary: bool) -> Vec<Vec<char>> {
    let digits: Vec<char> = ('0'..='9').collect();
    let with = |letters: std::ops::RangeInclusive<char>| digits.iter().copied().chain(letters).collect();
    // Punctuation, digits, then both cases of each letter; a binary collation orders as ASCII does.
    let mut all: Vec<char> = (' '..='~').collect();
    if !binary {
        all.sort_by_key(|c| (c.is_ascii_alphanumeric(), c.to_ascii_lowercase()));
    }
    vec![digits.clone(), with('a'..='f'), with('A'..='F'), with('a'..='z'), with('A'..='Z'), all]
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(data_type: &str, charset: Option<&str>, collation: Option<&str>) -> KeyColumn {
        let column = Column {
            name: "k".to_owned(),
            data_type: data_type.to_owned(),
            column_type: data_type.to_owned(),
            charset: charset.map(str::to_owned),
            collation: collation.map(str::to_owned),
            nullable: false,
            generated: false,
            stored: false,
        };
        KeyColumn::from_column(&column).unwrap()
    }

    fn probe_points(column: &KeyColumn, low: &str, high: &str) -> Vec<String> {
        column.probe_points(&column.parse_value(low), &column.parse_value(high), false)
    }

    #[test]
    fn literals_compare_as_their_column_does() {
        let text = column("varchar", Some("latin1"), Some("latin1_german2_ci"));
        assert_eq!(text.parse_value("E461 äa").literal, "_latin1 x'E461'");
        assert_eq!(column("varbinary", None, None).parse_value("00FF").literal, "x'00FF'");
        assert_eq!(column("time", None, None).parse_value("-838:59:59.5").literal, "'-838:59:59.5'");
        assert_eq!(column("decimal", None, None).parse_value("-1.50").literal, "-1.50");
    }

    #[test]
    fn probe_points_between_numbers_do_not_overflow() {
        let number = column("bigint", None, None);
        let found = probe_points(&number, "-9223372036854775808", "18446744073709551615");
        assert_eq!(found.len(), 7);
        assert_eq!(found[3], "4611686018427387900");
        assert_eq!(probe_points(&number, "7", "9"), ["8"]);
        assert!(probe_points(&number, "7", "8").is_empty() && probe_points(&number, "7", "7").is_empty());
        let decimal = format!("{}.{}", "9".repeat(35), "9".repeat(30));
        let found = probe_points(&column("decimal", None, None), &format!("-{decimal}"), &decimal);
        assert!(found.iter().all(|point| point.split_once('.').unwrap().1.len() == 30), "{found:?}");
        assert!(found[0].starts_with("-75000") && found[6].starts_with("74999"), "{found:?}");
        assert_eq!(probe_points(&column("decimal", None, None), "-0.02", "0.02"), ["-0.01", "0.00", "0.01"]);
    }

    #[test]
    fn probe_points_between_times_are_valid_times() {
        let found = probe_points(&column("datetime", None, None), "0000-00-00 00:00:00.0", "2024-12-31 23:59:59.9");
        assert_eq!(found.len(), 7);
        for point in &found {
            let (whole, fraction) = point.trim_matches('\'').split_once('.').unwrap();
            let part = |at: usize| whole[at..at + 2].parse::<u32>().unwrap();
            assert_eq!((whole.len(), fraction.len()), (14, 1), "{point}");
            assert!(part(4) <= 12 && part(6) <= 31 && part(8) <= 23 && part(10) <= 59 && part(12) <= 59, "{point}");
        }
        assert_eq!(probe_points(&column("date", None, None), "2024-01-31", "2024-02-02")[0], "'20240131'");
        let found = probe_points(&column("time", None, None), "-838:59:59", "838:59:59");
        assert_eq!((found.len(), found[0].as_str(), found[3].as_str()), (7, "'-6285959'", "'-000003'"), "{found:?}");
    }

    #[test]
    fn probe_points_between_bytes_and_texts_lie_between_them() {
        let bytes = probe_points(&column("binary", None, None), "AB00", "ABFF");
        assert_eq!(bytes[3], "x'AB7F80000000000000'");
        let between = |low: &str, high: &str| texts_between(low, high, false, false);
        assert_eq!(between("order-100", "order-900")[3], "order-500");
        assert_eq!(between("0a", "ff").len(), 7);
        let found = between("Anna", "Zoe");
        assert!(found.windows(2).all(|pair| pair[0].to_lowercase() < pair[1].to_lowercase()), "{found:?}");
        assert!(!between("а", "я").is_empty() && !between("", "😀").is_empty());
        assert!(!between("Ä1", "\\\\9").is_empty(), "general_ci");
    }
}
