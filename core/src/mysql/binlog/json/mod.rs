//! Reads MySQL's binary JSON, and writes it as the server's own text.
//!
//! | file | verb |
//! | --- | --- |
//! | [`binary`] | parse the binary form |
//! | [`diff`] | apply the changes of a partial update |
//! | [`double_text`] | write a DOUBLE |

mod binary;
mod diff;
mod double_text;

pub(super) use diff::apply_diffs;

/// The text may have so many times the bytes of the binary form, and some more: a control character takes six bytes. A
/// form whose parts overlap could otherwise have a text of any length.
const MAX_EXPANSION: usize = 16;
const MIN_TEXT: usize = 1 << 10;

/// A JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum JsonValue {
    /// The text of a value that is no container.
    Scalar(Vec<u8>),
    Array(Vec<JsonValue>),
    /// The members in the order of the binary form: by the length of the key, then by its bytes.
    Object(Vec<(Vec<u8>, JsonValue)>),
}

impl JsonValue {
    fn write(&self, text: &mut Vec<u8>) {
        match self {
            Self::Scalar(scalar) => text.extend_from_slice(scalar),
            Self::Array(elements) => {
                text.push(b'[');
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        text.extend_from_slice(b", ");
                    }
                    element.write(text);
                }
                text.push(b']');
            }
            Self::Object(members) => {
                text.push(b'{');
                for (index, (key, value)) in members.iter().enumerate() {
                    if index > 0 {
                        text.extend_from_slice(b", ");
                    }
                    push_quoted(key, text);
                    text.extend_from_slice(b": ");
                    value.write(text);
                }
                text.push(b'}');
            }
        }
    }
}

/// The server's text of a value in binary form; `None` if it is malformed.
pub(super) fn json_text(raw: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    binary::parse(raw, raw.len().saturating_mul(MAX_EXPANSION) + MIN_TEXT)?.write(&mut text);
    Some(text)
}

/// Appends a string with its quotes, escaped as the server does it.
fn push_quoted(bytes: &[u8], text: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| HEX.get(usize::from(value)).copied().unwrap_or_default();
    text.push(b'"');
    for byte in bytes {
        match byte {
            b'"' | b'\\' => text.extend_from_slice(&[b'\\', *byte]),
            0x08 => text.extend_from_slice(br"\b"),
            0x0C => text.extend_from_slice(br"\f"),
            b'\n' => text.extend_from_slice(br"\n"),
            b'\r' => text.extend_from_slice(br"\r"),
            b'\t' => text.extend_from_slice(br"\t"),
            0..0x20 => text.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]),
            _ => text.push(*byte),
        }
    }
    text.push(b'"');
}
