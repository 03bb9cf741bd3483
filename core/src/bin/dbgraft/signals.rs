//! Handles SIGINT, SIGTERM and SIGHUP: the first cancels the job, a second SIGINT ends the process at once. SIGUSR1 pauses
//! the job, SIGUSR2 lets it go on.

use dbgraft::{CancellationToken, Error, ErrorKind, JobControl, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::CANCELLED;
use crate::progress::ProgressDisplay;

/// Cancels the token on a signal.
pub(crate) fn cancel_on_signals(cancellation: &CancellationToken, progress: &ProgressDisplay) -> Result<()> {
    let ignored = ignored_signals(&std::fs::read_to_string("/proc/self/status").unwrap_or_default());
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        // A signal that was ignored at the start (by nohup, or as a background job of a shell) stays ignored.
        if ignored & (1 << (kind.as_raw_value() - 1)) != 0 {
            continue;
        }
        let mut signals = signal(kind)
            .map_err(|error| Error::new(ErrorKind::Internal, "cannot listen for Ctrl-C").caused_by(error))?;
        let (cancellation, print_line) = (cancellation.clone(), progress.line_printer());
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if !cancellation.is_cancelled() {
                    print_line("cancelling… (Ctrl-C again ends at once without clean-up)".to_owned());
                    cancellation.cancel();
                } else if kind == SignalKind::interrupt() {
                    std::process::exit(CANCELLED.into());
                }
            }
        });
    }
    Ok(())
}

/// Listens for SIGUSR1 and SIGUSR2, which end a process that does not.
pub(crate) fn listen_for_pauses() -> Result<(Signal, Signal)> {
    let listen = |kind| {
        signal(kind).map_err(|error| Error::new(ErrorKind::Internal, "cannot listen for signals").caused_by(error))
    };
    Ok((listen(SignalKind::user_defined1())?, listen(SignalKind::user_defined2())?))
}

/// Pauses the job on SIGUSR1, and lets it go on on SIGUSR2.
pub(crate) fn pause_on_signals(control: JobControl) -> Result<()> {
    let (mut pause, mut unpause) = listen_for_pauses()?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                Some(()) = pause.recv() => control.pause(),
                Some(()) = unpause.recv() => control.unpause(),
                else => return,
            }
        }
    });
    Ok(())
}

/// The bit set of ignored signals in `/proc/self/status`; empty on systems without it.
fn ignored_signals(status: &str) -> u64 {
    let set = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    set.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn ignored_signals_are_read() {
        assert_eq!(super::ignored_signals("Name:\tdbgraft\nSigIgn:\t0000000000001001\nSigCgt:\t0\n"), 0x1001);
        assert_eq!(super::ignored_signals(""), 0);
    }
}
