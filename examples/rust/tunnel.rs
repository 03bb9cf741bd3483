//! Clones between databases that only SSH hosts can reach, through these hosts:
//!
//! cargo run --example tunnel -- mysql://app@10.0.0.5/shop ssh://me@bastion.example \
//!     mysql://app@localhost/shop_copy ssh://me@db2.example
//!
//! The SSH hosts resolve the host names of the databases. The host keys must be in known_hosts.
#![allow(clippy::print_stdout, reason = "an example prints its result")]

use dbgraft::{CloneJob, ExecutionSite};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, near, target, far] = arguments.as_slice() else {
        return Err("usage: SOURCE SOURCE_HOST TARGET TARGET_HOST: mysql://…, ssh://…, mysql://…, ssh://…".into());
    };

    // The rows pass this machine. No local port is opened.
    let job = CloneJob::new(source, target)
        .source_site(ExecutionSite::Tunnel(near.clone()))
        .target_site(ExecutionSite::Tunnel(far.clone()));
    let report = job.run().await?;

    println!("{} rows, {} bytes in {:.1} s", report.rows, report.bytes, report.seconds);
    Ok(())
}
