//! The checks of the source.

use super::party::Party;
use super::{condition, connections, readable, rung, visible};
use crate::catalog::Catalog;
use crate::error::Result;
use crate::mysql::connect::Conn;
use crate::options::CloneOptions;
use crate::plan::{Selection, SnapshotMethod};
use crate::report::Finding;

pub(super) async fn check(
    conn: &mut Conn,
    catalog: &Catalog,
    selection: &Selection,
    options: &CloneOptions,
) -> Result<Vec<Finding>> {
    let party = Party::read(conn).await?;
    let broken = readable::broken(conn, catalog, selection).await?;
    let mut findings = visible::check(&party, catalog, selection, &broken);
    if selection.schema {
        findings.extend(visible::unseen(&party, catalog, selection, options));
    }
    findings.extend(readable::check(conn, &party, catalog, selection).await?);
    if selection.rows {
        findings.extend(connections::check("source", 1, &party, options));
        findings.extend(condition::check(conn, &catalog.database.name, selection).await?);
        findings.extend(lone_reader(&party, catalog, selection, options));
        if !options.no_consistency {
            findings.extend(readable::unheld(conn, catalog, selection).await?);
        }
    }
    Ok(findings)
}

fn lone_reader(party: &Party, catalog: &Catalog, selection: &Selection, options: &CloneOptions) -> Option<Finding> {
    let partial = selection.tables.len() < catalog.tables.len();
    let rung = rung::expected(party, catalog.server.flavor, options, &catalog.database.name, partial);
    if rung != SnapshotMethod::SingleTransaction || options.threads < 2 || selection.tables.is_empty() {
        return None;
    }
    Some(Finding::warning(format!(
        "the account may take no lock, so only one connection reads, and no binary log position is known: {}",
        party.remedy("RELOAD", "*.*")
    )))
}
