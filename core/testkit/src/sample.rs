//! A sample database.

use crate::compare::identifier;
use crate::database::Database;
use crate::error::Result;

const SHOP: &str = include_str!("../sql/shop.sql");

/// How many rows a sample database has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampleSize {
    /// About 16,000.
    Small,
    /// About 300,000.
    Full,
}

/// Creates the database `name` and fills it with a small shop: nine tables, views, triggers, routines, an event. Fails if
/// `name` exists.
pub fn sample(server: &Database, name: &str, size: SampleSize) -> Result<()> {
    let quoted = identifier(name);
    server.sql(&format!("CREATE DATABASE {quoted} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"))?;
    let (customers, products, orders) = match size {
        SampleSize::Small => (1, 1, 3),
        SampleSize::Full => (20, 5, 60),
    };
    let sizes = format!("SET @customers = {customers}, @products = {products}, @orders = {orders};\n");
    server.sql_in(name, &(sizes + SHOP)).map(drop)
}
