//! Checks that this source can be cloned into the target's server and database at all.

use super::super::message_format::display_name;
use super::super::system_variables;
use super::PreflightContext;
use crate::mysql::capability;
use crate::mysql::connect::Conn;
use crate::report::Finding;

const SYSTEM: [&str; 4] = ["mysql", "sys", "information_schema", "performance_schema"];

pub(super) fn check(conn: &Conn, target: &PreflightContext<'_>) -> Vec<Finding> {
    let (from, to) = (&target.catalog.server, &conn.server);
    let name = display_name(target.database);
    if SYSTEM.iter().any(|system| target.database.eq_ignore_ascii_case(system)) {
        return vec![Finding::error(format!(
            "{name} is a database of the target server's own: clone into another one"
        ))];
    }
    let same_server =
        !from.identity.is_empty() && from.identity == system_variables::server_identity(&target.account.variables);
    if same_server && target.fold_name(&target.catalog.database.name) == target.fold_name(target.database) {
        return vec![Finding::error(format!(
            "source and target are the same database {name} on the same server: give the target another name"
        ))];
    }
    let pair = capability::describe_pair(from, to);
    let finding = |pair| match from.flavor == to.flavor && from.version_numbers() > to.version_numbers() {
        true => Finding::warning(format!("{pair}; the source is newer than the target, which may not know all of it")),
        false => Finding::note(pair),
    };
    pair.map(finding).into_iter().collect()
}
