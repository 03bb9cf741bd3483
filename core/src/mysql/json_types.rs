//! Finds JSON values whose types their text does not show.
//!
//! A part of a JSON value that was made from an SQL value keeps its type: `CAST(1.50 AS JSON)` is a DECIMAL, but the
//! target parses its text as a DOUBLE.
//!
//! Source: "The JSON Data Type" (<https://dev.mysql.com/doc/refman/9.7/en/json.html>) and `JSON_TYPE` there.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::capability::{self, Capability};
use super::connect::Conn;
use super::ddl::quote_name;
use crate::catalog::{Column, Flavor, ObjectRef};
use crate::error::Result;
use crate::fidelity::{FidelityIssue, Severity};
use crate::plan::TablePlan;
use crate::report::Note;

/// The number of such values so far, by table and column, and by chunk number.
#[derive(Default)]
pub(super) struct JsonTypeFindings(Mutex<BTreeMap<(ObjectRef, String), BTreeMap<u32, u64>>>);

/// The check of the rows of one chunk.
pub(super) struct JsonTypeCheck<'a> {
    pub(super) findings: &'a JsonTypeFindings,
    pub(super) table: &'a TablePlan,
    pub(super) chunk: u32,
    /// The clause `FROM …` that selects the rows.
    pub(super) from: String,
}

impl JsonTypeCheck<'_> {
    /// Checks the rows. A chunk that is read again counts once.
    pub(super) async fn run(self, conn: &mut Conn) -> Result<()> {
        let Self { findings, table, chunk, from } = self;
        if conn.server.flavor != Flavor::MySql || !capability::has(&conn.server, Capability::JsonTable) {
            return Ok(());
        }
        let columns: Vec<&Column> = table.table.loaded_columns().filter(|column| column.data_type == "json").collect();
        if columns.is_empty() {
            return Ok(());
        }
        let sums: Vec<String> =
            columns.iter().map(|column| format!("SUM({})", hidden_type_condition(&column.name))).collect();
        let Some(row) = conn.row(&format!("SELECT {} {from}", sums.join(", "))).await? else { return Ok(()) };
        let mut found = findings.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, column) in columns.iter().enumerate().filter(|(index, _)| row.number(*index) > 0) {
            found.entry((table.table.object(), column.name.clone())).or_default().insert(chunk, row.number(index));
        }
        Ok(())
    }
}

impl JsonTypeFindings {
    /// The notes for the report.
    pub(super) fn notes(&self) -> Vec<Note> {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let note = |((object, column), values): (&(ObjectRef, String), &BTreeMap<u32, u64>)| {
            let values: u64 = values.values().sum();
            Note::Fidelity(FidelityIssue {
                object: object.clone(),
                what: format!("column {column}"),
                severity: Severity::Warning,
                source: format!("SQL types (DECIMAL, DATE, BLOB, ...) inside {values} JSON values"),
                target: "what their text says".to_owned(),
            })
        };
        found.iter().map(note).collect()
    }
}

/// The SQL condition that a part of the JSON column, at any depth, has a type that its text does not show.
fn hidden_type_condition(column: &str) -> String {
    let column = quote_name(column);
    // The server parses an integer as unsigned if it does not fit into 32 bits.
    let hidden = |value: &str| {
        format!(
            "JSON_TYPE({value}) IN ('DECIMAL','DATE','TIME','DATETIME','BLOB','BIT','OPAQUE') \
             OR JSON_TYPE({value}) = 'UNSIGNED INTEGER' AND {value} <= 4294967295 \
             OR JSON_TYPE({value}) = 'INTEGER' AND {value} > 4294967295"
        )
    };
    let inside = |path: &str| {
        let parts =
            format!("JSON_TABLE(JSON_EXTRACT({column}, '{path}'), '$[*]' COLUMNS (part JSON PATH '$')) AS parts");
        format!("EXISTS (SELECT 1 FROM {parts} WHERE {})", hidden("part"))
    };
    format!("COALESCE({}, FALSE) OR {} OR {}", hidden(&column), inside("$**.*"), inside("$**[*]"))
}
