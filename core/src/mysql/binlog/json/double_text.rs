//! Writes a DOUBLE as MySQL's JSON does.

/// The numbers of decimal digits before the point, and of zeros after it, up to which there is no exponent.
const MAX_PLAIN: i32 = 15;

/// The text of a DOUBLE inside a JSON value: its shortest digits, with a point or an exponent.
///
/// Source: `my_gcvt` in `dtoa.cc` of MySQL.
pub(super) fn double_text(value: f64) -> Option<String> {
    // Of two texts that are equally short and equally near, the server takes the one with the even last digit. So the
    // number of digits is that of the shortest text, and the digits are those of a rounded one.
    let shortest = format!("{value:e}");
    let precision = shortest.split_once('e')?.0.trim_start_matches('-').len().saturating_sub(2);
    let text = format!("{value:.precision$e}");
    let (digits, exponent) = text.split_once('e')?;
    let exponent: i32 = exponent.parse().ok()?;
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
    let digits = digits.replace('.', "");
    // The number of digits before the point.
    let point = exponent + 1;
    let count = i32::try_from(digits.len()).ok()?;
    let plain = if value == 0.0 {
        "0.0".to_owned()
    } else if point < 1 - MAX_PLAIN || point > MAX_PLAIN && count <= point {
        let (first, rest) = digits.split_at_checked(1)?;
        let rest = if rest.is_empty() { String::new() } else { format!(".{rest}") };
        format!("{first}{rest}e{exponent}")
    } else if point <= 0 {
        format!("0.{}{digits}", "0".repeat(usize::try_from(-point).ok()?))
    } else if count > point {
        let (whole, fraction) = digits.split_at_checked(usize::try_from(point).ok()?)?;
        format!("{whole}.{fraction}")
    } else {
        format!("{digits}{}.0", "0".repeat(usize::try_from(point - count).ok()?))
    };
    Some(format!("{sign}{plain}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_written_as_the_server_writes_them() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-1.5, "-1.5"),
            (0.001, "0.001"),
            (1e15 - 1.0, "999999999999999.0"),
            (1e15, "1e15"),
            (1e16, "1e16"),
            (1.5e300, "1.5e300"),
            (1e-15, "0.000000000000001"),
            (1e-16, "1e-16"),
            (f64::MAX, "1.7976931348623157e308"),
            (5e-324, "5e-324"),
            // Exactly between two texts of 16 digits.
            (722_277_139_054_869.0 / 8.0, "90284642381858.62"),
            (722_277_139_054_871.0 / 8.0, "90284642381858.88"),
        ] {
            assert_eq!(double_text(value).unwrap(), text);
        }
        assert_eq!(double_text(f64::NAN), None);
    }
}
