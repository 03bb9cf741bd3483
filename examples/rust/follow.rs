//! Moves a live database: copies it, applies every change until the target is up to date, and cuts over.
//!
//! cargo run --example follow -- mysql://root@127.0.0.1:3306/shop mysql://root@127.0.0.1:3307/shop
#![allow(clippy::print_stdout, reason = "an example prints its result")]

use std::time::Duration;

use dbgraft::{CloneJob, CloneOptions, Verify};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(source), Some(target)) = (arguments.next(), arguments.next()) else {
        return Err("usage: SOURCE TARGET, two URLs mysql://user@host/database".into());
    };
    let job = CloneJob::new(source, target).options(CloneOptions { follow: true, ..CloneOptions::default() });
    let control = job.control();
    let running = tokio::spawn(job.run());
    while !running.is_finished() {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let Some(progress) = control.follow_progress() else { continue };
        println!("{:.1} s behind at {}", progress.lag_seconds, progress.position);
        if progress.lag_seconds < 1.0 {
            // Here the program stops what writes at the source. What was committed until now is applied.
            control.cut_over(Verify::None);
            break;
        }
    }
    let report = running.await??;
    if let Some(followed) = report.followed {
        println!("{} has every change up to {}:{}", followed.target, followed.position.file, followed.position.offset);
    }
    Ok(())
}
