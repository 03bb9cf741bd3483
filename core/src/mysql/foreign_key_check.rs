//! Checks the foreign keys of a clone whose tables are of several moments: their rows may refer to missing ones.

use super::connect::Conn;
use super::ddl::{ForeignKey, quote_name};
use super::existing_objects::ExistingObjects;
use super::target::TargetDatabase;
use crate::catalog::{ObjectKind, ObjectRef, Printable};
use crate::error::Result;
use crate::fidelity::{FidelityIssue, Severity};
use crate::report::Note;

impl TargetDatabase {
    /// Reports each foreign key that does not hold. The keys and the rows stay.
    pub(super) async fn check_foreign_keys(&self, conn: &mut Conn) -> Result<Vec<Note>> {
        let existing = ExistingObjects::read(conn, &self.address.database).await?;
        let tables = self.state().table_ddl.clone();
        let mut notes = Vec::new();
        for (name, ddl) in tables {
            let is_here =
                |key: &&ForeignKey| key.referenced_database.is_none() && existing.has_table(&key.referenced_table);
            for key in ddl.foreign_keys.iter().filter(is_here) {
                let orphans = match conn.row(&count_orphans(&name, key)).await {
                    // The key is defective: a column is missing. The target has refused it.
                    Err(error) if error.code().is_some() && !error.is_retryable() => continue,
                    row => row?.map_or(0, |row| row.number(0)),
                };
                if orphans > 0 {
                    notes.push(orphan_note(&name, key, orphans));
                }
            }
        }
        Ok(notes)
    }
}

/// The statement that counts the rows whose parent is missing. A row with a NULL in the key has none.
fn count_orphans(table: &str, key: &ForeignKey) -> String {
    let pairs = key.columns.iter().zip(&key.referenced_columns);
    let equal: Vec<String> =
        pairs.map(|(own, parent)| format!("parent.{} = child.{}", quote_name(parent), quote_name(own))).collect();
    let present: Vec<String> = key.columns.iter().map(|own| format!("child.{} IS NOT NULL", quote_name(own))).collect();
    format!(
        "SELECT COUNT(*) FROM {} AS child WHERE {} AND NOT EXISTS (SELECT 1 FROM {} AS parent WHERE {})",
        quote_name(table),
        present.join(" AND "),
        quote_name(&key.referenced_table),
        equal.join(" AND ")
    )
}

fn orphan_note(table: &str, key: &ForeignKey, orphans: u64) -> Note {
    let name = key.name.as_deref().filter(|name| !name.is_empty()).unwrap_or("without a name");
    let rows = if orphans == 1 { "row refers" } else { "rows refer" };
    Note::Fidelity(FidelityIssue {
        object: ObjectRef::new(ObjectKind::Table, table),
        what: format!("foreign key {}", Printable(name)),
        severity: Severity::Warning,
        source: "every row refers to one that is there".to_owned(),
        target: format!("{orphans} {rows} to rows that are not there, since the tables are of several moments"),
    })
}
