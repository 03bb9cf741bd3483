//! `dbgraft status`, `dbgraft cutover` and `dbgraft abandon`.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use dbgraft::{
    Abandoned, CloneOptions, CutOverReport, Error, ErrorKind, Printable, Result, TargetJob, TargetStatus, Verify,
};

use crate::args::TargetArgs;
use crate::hidden_passwords::HiddenPasswords;
use crate::{password, text};

/// The maximum number of listed tables. `--json` has all of them.
const MAX_TABLES: usize = 20;

/// Prints what the target knows of a clone.
pub(crate) async fn show_status(arguments: &TargetArgs, json: bool, passwords: HiddenPasswords) -> Result<ExitCode> {
    let status = create_job(arguments, arguments.options(), passwords)?.status().await?;
    let shown = match json {
        true => serde_json::to_string_pretty(&status)
            .map(|text| text + "\n")
            .map_err(|error| Error::new(ErrorKind::Internal, "cannot write the status").caused_by(error))?,
        false => render(&status),
    };
    // Ignores a closed pipe.
    let _ = io::stdout().write_all(shown.as_bytes());
    Ok(ExitCode::SUCCESS)
}

/// Lets the process that follows end at the current position of the source.
pub(crate) async fn cut_over(
    arguments: &TargetArgs,
    max_lag: Option<u64>,
    timeout: u64,
    verify: Verify,
    passwords: HiddenPasswords,
) -> Result<ExitCode> {
    let job = create_job(arguments, CloneOptions { verify, ..arguments.options() }, passwords)?;
    let CutOverReport { target, source, position, seconds, no_way_back } =
        job.cut_over(max_lag, Duration::from_secs(timeout)).await?;
    let mut shown = format!(
        "{} takes the place of {}: it has every change up to {}:{} ({})\n",
        Printable(&target),
        Printable(&source),
        Printable(&position.file),
        position.offset,
        text::seconds(seconds)
    );
    if let Some(reason) = no_way_back {
        let _ = writeln!(shown, "  later changes cannot be carried back: {}", Printable(&reason));
    }
    let _ = io::stdout().write_all(shown.as_bytes());
    Ok(ExitCode::SUCCESS)
}

/// Removes what a killed clone has left.
pub(crate) async fn abandon(arguments: &TargetArgs, passwords: HiddenPasswords) -> Result<ExitCode> {
    let Abandoned { target, source, staging, message } =
        create_job(arguments, arguments.options(), passwords)?.abandon().await?;
    let mut shown = format!("{}: {message}\n", Printable(&target));
    for (name, value) in [("source", source), ("staged", staging)] {
        if let Some(value) = value {
            let _ = writeln!(shown, "  {name:<8} {}", Printable(&value));
        }
    }
    let _ = io::stdout().write_all(shown.as_bytes());
    Ok(ExitCode::SUCCESS)
}

/// Creates the job. Asks the user for a missing password.
fn create_job(arguments: &TargetArgs, mut options: CloneOptions, mut passwords: HiddenPasswords) -> Result<TargetJob> {
    crate::complete_options(&mut options, &mut passwords);
    let url = passwords.restore_url("", &arguments.target);
    let password = password::prompt_for_url(&url, &arguments.target, "DBGRAFT_TARGET_PASSWORD")?;
    let job = TargetJob::new(url).options(options).on_question(password::prompt);
    Ok(match password {
        Some(password) => job.password(password),
        None => job,
    })
}

/// Renders the status for a terminal.
fn render(status: &TargetStatus) -> String {
    let mut out = format!("{}: {}\n", Printable(&status.target), status.state);
    let _ = writeln!(out, "  {}", Printable(&status.message));
    let tables = status.tables.len() as u64;
    let progress = format!(
        "{} of {} tables complete; {} of about {} rows, {} of about {}",
        text::count(status.complete),
        text::count(tables),
        text::count(status.rows),
        text::count(status.rows_total.max(status.rows)),
        text::size(status.bytes as f64),
        text::size(status.bytes_total.max(status.bytes) as f64)
    );
    let facts = [
        ("source", status.source.clone()),
        ("started", status.started.as_ref().map(|started| format!("{started} UTC"))),
        ("dbgraft", status.dbgraft.clone()),
        ("staged", status.staging.clone()),
        ("so far", (tables > 0).then_some(progress)),
    ];
    for (name, fact) in facts {
        if let Some(fact) = fact {
            let _ = writeln!(out, "  {name:<8} {}", Printable(&fact));
        }
    }
    let rows = status.tables.iter().filter(|table| table.rows > 0 || table.complete).take(MAX_TABLES).map(|table| {
        let state = if table.complete { "complete" } else { "begun" };
        let name = Printable(&table.name).to_string();
        vec![name, text::count(table.rows), text::size(table.bytes as f64), state.to_owned()]
    });
    out + &text::columns(&["table", "rows", "size", "state"], rows.collect())
}

#[cfg(test)]
mod tests {
    use dbgraft::{CloneState, TableProgress};

    use super::*;

    #[test]
    fn a_status_is_rendered() {
        let table =
            |name: &str, rows, complete| TableProgress { name: name.into(), rows, complete, ..Default::default() };
        let status = TargetStatus {
            target: "mysql://u@h:3306/b".into(),
            state: CloneState::Dead,
            message: "it was killed".into(),
            source: Some("mysql://u@h:3306/a".into()),
            complete: 1,
            rows: 1500,
            rows_total: 2000,
            tables: vec![table("t\n", 1000, true), table("u", 500, false), table("w", 0, false)],
            ..TargetStatus::default()
        };
        let text = render(&status);
        assert!(
            text.starts_with("mysql://u@h:3306/b: dead\n  it was killed\n  source   mysql://u@h:3306/a\n"),
            "{text}"
        );
        assert!(text.contains("1 of 3 tables complete; 1,500 of about 2,000 rows"), "{text}");
        assert!(text.contains("t\\n") && text.contains("begun") && !text.contains("  w "), "{text}");
        assert!(!render(&TargetStatus::default()).contains("source"));
    }
}
