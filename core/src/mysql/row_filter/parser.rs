//! Reads a filter from its SQL.

use super::{Comparison, Condition, FilterColumn, RowFilter, Term};
use crate::catalog::{Column, Printable, Table};
use crate::mysql::ddl::{Dialect, TokenCursor, TokenKind, tokenize};

/// The deepest nesting of brackets and negations.
const MAX_DEPTH: usize = 64;
/// Names that are functions of the session, or literals, unless they are quoted.
const FUNCTIONS: &[&str] = &[
    "CURRENT_DATE",
    "CURRENT_ROLE",
    "CURRENT_TIME",
    "CURRENT_TIMESTAMP",
    "CURRENT_USER",
    "DEFAULT",
    "FALSE",
    "LOCALTIME",
    "LOCALTIMESTAMP",
    "NULL",
    "ROWNUM",
    "SYSDATE",
    "TRUE",
    "UNKNOWN",
    "UTC_DATE",
    "UTC_TIME",
    "UTC_TIMESTAMP",
];

impl RowFilter {
    /// Reads the filter of a table.
    ///
    /// # Errors
    /// The reason why its value may need a server.
    pub(in crate::mysql) fn parse(sql: &str, table: &Table) -> Result<Self, String> {
        let tokens = tokenize(sql, Dialect::default());
        if tokens.iter().any(|token| token.kind == TokenKind::ConditionalOpen) {
            return Err("it holds a comment that is code".to_owned());
        }
        let mut parser = Parser { cursor: TokenCursor::new(&tokens), table, columns: Vec::new(), depth: 0 };
        let condition = parser.any()?;
        match parser.cursor.peek() {
            None => Ok(Self { condition, columns: parser.columns, whole_row: loaded_columns(table) }),
            Some(_) => Err(parser.unexpected()),
        }
    }
}

struct Parser<'t, 'a> {
    cursor: TokenCursor<'t, 'a>,
    table: &'t Table,
    columns: Vec<FilterColumn>,
    depth: usize,
}

