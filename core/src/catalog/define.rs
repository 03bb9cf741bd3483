//! Defines tables that do not come from a server, from column definitions as in `CREATE TABLE`.

use super::{Catalog, Column, Database, Flavor, Server, Table};

/// The character set and the collation of defined tables. MySQL and MariaDB have both, with the same meaning.
const CHARSET: &str = "utf8mb4";
const COLLATION: &str = "utf8mb4_general_ci";

const TEXT: [&str; 8] = ["char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"];

impl Table {
    /// Defines a table from the names and definitions of its columns, as in `CREATE TABLE`: `bigint not null`,
    /// `varchar(20)`, `enum('a','b')`. Text columns are utf8mb4 unless their definition names a character set.
    pub fn define<'a>(
        name: &str,
        columns: impl IntoIterator<Item = (&'a str, &'a str)>,
        primary_key: &[String],
    ) -> Self {
        let mut lines = Vec::new();
        let mut read = Vec::new();
        for (name, definition) in columns {
            lines.push(format!("  {} {}", quote(name), definition.trim()));
            let mut column = column(name, definition);
            column.nullable &= !primary_key.iter().any(|key| key == name);
            read.push(column);
        }
        if !primary_key.is_empty() {
            let names: Vec<String> = primary_key.iter().map(|name| quote(name)).collect();
            lines.push(format!("  PRIMARY KEY ({})", names.join(",")));
        }
        let options = format!("ENGINE=InnoDB DEFAULT CHARSET={CHARSET} COLLATE={COLLATION}");
        Self {
            name: name.to_owned(),
            engine: "InnoDB".to_owned(),
            columns: read,
            history: false,
            late_timestamps: Vec::new(),
            primary_key: primary_key.to_vec(),
            rows_estimate: 0,
            data_bytes: 0,
            index_bytes: 0,
            create: format!("CREATE TABLE {} (\n{}\n) {options}", quote(name), lines.join(",\n")),
        }
    }
}

impl Catalog {
    /// Creates the catalog of defined tables, in MySQL's dialect.
    pub fn from_tables(tables: Vec<Table>) -> Self {
        let (charset, collation) = (CHARSET.to_owned(), COLLATION.to_owned());
        let database = Database { name: "own".to_owned(), charset, collation, comment: String::new() };
        Self { server: Server::new(Flavor::MySql, "8.0.0"), database, tables, definitions: Vec::new() }
    }
}

impl Column {
    /// The members of an `ENUM` or a `SET` in order; empty for other types. The first member has the number 1.
    pub fn members(&self) -> Vec<String> {
        if !matches!(self.data_type.as_str(), "enum" | "set") {
            return Vec::new();
        }
        tokenize(&self.column_type).into_iter().filter(|token| token.is_quoted).map(|token| token.text).collect()
    }
}

fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A word, or a quoted text without its quotes.
struct Token {
    text: String,
    is_quoted: bool,
}

/// Splits a definition at white space, commas and brackets. Text outside of quotes becomes lower case.
fn tokenize(definition: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut word = String::new();
    let mut letters = definition.chars().peekable();
    let end = |word: &mut String, tokens: &mut Vec<Token>| {
        if !word.is_empty() {
            tokens.push(Token { text: std::mem::take(word), is_quoted: false });
        }
    };
    while let Some(letter) = letters.next() {
        match letter {
            '\'' | '"' | '`' => {
                end(&mut word, &mut tokens);
                let mut text = String::new();
                while let Some(inner) = letters.next() {
                    if inner == letter && letters.next_if_eq(&letter).is_none() {
                        break;
                    }
                    text.push(inner);
                }
                tokens.push(Token { text, is_quoted: true });
            }
            '(' | ')' | ',' | '=' => end(&mut word, &mut tokens),
            space if space.is_whitespace() => end(&mut word, &mut tokens),
            other => word.extend(other.to_lowercase()),
        }
    }
    end(&mut word, &mut tokens);
    tokens
}

