//! Collations and character sets: what those of one family are called in the other.

use super::super::ddl::{Cursor, TokenKind};
use super::edit::Edit;
use super::{Log, Way};
use crate::catalog::Flavor;

/// A collation of the target.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) name: String,
    /// Whether it compares by the same rules, but for the version of Unicode.
    pub(super) same: bool,
}

/// The languages that both have rules for, by the code that MySQL uses and the name that MariaDB uses. Those after the
/// first of a name have the same rules.
const LANGUAGES: [(&str, &str); 26] = [
    ("de_pb", "german2"),
    ("is", "icelandic"),
    ("lv", "latvian"),
    ("ro", "romanian"),
    ("sl", "slovenian"),
    ("pl", "polish"),
    ("et", "estonian"),
    ("es", "spanish"),
    ("gl", "spanish"),
    ("sv", "swedish"),
    ("tr", "turkish"),
    ("cs", "czech"),
    ("da", "danish"),
    ("nb", "danish"),
    ("nn", "danish"),
    ("lt", "lithuanian"),
    ("sk", "slovak"),
    ("es_trad", "spanish2"),
    ("la", "roman"),
    ("eo", "esperanto"),
    ("hu", "hungarian"),
    ("hr", "croatian"),
    ("bs", "croatian"),
    ("sr_latn", "croatian"),
    ("vi", "vietnamese"),
    ("", ""),
];

/// The nearest collation of the target; `None` where it does not have the character set.
pub(super) fn image(name: &str, way: &Way<'_>) -> Option<Image> {
    let name = modern(&name.to_ascii_lowercase());
    let charset = name.split('_').next().unwrap_or_default();
    let (image, same) = match way.to_mariadb() {
        true if charset == "gb18030" => return None,
        true => in_mariadb(&name, way),
        false => in_mysql(&name, charset, way),
    };
    Some(Image { name: spelled(image, way), same })
}

/// What a database gets whose own collation has no image.
pub(super) fn fallback(way: &Way<'_>) -> String {
    image("utf8mb4_0900_ai_ci", way)
        .filter(|_| way.to_mariadb())
        .map_or("utf8mb4_0900_ai_ci".to_owned(), |image| image.name)
}

/// The name of a character set at the target.
pub(super) fn charset(name: &str, way: &Way<'_>) -> String {
    spelled(modern(&name.to_ascii_lowercase()), way)
}

/// `utf8` was the name of `utf8mb3` before it had one.
fn modern(name: &str) -> String {
    match name.strip_prefix("utf8") {
        Some("") => "utf8mb3".to_owned(),
        Some(rest) if rest.starts_with('_') => format!("utf8mb3{rest}"),
        // MariaDB lets the expression say which character set it is; a client's is this one nearly always.
        _ if name.starts_with("uca1400_") => format!("utf8mb4_{name}"),
        _ => name.to_owned(),
    }
}

/// Older servers know only the old name.
fn spelled(name: String, way: &Way<'_>) -> String {
    let knows = if way.to_mariadb() { way.reaches(10, 6, 0) } else { way.reaches(8, 0, 30) };
    match name.strip_prefix("utf8mb3") {
        Some(rest) if !knows => format!("utf8{rest}"),
        _ => name,
    }
}

fn in_mariadb(name: &str, way: &Way<'_>) -> (String, bool) {
    if name == "utf8mb4_0900_bin" {
        return ("utf8mb4_nopad_bin".to_owned(), true);
    }
    if name == "utf8mb3_tolower_ci" {
        return ("utf8mb3_general_ci".to_owned(), false);
    }
    // MariaDB keeps the name for rules that it has put right.
    if let Some(charset) = name.strip_suffix("_croatian_ci") {
        return (format!("{charset}_croatian_mysql561_ci"), true);
    }
    let Some((language, kind)) = name.strip_prefix("utf8mb4_").and_then(|rest| rest.split_once("0900_")) else {
        return (name.to_owned(), true);
    };
    let language = language.trim_end_matches('_');
    // `_ks` also tells Hiragana from Katakana.
    let plain = kind.trim_end_matches("_ks");
    if !way.reaches(10, 10, 1) {
        let nearest = if plain.ends_with("ci") { "utf8mb4_unicode_520_nopad_ci" } else { "utf8mb4_nopad_bin" };
        return (nearest.to_owned(), false);
    }
    match LANGUAGES.iter().find(|(code, _)| *code == language) {
        Some((_, "")) => (format!("utf8mb4_uca1400_nopad_{plain}"), true),
        Some((code, tailored)) => {
            let own = LANGUAGES.iter().find(|(_, name)| name == tailored).is_some_and(|(first, _)| first == code);
            (format!("utf8mb4_uca1400_{tailored}_nopad_{plain}"), own)
        }
        None => (format!("utf8mb4_uca1400_nopad_{plain}"), false),
    }
}

fn in_mysql(name: &str, charset: &str, way: &Way<'_>) -> (String, bool) {
    let rest = name.strip_prefix(charset).unwrap_or_default().trim_start_matches('_');
    if let Some(rules) = rest.strip_prefix("uca1400_") {
        return uca1400(rules, charset, way);
    }
    let modern = charset == "utf8mb4" && way.reaches(8, 0, 1);
    match rest {
        "nopad_bin" if charset == "utf8mb4" && way.reaches(8, 0, 17) => ("utf8mb4_0900_bin".to_owned(), true),
        "nopad_bin" => (format!("{charset}_bin"), false),
        "unicode_520_nopad_ci" if modern => ("utf8mb4_0900_ai_ci".to_owned(), true),
        "unicode_nopad_ci" if modern => ("utf8mb4_0900_ai_ci".to_owned(), false),
        "croatian_mysql561_ci" => (format!("{charset}_croatian_ci"), true),
        "croatian_ci" if modern => ("utf8mb4_hr_0900_ai_ci".to_owned(), false),
        "croatian_ci" => (name.to_owned(), false),
        "myanmar_ci" => (format!("{charset}_unicode_ci"), false),
        "thai_520_w2" => (format!("{charset}_unicode_520_ci"), false),
        _ => match name.strip_suffix("_nopad_ci") {
            Some(padded) => (format!("{padded}_ci"), false),
            None => (name.to_owned(), true),
        },
    }
}

