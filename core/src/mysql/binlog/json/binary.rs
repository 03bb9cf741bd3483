//! Parses the binary form of a JSON value. Source: `json_binary.h` of MySQL.

use super::super::byte_cursor::{ByteCursor, little_endian};
use super::super::decimal_text::decimal_text;
use super::super::temporal_text::json_temporal_text;
use super::double_text::double_text;
use super::{JsonValue, push_quoted};

/// The deepest nesting that the server accepts.
const MAX_DEPTH: usize = 100;
/// What each value takes in memory beside its text, so that many tiny values are bounded too.
const VALUE_COST: usize = 1;

const SMALL_OBJECT: u8 = 0;
const LARGE_OBJECT: u8 = 1;
const SMALL_ARRAY: u8 = 2;
const LARGE_ARRAY: u8 = 3;
const LITERAL: u8 = 4;
const INT16: u8 = 5;
const UINT16: u8 = 6;
const INT32: u8 = 7;
const UINT32: u8 = 8;
const INT64: u8 = 9;
const UINT64: u8 = 10;
const DOUBLE: u8 = 11;
const STRING: u8 = 12;
const OPAQUE: u8 = 15;

/// The column types of opaque values that have a text of their own.
const TYPE_TIMESTAMP: u8 = 7;
const TYPE_DATE: u8 = 10;
const TYPE_TIME: u8 = 11;
const TYPE_DATETIME: u8 = 12;
const TYPE_DECIMAL: u8 = 246;

/// Parses a value; `None` if it is malformed, or if its text would be longer than `limit`.
pub(super) fn parse(raw: &[u8], limit: usize) -> Option<JsonValue> {
    // The server takes an empty value for NULL.
    let Some((kind, data)) = raw.split_first() else { return Some(JsonValue::Scalar(b"null".to_vec())) };
    Parser { remaining: limit }.value(*kind, data, 0)
}

struct Parser {
    /// The bytes of text that are still allowed.
    remaining: usize,
}

impl Parser {
    fn value(&mut self, kind: u8, data: &[u8], depth: usize) -> Option<JsonValue> {
        match kind {
            SMALL_OBJECT => self.container(data, 2, true, depth),
            LARGE_OBJECT => self.container(data, 4, true, depth),
            SMALL_ARRAY => self.container(data, 2, false, depth),
            LARGE_ARRAY => self.container(data, 4, false, depth),
            _ => {
                let text = scalar_text(kind, data)?;
                self.spend(text.len() + VALUE_COST)?;
                Some(JsonValue::Scalar(text))
            }
        }
    }

    fn spend(&mut self, bytes: usize) -> Option<()> {
        self.remaining = self.remaining.checked_sub(bytes)?;
        Some(())
    }

    /// Parses an array or object whose offsets have `width` bytes. Offsets count from the start of `data`.
    fn container(&mut self, data: &[u8], width: usize, is_object: bool, depth: usize) -> Option<JsonValue> {
        if depth >= MAX_DEPTH {
            return None;
        }
        let mut header = ByteCursor(data);
        let count = header.length(width)?;
        let length = header.length(width)?;
        let data = data.get(..length)?;
        self.spend(2)?;
        let mut keys = Vec::new();
        if is_object {
            for _ in 0..count {
                let (start, length) = (header.length(width)?, header.length(2)?);
                let key = data.get(start..start.checked_add(length)?)?;
                self.spend(key.len() + 4 + VALUE_COST)?;
                keys.push(key.to_vec());
            }
        }
        let mut values = Vec::new();
        for _ in 0..count {
            let kind = header.byte()?;
            let entry = header.take(width)?;
            let is_inlined = match kind {
                LITERAL | INT16 | UINT16 => true,
                INT32 | UINT32 => width == 4,
                _ => false,
            };
            let content = match is_inlined {
                true => entry,
                false => data.get(usize::try_from(little_endian(entry)).ok()?..)?,
            };
            values.push(self.value(kind, content, depth + 1)?);
        }
        Some(match is_object {
            true => JsonValue::Object(keys.into_iter().zip(values).collect()),
            false => JsonValue::Array(values),
        })
    }
}

