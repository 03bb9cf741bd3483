//! Makes a fresh Debian machine ready, and does nothing on one that is.

mod apt_source;
mod mysql;
mod packages;

use crate::error::{Error, Result};

/// The result of `testkit install`, for a terminal.
pub fn install(mut say: impl FnMut(&str)) -> Result<()> {
    packages::install(&mut say)?;
    mysql::install(&mut say)
}

fn advice(failed: impl std::fmt::Display) -> Error {
    Error::new(format!(
        "{failed}\n\
         `testkit install` works where apt reaches a Debian archive. Elsewhere install mariadb-server and \
         openssh-server yourself, and name the mysqld of a MySQL 8.0 or newer in {}.",
        crate::MYSQLD
    ))
}
