//! Checks that this source can be cloned into the target's server and database at all.

use super::super::message_format::display_name;
use super::super::system_variables;
use super::TargetContext;
use crate::mysql::capability;
use crate::mysql::connect::Conn;
use crate::report::Finding;

const SYSTEM: [&str; 4] = ["mysql", "sys", "information_schema", "performance_schema"];

pub(super) fn check(conn: &Conn, target: &TargetContext<'_>) -> Vec<Finding> {
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
    capability::describe_pair(from, to).map(Finding::note).into_iter().collect()
}
