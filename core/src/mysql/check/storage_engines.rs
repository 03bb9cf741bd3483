//! The storage engines of a server.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::mysql::connect::Conn;

/// Reads the engines that the server can use now, in upper case, and whether each has transactions.
pub(super) async fn usable_engines(conn: &mut Conn) -> Result<BTreeMap<String, bool>> {
    let rows = conn.rows("SELECT ENGINE, SUPPORT, TRANSACTIONS FROM information_schema.ENGINES").await?;
    let usable = rows.iter().filter(|row| matches!(row.string(1).as_str(), "YES" | "DEFAULT"));
    Ok(usable.map(|row| (row.string(0).to_ascii_uppercase(), row.string(2) == "YES")).collect())
}
