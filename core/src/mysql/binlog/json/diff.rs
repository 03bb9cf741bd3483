//! Applies the changes that `binlog_row_value_options = PARTIAL_JSON` writes instead of a whole value.
//! Source: `json_diff.h` of MySQL.

use super::super::byte_cursor::ByteCursor;
use super::{JsonValue, MAX_EXPANSION, MIN_TEXT, binary};

const REPLACE: u8 = 0;
const INSERT: u8 = 1;
const REMOVE: u8 = 2;

/// A step of a path.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Member(Vec<u8>),
    Element(usize),
}

/// The server's text of the value `raw` after the changes; `None` if they are malformed or do not fit.
pub(in super::super) fn apply_diffs(raw: &[u8], diffs: &[u8]) -> Option<Vec<u8>> {
    let limit = (raw.len() + diffs.len()).saturating_mul(MAX_EXPANSION) + MIN_TEXT;
    let mut value = binary::parse(raw, limit)?;
    let mut rest = ByteCursor(diffs);
    while !rest.is_empty() {
        let operation = rest.byte()?;
        let length = rest.packed_length()?;
        let steps = parse_path(std::str::from_utf8(rest.take(length)?).ok()?)?;
        let new = match operation {
            REMOVE => None,
            _ => {
                let length = rest.packed_length()?;
                Some(binary::parse(rest.take(length)?, limit)?)
            }
        };
        apply(&mut value, &steps, operation, new)?;
    }
    let mut text = Vec::new();
    value.write(&mut text);
    Some(text)
}

fn apply(root: &mut JsonValue, steps: &[Step], operation: u8, new: Option<JsonValue>) -> Option<()> {
    let Some((last, parents)) = steps.split_last() else {
        // Only the whole value can be replaced.
        *root = new.filter(|_| operation == REPLACE)?;
        return Some(());
    };
    let parent = parents.iter().try_fold(root, |value, step| match (value, step) {
        (JsonValue::Array(elements), Step::Element(index)) => elements.get_mut(*index),
        (JsonValue::Object(members), Step::Member(key)) => {
            members.iter_mut().find(|(name, _)| name == key).map(|(_, value)| value)
        }
        _ => None,
    })?;
    match (parent, last) {
        (JsonValue::Array(elements), Step::Element(index)) => match operation {
            REPLACE => *elements.get_mut(*index)? = new?,
            INSERT => elements.insert((*index).min(elements.len()), new?),
            REMOVE => drop((*index < elements.len()).then(|| elements.remove(*index))?),
            _ => return None,
        },
        (JsonValue::Object(members), Step::Member(key)) => {
            let order = |name: &[u8]| (name.len(), name.to_vec());
            let found = members.binary_search_by_key(&order(key), |(name, _)| order(name));
            match (operation, found) {
                (REPLACE, Ok(at)) => members.get_mut(at)?.1 = new?,
                (INSERT, Err(at)) => members.insert(at, (key.clone(), new?)),
                (REMOVE, Ok(at)) => drop(members.remove(at)),
                _ => return None,
            }
        }
        _ => return None,
    }
    Some(())
}

/// Parses a path like `$.a[1]."b c"`.
fn parse_path(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let (index, after) = after.split_once(']')?;
            steps.push(Step::Element(index.parse().ok()?));
            rest = after;
            continue;
        }
        let after = rest.strip_prefix('.')?;
        let end = match after.starts_with('"') {
            true => quoted_length(after)?,
            false => after.find(['.', '[']).unwrap_or(after.len()),
        };
        let (key, after) = after.split_at_checked(end)?;
        let key = if key.starts_with('"') { serde_json::from_str::<String>(key).ok()? } else { key.to_owned() };
        steps.push(Step::Member(key.into_bytes()));
        rest = after;
    }
    Some(steps)
}

/// The length of the quoted string at the start of a text, with its quotes.
fn quoted_length(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diff(operation: u8, path: &str, value: Option<&[u8]>) -> Vec<u8> {
        let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
        let mut bytes = vec![operation, length(path.as_bytes())];
        bytes.extend_from_slice(path.as_bytes());
        if let Some(value) = value {
            bytes.push(length(value));
            bytes.extend_from_slice(value);
        }
        bytes
    }

    #[test]
    fn changes_replace_insert_and_remove() {
        // {"a": [1, "x", true]}
        let raw = [0, 1, 0, 27, 0, 11, 0, 1, 0, 2, 12, 0, b'a', 3, 0, 15, 0, 5, 1, 0, 12, 13, 0, 4, 1, 0, 1, b'x'];
        let seven: &[u8] = &[5, 7, 0];
        let text = |diffs: &[Vec<u8>]| apply_diffs(&raw, &diffs.concat()).map(|text| String::from_utf8(text).unwrap());
        assert_eq!(text(&[diff(REPLACE, "$.a[1]", Some(seven))]).unwrap(), r#"{"a": [1, 7, true]}"#);
        assert_eq!(text(&[diff(INSERT, "$.a[0]", Some(seven))]).unwrap(), r#"{"a": [7, 1, "x", true]}"#);
        assert_eq!(text(&[diff(REMOVE, "$.a[0]", None)]).unwrap(), r#"{"a": ["x", true]}"#);
        let members = [diff(INSERT, r#"$."b \"c""#, Some(seven)), diff(INSERT, "$.B", Some(seven))];
        assert_eq!(text(&members).unwrap(), r#"{"B": 7, "a": [1, "x", true], "b \"c": 7}"#);
        for wrong in [diff(REPLACE, "$.z", Some(seven)), diff(REMOVE, "$.a[9]", None), diff(9, "$.a", Some(seven))] {
            assert_eq!(text(&[wrong]), None);
        }
        assert_eq!(text(&[vec![0, 200, 1]]), None);
    }
}
