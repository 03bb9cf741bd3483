//! How findings name things.

use crate::catalog::{ObjectRef, Printable};

/// At most this many names are listed.
const MOST: usize = 5;

/// A name as a message shows it: in backticks where it is odd.
pub(super) fn named(name: &str) -> String {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | '-'));
    if plain { name.to_owned() } else { format!("`{}`", Printable(name)) }
}

/// An object as a message shows it: `table orders`.
pub(super) fn object(object: &ObjectRef) -> String {
    format!("{} {}", object.kind.name().replace('_', " "), named(&object.name))
}

/// `a`, `a and b`, `a, b and c`, `a, b, c, d, e and 12 more`.
pub(super) fn list<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<T> = items.into_iter().collect();
    let (shown, rest) = items.split_at(if items.len() > MOST + 1 { MOST } else { items.len() });
    let mut parts: Vec<String> = shown.iter().map(|item| item.as_ref().to_owned()).collect();
    if !rest.is_empty() {
        parts.push(format!("{} more", rest.len()));
    }
    match parts.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        _ => parts.join(""),
    }
}

/// Names in a list, each as a message shows it.
pub(super) fn names<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    list(names.into_iter().map(|name| named(name.as_ref())))
}

/// The word for one or for several.
pub(super) fn plural<'a>(count: usize, one: &'a str, several: &'a str) -> &'a str {
    if count == 1 { one } else { several }
}

/// An account as `GRANT` takes it: `'app'@'%'`; a role has no host.
pub(super) fn account(account: &str) -> String {
    match account.rsplit_once('@') {
        Some((user, host)) => format!("'{}'@'{}'", Printable(user), Printable(host)),
        None => named(account),
    }
}

/// A number of bytes.
pub(super) fn bytes(count: u64) -> String {
    match count {
        0..=0x000F_FFFF => format!("{count} bytes"),
        count if count % (1 << 20) == 0 => format!("{} MiB", count >> 20),
        #[expect(clippy::cast_precision_loss, reason = "for the eye")]
        count => format!("{:.1} MiB", count as f64 / f64::from(1 << 20)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_cut_and_odd_names_quoted() {
        assert_eq!(names(["a"]), "a");
        assert_eq!(names(["a", "b c"]), "a and `b c`");
        assert_eq!(names(["a", "b", "c\nd"]), "a, b and `c\\nd`");
        assert_eq!(list(["1", "2", "3", "4", "5", "6"]), "1, 2, 3, 4, 5 and 6");
        assert_eq!(list(["1", "2", "3", "4", "5", "6", "7"]), "1, 2, 3, 4, 5 and 2 more");
        assert_eq!(list([""; 0]), "");
        assert_eq!(account("a@b@%"), "'a@b'@'%'");
        assert_eq!(
            (bytes(4096), bytes(1 << 24), bytes(3 << 19)),
            ("4096 bytes".into(), "16 MiB".into(), "1.5 MiB".into())
        );
    }
}
