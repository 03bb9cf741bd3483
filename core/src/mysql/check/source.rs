//! The checks of the source.

use super::account::Account;
use super::{condition, connections, read_access, snapshot_method, visibility};
use crate::catalog::Catalog;
use crate::error::Result;
use crate::mysql::connect::Conn;
use crate::options::CloneOptions;
use crate::plan::{Selection, SnapshotMethod};
use crate::report::Finding;

/// Runs all checks of the source.
pub(super) async fn check(
    conn: &mut Conn,
    catalog: &Catalog,
    selection: &Selection,
    options: &CloneOptions,
) -> Result<Vec<Finding>> {
    let account = Account::read(conn).await?;
    let broken = read_access::undisplayable_objects(conn, catalog, selection).await?;
    let mut findings = visibility::check(&account, catalog, selection, &broken);
    if selection.schema {
        findings.extend(visibility::check_hidden_kinds(&account, catalog, selection, options));
    }
    findings.extend(read_access::check(conn, &account, catalog, selection).await?);
    if selection.rows {
        findings.extend(connections::check("source", 1, &account, options));
        findings.extend(condition::check(conn, &catalog.database.name, selection).await?);
        findings.extend(check_single_reader(&account, catalog, selection, options));
        if !options.no_consistency {
            findings.extend(read_access::check_transactional_engines(conn, catalog, selection).await?);
        }
    }
    Ok(findings)
}

/// Warns if the account's privileges allow only one reading connection. Following refuses it.
fn check_single_reader(
    account: &Account,
    catalog: &Catalog,
    selection: &Selection,
    options: &CloneOptions,
) -> Option<Finding> {
    let partial = selection.tables.len() < catalog.tables.len();
    let method = snapshot_method::expected_method(account, &catalog.server, options, &catalog.database.name, partial);
    if method != SnapshotMethod::SingleTransaction || selection.tables.is_empty() {
        return None;
    }
    if options.follow {
        return Some(Finding::error(format!(
            "the account may take no lock, and the source has no GTIDs (gtid_mode), so the place of a snapshot in the binary \
             log is not known exactly: {}",
            account.suggest_grant("RELOAD", "*.*")
        )));
    }
    if options.threads < 2 {
        return None;
    }
    Some(Finding::warning(format!(
        "the account may take no lock, so only one connection reads, and the binary log position, if the account may \
         see one, is of a moment before the rows: {}",
        account.suggest_grant("RELOAD", "*.*")
    )))
}
