//! Maps collations and character sets of one family to those of the other.

use super::super::capability::{self, Capability};
use super::super::ddl::{TokenCursor, TokenKind};
use super::token_editor::TokenEditor;
use super::{FidelityLog, Translator};
use crate::catalog::Server;

/// The nearest collation of the target.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CollationMatch {
    pub(super) name: String,
    /// Whether it compares by the same rules, apart from the version of Unicode.
    pub(super) exact: bool,
}

/// The languages of both families: MySQL's code and MariaDB's name. Only the first code of a name has exactly the same
/// rules.
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

/// Finds the nearest collation of the target; `None` if the target does not have the character set.
pub(super) fn nearest_collation(name: &str, translator: &Translator<'_>) -> Option<CollationMatch> {
    let name = canonical_name(&name.to_ascii_lowercase());
    let charset = name.split('_').next().unwrap_or_default();
    let (nearest, exact) = match translator.targets_mariadb() {
        _ if translator.is_within_family() => (name, true),
        true if charset == "gb18030" => return None,
        true => nearest_in_mariadb(&name, translator),
        false => nearest_in_mysql(&name, charset, translator),
    };
    Some(CollationMatch { name: versioned_name(nearest, translator), exact })
}

/// The collation of a database whose own collation the target does not have.
pub(super) fn fallback_collation(translator: &Translator<'_>) -> String {
    nearest_collation("utf8mb4_0900_ai_ci", translator)
        .filter(|_| translator.targets_mariadb())
        .map_or("utf8mb4_0900_ai_ci".to_owned(), |nearest| nearest.name)
}

/// The target's name of a character set.
pub(super) fn charset_name(name: &str, translator: &Translator<'_>) -> String {
    versioned_name(canonical_name(&name.to_ascii_lowercase()), translator)
}

/// The current name of a collation or character set: `utf8mb3` instead of `utf8`.
pub(super) fn canonical_name(name: &str) -> String {
    match name.strip_prefix("utf8") {
        Some("") => "utf8mb3".to_owned(),
        Some(rest) if rest.starts_with('_') => format!("utf8mb3{rest}"),
        // MariaDB takes the character set of a short name from the expression. A client's is nearly always this one.
        _ if name.starts_with("uca1400_") => format!("utf8mb4_{name}"),
        _ => name.to_owned(),
    }
}

/// The name in the target's version: older servers know `utf8mb3` only as `utf8`.
fn versioned_name(name: String, translator: &Translator<'_>) -> String {
    match name.strip_prefix("utf8mb3") {
        Some(rest) if !translator.target_has(Capability::Utf8mb3Collations) => format!("utf8{rest}"),
        _ => name,
    }
}

