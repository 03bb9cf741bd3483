//! Writes dates and times of the log as text, with the parts that the binary protocol sends: none that are zero.
//! Source: `my_time.cc` of MySQL, "Binary representation for in-memory and in-log".

use super::byte_cursor::{ByteCursor, big_endian, little_endian};

/// The offset that makes a packed DATETIME sortable.
const DATETIME_OFFSET: i64 = 0x80_0000_0000;
/// The same of a packed TIME, of three bytes.
const TIME_OFFSET: i64 = 0x80_0000;
const SECONDS_PER_DAY: u64 = 86_400;

/// The bytes of the fraction of a second.
pub(super) fn fraction_bytes(decimals: u8) -> usize {
    usize::from(decimals.div_ceil(2))
}

/// A DATE, DATETIME or TIMESTAMP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Moment {
    date: (u64, u64, u64),
    time: (u64, u64, u64),
    micros: u64,
}

impl Moment {
    fn text(self) -> String {
        let Self { date: (year, month, day), time: (hour, minute, second), micros } = self;
        let mut text = format!("{year:04}-{month:02}-{day:02}");
        if (hour, minute, second, micros) != (0, 0, 0, 0) {
            text.push_str(&format!(" {hour:02}:{minute:02}:{second:02}"));
        }
        if micros != 0 {
            text.push_str(&format!(".{micros:06}"));
        }
        text
    }
}

/// A DATE of three bytes.
pub(super) fn date_text(raw: &[u8]) -> String {
    let packed = little_endian(raw);
    Moment { date: (packed >> 9, packed >> 5 & 15, packed & 31), ..Moment::default() }.text()
}

/// A DATETIME of the format before MySQL 5.6: the decimal digits of all parts.
pub(super) fn old_datetime_text(raw: &[u8]) -> String {
    let digits = little_endian(raw);
    let (date, time) = (digits / 1_000_000, digits % 1_000_000);
    Moment {
        date: (date / 10_000, date / 100 % 100, date % 100),
        time: (time / 10_000, time / 100 % 100, time % 100),
        micros: 0,
    }
    .text()
}

/// A DATETIME of five bytes and its fraction.
pub(super) fn datetime_text(raw: &[u8]) -> Option<String> {
    let mut rest = ByteCursor(raw);
    let whole = big_endian(rest.take(5)?).checked_sub(DATETIME_OFFSET.unsigned_abs())?;
    Some(moment(whole, micros(rest.0)?).text())
}

/// The date and time that are packed into one number.
fn moment(packed: u64, micros: u64) -> Moment {
    let (date, time) = (packed >> 17, packed & 0x1_FFFF);
    let year_and_month = date >> 5;
    Moment {
        date: (year_and_month / 13, year_and_month % 13, date & 31),
        time: (time >> 12, time >> 6 & 63, time & 63),
        micros,
    }
}

/// A fraction of a second of up to three bytes, in microseconds.
fn micros(raw: &[u8]) -> Option<u64> {
    let unit = match raw.len() {
        0 => 0,
        1 => 10_000,
        2 => 100,
        3 => 1,
        _ => return None,
    };
    Some(big_endian(raw) * unit)
}

/// A TIMESTAMP of four bytes and its fraction, in UTC.
pub(super) fn timestamp_text(raw: &[u8]) -> Option<String> {
    let mut rest = ByteCursor(raw);
    let seconds = big_endian(rest.take(4)?);
    unix_text(seconds, micros(rest.0)?)
}

/// A TIMESTAMP of the format before MySQL 5.6.
pub(super) fn old_timestamp_text(raw: &[u8]) -> Option<String> {
    unix_text(little_endian(raw), 0)
}

fn unix_text(seconds: u64, micros: u64) -> Option<String> {
    if seconds == 0 {
        return Some(Moment::default().text());
    }
    let (days, time) = (seconds / SECONDS_PER_DAY, seconds % SECONDS_PER_DAY);
    let date = civil_date(days)?;
    Some(Moment { date, time: (time / 3600, time / 60 % 60, time % 60), micros }.text())
}

/// The date of a number of days since 1970.
///
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms" (<https://howardhinnant.github.io/date_algorithms.html>).
fn civil_date(days: u64) -> Option<(u64, u64, u64)> {
    let days = days.checked_add(719_468)?;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    Some((era * 400 + year_of_era + u64::from(month <= 2), month, day))
}

