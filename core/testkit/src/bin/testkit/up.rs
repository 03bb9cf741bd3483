//! Runs servers until standard input is closed.

use std::io::{self, Write};

use dbgraft_testkit::{ServerSelection, Servers};
use tokio::signal::unix::{SignalKind, signal};

use crate::Failure;

/// Serves until standard input ends or a signal comes.
///
/// Watches standard input and signals from the start, so that an early end stops the start of servers.
pub(crate) fn up(wanted: ServerSelection) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let result = runtime.block_on(async {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let mut input_ends = tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink()));
        let starting = tokio::task::spawn_blocking(move || Servers::start(wanted));
        let serving = async {
            let servers = starting.await??;
            let line = serde_json::to_string(&servers.running())?;
            writeln!(io::stdout(), "{line}")?;
            io::stdout().flush()?;
            // Held here: whichever way the wait ends, they are dropped with this future.
            let _servers = servers;
            std::future::pending::<Result<(), Failure>>().await
        };
        tokio::select! {
            failed = serving => failed,
            _ = &mut input_ends => Ok(()),
            _ = interrupt.recv() => Ok(()),
            _ = terminate.recv() => Ok(()),
        }
    });
    // A normal shutdown would wait for the thread that reads standard input.
    runtime.shutdown_background();
    result
}
