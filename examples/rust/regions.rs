//! A database is cloned between two regions; the work is done in each, and this machine only coordinates:
//!
//! cargo run --example regions -- mysql://app@db.internal/shop ssh://me@host.eu.example \
//!     mysql://app@localhost/shop_copy ssh://me@host.us.example s3://bucket/staging target/agent/dbgraft
//!
//! The hosts need an sshd and nothing else, no keys of S3 either: those come from the usual AWS environment here. The
//! last argument is the `dbgraft` that both get, as `make agent` builds it.
#![allow(clippy::print_stdout, reason = "an example has something to say")]

use dbgraft::{CloneJob, CloneOptions, Event, ExecutionSite};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, near, target, far, via, agent] = arguments.as_slice() else {
        return Err(
            "mysql:// and ssh:// from, mysql:// and ssh:// to, s3:// in between, and an executable, please".into()
        );
    };

    let options = CloneOptions {
        // Without S3 the rows would flow through this machine, from agent to agent.
        via: Some(via.clone()),
        // Unless the ssh:// URLs say `agent-path=`: which one is installed there.
        agent_binary: Some(agent.into()),
        ..CloneOptions::default()
    };
    let job = CloneJob::new(source, target)
        .source_site(ExecutionSite::Agent(near.clone()))
        .target_site(ExecutionSite::Agent(far.clone()))
        .options(options)
        .on_event(|event| {
            if let Event::Finished { leg, object, rows, .. } = event {
                println!("{leg:?}: {object} is complete, {rows} rows");
            }
        });
    let report = job.run().await?;

    println!("{} rows, {} bytes in {:.1} s", report.rows, report.bytes, report.seconds);
    Ok(())
}