impl<'t> Parser<'t, '_> {
    /// Conditions that are joined by OR.
    fn any(&mut self) -> Result<Condition, String> {
        let mut parts = vec![self.all()?];
        while self.cursor.eat_word("OR") {
            parts.push(self.all()?);
        }
        Ok(single_or(parts, Condition::Any))
    }

    /// Conditions that are joined by AND.
    fn all(&mut self) -> Result<Condition, String> {
        let mut parts = vec![self.negation()?];
        while self.cursor.eat_word("AND") {
            parts.push(self.negation()?);
        }
        Ok(single_or(parts, Condition::All))
    }

    fn negation(&mut self) -> Result<Condition, String> {
        self.nested(|parser| match parser.cursor.eat_word("NOT") {
            true => Ok(Condition::Not(Box::new(parser.negation()?))),
            false => parser.primary(),
        })
    }

    fn primary(&mut self) -> Result<Condition, String> {
        if !self.cursor.peek().is_some_and(|token| token.is_punct("(")) {
            return self.predicate();
        }
        // The bracket is around a condition, or around the first term of one.
        let start = self.cursor.clone();
        match self.predicate() {
            Ok(predicate) => Ok(predicate),
            Err(_) => {
                self.cursor = start;
                self.cursor.eat_punct("(");
                let condition = self.any()?;
                self.require_punct(")")?;
                Ok(condition)
            }
        }
    }

    fn predicate(&mut self) -> Result<Condition, String> {
        if self.is_number_next() {
            let number = self.number()?;
            let comparison = self.comparison()?;
            let term = self.term()?;
            self.check_sign(term, number)?;
            return Ok(Condition::Compare(term, comparison.reversed(), number));
        }
        if let Some(condition) = self.null_test()? {
            return Ok(condition);
        }
        let term = self.term()?;
        let is_negated = self.cursor.eat_word("NOT");
        let condition = if self.cursor.eat_word("BETWEEN") {
            let least = self.number_for(term)?;
            if !self.cursor.eat_word("AND") {
                return Err(self.unexpected());
            }
            Condition::Between(term, least, self.number_for(term)?)
        } else if self.cursor.eat_word("IN") {
            self.require_punct("(")?;
            let mut numbers = vec![self.number_for(term)?];
            while self.cursor.eat_punct(",") {
                numbers.push(self.number_for(term)?);
            }
            self.require_punct(")")?;
            Condition::In(term, numbers)
        } else if is_negated {
            return Err(self.unexpected());
        } else {
            let comparison = self.comparison()?;
            return Ok(Condition::Compare(term, comparison, self.number_for(term)?));
        };
        Ok(if is_negated { Condition::Not(Box::new(condition)) } else { condition })
    }

    /// `column IS NULL` or `column IS NOT NULL`, if that comes next.
    fn null_test(&mut self) -> Result<Option<Condition>, String> {
        let start = self.cursor.clone();
        let Ok(column) = self.column() else {
            self.cursor = start;
            return Ok(None);
        };
        if !self.cursor.eat_word("IS") {
            self.cursor = start;
            return Ok(None);
        }
        let is_negated = self.cursor.eat_word("NOT");
        if !self.cursor.eat_word("NULL") {
            return Err(self.unexpected());
        }
        // Of such columns IS NULL may find zero dates and the last AUTO_INCREMENT.
        if !column.nullable {
            return Err(format!("column {} is NOT NULL, and IS NULL may mean something else there", shown(column)));
        }
        let condition = Condition::IsNull(self.add_column(column)?);
        Ok(Some(if is_negated { Condition::Not(Box::new(condition)) } else { condition }))
    }

    /// An integer column, or its remainder by a number.
    fn term(&mut self) -> Result<Term, String> {
        self.nested(|parser| {
            let mut term = if parser.cursor.eat_punct("(") {
                let term = parser.term()?;
                parser.require_punct(")")?;
                term
            } else if parser.is_function_next("MOD") {
                parser.cursor.next();
                parser.require_punct("(")?;
                let term = parser.integer_column()?;
                parser.require_punct(",")?;
                let divisor = parser.divisor()?;
                parser.require_punct(")")?;
                return Ok(Term { divisor: Some(divisor), ..term });
            } else {
                parser.integer_column()?
            };
            if term.divisor.is_none() && (parser.cursor.eat_punct("%") || parser.cursor.eat_word("MOD")) {
                term.divisor = Some(parser.divisor()?);
            }
            Ok(term)
        })
    }

    fn integer_column(&mut self) -> Result<Term, String> {
        let column = self.column()?;
        if !is_integer(column) {
            return Err(format!("column {} is {}, and no integer", shown(column), Printable(&column.column_type)));
        }
        Ok(Term { column: self.add_column(column)?, divisor: None })
    }

    /// A column of the table, perhaps with the table's name before it.
    fn column(&mut self) -> Result<&'t Column, String> {
        let unexpected = self.unexpected();
        let Some(token) = self.cursor.next() else { return Err(unexpected) };
        let Some(mut name) = token.ident().filter(|_| !token.is_any_word(FUNCTIONS)) else { return Err(unexpected) };
        if self.cursor.eat_punct(".") {
            let own = name == self.table.name;
            name = match self.cursor.next().and_then(|token| token.ident()) {
                Some(name) if own => name,
                _ => return Err(unexpected),
            };
        } else if self.cursor.peek().is_some_and(|token| token.is_punct("(")) {
            return Err(format!("it calls {}", Printable(&name)));
        }
        let mut columns = self.table.columns.iter();
        let found = columns.find(|column| column.name.eq_ignore_ascii_case(&name));
        found.ok_or_else(|| format!("{} is no column of the table", Printable(&name)))
    }

    /// The place of a column among those of the filter.
    fn add_column(&mut self, column: &Column) -> Result<usize, String> {
        let found = stored_columns(self.table).find(|(_, stored)| stored.name == column.name && !stored.generated);
        let Some((stored, _)) = found else { return Err(format!("column {} is generated", shown(column))) };
        let known = self.columns.iter().position(|known| known.stored == stored);
        Ok(known.unwrap_or_else(|| {
            let (name, is_integer) = (column.name.clone(), is_integer(column));
            self.columns.push(FilterColumn { name, stored, is_integer });
            self.columns.len() - 1
        }))
    }

    fn comparison(&mut self) -> Result<Comparison, String> {
        let unexpected = self.unexpected();
        let cursor = &mut self.cursor;
        Ok(if cursor.eat_punct("=") {
            Comparison::Equal
        } else if cursor.eat_punct("!") && cursor.eat_punct("=") {
            Comparison::NotEqual
        } else if cursor.eat_punct(">") {
            if cursor.eat_punct("=") { Comparison::GreaterOrEqual } else { Comparison::Greater }
        } else if cursor.eat_punct("<") {
            if cursor.eat_punct(">") {
                Comparison::NotEqual
            } else if cursor.eat_punct("=") {
                Comparison::LessOrEqual
            } else {
                Comparison::Less
            }
        } else {
            return Err(unexpected);
        })
    }

    fn is_number_next(&self) -> bool {
        self.cursor.peek().is_some_and(|token| token.kind == TokenKind::Number || token.is_punct("-"))
    }

    /// A decimal integer that a signed BIGINT holds.
    fn number(&mut self) -> Result<i64, String> {
        let unexpected = self.unexpected();
        let is_negative = self.cursor.eat_punct("-");
        let token = self.cursor.next().filter(|token| token.kind == TokenKind::Number).ok_or(unexpected)?;
        let number: i64 = match token.text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => token.text.parse().ok(),
            false => None,
        }
        .ok_or_else(|| format!("{} is no integer of the type BIGINT", Printable(token.text)))?;
        Ok(if is_negative { -number } else { number })
    }

    fn number_for(&mut self, term: Term) -> Result<i64, String> {
        let number = self.number()?;
        self.check_sign(term, number).map(|()| number)
    }

    /// Old servers compare unsigned values with negative numbers in more than one way.
    fn check_sign(&self, term: Term, number: i64) -> Result<(), String> {
        let name = self.columns.get(term.column).map(|column| &column.name);
        let column = self.table.columns.iter().find(|column| Some(&column.name) == name);
        match column {
            Some(column) if number < 0 && column.column_type.contains("unsigned") => {
                Err(format!("column {} is unsigned, and {number} is negative", shown(column)))
            }
            _ => Ok(()),
        }
    }

    fn divisor(&mut self) -> Result<i64, String> {
        match self.number()? {
            number if number > 0 => Ok(number),
            number => Err(format!("it divides by {number}")),
        }
    }

    fn is_function_next(&self, name: &str) -> bool {
        self.cursor.peek().is_some_and(|token| token.is_word(name))
            && self.cursor.peek_at(1).is_some_and(|token| token.is_punct("("))
    }

    fn require_punct(&mut self, text: &str) -> Result<(), String> {
        match self.cursor.eat_punct(text) {
            true => Ok(()),
            false => Err(self.unexpected()),
        }
    }

    /// Runs a step within the limit of the depth.
    fn nested<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T, String>) -> Result<T, String> {
        if self.depth >= MAX_DEPTH {
            return Err("it is nested too deeply".to_owned());
        }
        self.depth += 1;
        let done = step(self);
        self.depth -= 1;
        done
    }

    /// Describes what comes next, where it does not belong.
    fn unexpected(&self) -> String {
        match self.cursor.peek() {
            Some(token) => format!("{} is not evaluated there", Printable(token.text)),
            None => "it ends too early".to_owned(),
        }
    }
}

impl Comparison {
    /// The comparison with both sides exchanged.
    fn reversed(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            Self::Equal | Self::NotEqual => self,
        }
    }
}

/// The columns by their numbers in an image.
fn stored_columns(table: &Table) -> impl Iterator<Item = (u32, &Column)> {
    (0..).zip(table.stored_columns())
}

fn loaded_columns(table: &Table) -> Vec<u32> {
    stored_columns(table).filter(|(_, column)| !column.generated).map(|(number, _)| number).collect()
}

fn is_integer(column: &Column) -> bool {
    ["tinyint", "smallint", "mediumint", "int", "bigint"].contains(&column.data_type.as_str())
}

fn shown(column: &Column) -> Printable<'_> {
    Printable(&column.name)
}

fn single_or(mut parts: Vec<Condition>, join: impl FnOnce(Vec<Condition>) -> Condition) -> Condition {
    match (parts.pop(), parts.is_empty()) {
        (Some(only), true) => only,
        (last, _) => {
            parts.extend(last);
            join(parts)
        }
    }
}
