//! Borders between chunks: how a key's value is written so that the server compares it exactly as its column does, and
//! what might lie between two values. Pure.

use super::ddl::quote_name;
use crate::catalog::Column;

/// How many guesses are made between two values.
const GUESSES: i128 = 7;
/// More decimal digits than these are not looked at: steps between numbers of so many fit an `i128`.
const DIGITS: usize = 36;
/// What follows the common beginning of two texts is counted in so many characters.
const DEPTH: u32 = 3;
/// So many bytes are counted of what follows the common beginning of two byte strings.
const WIDTH: usize = 8;

/// A column that borders can be made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyColumn {
    pub(super) name: String,
    /// The name quoted.
    pub(super) quoted: String,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Number,
    /// `DATE`, `DATETIME`, `TIMESTAMP` or `TIME`, with the largest values of its two-digit parts, last one first.
    Moment(&'static [i128]),
    Binary,
    Text {
        charset: String,
        collation: String,
    },
}

/// A value that is in a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    /// As the server is told it.
    pub(super) literal: String,
    /// As guesses are made of it.
    plain: String,
}

impl KeyColumn {
    /// `None` where no literal would be compared exactly and by the index: floating point, and members of `ENUM` and
    /// `SET`, whose ranges the servers do not look up.
    pub(super) fn of(column: &Column) -> Option<Self> {
        let kind = match column.data_type.as_str() {
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "year" => Kind::Number,
            "date" => Kind::Moment(&[31, 12]),
            "datetime" | "timestamp" => Kind::Moment(&[59, 59, 23, 31, 12]),
            "time" => Kind::Moment(&[59, 59]),
            "binary" | "varbinary" => Kind::Binary,
            "char" | "varchar" => match column.charset.as_deref()? {
                "binary" => Kind::Binary,
                charset => Kind::Text { charset: charset.to_owned(), collation: column.collation.clone()? },
            },
            _ => return None,
        };
        Some(Self { name: column.name.clone(), quoted: quote_name(&column.name), kind })
    }

    /// The expression that [`value`](Self::value) understands.
    pub(super) fn read(&self) -> String {
        let name = &self.quoted;
        match self.kind {
            Kind::Number | Kind::Moment(_) => format!("CAST({name} AS CHAR)"),
            Kind::Binary => format!("HEX({name})"),
            Kind::Text { .. } => format!("CONCAT(HEX({name}), ' ', CONVERT({name} USING utf8mb4))"),
        }
    }

    /// The value that was read.
    pub(super) fn value(&self, read: &str) -> Value {
        let plain = read.to_owned();
        match &self.kind {
            Kind::Number => Value { literal: plain.clone(), plain },
            Kind::Moment(_) => {
                let digits = read.chars().filter(|c| c.is_ascii_digit() || *c == '.');
                let sign = if read.starts_with('-') { "-" } else { "" };
                Value { literal: format!("'{read}'"), plain: format!("{sign}{}", digits.collect::<String>()) }
            }
            Kind::Binary => Value { literal: format!("x'{read}'"), plain },
            Kind::Text { charset, .. } => {
                let (hex, text) = read.split_once(' ').unwrap_or((read, ""));
                // A column's collation is stronger than a literal's, and the target may not have it.
                Value { literal: format!("_{charset} x'{hex}'"), plain: text.to_owned() }
            }
        }
    }

    /// Literals that may lie between two values of the column, fairly even. They are guesses: the keys may lie in heaps,
    /// and nobody but the server knows the order of texts; `otherwise` than usual where that led nowhere.
    pub(super) fn guesses(&self, low: &Value, high: &Value, otherwise: bool) -> Vec<String> {
        let (low, high) = (low.plain.as_str(), high.plain.as_str());
        match &self.kind {
            Kind::Number => between_numbers(low, high),
            Kind::Moment(limits) => {
                between_numbers(low, high).iter().map(|digits| format!("'{}'", possible(digits, limits))).collect()
            }
            Kind::Binary => between_bytes(low, high).iter().map(|hex| format!("x'{hex}'")).collect(),
            Kind::Text { charset, collation } => {
                let literal = |text: &String| {
                    format!("CONVERT(_utf8mb4 x'{}' USING {charset}) COLLATE {collation}", hex(text.as_bytes()))
                };
                between_texts(low, high, collation.ends_with("_bin"), otherwise).iter().map(literal).collect()
            }
        }
    }
}

