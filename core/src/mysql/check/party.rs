//! One side of a clone: the server's settings, and who we are there.

use super::facts::Settings;
use super::grants::{Grants, Naming, role_names};
use super::words;
use crate::error::Result;
use crate::mysql::connect::Conn;
use crate::mysql::ddl::quote_name;

/// A server and our account on it.
pub(super) struct Party {
    pub(super) settings: Settings,
    pub(super) grants: Grants,
    /// `user@host`, as the server took us.
    pub(super) account: String,
    active_roles: Vec<String>,
}

impl Party {
    pub(super) async fn read(conn: &mut Conn) -> Result<Self> {
        let settings = Settings::read(conn).await?;
        let row = conn.row("SELECT CURRENT_USER(), CURRENT_ROLE()").await?;
        let text = |index| row.as_ref().map(|row| row.string(index)).unwrap_or_default();
        let naming = Naming { folds: settings.folds_names(), literal: settings.is_on("partial_revokes") };
        // For the current account the answer includes what its active roles give.
        let grants = match conn.rows("SHOW GRANTS").await {
            Ok(rows) => Grants::parse(rows.iter().map(|row| row.string(0)), naming),
            Err(error) if error.code().is_none() => return Err(error),
            Err(_) => Grants::all(),
        };
        Ok(Self { settings, grants, account: text(0), active_roles: role_names(&text(1)) })
    }

    /// The statement that gives what is missing, and whether a sleeping role may have it.
    pub(super) fn remedy(&self, privileges: &str, on: &str) -> String {
        let account = words::account(&self.account);
        format!("GRANT {privileges} ON {on} TO {account}{}", self.roles_hint())
    }

    /// What helps where a role that is not active has the right; empty without such a role.
    pub(super) fn roles_hint(&self) -> String {
        let idle = self.grants.idle_roles(&self.account, &self.active_roles);
        match idle.is_empty() {
            true => String::new(),
            false => format!(" (or SET DEFAULT ROLE, if it is in {}, which is not active)", words::names(idle)),
        }
    }

    /// [`remedy`](Self::remedy) for a whole database.
    pub(super) fn remedy_in(&self, privileges: &str, database: &str) -> String {
        self.remedy(privileges, &format!("{}.*", crate::catalog::Printable(&quote_name(database))))
    }
}
