//! The account of a session: its name, its privileges, and the server that it is on.

use super::grants::{Grants, NameComparison, parse_role_names};
use super::message_format;
use super::system_variables::SystemVariables;
use crate::error::Result;
use crate::mysql::capability::{self, Capability};
use crate::mysql::connect::Conn;
use crate::mysql::ddl::quote_name;

/// The account of a session, with the server's system variables.
pub(super) struct Account {
    pub(super) variables: SystemVariables,
    pub(super) grants: Grants,
    /// `user@host`, as `CURRENT_USER()` returns it.
    pub(super) name: String,
    active_roles: Vec<String>,
}

/// Reads the session's account, and suggests its inactive roles; empty without such a role.
pub(in crate::mysql) async fn inactive_roles_hint(conn: &mut Conn) -> Result<String> {
    Ok(Account::read(conn).await?.inactive_roles_hint())
}

impl Account {
    pub(super) async fn read(conn: &mut Conn) -> Result<Self> {
        let variables = SystemVariables::read(conn).await?;
        let role = if capability::has(&conn.server, Capability::Roles) { "CURRENT_ROLE()" } else { "NULL" };
        let row = conn.row(&format!("SELECT CURRENT_USER(), {role}")).await?;
        let text = |index| row.as_ref().map(|row| row.string(index)).unwrap_or_default();
        let comparison = NameComparison { folds: variables.folds_names(), literal: variables.is_on("partial_revokes") };
        // For the current account the result includes the privileges of its active roles.
        let grants = match conn.rows("SHOW GRANTS").await {
            Ok(rows) => Grants::parse(rows.iter().map(|row| row.string(0)), comparison),
            Err(error) if error.code().is_none() => return Err(error),
            Err(_) => Grants::unrestricted(),
        };
        Ok(Self { variables, grants, name: text(0), active_roles: parse_role_names(&text(1)) })
    }

    /// Suggests the `GRANT` statement for missing privileges, and the inactive roles that may hold them.
    pub(super) fn suggest_grant(&self, privileges: &str, on: &str) -> String {
        let account = message_format::quote_account(&self.name);
        format!("GRANT {privileges} ON {on} TO {account}{}", self.inactive_roles_hint())
    }

    /// Suggests the account's inactive roles, which may hold a missing privilege; empty without such a role.
    fn inactive_roles_hint(&self) -> String {
        let inactive = self.grants.inactive_roles(&self.name, &self.active_roles);
        match inactive.is_empty() {
            true => String::new(),
            false => {
                let roles = message_format::join_names(inactive);
                format!(" (or SET DEFAULT ROLE, if it is in {roles}, which is not active)")
            }
        }
    }

    /// [`suggest_grant`](Self::suggest_grant) for a whole database.
    pub(super) fn suggest_grant_on_database(&self, privileges: &str, database: &str) -> String {
        self.suggest_grant(privileges, &format!("{}.*", crate::catalog::Printable(&quote_name(database))))
    }
}