/// Numbers between two, both aside, at most [`GUESSES`].
fn spread(low: i128, high: i128) -> impl Iterator<Item = i128> {
    let step = ((high - low) / (GUESSES + 1)).max(1);
    (1..=GUESSES).map(move |part| low + step * part).take_while(move |guess| *guess < high)
}

/// The same for decimal numbers as the server prints those of one column, with the same number of decimals each.
fn between_numbers(low: &str, high: &str) -> Vec<String> {
    let decimals = low.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let digits = |text: &str| text.chars().filter(|c| *c != '.').collect::<String>();
    let (low, high) = (digits(low), digits(high));
    let cut = low.len().max(high.len()).saturating_sub(DIGITS);
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
    spread(low, high).map(print).collect()
}

/// The digits of a moment, made one that exists: a number between two of them may have a 73rd minute.
fn possible(digits: &str, limits: &[i128]) -> String {
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

/// Byte strings between two, all of them in hexadecimal.
fn between_bytes(low: &str, high: &str) -> Vec<String> {
    let common = low.bytes().zip(high.bytes()).take_while(|(low, high)| low == high).count() / 2 * 2;
    let number = |hex: &str| {
        let bytes: String = hex.chars().skip(common).chain(std::iter::repeat('0')).take(2 * WIDTH).collect();
        i128::from_str_radix(&bytes, 16).unwrap_or(0)
    };
    let prefix = low.get(..common).unwrap_or_default();
    spread(number(low), number(high)).map(|guess| format!("{prefix}{guess:0width$X}", width = 2 * WIDTH)).collect()
}

/// Texts between two, by a rough idea of how collations order them.
fn between_texts(low: &str, high: &str, binary: bool, otherwise: bool) -> Vec<String> {
    let (low, high): (Vec<char>, Vec<char>) = (low.chars().collect(), high.chars().collect());
    let same = |pair: &(&char, &char)| pair.0 == pair.1 || (!binary && pair.0.eq_ignore_ascii_case(pair.1));
    let common = low.iter().zip(&high).take_while(same).count();
    let rest = |text: &[char]| text.iter().skip(common).take(DEPTH as usize).copied().collect::<Vec<char>>();
    let (low_rest, high_rest) = (rest(&low), rest(&high));
    let mut alphabets = alphabets(binary).into_iter();
    let fits = |alphabet: &Vec<char>| low_rest.iter().chain(&high_rest).all(|c| alphabet.contains(c));
    let prefix: String = high.iter().take(common).collect();
    let mut guesses: Vec<String> = match alphabets.find(fits) {
        Some(alphabet) => between_words(&low_rest, &high_rest, &alphabet),
        None => between_characters(&low_rest, &high_rest),
    };
    if otherwise || guesses.len() < 3 {
        guesses = beside_words(&low_rest).chain(beside_words(&high_rest)).collect();
    }
    guesses.into_iter().map(|guess| format!("{prefix}{guess}")).collect()
}

/// Beginnings of a text that go on differently.
fn beside_words(text: &[char]) -> impl Iterator<Item = String> {
    let beginnings = (0..DEPTH as usize).filter_map(|length| text.get(..length));
    beginnings.flat_map(|text| ['4', 'F', 'P'].map(|c| text.iter().copied().chain([c]).collect()))
}

/// Texts between two that are of these characters.
fn between_words(low: &[char], high: &[char], alphabet: &[char]) -> Vec<String> {
    let base = alphabet.len() as i128;
    let rank = |c: Option<&char>| c.and_then(|c| alphabet.iter().position(|a| a == c)).unwrap_or(0) as i128;
    let number = |text: &[char]| (0..DEPTH as usize).fold(0, |number, place| number * base + rank(text.get(place)));
    let character = |rank: i128| usize::try_from(rank).ok().and_then(|rank| alphabet.get(rank));
    let text = |guess: i128| (0..DEPTH).rev().filter_map(|place| character(guess / base.pow(place) % base)).collect();
    spread(number(low), number(high)).map(text).collect()
}

/// Texts of one character, between the first characters of two by its number.
fn between_characters(low: &[char], high: &[char]) -> Vec<String> {
    let number = |text: &[char]| text.first().map_or(32, |c| i128::from(u32::from(*c)));
    let character = |guess: i128| u32::try_from(guess).ok().and_then(char::from_u32);
    spread(number(low), number(high) + 1).filter_map(character).map(String::from).collect()
}

/// The characters that keys are often made of, in their order, small sets first.
fn alphabets(binary: bool) -> Vec<Vec<char>> {
    let digits: Vec<char> = ('0'..='9').collect();
    let with = |letters: std::ops::RangeInclusive<char>| digits.iter().copied().chain(letters).collect();
    // Marks, digits, then letters of both cases side by side; to the byte, as in ASCII.
    let mut all: Vec<char> = (' '..='~').collect();
    if !binary {
        all.sort_by_key(|c| (c.is_ascii_alphanumeric(), c.to_ascii_lowercase()));
    }
    vec![digits.clone(), with('a'..='f'), with('A'..='F'), with('a'..='z'), with('A'..='Z'), all]
}

fn hex(bytes: &[u8]) -> String {
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
        KeyColumn::of(&column).unwrap()
    }

    fn guesses(column: &KeyColumn, low: &str, high: &str) -> Vec<String> {
        column.guesses(&column.value(low), &column.value(high), false)
    }

    #[test]
    fn values_are_written_for_the_comparison_of_their_column() {
        let text = column("varchar", Some("latin1"), Some("latin1_german2_ci"));
        assert_eq!(text.value("E461 äa").literal, "_latin1 x'E461'");
        assert_eq!(column("varbinary", None, None).value("00FF").literal, "x'00FF'");
        assert_eq!(column("time", None, None).value("-838:59:59.5").literal, "'-838:59:59.5'");
        assert_eq!(column("decimal", None, None).value("-1.50").literal, "-1.50");
    }

    #[test]
    fn guesses_between_numbers_overflow_nowhere() {
        let number = column("bigint", None, None);
        let found = guesses(&number, "-9223372036854775808", "18446744073709551615");
        assert_eq!(found.len(), 7);
        assert_eq!(found[3], "4611686018427387900");
        assert_eq!(guesses(&number, "7", "9"), ["8"]);
        assert!(guesses(&number, "7", "8").is_empty() && guesses(&number, "7", "7").is_empty());
        let decimal = format!("{}.{}", "9".repeat(35), "9".repeat(30));
        let found = guesses(&column("decimal", None, None), &format!("-{decimal}"), &decimal);
        assert!(found.iter().all(|guess| guess.split_once('.').unwrap().1.len() == 30), "{found:?}");
        assert!(found[0].starts_with("-75000") && found[6].starts_with("74999"), "{found:?}");
        assert_eq!(guesses(&column("decimal", None, None), "-0.02", "0.02"), ["-0.01", "0.00", "0.01"]);
    }

    #[test]
    fn guesses_between_moments_exist() {
        let found = guesses(&column("datetime", None, None), "0000-00-00 00:00:00.0", "2024-12-31 23:59:59.9");
        assert_eq!(found.len(), 7);
        for guess in &found {
            let (whole, fraction) = guess.trim_matches('\'').split_once('.').unwrap();
            let part = |at: usize| whole[at..at + 2].parse::<u32>().unwrap();
            assert_eq!((whole.len(), fraction.len()), (14, 1), "{guess}");
            assert!(part(4) <= 12 && part(6) <= 31 && part(8) <= 23 && part(10) <= 59 && part(12) <= 59, "{guess}");
        }
        assert_eq!(guesses(&column("date", None, None), "2024-01-31", "2024-02-02")[0], "'20240131'");
        let found = guesses(&column("time", None, None), "-838:59:59", "838:59:59");
        assert_eq!((found.len(), found[0].as_str(), found[3].as_str()), (7, "'-6285959'", "'-000003'"), "{found:?}");
    }

    #[test]
    fn guesses_between_bytes_and_texts_lie_between_them() {
        let bytes = guesses(&column("binary", None, None), "AB00", "ABFF");
        assert_eq!(bytes[3], "x'AB7F80000000000000'");
        let between = |low: &str, high: &str| between_texts(low, high, false, false);
        assert_eq!(between("order-100", "order-900")[3], "order-500");
        assert_eq!(between("0a", "ff").len(), 7);
        let found = between("Anna", "Zoe");
        assert!(found.windows(2).all(|pair| pair[0].to_lowercase() < pair[1].to_lowercase()), "{found:?}");
        assert!(!between("а", "я").is_empty() && !between("", "😀").is_empty());
        assert!(!between("Ä1", "\\\\9").is_empty(), "general_ci");
    }
}
