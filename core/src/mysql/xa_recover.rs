//! Lists the XA transactions that are prepared at a server.

use std::collections::BTreeMap;

use super::connect::{Conn, Row};
use crate::error::Result;

/// The names of prepared transactions as the log writes them, each with its name as XA RECOVER shows it.
pub(super) type Prepared = BTreeMap<String, String>;

/// Reads which transactions are prepared now. `None` if the account may not see them.
pub(super) async fn read_prepared(conn: &mut Conn) -> Result<Option<Prepared>> {
    match conn.rows("XA RECOVER").await {
        Ok(rows) => Ok(Some(rows.iter().map(|row| (logged_name(row), row.string(3))).collect())),
        Err(error) if error.code().is_none() => Err(error),
        Err(_) => Ok(None),
    }
}

/// The name of a line of XA RECOVER in the statements of the log.
fn logged_name(row: &Row) -> String {
    let name = row.bytes(3);
    let (global, branch) = name.split_at(name.len().min(usize::try_from(row.number(1)).unwrap_or(usize::MAX)));
    format!("X'{}',X'{}',{}", hex::encode(global), hex::encode(branch), row.string(0))
}
