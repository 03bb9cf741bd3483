//! Adapts the definitions of objects to the target database: definers and database names.

use super::ddl::{self, Dialect};
use crate::catalog::{Definition, ObjectRef, Printable};
use crate::report::Note;

/// Adapts definitions to the target: their definer, and the name of the database.
pub(super) struct DefinitionRewriter {
    pub(super) definer: ddl::DefinerRewrite,
    /// Replaces the name of the source's database by that of the target's.
    pub(super) rename: ddl::DatabaseRename,
}

impl DefinitionRewriter {
    /// Returns the statement for the target, and a note if it changed something that the user should know.
    pub(super) fn rewrite(&self, definition: &Definition) -> (String, Option<Note>) {
        let dialect = Dialect::from_sql_mode(&definition.sql_mode);
        let text = ddl::rewrite_definer(&definition.create, dialect, &self.definer);
        self.rename_database(&definition.object, text, dialect)
    }

    /// Changes references to the source's database into references to the target's, and counts them in a note.
    pub(super) fn rename_database(&self, object: &ObjectRef, text: String, dialect: Dialect) -> (String, Option<Note>) {
        let (text, count) = ddl::rename_database(&text, dialect, &self.rename);
        let ddl::DatabaseRename { from, to, .. } = &self.rename;
        let changed =
            || format!("{count} references to database {} were changed to {}", Printable(from), Printable(to));
        let note = (count > 0).then(|| Note::about(object, changed()));
        (text, note)
    }
}