fn column(name: &str, definition: &str) -> Column {
    let tokens = tokenize(definition);
    let words: Vec<&str> = tokens.iter().filter(|token| !token.is_quoted).map(|token| token.text.as_str()).collect();
    let has = |wanted: &[&str]| words.windows(wanted.len()).any(|words| words == wanted);
    let after = |wanted: &str| words.iter().skip_while(|word| **word != wanted).nth(1).map(|word| (*word).to_owned());
    let data_type = match words.first().copied().unwrap_or_default() {
        "integer" => "int",
        "bool" | "boolean" => "tinyint",
        "numeric" | "dec" | "fixed" => "decimal",
        "real" => "double",
        other => other,
    };
    let collation = after("collate");
    let named = if has(&["character", "set"]) {
        words.windows(3).find_map(|words| match words {
            ["character", "set", name] => Some((*name).to_owned()),
            _ => None,
        })
    } else {
        after("charset")
    };
    let of_collation = || collation.as_deref().and_then(|name| name.split('_').next()).map(str::to_owned);
    let charset = named.clone().or_else(of_collation).unwrap_or_else(|| CHARSET.to_owned());
    let is_text = TEXT.contains(&data_type);
    Column {
        name: name.to_owned(),
        data_type: data_type.to_owned(),
        column_type: column_type(definition),
        collation: if is_text { collation.or_else(|| named.is_none().then(|| COLLATION.to_owned())) } else { None },
        charset: is_text.then_some(charset),
        nullable: !has(&["not", "null"]) && !has(&["primary", "key"]),
        generated: has(&["as"]) || has(&["generated"]),
        stored: false,
    }
}

/// The type with its bracket and sign: `decimal(10,2) unsigned`.
fn column_type(definition: &str) -> String {
    let definition = definition.trim();
    let mut quote = None;
    let end = definition.char_indices().find_map(|(at, letter)| {
        match (quote, letter) {
            (None, '\'' | '"') => quote = Some(letter),
            (Some(open), letter) if open == letter => quote = None,
            (None, ')') => return Some(at + 1),
            _ => {}
        }
        None
    });
    let first = definition.find(char::is_whitespace).unwrap_or(definition.len());
    let bracket = definition.find('(').filter(|at| *at <= first || definition.get(first..*at).is_some_and(is_blank));
    let kind = definition.get(..bracket.and(end).unwrap_or(first)).unwrap_or(definition);
    let kind = match kind.split_once('(') {
        Some((word, bracket)) => format!("{}({bracket}", word.trim().to_lowercase()),
        None => kind.to_lowercase(),
    };
    let unsigned = tokenize(definition).iter().any(|token| !token.is_quoted && token.text == "unsigned");
    if unsigned { format!("{kind} unsigned") } else { kind }
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_defined_by_column_definitions() {
        let columns = [
            ("id", "BIGINT UNSIGNED AUTO_INCREMENT"),
            ("kind", "Enum('a','it''s (b)', 'not null') default 'a'"),
            ("price", "decimal (10,2) not null"),
            ("name", "varchar(20) character set latin1"),
            ("note", "text collate utf8mb3_bin not null comment 'as'"),
            ("twice", "int generated always as (id * 2)"),
            ("doc", "json"),
        ];
        let table = Table::define("a`b", columns, &["id".to_owned()]);
        let types: Vec<&str> = table.columns.iter().map(|column| column.column_type.as_str()).collect();
        let expected = ["bigint unsigned", "enum('a','it''s (b)', 'not null')", "decimal(10,2)", "varchar(20)"];
        assert_eq!(types, [expected.as_slice(), &["text", "int", "json"]].concat());
        assert_eq!(table.columns[1].members(), ["a", "it's (b)", "not null"]);
        let nullable: Vec<bool> = table.columns.iter().map(|column| column.nullable).collect();
        assert_eq!(nullable, [false, true, false, true, false, true, true]);
        let charsets: Vec<Option<&str>> = table.columns.iter().map(|column| column.charset.as_deref()).collect();
        assert_eq!(charsets, [None, Some("utf8mb4"), None, Some("latin1"), Some("utf8mb3"), None, None]);
        assert_eq!(table.stored_columns().count(), 6);
        assert!(table.create.starts_with("CREATE TABLE `a``b` (\n  `id` BIGINT"), "{}", table.create);
        assert!(table.create.contains(",\n  PRIMARY KEY (`id`)\n) ENGINE"), "{}", table.create);
    }
}
