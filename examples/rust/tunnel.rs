//! Two databases that only hosts of theirs can reach are cloned through these hosts, by SSH:
//!
//! cargo run --example tunnel -- mysql://app@10.0.0.5/shop ssh://me@bastion.example \
//!     mysql://app@localhost/shop_copy ssh://me@db2.example
//!
//! Hosts and ports of the databases are as the SSH hosts see them. Host keys must be in known_hosts.
#![allow(clippy::print_stdout, reason = "an example has something to say")]

use dbgraft::{CloneJob, ExecutionSite};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, near, target, far] = arguments.as_slice() else {
        return Err(
            "four URLs, please: mysql://… from, and ssh://… next to it; mysql://… to, and ssh://… next to it".into()
        );
    };

    // The rows pass through this machine. No local port listens.
    let job = CloneJob::new(source, target)
        .source_site(ExecutionSite::Tunnel(near.clone()))
        .target_site(ExecutionSite::Tunnel(far.clone()));
    let report = job.run().await?;

    println!("{} rows, {} bytes in {:.1} s", report.rows, report.bytes, report.seconds);
    Ok(())
}
