//! Whether two columns hold the same values.

use crate::catalog::{Column, Printable};

/// Whether both columns hold the same values.
pub(super) fn holds_same(one: &Column, other: &Column) -> bool {
    let form = |column: &Column| {
        let charset = column.charset.as_deref().map(|charset| charset.replace("utf8mb3", "utf8"));
        (plain_type(&column.column_type), charset, column.generated, column.stored, column.nullable)
    };
    form(one) == form(other)
}

/// The type without the width in which some releases show integers.
fn plain_type(column_type: &str) -> String {
    const INTEGERS: [&str; 6] = ["tinyint", "smallint", "mediumint", "int", "bigint", "year"];
    let lower = column_type.to_ascii_lowercase();
    let Some((name, rest)) = lower.split_once('(') else { return lower };
    match rest.split_once(')') {
        Some((_, rest)) if INTEGERS.contains(&name) && !rest.contains("zerofill") => format!("{name}{rest}"),
        // The letter case of members counts.
        _ => column_type.to_owned(),
    }
}

/// Describes a column by what decides which values it holds.
pub(super) fn describe_column(column: &Column) -> String {
    let charset = column.charset.as_ref().map(|charset| format!(" in {}", Printable(charset))).unwrap_or_default();
    let null = if column.nullable { "" } else { " NOT NULL" };
    let generated = if column.generated { ", generated" } else { "" };
    format!("{}{charset}{null}{generated}", Printable(&column.column_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_width_of_integers_does_not_count() {
        for (one, other) in [("int(11)", "INT"), ("bigint(20) unsigned", "bigint unsigned"), ("year(4)", "year")] {
            assert_eq!(plain_type(one), plain_type(other));
        }
        for (one, other) in [
            ("int", "int unsigned"),
            ("datetime(6)", "datetime"),
            ("decimal(10,2)", "decimal(10,4)"),
            ("enum('a','B')", "enum('a','b')"),
            ("int(5) unsigned zerofill", "int(10) unsigned zerofill"),
            ("bit(1)", "bit(2)"),
        ] {
            assert_ne!(plain_type(one), plain_type(other));
        }
    }
}
