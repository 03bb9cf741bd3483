use super::TokenKind::{Comment, ConditionalClose, ConditionalOpen, Number, Punct, QuotedIdent, Space, Str, Word};
use super::*;

const PLAIN: Dialect = Dialect { ansi_quotes: false, no_backslash_escapes: false };
const ANSI: Dialect = Dialect { ansi_quotes: true, no_backslash_escapes: false };
const RAW: Dialect = Dialect { ansi_quotes: false, no_backslash_escapes: true };
const BOTH: Dialect = Dialect { ansi_quotes: true, no_backslash_escapes: true };

/// The tokens without the spaces.
fn tokens_without_spaces(sql: &str, dialect: Dialect) -> Vec<(TokenKind, &str)> {
    let all = tokenize(sql, dialect);
    assert_eq!(join_tokens(&all), sql);
    all.iter().filter(|token| token.kind != Space).map(|token| (token.kind, token.text)).collect()
}

#[test]
fn every_short_text_of_special_pieces_rejoins() {
    let pieces = [
        "'", "\"", "`", "\\", "/*", "/*!", "/*M!1", "50100", "*/", "--", " ", "\n", "#", "a", "1", ".", "@", "$", "e",
        "x", "+", "AS ", "ß",
    ];
    let count = pieces.len();
    for number in 0..count.pow(4) {
        let text: String = (0..4).scan(number, |rest, _| Some((pieces[*rest % count], *rest /= count).0)).collect();
        for dialect in [PLAIN, ANSI, RAW, BOTH] {
            assert_eq!(join_tokens(&tokenize(&text, dialect)), text);
        }
    }
}

#[test]
fn random_texts_rejoin_and_no_token_is_empty() {
    let alphabet: Vec<char> = "'\"`\\/*!M-#@.$_:=>()019exXbBnN \t\n\r\0\u{b}azAS😀ß\u{a0}".chars().collect();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % below
    };
    for _ in 0..50_000 {
        let text: String = (0..random(40)).map(|_| alphabet[random(alphabet.len())]).collect();
        for dialect in [PLAIN, ANSI, RAW, BOTH] {
            let all = tokenize(&text, dialect);
            assert_eq!(join_tokens(&all), text);
            assert!(all.iter().all(|token| !token.text.is_empty()));
        }
    }
}

