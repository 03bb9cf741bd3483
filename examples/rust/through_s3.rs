//! Clones a database through S3 and prints the progress:
//!
//! cargo run --example through_s3 -- mysql://root@db1/shop mysql://root@db2/shop_copy s3://bucket/staging
//!
//! The S3 keys come from the AWS environment. Ctrl-C cancels the clone and removes what it created.
#![allow(clippy::print_stdout, reason = "an example prints its result")]

use dbgraft::{CancellationToken, CloneJob, CloneOptions, Event};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, target, via] = arguments.as_slice() else {
        return Err("usage: SOURCE TARGET VIA: mysql://…, mysql://… and s3://bucket/prefix".into());
    };

    // The export and the import run at the same time.
    let options = CloneOptions { via: Some(via.clone()), threads: 8, ..CloneOptions::default() };

    let cancellation = CancellationToken::new();
    let on_ctrl_c = cancellation.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            on_ctrl_c.cancel();
        }
    });

    let job = CloneJob::new(source, target).options(options).cancellation(cancellation).on_event(print);
    let report = job.run().await?;
    println!("{} rows, {} bytes in {:.1} s", report.rows, report.bytes, report.seconds);
    Ok(())
}

/// Called by the running clone: it must return at once.
fn print(event: Event) {
    match event {
        Event::Phase { leg, phase } => println!("{leg:?}: {phase:?}"),
        Event::Finished { leg, object, rows, .. } => println!("{leg:?}: {object} is complete, {rows} rows"),
        Event::Progress { leg, amount, .. } => {
            println!("{leg:?}: {} of about {} bytes, {:.0} a second", amount.bytes, amount.bytes_total, amount.rate);
        }
        Event::Warning { message } => println!("warning: {message}"),
        _ => {}
    }
}
