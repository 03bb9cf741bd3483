//! Finds functions and operators that only one of the families has.

use super::super::ddl::{Dialect, Token, TokenCursor, TokenKind, tokenize};
use super::Translator;

/// MySQL's functions that MariaDB lacks, each with the version of MariaDB that added it.
const MYSQL_FUNCTIONS: [(&str, (u32, u32)); 55] = [
    ("any_value", NEVER),
    ("bin_to_uuid", NEVER),
    ("can_access_column", NEVER),
    ("format_bytes", NEVER),
    ("format_pico_time", NEVER),
    ("from_vector", NEVER),
    ("grouping", NEVER),
    ("gtid_subset", NEVER),
    ("gtid_subtract", NEVER),
    ("icu_version", NEVER),
    ("is_uuid", NEVER),
    ("json_overlaps", (10, 9)),
    ("json_pretty", (10, 10)),
    ("json_schema_valid", (11, 1)),
    ("json_schema_validation_report", NEVER),
    ("json_storage_free", NEVER),
    ("json_storage_size", NEVER),
    ("mbrcoveredby", NEVER),
    ("mbrcovers", NEVER),
    ("ps_current_thread_id", NEVER),
    ("ps_thread_id", NEVER),
    ("random_bytes", (10, 10)),
    ("regexp_like", NEVER),
    ("roles_graphml", NEVER),
    ("st_buffer_strategy", NEVER),
    ("st_collect", (12, 1)),
    ("st_distance_sphere", (10, 5)),
    ("st_frechetdistance", NEVER),
    ("st_geohash", (12, 1)),
    ("st_hausdorffdistance", NEVER),
    ("st_isvalid", (12, 1)),
    ("st_latfromgeohash", (12, 1)),
    ("st_latitude", NEVER),
    ("st_lineinterpolatepoint", NEVER),
    ("st_lineinterpolatepoints", NEVER),
    ("st_longfromgeohash", (12, 1)),
    ("st_longitude", NEVER),
    ("st_makeenvelope", NEVER),
    ("st_pointatdistance", NEVER),
    ("st_pointfromgeohash", (12, 1)),
    ("st_simplify", (12, 1)),
    ("st_swapxy", NEVER),
    ("st_transform", NEVER),
    ("st_validate", (12, 1)),
    ("statement_digest", NEVER),
    ("statement_digest_text", NEVER),
    ("string_to_vector", NEVER),
    ("to_vector", NEVER),
    ("uuid_to_bin", NEVER),
    ("validate_password_strength", NEVER),
    ("vector_dim", NEVER),
    ("vector_to_string", NEVER),
    ("etag", NEVER),
    ("source_pos_wait", NEVER),
    ("wait_for_executed_gtid_set", NEVER),
];

/// MariaDB's functions that MySQL lacks.
const MARIADB_FUNCTIONS: [&str; 51] = [
    "add_months",
    "binlog_gtid_pos",
    "chr",
    "column_add",
    "column_check",
    "column_create",
    "column_delete",
    "column_exists",
    "column_get",
    "column_json",
    "column_list",
    "crc32c",
    "decode",
    "decode_histogram",
    "decode_oracle",
    "des_decrypt",
    "des_encrypt",
    "encode",
    "encrypt",
    "json_array_intersect",
    "json_compact",
    "json_detailed",
    "json_equals",
    "json_exists",
    "json_key_value",
    "json_loose",
    "json_normalize",
    "json_object_filter_keys",
    "json_object_to_array",
    "json_query",
    "kdf",
    "lastval",
    "lengthb",
    "median",
    "natural_sort_key",
    "nextval",
    "nvl",
    "nvl2",
    "old_password",
    "password",
    "percentile_cont",
    "percentile_disc",
    "rownum",
    "setval",
    "sformat",
    "substr_oracle",
    "sys_guid",
    "to_char",
    "to_date",
    "to_number",
    "trim_oracle",
];

/// Stands for a function that no version of MariaDB has.
const NEVER: (u32, u32) = (u32::MAX, 0);

/// The keywords before names that are no functions, even if a bracket follows.
const BEFORE_NAMES: [&str; 12] =
    ["INTO", "TABLE", "INDEX", "KEY", "UPDATE", "FROM", "JOIN", "FUNCTION", "PROCEDURE", "CALL", "EXISTS", "TRIGGER"];

/// Finds a function or operator in an expression that the target does not have.
pub(super) fn find_unsupported(text: &str, translator: &Translator<'_>) -> Option<String> {
    find_unsupported_in(&tokenize(text, Dialect::default()), translator)
}

/// Finds a function or operator among tokens that the target does not have.
pub(super) fn find_unsupported_in(all: &[Token<'_>], translator: &Translator<'_>) -> Option<String> {
    let mut cursor = TokenCursor::new(all);
    let mut before: Option<&Token<'_>> = None;
    while let Some(token) = cursor.next() {
        let is_name = before.is_some_and(|before| before.is_punct(".") || before.is_any_word(&BEFORE_NAMES));
        let called = cursor.peek().is_some_and(|next| next.is_punct("("));
        if called && !is_name && token.kind == TokenKind::Word && is_unsupported(token, translator) {
            return Some(format!("{}()", token.text.to_ascii_lowercase()));
        }
        if translator.targets_mariadb()
            && token.is_word("MEMBER")
            && cursor.peek().is_some_and(|next| next.is_word("OF"))
        {
            return Some("MEMBER OF".to_owned());
        }
        // `CAST(… AS JSON)` and `CAST(… AS UNSIGNED ARRAY)`.
        let json = token.is_word("JSON") && before.is_some_and(|before| before.is_word("AS"));
        if translator.targets_mariadb()
            && (token.is_word("ARRAY") || json)
            && cursor.peek().is_some_and(|next| next.is_punct(")"))
        {
            return Some(format!("a cast to {}", token.text.to_ascii_uppercase()));
        }
        before = Some(token);
    }
    None
}

/// Whether the target does not have the function of this name.
fn is_unsupported(token: &Token<'_>, translator: &Translator<'_>) -> bool {
    if translator.targets_mariadb() {
        let (major, minor, _) = translator.to.version_numbers();
        return MYSQL_FUNCTIONS.iter().any(|(name, since)| token.is_word(name) && (major, minor) < *since);
    }
    let unsupported =
        ["md5", "sha1", "sha"].iter().any(|name| token.is_word(name)) && translator.target_is_at_least(9, 6, 0);
    unsupported || MARIADB_FUNCTIONS.iter().any(|name| token.is_word(name))
}