/// The nearest collation of MariaDB, and whether it is exact.
fn nearest_in_mariadb(name: &str, translator: &Translator<'_>) -> (String, bool) {
    if name == "utf8mb4_0900_bin" {
        return ("utf8mb4_nopad_bin".to_owned(), true);
    }
    if name == "utf8mb3_tolower_ci" {
        return ("utf8mb3_general_ci".to_owned(), false);
    }
    // MariaDB uses the name for corrected rules.
    if let Some(charset) = name.strip_suffix("_croatian_ci") {
        return (format!("{charset}_croatian_mysql561_ci"), true);
    }
    let Some((language, kind)) = name.strip_prefix("utf8mb4_").and_then(|rest| rest.split_once("0900_")) else {
        return (name.to_owned(), true);
    };
    let language = language.trim_end_matches('_');
    // `_ks` also distinguishes Hiragana from Katakana.
    let plain = kind.trim_end_matches("_ks");
    if !translator.target_has(Capability::Uca1400Collations) {
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

/// The nearest collation of MySQL, and whether it is exact.
fn nearest_in_mysql(name: &str, charset: &str, translator: &Translator<'_>) -> (String, bool) {
    let rest = name.strip_prefix(charset).unwrap_or_default().trim_start_matches('_');
    if let Some(rules) = rest.strip_prefix("uca1400_") {
        return nearest_to_uca1400(rules, charset, translator);
    }
    let modern = charset == "utf8mb4" && translator.target_has(Capability::Utf8mb4Collations0900);
    match rest {
        "nopad_bin" if charset == "utf8mb4" && translator.target_has(Capability::Utf8mb4Bin0900) => {
            ("utf8mb4_0900_bin".to_owned(), true)
        }
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

/// Finds MySQL's collation for UCA 14.0.0 rules such as `german2_nopad_ai_ci`. MySQL has rules without padding for
/// utf8mb4 only, and rules with padding for `ai_ci` only.
fn nearest_to_uca1400(rules: &str, charset: &str, translator: &Translator<'_>) -> (String, bool) {
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
    if charset != "utf8mb4" || !translator.target_has(Capability::Utf8mb4Collations0900) {
        return match (language, cased) {
            (_, "cs") => (format!("{charset}_bin"), false),
            ("", _) => (format!("{charset}_unicode_520_ci"), false),
            (language, _) => (format!("{charset}_{language}_ci"), false),
        };
    }
    let code = LANGUAGES.iter().find(|(_, name)| *name == language).map(|(code, _)| *code);
    match code {
        Some("") => {
            // MySQL has no collation that ignores accents and respects case.
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

/// The server's default collation of a character set.
pub(super) fn default_collation(charset: &str, server: &Server) -> Option<String> {
    let special = match charset {
        "utf8mb4" if capability::has(server, Capability::Utf8mb4Collations0900) => "utf8mb4_0900_ai_ci",
        "utf8mb4" | "utf8mb3" | "ucs2" | "utf16" | "utf32" if capability::has(server, Capability::Uca1400Defaults) => {
            return Some(format!("{charset}_uca1400_ai_ci"));
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

/// The source's default collation of a character set, if the target has another one.
pub(super) fn lost_default(charset: &str, translator: &Translator<'_>) -> Option<String> {
    let charset = canonical_name(&charset.to_ascii_lowercase());
    let ours = default_collation(&charset, translator.from)?;
    let theirs = default_collation(&charset, translator.to);
    (theirs.as_ref() != Some(&ours)).then_some(ours)
}

/// Replaces every collation and character set by the target's. With `defaults`, adds the source's default collation to
/// a clause that names only a character set, as the target's default may be another one.
pub(super) fn rename_collations(
    editor: &mut TokenEditor<'_, '_>,
    translator: &Translator<'_>,
    log: &mut FidelityLog,
    defaults: bool,
) {
    let tokens = editor.tokens;
    let mut cursor = TokenCursor::new(tokens);
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
            if let Some(target_name) = translate_collation(&name, translator, log) {
                editor.replace(index..index + 1, target_name);
            }
            continue;
        }
        let charset = charset_name(&name, translator);
        let follows = cursor.peek().is_some_and(|next| next.is_word("COLLATE"));
        let default = match translator.is_within_family() {
            true => lost_default(&name, translator),
            false => default_collation(&canonical_name(&name.to_ascii_lowercase()), translator.from),
        };
        let default = default.filter(|_| defaults && depth == 0 && !follows);
        let default = default.and_then(|default| translate_collation(&default, translator, log));
        if charset == "gb18030" && translator.targets_mariadb() && !follows {
            log.unsupported("character set", "gb18030, which the target does not have");
        }
        let collate_clause = default.map(|name| format!(" COLLATE{equals}{name}")).unwrap_or_default();
        editor.replace(index..index + 1, format!("{charset}{collate_clause}"));
    }
}

/// The target's name of a collation. Logs an issue if it is another collation.
pub(super) fn translate_collation(name: &str, translator: &Translator<'_>, log: &mut FidelityLog) -> Option<String> {
    let Some(nearest) = nearest_collation(name, translator) else {
        log.unsupported("collation", format!("{name}, whose character set the target does not have"));
        return None;
    };
    if !nearest.exact {
        log.warn("collation", name, &nearest.name);
    } else if canonical_name(&nearest.name) != canonical_name(name) {
        log.note("collation", name, &nearest.name);
    }
    Some(nearest.name)
}
