//! The worker threads of all jobs of this process.

use std::sync::OnceLock;

use dbgraft::{Error, ErrorKind, Result};
use tokio::runtime::{Builder, Runtime};

static RUNTIME: OnceLock<(u32, std::io::Result<Runtime>)> = OnceLock::new();

/// Returns the runtime. The first call starts it.
///
/// # Errors
/// `Usage` in a process that was forked after the start, because a fork does not copy the threads.
pub(crate) fn runtime() -> Result<&'static Runtime> {
    let start = || {
        let runtime = Builder::new_multi_thread().enable_all().thread_name("dbgraft").build();
        (std::process::id(), runtime)
    };
    match RUNTIME.get_or_init(start) {
        (owner, _) if *owner != std::process::id() => Err(Error::usage(
            "this process was forked after dbgraft had started its threads, which a fork leaves behind: use it in one \
             of the two processes only, or start the other by multiprocessing's `spawn` or `forkserver`",
        )),
        (_, Ok(runtime)) => Ok(runtime),
        (_, Err(error)) => {
            Err(Error::new(ErrorKind::Internal, "cannot start the worker threads").caused_by(error.to_string()))
        }
    }
}

/// Whether the runtime was started.
pub(crate) fn is_running() -> bool {
    RUNTIME.get().is_some()
}

/// Whether this process started the runtime.
pub(crate) fn is_ours() -> bool {
    RUNTIME.get().is_some_and(|(owner, _)| *owner == std::process::id())
}
