//! Reads options from JSON, as the bindings pass them: by name, with sizes and durations as numbers or text.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::CloneOptions;
use crate::error::{Error, ErrorKind, Result};

/// The convention by which a language writes the names of options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamingStyle {
    /// `if_exists`, as JSON and Python do.
    Snake,
    /// `ifExists`, as JavaScript does.
    Camel,
}

impl NamingStyle {
    fn format(self, name: &str) -> String {
        let mut words = name.split('_');
        match self {
            Self::Snake => name.to_owned(),
            Self::Camel => words.next().into_iter().map(str::to_owned).chain(words.map(capitalize)).collect(),
        }
    }
}

fn capitalize(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}

impl CloneOptions {
    /// The names of all options, in the given style.
    pub fn names(style: NamingStyle) -> Vec<String> {
        let all = serde_json::to_value(Self::default()).unwrap_or_default();
        all.as_object().into_iter().flat_map(Map::keys).map(|name| style.format(name)).collect()
    }

    /// Reads options by name. `null` means the default. Sizes are bytes or text like `256MiB`, and a single pattern
    /// stands for a list of one.
    ///
    /// # Errors
    /// `Usage`, with the name of the option; for an unknown option with the most similar known name.
    pub fn from_json(options: Map<String, Value>, style: NamingStyle) -> Result<Self> {
        let names = Self::names(NamingStyle::Snake);
        let mut known = Map::new();
        for (given, value) in options.into_iter().filter(|(_, value)| !value.is_null()) {
            let Some(name) = names.iter().find(|name| style.format(name) == given) else {
                return Err(unknown_option(&given, &Self::names(style)));
            };
            // Reads each option separately, so that an error can name it.
            let alone = Value::Object(Map::from_iter([(name.clone(), value.clone())]));
            if let Err(error) = serde_json::from_value::<Self>(alone) {
                return Err(Error::usage(format!("option `{given}`: {error}")));
            }
            known.insert(name.clone(), value);
        }
        serde_json::from_value(Value::Object(known))
            .map_err(|error| Error::new(ErrorKind::Internal, "options that were valid one by one").caused_by(error))
    }
}

fn unknown_option(given: &str, names: &[String]) -> Error {
    let nearest = names.iter().map(|name| (edit_distance(given, name), name)).min();
    match nearest {
        Some((far, name)) if far <= given.len().div_ceil(3) => {
            Error::usage(format!("there is no option `{given}`: did you mean `{name}`?"))
        }
        _ => Error::usage(format!("there is no option `{given}`: the options are {}", names.join(", "))),
    }
}

/// The Levenshtein distance of two words.
fn edit_distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (index, a) in one.chars().enumerate() {
        let mut next = vec![index + 1];
        for (b, pair) in other.chars().zip(row.windows(2)) {
            let [diagonal, above] = pair else { break };
            let left = next.last().copied().unwrap_or_default();
            next.push((diagonal + usize::from(a != b)).min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// Parses a size in bytes: `1048576`, `64K`, `256MiB`, `1G` (powers of 1024), `10MB` (powers of 1000).
///
/// # Errors
/// `Usage` for any other text.
pub fn parse_size(text: &str) -> Result<u64> {
    let wrong = || Error::usage(format!("`{text}` is no size: give bytes, or 64K, 256M, 1G"));
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let unit = unit.trim().to_ascii_lowercase();
    let (base, letter) = match unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')) {
        Some(letter) if unit.ends_with("ib") => (1024_u64, letter),
        Some(letter) => (1000, letter),
        None => (1024, unit.as_str()),
    };
    let power = match letter {
        "" if !unit.ends_with("ib") => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return Err(wrong()),
    };
    base.checked_pow(power).and_then(|unit| number.checked_mul(unit)).ok_or_else(wrong)
}

/// Parses a duration in seconds: `90`, `90s`, `5m`, `1h`.
///
/// # Errors
/// `Usage` for any other text.
pub fn parse_seconds(text: &str) -> Result<u64> {
    let wrong = || Error::usage(format!("`{text}` is no duration: give seconds, or 90s, 5m, 1h"));
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let unit = match unit.trim() {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit).ok_or_else(wrong)
}

/// Deserializes a number of seconds, or text for [`parse_seconds`].
pub(super) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserializer.deserialize_any(SecondsVisitor)
}

/// Deserializes a number of bytes, or text for [`parse_size`].
pub(super) fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserializer.deserialize_any(SizeVisitor)
}

