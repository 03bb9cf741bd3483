//! Maps column types of one family to those of the other.

use super::super::capability::Capability;
use super::{Translator, collation};
use crate::catalog::Column;

/// The target's type for a type of the source.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TypeMapping {
    /// The target has the same type.
    Same,
    /// The same type under another name.
    Alias(&'static str),
    /// A type that holds every value in another form: its name, and its description in reports.
    Equivalent(&'static str, &'static str),
    /// A type that holds every value without its meaning.
    Approximate(String),
    /// The target has no such type.
    Unsupported,
}

/// Maps a type, given by its name in lower case and its arguments.
pub(super) fn map_type(name: &str, arguments: &str, translator: &Translator<'_>) -> TypeMapping {
    let text = |length: u32, kind: &str| {
        TypeMapping::Approximate(format!("{kind}({length}) CHARACTER SET ascii COLLATE ascii_general_ci"))
    };
    match (name, translator.targets_mariadb()) {
        ("geomcollection", true) => TypeMapping::Alias("geometrycollection"),
        ("json", true) => TypeMapping::Equivalent("json", "longtext with CHECK (json_valid())"),
        ("vector", _) if !translator.target_has(Capability::Vectors) => vector_as_bytes(arguments),
        ("uuid", false) => text(36, "char"),
        ("inet4", false) => text(15, "varchar"),
        ("inet6", false) => text(39, "varchar"),
        ("xmltype", false) => TypeMapping::Approximate("longtext CHARACTER SET utf8mb4".to_owned()),
        ("decimal", false) => match decimal_scale(arguments) {
            0..=30 => TypeMapping::Same,
            _ => TypeMapping::Unsupported,
        },
        ("year", false) if arguments.trim() == "2" => TypeMapping::Approximate("year".to_owned()),
        _ => TypeMapping::Same,
    }
}

/// The binary type that holds a vector's floats.
fn vector_as_bytes(dimensions: &str) -> TypeMapping {
    match dimensions.trim().parse::<u32>().unwrap_or(2048).saturating_mul(4) {
        length @ ..=4096 => TypeMapping::Approximate(format!("varbinary({length})")),
        _ => TypeMapping::Approximate("blob".to_owned()),
    }
}

/// The scale of a decimal's arguments.
fn decimal_scale(arguments: &str) -> u32 {
    arguments.split_once(',').and_then(|(_, scale)| scale.trim().parse().ok()).unwrap_or(0)
}

/// Whether MySQL accepts only an expression as the default of this type.
pub(super) fn has_no_literal_default(name: &str) -> bool {
    let shapes = ["geometry", "point", "linestring", "polygon", "geomcollection", "geometrycollection"];
    name.ends_with("text")
        || name.ends_with("blob")
        || name == "json"
        || name.starts_with("multi")
        || shapes.contains(&name)
}

/// Maps a column of the catalog.
pub(super) fn map_column(column: &Column, translator: &Translator<'_>) -> Column {
    let mut mapped = column.clone();
    mapped.charset = column.charset.as_deref().map(|charset| collation::charset_name(charset, translator));
    if let Some(collation) = column.collation.as_deref().and_then(|name| collation::nearest_collation(name, translator))
    {
        mapped.collation = Some(collation.name);
    }
    let arguments =
        column.column_type.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map_or("", |(inner, _)| inner);
    match map_type(&column.data_type, arguments, translator) {
        TypeMapping::Same | TypeMapping::Unsupported => {}
        TypeMapping::Alias(name) => (mapped.data_type, mapped.column_type) = (name.to_owned(), name.to_owned()),
        TypeMapping::Equivalent(..) => {
            (mapped.data_type, mapped.column_type) = ("longtext".to_owned(), "longtext".to_owned());
            (mapped.charset, mapped.collation) = (Some("utf8mb4".to_owned()), Some("utf8mb4_bin".to_owned()));
        }
        TypeMapping::Approximate(definition) => {
            let mut words = definition.split(' ');
            let whole = words.next().unwrap_or_default().to_owned();
            whole.split('(').next().unwrap_or_default().clone_into(&mut mapped.data_type);
            mapped.column_type = whole;
            mapped.charset = definition
                .split_once("CHARACTER SET ")
                .map(|(_, rest)| rest.split(' ').next().unwrap_or(rest).to_owned());
            mapped.collation = definition.split_once("COLLATE ").map(|(_, name)| name.to_owned());
        }
    }
    mapped
}
