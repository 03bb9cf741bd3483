//! `status` and `abandon`: what a target knows of a clone into it.

use std::time::Duration;

use dbgraft::{CloneOptions, NamingStyle, Result, SecretString, TargetJob};
use pyo3::prelude::*;
use tokio::time::timeout;

use crate::error::{internal, to_exception};
use crate::runtime::runtime;

/// The interval at which a waiting thread checks for signals.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Runs `status` or `abandon` on a target, and returns the result as JSON. Blocks this thread only; Ctrl-C ends it. What an
/// interrupted `abandon` has not removed, another one removes.
#[pyfunction]
#[pyo3(signature = (verb, target, options, *, password, archive_passphrase))]
pub(crate) fn run_target_job(
    py: Python<'_>,
    verb: &str,
    target: String,
    options: &str,
    password: Option<String>,
    archive_passphrase: Option<String>,
) -> PyResult<String> {
    let create = || -> Result<TargetJob> {
        let options = serde_json::from_str(options).map_err(internal)?;
        let job = TargetJob::new(target).options(CloneOptions::from_json(options, NamingStyle::Snake)?);
        let job = match password {
            Some(password) => job.password(SecretString::from(password)),
            None => job,
        };
        Ok(match archive_passphrase {
            Some(passphrase) => job.archive_passphrase(SecretString::from(passphrase)),
            None => job,
        })
    };
    let job = create().map_err(|error| to_exception(py, &error))?;
    let runtime = runtime().map_err(|error| to_exception(py, &error))?;
    let removes = verb == "abandon";
    let mut task = runtime.spawn(async move {
        match removes {
            true => serde_json::to_string(&job.abandon().await?),
            false => serde_json::to_string(&job.status().await?),
        }
        .map_err(internal)
    });
    loop {
        if let Ok(ended) = py.detach(|| runtime.block_on(async { timeout(POLL_INTERVAL, &mut task).await })) {
            let result = ended.map_err(internal).and_then(|result| result);
            return result.map_err(|error| to_exception(py, &error));
        }
        if let Err(signal) = py.check_signals() {
            task.abort();
            return Err(signal);
        }
    }
}
