//! `status` and `abandon`: what a target knows of a clone into it.

use dbgraft::{CloneOptions, NamingStyle, Result, SecretString, TargetJob};
use pyo3::prelude::*;

use crate::error::{internal, to_exception};
use crate::runtime::runtime;

/// Runs `status` or `abandon` on a target, and returns the result as JSON. Blocks this thread only.
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
    let run = || -> Result<String> {
        let options = serde_json::from_str(options).map_err(internal)?;
        let job = TargetJob::new(target).options(CloneOptions::from_json(options, NamingStyle::Snake)?);
        let job = match password {
            Some(password) => job.password(SecretString::from(password)),
            None => job,
        };
        let job = match archive_passphrase {
            Some(passphrase) => job.archive_passphrase(SecretString::from(passphrase)),
            None => job,
        };
        match verb {
            "abandon" => serde_json::to_string(&runtime()?.block_on(job.abandon())?),
            _ => serde_json::to_string(&runtime()?.block_on(job.status())?),
        }
        .map_err(internal)
    };
    py.detach(run).map_err(|error| to_exception(py, &error))
}
