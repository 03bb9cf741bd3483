//! Formats numbers, durations and names for people.

use std::time::Duration;

use dbgraft::{Error, ErrorKind, ObjectKind, Printable};

const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];

/// Formats bytes: `12.3 MiB`.
pub(crate) fn size(bytes: f64) -> String {
    if bytes < 1024.0 {
        return format!("{bytes:.0} B");
    }
    let mut value = bytes;
    let mut name = "B";
    for unit in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        name = unit;
    }
    if value < 100.0 { format!("{value:.1} {name}") } else { format!("{value:.0} {name}") }
}

/// Formats a number: `12,345,678`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats seconds as a clock: `0:07`, `1:02:03`.
pub(crate) fn clock(seconds: f64) -> String {
    let all = Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs();
    match (all / 3600, all / 60 % 60, all % 60) {
        (0, minutes, seconds) => format!("{minutes}:{seconds:02}"),
        (hours, minutes, seconds) => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// Formats seconds: `0.42 s`, `12.3 s`, `5:07`.
pub(crate) fn seconds(seconds: f64) -> String {
    match seconds {
        few if few < 9.995 => format!("{few:.2} s"),
        some if some < 120.0 => format!("{some:.1} s"),
        many => clock(many),
    }
}

/// Formats a count of objects: `1 table`, `3 package bodies`.
pub(crate) fn count_objects(number: usize, kind: ObjectKind) -> String {
    match (number, kind) {
        (2.., ObjectKind::Library) => format!("{number} libraries"),
        (1, ObjectKind::PackageBody) => "1 package body".to_owned(),
        (_, ObjectKind::PackageBody) => format!("{number} package bodies"),
        (1, _) => format!("1 {}", kind.name()),
        _ => format!("{number} {}s", kind.name()),
    }
}

/// Formats the first names and the number of further ones.
pub(crate) fn first_names<'a>(names: &[&'a str], max: usize) -> String {
    let printed = |name: &&'a str| Printable(name).to_string();
    let shown: Vec<String> = names.iter().take(max).map(printed).collect();
    match names.len().saturating_sub(max) {
        0 => shown.join(", "),
        more => format!("{} and {} more", shown.join(", "), count(more as u64)),
    }
}

/// Formats rows as a table: the first column aligned left, the others right. Empty without rows.
pub(crate) fn columns(heads: &[&str], rows: Vec<Vec<String>>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let heads = heads.iter().map(|&head| head.to_owned()).collect();
    let all: Vec<Vec<String>> = std::iter::once(heads).chain(rows).collect();
    let width = |column: usize| all.iter().filter_map(|row| Some(row.get(column)?.chars().count())).max().unwrap_or(0);
    let widths: Vec<usize> = (0..all.iter().map(Vec::len).max().unwrap_or(0)).map(width).collect();
    let mut text = String::new();
    for row in &all {
        text.push_str("\n  ");
        for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
            text.push_str(&if index == 0 { format!("{cell:<width$}") } else { format!("  {cell:>width$}") });
        }
    }
    text.push('\n');
    text
}

/// Formats an error on one line; an error that lists problems on one line for each problem.
pub(crate) fn error(error: &Error) -> String {
    let message = error.to_string();
    if !matches!(error.kind(), ErrorKind::Preflight | ErrorKind::Different | ErrorKind::Incomplete) {
        return Printable(&message).to_string();
    }
    message.lines().map(|line| Printable(line).to_string()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_formatted() {
        assert_eq!([0.0, 1023.0, 1024.0, 1.5e6, 3e11].map(size), ["0 B", "1023 B", "1.0 KiB", "1.4 MiB", "279 GiB"]);
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0.4, 67.0, 3723.0, f64::NAN].map(clock), ["0:00", "1:07", "1:02:03", "0:00"]);
        assert_eq!([0.421, 12.34, 307.0].map(seconds), ["0.42 s", "12.3 s", "5:07"]);
        assert_eq!(count_objects(2, ObjectKind::View), "2 views");
        assert_eq!(first_names(&["a", "b\n", "c"], 2), "a, b\\n and 1 more");
    }

    #[test]
    fn control_characters_of_errors_are_escaped() {
        let bad = Error::new(ErrorKind::Server, "no table a\nb\u{1b}[31m");
        assert_eq!(error(&bad), "no table a\\nb\\u{1b}[31m");
        let list = Error::new(ErrorKind::Preflight, "2 problems:\n  - a\r\n  - b");
        assert_eq!(error(&list), "2 problems:\n  - a\n  - b");
    }
}