/// Deserializes an optional size.
pub(super) fn optional_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    deserializer.deserialize_option(OptionalSizeVisitor)
}

/// Deserializes an optional number of seconds.
pub(super) fn optional_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    struct Seconds(#[serde(deserialize_with = "seconds")] u64);
    Ok(Option::<Seconds>::deserialize(deserializer)?.map(|seconds| seconds.0))
}

/// Deserializes a list of strings, or one string as a list of one.
pub(super) fn string_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    deserializer.deserialize_any(StringListVisitor)
}

struct SecondsVisitor;

impl Visitor<'_> for SecondsVisitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of seconds, or a duration like 90s")
    }

    fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<u64, E> {
        Ok(seconds)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
        parse_seconds(text).map_err(E::custom)
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of bytes, or a size like 256MiB")
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<u64, E> {
        Ok(bytes)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
        parse_size(text).map_err(E::custom)
    }
}

struct OptionalSizeVisitor;

impl<'de> Visitor<'de> for OptionalSizeVisitor {
    type Value = Option<u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SizeVisitor.expecting(f)
    }

    fn visit_none<E: de::Error>(self) -> Result<Option<u64>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<u64>, D::Error> {
        size(deserializer).map(Some)
    }
}

struct StringListVisitor;

impl<'de> Visitor<'de> for StringListVisitor {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of strings")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<String>, E> {
        Ok(vec![text.to_owned()])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<String>, A::Error> {
        std::iter::from_fn(|| list.next_element().transpose()).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(given: Value, style: NamingStyle) -> Result<CloneOptions> {
        CloneOptions::from_json(given.as_object().unwrap().clone(), style)
    }

    #[test]
    fn sizes_are_parsed() {
        let good = ["0", "12", "12b", "64K", "256MiB", "256 m", "1g", "10MB", "2T"];
        let bytes = [0, 12, 12, 64 << 10, 256 << 20, 256 << 20, 1 << 30, 10_000_000, 2 << 40];
        assert_eq!(good.map(|text| parse_size(text).unwrap()), bytes);
        for wrong in ["", "M", "-1", "1.5G", "1X", "1iB", "99999999999T", "1 M M"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_are_parsed() {
        assert_eq!(["0", "90", "90s", "5 m", "1h"].map(|text| parse_seconds(text).unwrap()), [0, 90, 90, 300, 3600]);
        for wrong in ["", "s", "-1", "1.5", "1d", "99999999999999999999", "9999999999999999999h"] {
            assert!(parse_seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn options_are_read_by_name_in_each_style() {
        let snake = json!({"if_exists": "drop", "memory": "64MiB", "max_rate": 1000, "lock_wait": "1m", "include": "a*", "via": null, "max_lag": "2m"});
        let camel = json!({
            "ifExists": "drop", "memory": 64 << 20, "maxRate": "1000", "lockWait": 60, "include": ["a*"], "maxLag": 120
        });
        let options = read(snake, NamingStyle::Snake).unwrap();
        assert_eq!(options.max_lag, Some(120));
        assert_eq!((options.memory, options.max_rate, options.include.len()), (64 << 20, Some(1000), 1));
        assert_eq!(read(camel, NamingStyle::Camel).unwrap(), options);
    }

    #[test]
    fn errors_name_the_wrong_option_and_a_similar_one() {
        let message = |given: Value, style| read(given, style).unwrap_err().to_string();
        assert!(message(json!({"if_exist": 1}), NamingStyle::Snake).contains("`if_exists`"));
        assert!(message(json!({"if_exists": 1}), NamingStyle::Camel).contains("`ifExists`"));
        assert!(message(json!({"fast": true}), NamingStyle::Camel).contains("recreateDatabase"));
        assert!(message(json!({"threads": "x"}), NamingStyle::Snake).contains("`threads`"));
        assert!(message(json!({"memory": "1X"}), NamingStyle::Snake).contains("`memory`: `1X` is no size"));
        assert!(message(json!({"if_exists": "dorp"}), NamingStyle::Snake).contains("`truncate`"));
    }
}
