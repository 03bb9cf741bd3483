//! Formats names, lists and sizes for the messages of findings.

use crate::catalog::{ObjectRef, Printable};

/// The largest number of listed names.
const MAX_LISTED: usize = 5;

/// Formats a name; in backticks if it has unusual characters.
pub(super) fn display_name(name: &str) -> String {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | '-'));
    if plain { name.to_owned() } else { format!("`{}`", Printable(name)) }
}

/// Formats an object: `table orders`.
pub(super) fn display_object(object: &ObjectRef) -> String {
    format!("{} {}", object.kind.name().replace('_', " "), display_name(&object.name))
}

/// Joins items: `a`, `a and b`, `a, b and c`, `a, b, c, d, e and 12 more`.
pub(super) fn join_list<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<T> = items.into_iter().collect();
    let (shown, rest) = items.split_at(if items.len() > MAX_LISTED + 1 { MAX_LISTED } else { items.len() });
    let mut parts: Vec<String> = shown.iter().map(|item| item.as_ref().to_owned()).collect();
    if !rest.is_empty() {
        parts.push(format!("{} more", rest.len()));
    }
    match parts.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        _ => parts.join(""),
    }
}

/// Formats and joins names.
pub(super) fn join_names<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    join_list(names.into_iter().map(|name| display_name(name.as_ref())))
}

/// Chooses between the singular and the plural.
pub(super) fn plural<'a>(count: usize, one: &'a str, several: &'a str) -> &'a str {
    if count == 1 { one } else { several }
}

/// Formats an account as `GRANT` expects it: `'app'@'%'`. A role without a host is formatted as a name.
pub(super) fn quote_account(account: &str) -> String {
    match account.rsplit_once('@') {
        Some((user, host)) => format!("'{}'@'{}'", Printable(user), Printable(host)),
        None => display_name(account),
    }
}

/// Formats a number of bytes.
pub(super) fn format_bytes(count: u64) -> String {
    match count {
        0..=0x000F_FFFF => format!("{count} bytes"),
        count if count % (1 << 20) == 0 => format!("{} MiB", count >> 20),
        #[expect(clippy::cast_precision_loss, reason = "a rounded number for messages")]
        count => format!("{:.1} MiB", count as f64 / f64::from(1 << 20)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_shortened_and_unusual_names_quoted() {
        assert_eq!(join_names(["a"]), "a");
        assert_eq!(join_names(["a", "b c"]), "a and `b c`");
        assert_eq!(join_names(["a", "b", "c\nd"]), "a, b and `c\\nd`");
        assert_eq!(join_list(["1", "2", "3", "4", "5", "6"]), "1, 2, 3, 4, 5 and 6");
        assert_eq!(join_list(["1", "2", "3", "4", "5", "6", "7"]), "1, 2, 3, 4, 5 and 2 more");
        assert_eq!(join_list([""; 0]), "");
        assert_eq!(quote_account("a@b@%"), "'a@b'@'%'");
        assert_eq!(
            (format_bytes(4096), format_bytes(1 << 24), format_bytes(3 << 19)),
            ("4096 bytes".into(), "16 MiB".into(), "1.5 MiB".into())
        );
    }
}
