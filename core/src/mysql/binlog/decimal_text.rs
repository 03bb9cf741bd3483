//! Writes a DECIMAL of the log as text. Source: `decimal.cc` of MySQL, `decimal2bin`.

use super::byte_cursor::{ByteCursor, big_endian};

/// The bytes of a number of digits below nine.
const BYTES_OF_DIGITS: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];
/// The decimal digits in a group of four bytes.
const GROUP: usize = 9;
/// The servers' limits.
const MAX_PRECISION: u8 = 65;
const MAX_SCALE: u8 = 38;

/// The bytes of a DECIMAL; `None` if no server has such a type.
pub(super) fn decimal_bytes(precision: u8, scale: u8) -> Option<usize> {
    if precision > MAX_PRECISION || scale > MAX_SCALE {
        return None;
    }
    let (whole, scale) = (usize::from(precision.checked_sub(scale)?), usize::from(scale));
    let bytes = |digits: usize| Some(digits / GROUP * 4 + BYTES_OF_DIGITS.get(digits % GROUP)?);
    Some(bytes(whole)? + bytes(scale)?)
}

/// The text of a DECIMAL, with all digits of its fraction, and with all of the whole part if `zero_fill`.
pub(super) fn decimal_text(raw: &[u8], precision: u8, scale: u8, zero_fill: bool) -> Option<String> {
    if raw.len() != decimal_bytes(precision, scale)? {
        return None;
    }
    let (whole, scale) = (usize::from(precision.checked_sub(scale)?), usize::from(scale));
    // The first bit is set if the number is not negative. All bits of a negative one are inverted.
    let negative = raw.first().is_some_and(|first| first & 0x80 == 0);
    let mut bytes = raw.to_vec();
    bytes.first_mut().into_iter().for_each(|first| *first ^= 0x80);
    if negative {
        bytes.iter_mut().for_each(|byte| *byte = !*byte);
    }
    let mut rest = ByteCursor(&bytes);
    let mut digits = String::new();
    push_group(&mut rest, whole % GROUP, &mut digits)?;
    for _ in 0..whole / GROUP + scale / GROUP {
        push_group(&mut rest, GROUP, &mut digits)?;
    }
    push_group(&mut rest, scale % GROUP, &mut digits)?;
    let (whole, fraction) = digits.split_at_checked(whole)?;
    let whole = if zero_fill { whole } else { whole.trim_start_matches('0') };
    let whole = if whole.is_empty() { "0" } else { whole };
    let sign = if negative { "-" } else { "" };
    Some(if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
}

fn push_group(rest: &mut ByteCursor<'_>, digits: usize, text: &mut String) -> Option<()> {
    let value = big_endian(rest.take(*BYTES_OF_DIGITS.get(digits)?)?);
    let group = format!("{value:0digits$}");
    if digits == 0 {
        return Some(());
    }
    // More digits than the group has room for make no sense.
    (group.len() == digits).then(|| text.push_str(&group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_sign_and_scale() {
        // 1234567890.1234 as DECIMAL(14,4), from the manual.
        let raw = [0x81, 0x0D, 0xFB, 0x38, 0xD2, 0x04, 0xD2];
        assert_eq!(decimal_text(&raw, 14, 4, false).unwrap(), "1234567890.1234");
        let negative: Vec<u8> = raw.iter().map(|byte| !byte).collect();
        assert_eq!(decimal_text(&negative, 14, 4, false).unwrap(), "-1234567890.1234");
        assert_eq!(decimal_text(&[0x80, 0, 50], 5, 2, false).unwrap(), "0.50");
        assert_eq!(decimal_text(&[0x80, 0, 50], 5, 2, true).unwrap(), "000.50");
        assert_eq!(decimal_text(&[0x80], 1, 0, false).unwrap(), "0");
    }

    #[test]
    fn lengths_and_groups_that_no_server_writes_are_none() {
        assert_eq!(decimal_text(&[0x80, 0], 5, 2, false), None);
        assert_eq!(decimal_text(&[0xFF], 2, 0, false), None);
        assert_eq!((decimal_bytes(3, 4), decimal_bytes(66, 0), decimal_bytes(255, 255)), (None, None, None));
    }
}