/// A TIME of three bytes and its fraction.
pub(super) fn time_text(raw: &[u8]) -> Option<String> {
    let fraction = raw.len().checked_sub(3)?;
    let bits = 8 * fraction;
    // Whole and fraction are one number, so that the fraction of a negative time counts from below.
    let sortable = i64::try_from(big_endian(raw)).ok()?;
    let value = sortable - (TIME_OFFSET << bits);
    let (sign, value) = (if value < 0 { "-" } else { "" }, value.unsigned_abs());
    let (whole, part) = (value >> bits, value & ((1 << bits) - 1));
    let unit = match fraction {
        0 => 0,
        1 => 10_000,
        2 => 100,
        3 => 1,
        _ => return None,
    };
    Some(time_parts_text(sign, (whole >> 12 & 0x3FF, whole >> 6 & 63, whole & 63), part * unit))
}

/// A TIME of the format before MySQL 5.6: the decimal digits of all parts, with a sign.
pub(super) fn old_time_text(raw: &[u8]) -> String {
    let value = little_endian(raw);
    let negative = value & 0x80_0000 != 0;
    let digits = if negative { 0x100_0000 - value } else { value };
    let sign = if negative { "-" } else { "" };
    time_parts_text(sign, (digits / 10_000, digits / 100 % 100, digits % 100), 0)
}

fn time_parts_text(sign: &str, (hour, minute, second): (u64, u64, u64), micros: u64) -> String {
    match micros {
        0 => format!("{sign}{hour:02}:{minute:02}:{second:02}"),
        micros => format!("{sign}{hour:02}:{minute:02}:{second:02}.{micros:06}"),
    }
}

/// A DATE, TIME or DATETIME inside a JSON value: eight bytes, always with six digits of fraction.
pub(super) fn json_temporal_text(type_code: u8, raw: &[u8]) -> Option<String> {
    const TYPE_DATE: u8 = 10;
    const TYPE_TIME: u8 = 11;
    let packed = i64::from_le_bytes(raw.try_into().ok()?);
    let (sign, packed) = (if packed < 0 { "-" } else { "" }, packed.unsigned_abs());
    let (whole, micros) = (packed >> 24, packed & 0xFF_FFFF);
    if type_code == TYPE_TIME {
        let (hour, minute, second) = (whole >> 12 & 0x3FF, whole >> 6 & 63, whole & 63);
        return Some(format!("{sign}{hour:02}:{minute:02}:{second:02}.{micros:06}"));
    }
    let Moment { date: (year, month, day), time: (hour, minute, second), micros } = moment(whole, micros);
    Some(match type_code {
        TYPE_DATE => format!("{year:04}-{month:02}-{day:02}"),
        _ => format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_lose_the_parts_that_are_zero() {
        assert_eq!(date_text(&[0, 0, 0]), "0000-00-00");
        assert_eq!(date_text(&[0x5E, 0xD0, 0x0F]), "2024-02-30");
        assert_eq!(datetime_text(&[0x80, 0, 0, 0, 0]).unwrap(), "0000-00-00");
        assert_eq!(datetime_text(&[0x99, 0xB2, 0x86, 0x41, 0x05]).unwrap(), "2024-02-03 04:04:05");
        assert_eq!(datetime_text(&[0x99, 0xB2, 0x86, 0, 0, 0, 0, 1]).unwrap(), "2024-02-03 00:00:00.000001");
        assert_eq!(datetime_text(&[0x7F, 0, 0, 0, 0]), None);
        assert_eq!(old_datetime_text(&20_240_203_040_506_u64.to_le_bytes()), "2024-02-03 04:05:06");
    }

    #[test]
    fn negative_times_have_their_fraction_from_below() {
        assert_eq!(time_text(&[0x80, 0, 0]).unwrap(), "00:00:00");
        // -00:00:00.01 and -00:00:01.50, with two digits.
        assert_eq!(time_text(&[0x7F, 0xFF, 0xFF, 0xFF]).unwrap(), "-00:00:00.010000");
        assert_eq!(time_text(&[0x7F, 0xFF, 0xFE, 0xCE]).unwrap(), "-00:00:01.500000");
        assert_eq!(time_text(&[0x7F, 0xFF]), None);
        assert_eq!(old_time_text(&[0xFF, 0xFF, 0xFF]), "-00:00:01");
    }

    #[test]
    fn timestamps_are_in_utc() {
        assert_eq!(timestamp_text(&[0, 0, 0, 0]).unwrap(), "0000-00-00");
        assert_eq!(timestamp_text(&1_709_164_800_u32.to_be_bytes()).unwrap(), "2024-02-29");
        assert_eq!(timestamp_text(&0x7FFF_FFFF_u32.to_be_bytes()).unwrap(), "2038-01-19 03:14:07");
        assert_eq!(timestamp_text(&u32::MAX.to_be_bytes()).unwrap(), "2106-02-07 06:28:15");
        assert_eq!(timestamp_text(&[0, 0, 0, 1, 0x0F, 0x42, 0x3F]).unwrap(), "1970-01-01 00:00:01.999999");
    }
}