fn scalar_text(kind: u8, data: &[u8]) -> Option<Vec<u8>> {
    let mut rest = ByteCursor(data);
    Some(match kind {
        LITERAL => match rest.byte()? {
            0 => b"null".to_vec(),
            1 => b"true".to_vec(),
            2 => b"false".to_vec(),
            _ => return None,
        },
        INT16 => i16::from_le_bytes(rest.array()?).to_string().into_bytes(),
        UINT16 => u16::from_le_bytes(rest.array()?).to_string().into_bytes(),
        INT32 => i32::from_le_bytes(rest.array()?).to_string().into_bytes(),
        UINT32 => u32::from_le_bytes(rest.array()?).to_string().into_bytes(),
        INT64 => i64::from_le_bytes(rest.array()?).to_string().into_bytes(),
        UINT64 => u64::from_le_bytes(rest.array()?).to_string().into_bytes(),
        DOUBLE => double_text(f64::from_le_bytes(rest.array()?))?.into_bytes(),
        STRING => {
            let length = variable_length(&mut rest)?;
            quoted(rest.take(length)?)
        }
        OPAQUE => {
            let type_code = rest.byte()?;
            let length = variable_length(&mut rest)?;
            opaque_text(type_code, rest.take(length)?)?
        }
        _ => return None,
    })
}

fn quoted(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len() + 2);
    push_quoted(bytes, &mut text);
    text
}

/// A length in groups of seven bits. The last byte has no upper bit.
fn variable_length(rest: &mut ByteCursor<'_>) -> Option<usize> {
    let mut length = 0;
    for shift in [0, 7, 14, 21, 28] {
        let byte = rest.byte()?;
        length |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return usize::try_from(length).ok();
        }
    }
    None
}

/// The text of a value of an SQL type.
fn opaque_text(type_code: u8, data: &[u8]) -> Option<Vec<u8>> {
    match type_code {
        TYPE_DECIMAL => {
            let mut rest = ByteCursor(data);
            let (precision, scale) = (rest.byte()?, rest.byte()?);
            decimal_text(rest.0, precision, scale, false).map(String::into_bytes)
        }
        TYPE_DATE | TYPE_TIME | TYPE_DATETIME | TYPE_TIMESTAMP => {
            json_temporal_text(type_code, data).map(|text| quoted(text.as_bytes()))
        }
        _ => Some(quoted(format!("base64:type{type_code}:{}", base64(data)).as_bytes())),
    }
}

/// Base64 in lines of 76 characters, as the server writes it.
fn base64(data: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const LINE: usize = 76;
    let mut text = String::with_capacity(data.len().div_ceil(3) * 4);
    for (index, group) in data.chunks(3).enumerate() {
        if index > 0 && index * 4 % LINE == 0 {
            text.push('\n');
        }
        let bits = group.iter().chain(&[0; 3]).take(3).fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        for (position, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let digit = ALPHABET.get(bits >> shift & 63).copied().unwrap_or(b'=');
            text.push(if position > group.len() { '=' } else { char::from(digit) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::json_text;
    use super::*;

    #[test]
    fn containers_and_scalars_are_written_as_text() {
        // {"a": [1, "x", true]}, made by a server.
        let raw = [0, 1, 0, 27, 0, 11, 0, 1, 0, 2, 12, 0, b'a', 3, 0, 15, 0, 5, 1, 0, 12, 13, 0, 4, 1, 0, 1, b'x'];
        assert_eq!(json_text(&raw).unwrap(), br#"{"a": [1, "x", true]}"#);
        assert_eq!(json_text(&[]).unwrap(), b"null");
        assert_eq!(json_text(&[STRING, 3, b'"', 1, b'\n']).unwrap(), br#""\"\u0001\n""#);
        for length in 1..raw.len() {
            // Cut at any byte, it is an error and no panic.
            assert_eq!(json_text(&raw[..length]), None, "{length} bytes");
        }
    }

    #[test]
    fn overlapping_parts_do_not_expand_without_a_limit() {
        // An array whose two elements are both the next array, and so on.
        let mut raw = vec![SMALL_ARRAY];
        for level in 0_u16..60 {
            let at = 10;
            let length = (60 - level) * 10 + 4;
            raw.extend_from_slice(&2_u16.to_le_bytes());
            raw.extend_from_slice(&length.to_le_bytes());
            for _ in 0..2 {
                raw.push(SMALL_ARRAY);
                raw.extend_from_slice(&u16::to_le_bytes(at));
            }
        }
        raw.extend_from_slice(&[0, 0, 4, 0]);
        assert_eq!(json_text(&raw), None);
    }

    #[test]
    fn deep_nesting_ends() {
        // An array whose only element is the array itself.
        assert_eq!(json_text(&[SMALL_ARRAY, 1, 0, 7, 0, SMALL_ARRAY, 0, 0]), None);
    }

    #[test]
    fn base64_has_lines() {
        assert_eq!(base64(b"f"), "Zg==");
        assert_eq!(base64(b"fo"), "Zm8=");
        assert_eq!(base64(b"foo"), "Zm9v");
        assert_eq!(base64(&[0; 58]), format!("{}\nAA==", "A".repeat(76)));
    }
}
