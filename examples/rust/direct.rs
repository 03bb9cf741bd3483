//! A database is cloned straight from one server to another:
//!
//! cargo run --example direct -- mysql://root@127.0.0.1:3306/shop mysql://root@127.0.0.1:3307/shop_copy
#![allow(clippy::print_stdout, reason = "an example has something to say")]

use dbgraft::CloneJob;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(source), Some(target)) = (arguments.next(), arguments.next()) else {
        return Err("two URLs, please: mysql://user@host/database from, mysql://user@host/database to".into());
    };

    // Everything that the database holds. Without the target's password in its URL, the environment variable
    // DBGRAFT_TARGET_PASSWORD is used, or ~/.my.cnf; the same holds for the source.
    let report = CloneJob::new(source, target).run().await?;

    println!("{} rows in {:.1} s, all of one moment: {}", report.rows, report.seconds, report.position.rung.describe());
    for object in &report.objects {
        println!("{:<40} {:>10} rows", object.object.to_string(), object.rows);
    }
    for warning in &report.warnings {
        println!("warning: {warning}");
    }
    Ok(())
}
