//! Writes the values of MariaDB's INET4, INET6 and UUID as text.
//! Sources: `sql_type_inet.cc` and `sql_type_uuid.h` of MariaDB.

use std::fmt::Write as _;

/// The text of an IPv4 address.
pub(super) fn inet4_text(raw: &[u8]) -> Option<String> {
    let [a, b, c, d]: [u8; 4] = raw.try_into().ok()?;
    Some(format!("{a}.{b}.{c}.{d}"))
}

/// The text of an IPv6 address: its longest run of zeros, the first one of several, is `::`.
pub(super) fn inet6_text(raw: &[u8]) -> Option<String> {
    let words: Vec<u16> =
        raw.chunks_exact(2).map(|pair| pair.iter().fold(0, |word, byte| word << 8 | u16::from(*byte))).collect();
    let words: [u16; 8] = words.try_into().ok()?;
    let (gap, length) = longest_zeros(&words);
    let embeds_inet4 = gap == 0 && (length == 6 || length == 5 && words.get(5) == Some(&0xFFFF));
    let mut text = String::new();
    let mut index = 0;
    while let Some(word) = words.get(index) {
        if length > 0 && index == gap {
            text.push_str(if index == 0 { "::" } else { ":" });
            index += length;
            continue;
        }
        if index == 6 && embeds_inet4 {
            text.push_str(&inet4_text(raw.get(12..)?)?);
            break;
        }
        write!(text, "{word:x}").ok()?;
        index += 1;
        if index < words.len() {
            text.push(':');
        }
    }
    Some(text)
}

/// The index and the length of the first of the longest runs of zeros.
fn longest_zeros(words: &[u16]) -> (usize, usize) {
    let (mut best, mut run) = ((0, 0), 0);
    for (index, word) in words.iter().enumerate() {
        run = if *word == 0 { run + 1 } else { 0 };
        if run > best.1 {
            best = (index + 1 - run, run);
        }
    }
    best
}

/// The text of a UUID, whose fields are stored in an order that keeps UUIDs of near times together. Since MariaDB 10.10.6
/// and 10.11.5, `old` aside, only those of versions 1 to 5 are.
pub(super) fn uuid_text(raw: &[u8], old: bool) -> Option<String> {
    let stored: [u8; 16] = raw.try_into().ok()?;
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = stored;
    let swapped = old || g & 0x80 != 0 && i > 0 && i < 0x60;
    let bytes = match swapped {
        true => [m, n, o, p, k, l, i, j, g, h, a, b, c, d, e, f],
        false => stored,
    };
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        write!(text, "{byte:02x}").ok()?;
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_addresses_are_shortened_as_the_server_does() {
        let text = |words: [u16; 8]| inet6_text(&words.map(u16::to_be_bytes).concat()).unwrap();
        assert_eq!(text([0; 8]), "::");
        assert_eq!(text([0, 0, 0, 0, 0, 0, 0, 1]), "::1");
        assert_eq!(text([0x2001, 0xDB8, 0, 0, 1, 0, 0, 0]), "2001:db8:0:0:1::");
        assert_eq!(text([0x2001, 0xDB8, 0, 0, 1, 0, 0, 1]), "2001:db8::1:0:0:1");
        assert_eq!(text([1, 0, 3, 4, 5, 6, 7, 8]), "1::3:4:5:6:7:8");
        assert_eq!(text([0, 0, 0, 0, 0, 0xFFFF, 0x0102, 0x0304]), "::ffff:1.2.3.4");
        assert_eq!(text([0, 0, 0, 0, 0, 0, 0x0102, 0x0304]), "::1.2.3.4");
        assert_eq!(text([1, 2, 3, 4, 5, 6, 7, 8]), "1:2:3:4:5:6:7:8");
        assert_eq!(inet6_text(&[0; 15]), None);
    }
}
