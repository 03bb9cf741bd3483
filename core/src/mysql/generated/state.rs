//! What the batches so far have shown about the generated columns of a table.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::RwLock;

use super::settings::SessionSettings;
use crate::catalog::Table;
use crate::codec::Digest;
use crate::fidelity::{FidelityIssue, Severity};
use crate::report::Note;

/// The state of a table's generated columns during a clone.
#[derive(Default)]
pub(in crate::mysql) struct GeneratedColumnState {
    /// Settings that produced the source's values, the latest last.
    pub(super) known: Vec<SessionSettings>,
    /// The number of searches without a result.
    pub(super) fruitless: u32,
    /// The settings under which the table's rules last accepted rows that they had refused.
    pub(super) rules: SessionSettings,
    /// The settings under which the server opened the table. Rows are written under a read lock on them.
    pub(super) opened: Arc<RwLock<SessionSettings>>,
    /// Whether another session may have opened the table since, under settings of its own.
    pub(super) opened_by_others: bool,
    /// Whether the server has refused to reopen the table.
    pub(super) cannot_reopen: bool,
    /// The number of rows that differ from the source, by column.
    pub(super) different: BTreeMap<String, u64>,
    /// The digests that the target must have, by chunk number.
    pub(super) expected: BTreeMap<u32, Digest>,
}

impl GeneratedColumnState {
    /// The notes on columns that the target computes differently, and on the settings used.
    pub(in crate::mysql) fn notes(&self, table: &Table) -> Vec<Note> {
        let note = |(column, count): (&String, &u64)| {
            Note::Fidelity(FidelityIssue {
                object: table.object(),
                what: format!("column {column}"),
                severity: Severity::Warning,
                source: format!("values in {count} rows, as the sessions computed them that wrote these"),
                target: "what the target computes, under every setting that was tried".to_owned(),
            })
        };
        let under = self.known.iter().map(SessionSettings::describe).filter(|text| !text.is_empty());
        let under: Vec<String> = under.collect();
        let said = format!("its generated columns were computed under: {}", under.join("; "));
        let said = (!under.is_empty()).then(|| Note::about(&table.object(), said));
        self.different.iter().map(note).chain(said).collect()
    }
}
