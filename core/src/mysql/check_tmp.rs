use super::connect::{Address, Conn};
use super::introspect::literal;
use crate::catalog::{Catalog, ObjectKind, ObjectRef};
use crate::error::Result;
use crate::options::CloneOptions;
use crate::plan::Selection;
use crate::report::Finding;
pub(super) async fn target(
    _: &mut Conn,
    _: &Address,
    _: &Catalog,
    _: &Selection,
    _: &CloneOptions,
) -> Result<Vec<Finding>> {
    Ok(vec![])
}
pub(super) async fn existing(conn: &mut Conn, database: &str) -> Result<Vec<ObjectRef>> {
    let rows = conn
        .rows(&format!(
            "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = {}",
            literal(database)
        ))
        .await?;
    Ok(rows
        .iter()
        .map(|r| ObjectRef::new(if r.string(1) == "VIEW" { ObjectKind::View } else { ObjectKind::Table }, r.string(0)))
        .collect())
}