/// `german2_nopad_ai_ci`: MySQL has such rules without padding for utf8mb4 only, and with padding only for `ai_ci`.
fn uca1400(rules: &str, charset: &str, way: &Way<'_>) -> (String, bool) {
    let (front, cased) = rules.rsplit_once('_').unwrap_or(("", rules));
    let (front, accented) = front.rsplit_once('_').unwrap_or(("", front));
    let (language, nopad) = match front.strip_suffix("nopad") {
        Some(language) => (language.trim_end_matches('_'), true),
        None => (front, false),
    };
    let insensitive = (accented, cased) == ("ai", "ci");
    if language.is_empty() && insensitive && !nopad {
        return (format!("{charset}_unicode_520_ci"), true);
    }
    if charset != "utf8mb4" || !way.reaches(8, 0, 1) {
        return match (language, cased) {
            (_, "cs") => (format!("{charset}_bin"), false),
            ("", _) => (format!("{charset}_unicode_520_ci"), false),
            (language, _) => (format!("{charset}_{language}_ci"), false),
        };
    }
    let code = LANGUAGES.iter().find(|(_, name)| *name == language).map(|(code, _)| *code);
    match code {
        Some("") => {
            // There is no collation that disregards accents and regards case.
            let kind = if cased == "cs" { "as_cs" } else { &format!("{accented}_ci") };
            (format!("utf8mb4_0900_{kind}"), nopad && (accented, cased) != ("ai", "cs"))
        }
        Some(code) => {
            let kind = if insensitive { "ai_ci" } else { "as_cs" };
            (format!("utf8mb4_{code}_0900_{kind}"), nopad && (insensitive || (accented, cased) == ("as", "cs")))
        }
        None => (format!("utf8mb4_{language}_ci"), false),
    }
}

/// The collation that the source means where only a character set is named.
pub(super) fn default_of(charset: &str, way: &Way<'_>) -> Option<String> {
    let special = match charset {
        "utf8mb4" if way.from.flavor == Flavor::MySql && way.from.version_numbers() >= (8, 0, 1) => {
            "utf8mb4_0900_ai_ci"
        }
        "latin1" | "dec8" | "swe7" => return Some(format!("{charset}_swedish_ci")),
        "hp8" => "hp8_english_ci",
        "ujis" | "sjis" | "cp932" | "eucjpms" => return Some(format!("{charset}_japanese_ci")),
        "tis620" => "tis620_thai_ci",
        "euckr" => "euckr_korean_ci",
        "big5" | "gb2312" | "gbk" => return Some(format!("{charset}_chinese_ci")),
        "latin5" => "latin5_turkish_ci",
        "binary" | "gb18030" => return None,
        _ => return Some(format!("{charset}_general_ci")),
    };
    Some(special.to_owned())
}

/// Gives every collation and character set that the tokens name its name at the target. Where a clause names a character
/// set alone, the source's default collation is added: the target's may be another.
pub(super) fn rename(edit: &mut Edit<'_, '_>, way: &Way<'_>, log: &mut Log, defaults: bool) {
    let tokens = edit.tokens;
    let mut cursor = Cursor::new(tokens);
    let mut depth = 0_usize;
    let mut before_is_character = false;
    while let Some(token) = cursor.next() {
        let names_charset = token.is_word("CHARSET") || token.is_word("SET") && before_is_character;
        before_is_character = token.is_word("CHARACTER");
        if token.is_punct("(") {
            depth += 1;
        } else if token.is_punct(")") {
            depth = depth.saturating_sub(1);
        }
        if !names_charset && !token.is_word("COLLATE") {
            continue;
        }
        let equals = if cursor.eat_punct("=") { "=" } else { " " };
        let Some(name) = cursor.next_if(|next| matches!(next.kind, TokenKind::Word | TokenKind::QuotedIdent)) else {
            continue;
        };
        let (index, name) = (cursor.end() - 1, name.ident().unwrap_or_default().into_owned());
        if !names_charset {
            if let Some(image) = named(&name, way, log) {
                edit.replace(index..index + 1, image);
            }
            continue;
        }
        let charset = self::charset(&name, way);
        let follows = cursor.peek().is_some_and(|next| next.is_word("COLLATE"));
        let default =
            default_of(&modern(&name.to_ascii_lowercase()), way).filter(|_| defaults && depth == 0 && !follows);
        let default = default.and_then(|default| named(&default, way, log));
        if charset == "gb18030" && way.to_mariadb() && !follows {
            log.none("character set", "gb18030, which the target does not have");
        }
        let said = default.map(|name| format!(" COLLATE{equals}{name}")).unwrap_or_default();
        edit.replace(index..index + 1, format!("{charset}{said}"));
    }
}

/// The image of a collation, told where it is another one.
pub(super) fn named(name: &str, way: &Way<'_>, log: &mut Log) -> Option<String> {
    let Some(image) = image(name, way) else {
        log.none("collation", format!("{name}, whose character set the target does not have"));
        return None;
    };
    if !image.same {
        log.warn("collation", name, &image.name);
    } else if modern(&image.name) != modern(name) {
        log.note("collation", name, &image.name);
    }
    Some(image.name)
}
