//! Clones a database between two regions: an agent works in each, and this machine only coordinates:
//!
//! cargo run --example regions -- mysql://app@db.internal/shop ssh://me@host.eu.example \
//!     mysql://app@localhost/shop_copy ssh://me@host.us.example s3://bucket/staging target/agent/dbgraft
//!
//! The hosts need an sshd and nothing else. The S3 keys come from the AWS environment of this machine and stay here. The
//! last argument is the `dbgraft` executable to upload, as `make agent` builds it.
#![allow(clippy::print_stdout, reason = "an example prints its result")]

use dbgraft::{CloneJob, CloneOptions, Event, ExecutionSite};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, near, target, far, via, agent] = arguments.as_slice() else {
        return Err(
            "usage: SOURCE SOURCE_HOST TARGET TARGET_HOST VIA EXECUTABLE: mysql://, ssh://, mysql://, ssh://, s3://"
                .into(),
        );
    };

    let options = CloneOptions {
        // Without it, the rows would pass this machine on their way between the agents.
        via: Some(via.clone()),
        // Not needed if the ssh:// URLs name an installed executable by `agent-path=`.
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
