//! A database is cloned through S3, and progress is printed:
//!
//! cargo run --example through_s3 -- mysql://root@db1/shop mysql://root@db2/shop_copy s3://bucket/staging
//!
//! The keys come from the usual AWS environment. Ctrl-C cancels, and what was made is removed again.
#![allow(clippy::print_stdout, reason = "an example has something to say")]

use dbgraft::{CancellationToken, CloneJob, CloneOptions, Event};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, target, via] = arguments.as_slice() else {
        return Err("three URLs, please: mysql://… from, mysql://… to, and s3://bucket/prefix in between".into());
    };

    // The export and the import run at the same time: the first batch is loaded while the last is not yet read.
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

/// Called while the clone runs, so it must not take long.
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
