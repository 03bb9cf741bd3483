//! Ctrl-C and its kin: the first cancels, a second Ctrl-C ends the process at once.

use dbgraft::{CancellationToken, Error, ErrorKind, Result};
use tokio::signal::unix::{SignalKind, signal};

use crate::CANCELLED;
use crate::progress::Progress;

/// Cancels the token when a signal asks for it.
pub(crate) fn cancel(cancellation: &CancellationToken, progress: &Progress) -> Result<()> {
    let ignored = ignored(&std::fs::read_to_string("/proc/self/status").unwrap_or_default());
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        // What was ignored when we were started (nohup, a shell's background job) stays ignored.
        if ignored & (1 << (kind.as_raw_value() - 1)) != 0 {
            continue;
        }
        let mut signals = signal(kind)
            .map_err(|error| Error::new(ErrorKind::Internal, "cannot listen for Ctrl-C").caused_by(error))?;
        let (cancellation, teller) = (cancellation.clone(), progress.teller());
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if !cancellation.is_cancelled() {
                    teller("cancelling… (Ctrl-C again leaves at once, and leaves what was made)".to_owned());
                    cancellation.cancel();
                } else if kind == SignalKind::interrupt() {
                    std::process::exit(CANCELLED.into());
                }
            }
        });
    }
    Ok(())
}

/// The set of ignored signals, one bit for each, from Linux's account of this process; empty on other systems.
fn ignored(status: &str) -> u64 {
    let set = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    set.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn ignored_signals_are_read() {
        assert_eq!(super::ignored("Name:\tdbgraft\nSigIgn:\t0000000000001001\nSigCgt:\t0\n"), 0x1001);
        assert_eq!(super::ignored(""), 0);
    }
}
