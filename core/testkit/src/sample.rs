//! A sample database.

use crate::compare::identifier;
use crate::database::Database;
use crate::error::Result;

const SHOP: &str = include_str!("../sql/shop.sql");

/// Creates the database `name` and fills it with a small shop: nine tables with about 300,000 rows, views,
/// triggers, routines, an event. Fails if `name` exists.
pub fn sample(server: &Database, name: &str) -> Result<()> {
    let quoted = identifier(name);
    server.sql(&format!("CREATE DATABASE {quoted} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"))?;
    server.sql_in(name, SHOP).map(drop)
}
