//! What the batches so far have shown about the generated columns of a table.

use std::collections::BTreeMap;

use super::settings::SessionSettings;
use crate::catalog::Table;
use crate::codec::Digest;
use crate::fidelity::{FidelityIssue, Severity};
use crate::report::Note;

/// What is known of a table's generated columns.
#[derive(Default)]
pub(in crate::mysql) struct GeneratedColumnState {
    /// Settings that gave the source's values, the latest last.
    pub(super) known: Vec<SessionSettings>,
    /// How many searches found nothing.
    pub(super) fruitless: u32,
    /// The settings under which the server opened the table.
    pub(super) opened: SessionSettings,
    /// How many rows of each column are not as at the source.
    pub(super) different: BTreeMap<String, u64>,
    /// What must be in the target, by the number of the chunk.
    pub(super) expected: BTreeMap<u32, Digest>,
}

impl GeneratedColumnState {
    /// What the report says of the columns that the target computes otherwise.
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
