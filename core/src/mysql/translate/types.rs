//! The types of one family in the other's.

use super::{Way, collation};
use crate::catalog::Column;

/// What a type becomes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Image {
    /// It is the same there.
    Same,
    /// Another word for the very same type.
    Alias(&'static str),
    /// Another type that holds every value in another form, and is shown as this.
    Note(&'static str, &'static str),
    /// A type that holds every value, but does not know what they mean.
    Lesser(String),
    /// None.
    None,
}

/// The image of a type, given by its name in lower case and what stands in its brackets.
pub(super) fn image(name: &str, arguments: &str, way: &Way<'_>) -> Image {
    let text = |length: u32, kind: &str| {
        Image::Lesser(format!("{kind}({length}) CHARACTER SET ascii COLLATE ascii_general_ci"))
    };
    match (name, way.to_mariadb()) {
        ("geomcollection", true) => Image::Alias("geometrycollection"),
        ("json", true) => Image::Note("json", "longtext with CHECK (json_valid())"),
        ("vector", true) if !way.reaches(11, 7, 1) => bytes(arguments),
        ("vector", false) if !way.reaches(9, 0, 0) => bytes(arguments),
        ("uuid", false) => text(36, "char"),
        ("inet4", false) => text(15, "varchar"),
        ("inet6", false) => text(39, "varchar"),
        ("xmltype", false) => Image::Lesser("longtext CHARACTER SET utf8mb4".to_owned()),
        ("decimal", false) => match scale(arguments) {
            0..=30 => Image::Same,
            _ => Image::None,
        },
        ("year", false) if arguments.trim() == "2" => Image::Lesser("year".to_owned()),
        _ => Image::Same,
    }
}

/// A vector's floats as bytes.
fn bytes(dimensions: &str) -> Image {
    match dimensions.trim().parse::<u32>().unwrap_or(2048).saturating_mul(4) {
        length @ ..=4096 => Image::Lesser(format!("varbinary({length})")),
        _ => Image::Lesser("blob".to_owned()),
    }
}

fn scale(arguments: &str) -> u32 {
    arguments.split_once(',').and_then(|(_, scale)| scale.trim().parse().ok()).unwrap_or(0)
}

/// Whether only an expression can be the default of this type in MySQL.
pub(super) fn has_no_literal_default(name: &str) -> bool {
    let shapes = ["geometry", "point", "linestring", "polygon", "geomcollection", "geometrycollection"];
    name.ends_with("text")
        || name.ends_with("blob")
        || name == "json"
        || name.starts_with("multi")
        || shapes.contains(&name)
}

/// What the catalog says of a column, as the target's catalog would say it.
pub(super) fn column(column: &Column, way: &Way<'_>) -> Column {
    let mut image = column.clone();
    image.charset = column.charset.as_deref().map(|charset| collation::charset(charset, way));
    if let Some(collation) = column.collation.as_deref().and_then(|name| collation::image(name, way)) {
        image.collation = Some(collation.name);
    }
    let arguments =
        column.column_type.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map_or("", |(inner, _)| inner);
    match self::image(&column.data_type, arguments, way) {
        Image::Same | Image::None => {}
        Image::Alias(name) => (image.data_type, image.column_type) = (name.to_owned(), name.to_owned()),
        Image::Note(..) => {
            (image.data_type, image.column_type) = ("longtext".to_owned(), "longtext".to_owned());
            (image.charset, image.collation) = (Some("utf8mb4".to_owned()), Some("utf8mb4_bin".to_owned()));
        }
        Image::Lesser(definition) => {
            let mut words = definition.split(' ');
            let whole = words.next().unwrap_or_default().to_owned();
            whole.split('(').next().unwrap_or_default().clone_into(&mut image.data_type);
            image.column_type = whole;
            image.charset = definition
                .split_once("CHARACTER SET ")
                .map(|(_, rest)| rest.split(' ').next().unwrap_or(rest).to_owned());
            image.collation = definition.split_once("COLLATE ").map(|(_, name)| name.to_owned());
        }
    }
    image
}
