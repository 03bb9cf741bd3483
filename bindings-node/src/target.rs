//! `status` and `abandon`: what a target knows of a clone into it.

use dbgraft::{Result, SecretString, TargetJob};

use crate::{job, outcome};

/// Runs `status` or `abandon` on a target; options are JSON. Returns the outcome as JSON.
pub(crate) async fn run(
    verb: &str,
    target: String,
    options: &str,
    password: Option<String>,
    archive_passphrase: Option<String>,
) -> String {
    let create = || -> Result<TargetJob> {
        let job = TargetJob::new(target).options(job::options(options)?);
        let job = match password {
            Some(password) => job.password(SecretString::from(password)),
            None => job,
        };
        Ok(match archive_passphrase {
            Some(passphrase) => job.archive_passphrase(SecretString::from(passphrase)),
            None => job,
        })
    };
    match (create(), verb) {
        (Err(error), _) => outcome::to_json(Err::<(), _>(error)),
        (Ok(job), "abandon") => outcome::to_json(job.abandon().await),
        (Ok(job), _) => outcome::to_json(job.status().await),
    }
}