#[test]
fn strings_end_where_the_dialect_says() {
    assert_eq!(tokens_without_spaces(r"'it\'s' x", PLAIN), [(Str, r"'it\'s'"), (Word, "x")]);
    assert_eq!(tokens_without_spaces(r"'it\' x", RAW), [(Str, r"'it\'"), (Word, "x")]);
    assert_eq!(tokens_without_spaces(r"'a''b\\' x", PLAIN), [(Str, r"'a''b\\'"), (Word, "x")]);
    assert_eq!(tokens_without_spaces(r#""a""b" x"#, PLAIN), [(Str, r#""a""b""#), (Word, "x")]);
    assert_eq!(tokens_without_spaces(r#""a\"b"#, PLAIN), [(Str, r#""a\"b"#)]);
    assert_eq!(tokens_without_spaces(r#""a\" x"#, ANSI), [(QuotedIdent, r#""a\""#), (Word, "x")]);
    assert_eq!(tokens_without_spaces(r#"'"' "'""#, ANSI), [(Str, r#"'"'"#), (QuotedIdent, r#""'""#)]);
    assert_eq!(tokens_without_spaces("'open", PLAIN), [(Str, "'open")]);
}

#[test]
fn literals_with_a_prefix_are_one_string() {
    assert_eq!(
        tokens_without_spaces("x'41' X'' b'01' B'1' N'a' n'b'", PLAIN).iter().filter(|token| token.0 == Str).count(),
        6
    );
    assert_eq!(tokens_without_spaces("_utf8mb4'a'", PLAIN), [(Word, "_utf8mb4"), (Str, "'a'")]);
    assert_eq!(tokens_without_spaces("_binary x'41'", PLAIN), [(Word, "_binary"), (Str, "x'41'")]);
    assert_eq!(tokens_without_spaces("ax'41'", PLAIN), [(Word, "ax"), (Str, "'41'")]);
    assert_eq!(tokens_without_spaces("x\"41\"", PLAIN), [(Word, "x"), (Str, "\"41\"")]);
}

#[test]
fn numbers_are_not_names_and_names_not_numbers() {
    for number in ["1", "1.5", ".5", "1.", "1e5", "1E+10", "1.5e-3", "0xFF", "0b01", "007"] {
        assert_eq!(tokens_without_spaces(number, PLAIN), [(Number, number)]);
    }
    for name in ["1e", "1a", "0xg", "0x", "0b2", "2nd", "$", "a$b", "größe", "😀"] {
        assert_eq!(tokens_without_spaces(name, PLAIN), [(Word, name)]);
    }
    assert_eq!(tokens_without_spaces("a.1b", PLAIN), [(Word, "a"), (Punct, "."), (Word, "1b")]);
    assert_eq!(tokens_without_spaces("`a`.1e5", PLAIN), [(QuotedIdent, "`a`"), (Punct, "."), (Word, "1e5")]);
    assert_eq!(tokens_without_spaces("a .5", PLAIN), [(Word, "a"), (Number, ".5")]);
    assert_eq!(tokens_without_spaces("1e5a", PLAIN), [(Number, "1e5"), (Word, "a")]);
    assert_eq!(tokens_without_spaces("1+1e+a", PLAIN).len(), 5);
}

#[test]
fn variables_and_hosts_are_not_qualified_names() {
    assert_eq!(
        tokens_without_spaces("@a.b:=1", PLAIN),
        [(Punct, "@"), (Word, "a.b"), (Punct, ":"), (Punct, "="), (Number, "1")]
    );
    assert_eq!(tokens_without_spaces("@`a.b`", PLAIN), [(Punct, "@"), (QuotedIdent, "`a.b`")]);
    assert_eq!(
        tokens_without_spaces("@@global.x", PLAIN),
        [(Punct, "@@"), (Word, "global"), (Punct, "."), (Word, "x")]
    );
    assert_eq!(tokens_without_spaces("root@10.0.0.1", PLAIN), [(Word, "root"), (Punct, "@"), (Word, "10.0.0.1")]);
    assert_eq!(tokens_without_spaces("'u'@'%'", PLAIN), [(Str, "'u'"), (Punct, "@"), (Str, "'%'")]);
}

#[test]
fn comments_start_as_the_servers_require() {
    assert_eq!(tokens_without_spaces("5--1", PLAIN).len(), 4);
    assert_eq!(tokens_without_spaces("5-- 1'\nx", PLAIN), [(Number, "5"), (Comment, "-- 1'"), (Word, "x")]);
    assert_eq!(tokens_without_spaces("a --", PLAIN), [(Word, "a"), (Comment, "--")]);
    assert_eq!(tokens_without_spaces("a#b'\nc", PLAIN), [(Word, "a"), (Comment, "#b'"), (Word, "c")]);
    assert_eq!(tokens_without_spaces("/*/ ' */x", PLAIN), [(Comment, "/*/ ' */"), (Word, "x")]);
    assert_eq!(tokens_without_spaces("/**/x/*", PLAIN), [(Comment, "/**/"), (Word, "x"), (Comment, "/*")]);
    assert_eq!(
        tokens_without_spaces("a->>'$.x'", PLAIN),
        [(Word, "a"), (Punct, "-"), (Punct, ">"), (Punct, ">"), (Str, "'$.x'")]
    );
    assert_eq!(tokens_without_spaces("'/*' `--` # '", PLAIN), [(Str, "'/*'"), (QuotedIdent, "`--`"), (Comment, "# '")]);
}

#[test]
fn the_content_of_a_conditional_comment_is_code() {
    assert_eq!(
        tokens_without_spaces("/*!80023 INVISIBLE */ x", PLAIN),
        [(ConditionalOpen, "/*!80023"), (Word, "INVISIBLE"), (ConditionalClose, "*/"), (Word, "x")]
    );
    assert_eq!(tokens_without_spaces("/*M!100301 C*/", PLAIN)[0], (ConditionalOpen, "/*M!100301"));
    assert_eq!(tokens_without_spaces("/*!1 */", PLAIN)[..2], [(ConditionalOpen, "/*!"), (Number, "1")]);
    assert_eq!(tokens_without_spaces("/*!50100 '*/' `*/` */", PLAIN).last(), Some(&(ConditionalClose, "*/")));
    let nested = tokens_without_spaces("/*!50100 a /* b */ /*!99999 c */ d */ 2*/1", PLAIN);
    assert_eq!(nested.iter().filter(|token| token.0 == ConditionalClose).count(), 2);
    assert_eq!(nested.iter().rev().take(3).map(|token| token.0).collect::<Vec<_>>(), [Number, Punct, Punct]);
}

#[test]
fn a_dollar_quoted_body_is_a_string_only_after_as() {
    assert_eq!(
        tokens_without_spaces("AS $$ it's $x$ $$;", PLAIN),
        [(Word, "AS"), (Str, "$$ it's $x$ $$"), (Punct, ";")]
    );
    assert_eq!(tokens_without_spaces("as /* c */ $js$ $$ `$js$", PLAIN).last(), Some(&(Str, "$js$ $$ `$js$")));
    assert_eq!(tokens_without_spaces("select $$ from $$", PLAIN).iter().filter(|token| token.0 == Word).count(), 4);
    assert_eq!(tokens_without_spaces("a as $x", PLAIN).last(), Some(&(Word, "$x")));
}

#[test]
fn a_name_loses_only_its_quotes() {
    let name = |sql, dialect| tokenize(sql, dialect)[0].ident().map(Cow::into_owned);
    assert_eq!(name("`a``b`", PLAIN).as_deref(), Some("a`b"));
    assert_eq!(name("`a\n.*/\\`", PLAIN).as_deref(), Some("a\n.*/\\"));
    assert_eq!(name("\"a\"\"b\"", ANSI).as_deref(), Some("a\"b"));
    assert_eq!(name("````", PLAIN).as_deref(), Some("`"));
    assert_eq!(name("`open", PLAIN).as_deref(), Some("open"));
    assert_eq!(name("word", PLAIN).as_deref(), Some("word"));
    assert_eq!(name("'text'", PLAIN), None);
}
