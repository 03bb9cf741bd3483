//! Creates everything that comes after the rows.

use std::collections::BTreeSet;

use super::apply::is_active;
use super::catalog_comparison::CatalogComparison;
use super::connect::Conn;
use super::ddl::quote_name;
use super::target::TargetDatabase;
use super::undo_log::CreatedItem;
use super::{create_events, create_objects, generated, introspect, translate};
use crate::catalog::{Definition, ObjectKind};
use crate::error::Result;
use crate::plan::Plan;
use crate::report::Note;

impl TargetDatabase {
    /// Creates everything that comes after the rows. A second call after a lost connection skips existing objects.
    pub(super) async fn finish(&self, plan: &Plan) -> Result<Vec<Note>> {
        let mut conn = self.ddl_session().await?;
        // The check uses the connection that creates the objects: a later crash breaks it, and the next try checks again.
        // The plan names the source's engines, by which the batches were written.
        let created = match self.check_durable_batches(&mut conn, plan).await {
            Ok(()) => {
                let plan = &*translate::plan(plan, &conn.server);
                self.create_objects_on(&mut conn, plan).await
            }
            Err(error) => Err(error),
        };
        match created {
            Ok(notes) => {
                self.connections.close(conn);
                Ok(notes)
            }
            Err(error) => {
                // The last statement may still run.
                self.discard(conn).await;
                Err(self.explain_lock_wait(error).await)
            }
        }
    }

    async fn create_objects_on(&self, conn: &mut Conn, plan: &Plan) -> Result<Vec<Note>> {
        let mut notes = Vec::new();
        for table in &plan.tables {
            notes.extend(self.state().lost_signs(table.number, 0..=u32::MAX).notes(&table.table.name));
        }
        for (number, generated) in &self.state().generated_columns {
            let table = plan.tables.get(*number as usize);
            notes.extend(table.map(|table| generated.notes(&table.table)).unwrap_or_default());
        }
        let table_ddl = self.state().table_ddl.clone();
        let created = plan.tables.iter().filter(|table| table_ddl.contains_key(&table.table.name));
        notes.extend(created.flat_map(|table| generated::index_notes(&table.table)));
        notes.extend(self.add_foreign_keys(conn).await?);
        if plan.tables.iter().any(|table| table.position.is_some()) {
            notes.extend(self.check_foreign_keys(conn).await?);
        }
        // Triggers would fire for each change that is applied.
        let waits = |definition: &Definition| self.options.follow && is_active(definition.object.kind);
        let made =
            Plan { definitions: plan.definitions.iter().filter(|d| !waits(d)).cloned().collect(), ..plan.clone() };
        let plan = &made;
        let later: Vec<Definition> =
            plan.definitions.iter().filter(|d| d.object.kind != ObjectKind::Sequence).cloned().collect();
        let database = &self.address.database;
        if let Some(original) = self.undo_log.original_collation() {
            conn.exec(&format!("ALTER DATABASE {} COLLATE {original}", quote_name(database))).await?;
        } else if let Some(database) = introspect::read_database(conn, database).await? {
            self.record_item(CreatedItem::Collation(database.collation)).await?;
        }
        let rewriter = self.definition_rewriter(plan);
        notes.extend(create_objects::create_objects(conn, self, plan, &later, &rewriter).await?);
        self.record_all_objects().await?;
        notes.extend(create_events::create_events(conn, self, &later, &rewriter).await?);
        let tables: BTreeSet<String> = self.state().table_ddl.keys().cloned().collect();
        let known_notes: Vec<Note> = self.state().notes.iter().chain(&notes).cloned().collect();
        let comparison =
            CatalogComparison { plan, rewriter: &rewriter, created_tables: &tables, known_notes: &known_notes };
        notes.extend(comparison.run(self).await?);
        Ok(notes)
    }
}
