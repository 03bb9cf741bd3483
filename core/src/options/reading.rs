//! Options as another language gives them: by name, with sizes as numbers or as text.

use std::fmt;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::CloneOptions;
use crate::error::{Error, ErrorKind, Result};

/// How a language writes the names of options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// `if_exists`, as JSON and Python do.
    Snake,
    /// `ifExists`, as JavaScript does.
    Camel,
}

impl Spelling {
    fn of(self, name: &str) -> String {
        let mut words = name.split('_');
        match self {
            Self::Snake => name.to_owned(),
            Self::Camel => words.next().into_iter().map(str::to_owned).chain(words.map(capital)).collect(),
        }
    }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}

impl CloneOptions {
    /// The names of all options.
    pub fn names(spelling: Spelling) -> Vec<String> {
        let all = serde_json::to_value(Self::default()).unwrap_or_default();
        all.as_object().into_iter().flat_map(Map::keys).map(|name| spelling.of(name)).collect()
    }

    /// Reads options by their names; null stands for one that is not given. Sizes are bytes or texts like `256MiB`, and
    /// one pattern may stand for a list of patterns.
    ///
    /// # Errors
    /// `Usage`, which names the option, and for an unknown one the known name that it resembles.
    pub fn from_json(given: Map<String, Value>, spelling: Spelling) -> Result<Self> {
        let names = Self::names(Spelling::Snake);
        let mut known = Map::new();
        for (given, value) in given.into_iter().filter(|(_, value)| !value.is_null()) {
            let Some(name) = names.iter().find(|name| spelling.of(name) == given) else {
                return Err(unknown(&given, &Self::names(spelling)));
            };
            // Each by itself, so that an error can say which one is wrong.
            let alone = Value::Object(Map::from_iter([(name.clone(), value.clone())]));
            if let Err(error) = serde_json::from_value::<Self>(alone) {
                return Err(Error::usage(format!("option `{given}`: {error}")));
            }
            known.insert(name.clone(), value);
        }
        serde_json::from_value(Value::Object(known))
            .map_err(|error| Error::new(ErrorKind::Internal, "options that were read singly").caused_by(error))
    }
}

fn unknown(given: &str, names: &[String]) -> Error {
    let nearest = names.iter().map(|name| (distance(given, name), name)).min();
    match nearest {
        Some((far, name)) if far <= given.len().div_ceil(3) => {
            Error::usage(format!("there is no option `{given}`: is `{name}` meant?"))
        }
        _ => Error::usage(format!("there is no option `{given}`: the options are {}", names.join(", "))),
    }
}

/// How many letters have to be changed, added or left out to make one word of the other.
fn distance(one: &str, other: &str) -> usize {
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

/// Reads `1048576`, `64K`, `256MiB`, `1G` (powers of 1024) and `10MB` (powers of 1000) as bytes.
///
/// # Errors
/// `Usage` for what is no size.
pub fn parse_size(text: &str) -> Result<u64> {
    let wrong = || Error::usage(format!("`{text}` is no size: say bytes, or 64K, 256M, 1G"));
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

/// Reads `90`, `90s`, `5m` and `1h` as seconds.
///
/// # Errors
/// `Usage` for what is no time.
pub fn parse_seconds(text: &str) -> Result<u64> {
    let wrong = || Error::usage(format!("`{text}` is no time: say seconds, or 90s, 5m, 1h"));
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

/// Takes a number of seconds, or a text for [`parse_seconds`].
pub(super) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserializer.deserialize_any(Seconds)
}

/// Takes a number of bytes, or a text for [`parse_size`].
pub(super) fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserializer.deserialize_any(Size)
}

/// The same where there may be none.
pub(super) fn size_if_any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    deserializer.deserialize_option(SizeIfAny)
}

/// Takes a list of texts, or one text for a list of one.
pub(super) fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    deserializer.deserialize_any(Texts)
}

struct Seconds;

impl Visitor<'_> for Seconds {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of seconds, or a time like 90s")
    }

    fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<u64, E> {
        Ok(seconds)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
        parse_seconds(text).map_err(E::custom)
    }
}

struct Size;

impl Visitor<'_> for Size {
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

struct SizeIfAny;

impl<'de> Visitor<'de> for SizeIfAny {
    type Value = Option<u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Size.expecting(f)
    }

    fn visit_none<E: de::Error>(self) -> Result<Option<u64>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<u64>, D::Error> {
        size(deserializer).map(Some)
    }
}

struct Texts;

impl<'de> Visitor<'de> for Texts {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of texts")
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

    fn read(given: Value, spelling: Spelling) -> Result<CloneOptions> {
        CloneOptions::from_json(given.as_object().unwrap().clone(), spelling)
    }

    #[test]
    fn sizes_are_understood() {
        let good = ["0", "12", "12b", "64K", "256MiB", "256 m", "1g", "10MB", "2T"];
        let bytes = [0, 12, 12, 64 << 10, 256 << 20, 256 << 20, 1 << 30, 10_000_000, 2 << 40];
        assert_eq!(good.map(|text| parse_size(text).unwrap()), bytes);
        for wrong in ["", "M", "-1", "1.5G", "1X", "1iB", "99999999999T", "1 M M"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_understood() {
        assert_eq!(["0", "90", "90s", "5 m", "1h"].map(|text| parse_seconds(text).unwrap()), [0, 90, 90, 300, 3600]);
        for wrong in ["", "s", "-1", "1.5", "1d", "99999999999999999999", "9999999999999999999h"] {
            assert!(parse_seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn options_are_read_by_name_in_each_spelling() {
        let snake = json!({"if_exists": "drop", "memory": "64MiB", "max_rate": 1000, "lock_wait": "1m", "include": "a*", "via": null});
        let camel =
            json!({"ifExists": "drop", "memory": 64 << 20, "maxRate": "1000", "lockWait": 60, "include": ["a*"]});
        let options = read(snake, Spelling::Snake).unwrap();
        assert_eq!((options.memory, options.max_rate, options.include.len()), (64 << 20, Some(1000), 1));
        assert_eq!(read(camel, Spelling::Camel).unwrap(), options);
    }

    #[test]
    fn a_wrong_option_is_named_with_the_one_that_it_resembles() {
        let says = |given: Value, spelling| read(given, spelling).unwrap_err().to_string();
        assert!(says(json!({"if_exist": 1}), Spelling::Snake).contains("`if_exists`"));
        assert!(says(json!({"if_exists": 1}), Spelling::Camel).contains("`ifExists`"));
        assert!(says(json!({"fast": true}), Spelling::Camel).contains("recreateDatabase"));
        assert!(says(json!({"threads": "x"}), Spelling::Snake).contains("`threads`"));
        assert!(says(json!({"memory": "1X"}), Spelling::Snake).contains("`memory`: `1X` is no size"));
        assert!(says(json!({"if_exists": "dorp"}), Spelling::Snake).contains("`truncate`"));
    }
}
