//! Clones a part of a database, selected by a closure:
//!
//! cargo run --example partial -- mysql://root@127.0.0.1:3306/shop mysql://root@127.0.0.1:3307/shop_tables
#![allow(clippy::print_stdout, reason = "an example prints its result")]

use dbgraft::{CloneJob, CloneOptions, IfExists, ObjectKind, ObjectRef};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(source), Some(target)) = (arguments.next(), arguments.next()) else {
        return Err("usage: SOURCE TARGET, two URLs mysql://user@host/database".into());
    };

    // Called once for each object. To select rows too, implement `ObjectSelector` for a type.
    let wanted = |object: &ObjectRef| object.kind == ObjectKind::Table && !object.name.starts_with("log_");

    let options = CloneOptions { if_exists: IfExists::Drop, ..CloneOptions::default() };
    let job = || CloneJob::new(source.as_str(), target.as_str()).options(options.clone()).selector(wanted);

    // Shows what the clone would do.
    let overview = job().plan().await?;
    println!("{} tables, about {} rows", overview.plan.tables.len(), overview.plan.rows_estimate());
    for finding in &overview.findings {
        println!("{:?}: {}", finding.severity, finding.message);
    }

    let report = job().run().await?;
    println!("{} rows cloned", report.rows);
    for left_out in &report.left_out {
        println!("left out: {} ({})", left_out.object, left_out.reason);
    }
    Ok(())
}
