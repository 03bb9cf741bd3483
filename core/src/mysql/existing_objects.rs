//! The objects that exist in a database, and their conflicts with new objects.

use super::check;
use super::connect::Conn;
use crate::catalog::{ObjectKind, ObjectRef};
use crate::error::Result;

/// The objects of a database at one moment, and how the server compares their names.
pub(super) struct ExistingObjects {
    objects: Vec<ObjectRef>,
    /// Whether the server takes `Orders` and `orders` for one table.
    pub(super) folds_names: bool,
}

impl ExistingObjects {
    pub(super) async fn read(conn: &mut Conn, database: &str) -> Result<Self> {
        let row = conn.row("SELECT @@lower_case_table_names").await?;
        let folds_names = row.is_some_and(|row| row.number(0) > 0);
        Ok(Self { objects: check::existing_objects(conn, database).await?, folds_names })
    }

    pub(super) fn is_same_name(&self, one: &str, other: &str) -> bool {
        one == other || self.folds_names && one.to_lowercase() == other.to_lowercase()
    }

    pub(super) fn has_table(&self, name: &str) -> bool {
        self.objects.iter().any(|object| object.kind == ObjectKind::Table && self.is_same_name(&object.name, name))
    }

    /// The existing object whose name this object would take.
    pub(super) fn conflicts_with(&self, wanted: &ObjectRef) -> Option<&ObjectRef> {
        self.objects.iter().find(|object| self.is_name_conflict(object, wanted))
    }

    /// All objects except these. A view in the place of a table is another object.
    pub(super) fn all_except(&self, these: &[ObjectRef]) -> Vec<ObjectRef> {
        let others = self.objects.iter().filter(|object| {
            !these.iter().any(|known| known.kind == object.kind && self.is_name_conflict(object, known))
        });
        others.cloned().collect()
    }

    /// Whether both objects would have the same name on the server.
    ///
    /// Tables, views and sequences share one namespace. Names of other kinds ignore case on every server, except those
    /// of triggers.
    fn is_name_conflict(&self, object: &ObjectRef, wanted: &ObjectRef) -> bool {
        let relation = |kind| matches!(kind, ObjectKind::Table | ObjectKind::View | ObjectKind::Sequence);
        match relation(wanted.kind) {
            true => relation(object.kind) && self.is_same_name(&object.name, &wanted.name),
            false if wanted.kind == ObjectKind::Trigger => *object.name == wanted.name && object.kind == wanted.kind,
            false => object.kind == wanted.kind && object.name.to_lowercase() == wanted.name.to_lowercase(),
        }
    }
}
