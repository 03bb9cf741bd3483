//! Makes what must not exist while changes are applied: triggers, which would fire for each change, and events.

use std::collections::BTreeSet;

use crate::catalog::{Definition, ObjectKind};
use crate::error::Result;
use crate::mysql::catalog_comparison::CatalogComparison;
use crate::mysql::connect::Conn;
use crate::mysql::target::TargetDatabase;
use crate::mysql::{create_events, create_objects, removed_objects, translate};
use crate::plan::Plan;
use crate::report::Note;

/// Whether the object acts by itself.
pub(in crate::mysql) fn is_active(kind: ObjectKind) -> bool {
    matches!(kind, ObjectKind::Trigger | ObjectKind::Event)
}

/// Creates the triggers and events of a plan, and enables the events. A second call after a lost connection skips what
/// exists.
pub(super) async fn create_active_objects(target: &TargetDatabase, plan: &Plan) -> Result<Vec<Note>> {
    let mut conn = target.ddl_session().await?;
    let created = create(&mut conn, target, plan).await;
    match created {
        Ok(notes) => {
            target.connections.close(conn);
            Ok(notes)
        }
        Err(error) => {
            // The last statement may still run. If KILL fails too, the next try reports it.
            let _ = target.connections.kill(conn).await;
            Err(error)
        }
    }
}

async fn create(conn: &mut Conn, target: &TargetDatabase, plan: &Plan) -> Result<Vec<Note>> {
    if plan.job.way_back.is_some() {
        return removed_objects::restore_all(conn, target, plan).await;
    }
    let mut plan = translate::plan(plan, &conn.server).into_owned();
    plan.definitions.retain(|definition| is_active(definition.object.kind));
    let rewriter = target.definition_rewriter(&plan);
    let definitions: Vec<Definition> = plan.definitions.clone();
    let mut notes = create_objects::create_objects(conn, target, &plan, &definitions, &rewriter).await?;
    notes.extend(create_events::create_events(conn, target, &definitions, &rewriter).await?);
    let comparison = CatalogComparison {
        plan: &plan,
        rewriter: &rewriter,
        created_tables: &BTreeSet::new(),
        known_notes: &notes.clone(),
    };
    notes.extend(comparison.run(target).await?);
    Ok(notes)
}
