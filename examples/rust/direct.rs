//! Clones a database directly from one server to another:
//!
//! cargo run --example direct -- mysql://root@127.0.0.1:3306/shop mysql://root@127.0.0.1:3307/shop_copy
#![allow(clippy::print_stdout, reason = "an example prints its result")]

use dbgraft::CloneJob;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(source), Some(target)) = (arguments.next(), arguments.next()) else {
        return Err("usage: SOURCE TARGET, two URLs mysql://user@host/database".into());
    };

    // Clones all objects. A password that is not in the URL comes from DBGRAFT_SOURCE_PASSWORD or
    // DBGRAFT_TARGET_PASSWORD, or from ~/.my.cnf.
    let report = CloneJob::new(source, target).run().await?;

    println!("{} rows in {:.1} s, snapshot: {}", report.rows, report.seconds, report.position.rung.describe());
    for object in &report.objects {
        println!("{:<40} {:>10} rows", object.object.to_string(), object.rows);
    }
    for warning in &report.warnings {
        println!("warning: {warning}");
    }
    Ok(())
}
