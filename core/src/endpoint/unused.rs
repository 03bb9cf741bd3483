//! Options that have no effect at the ends of a job: each is an error that names it.

use super::End;
use crate::error::{Error, Result};
use crate::options::{AgentCredentials, CloneOptions, Definer, IfExists, OnUnsupported};
use crate::sink::Sink;
use crate::site::Site;
use crate::source::Source;

/// Refuses options that would be accepted in silence and do nothing.
///
/// # Errors
/// `Usage`, which names the option and why it has no effect.
pub(super) fn check(
    from: &End<dyn Source>,
    into: &End<dyn Sink>,
    sites: &[Site],
    options: &CloneOptions,
) -> Result<()> {
    let writes_archive = into.archive().is_some();
    let import = "the target is an archive; say it when the archive is imported";
    let of_target = [
        (options.recreate_database, "--recreate-database", "the target is an archive, which has no database to drop"),
        (
            matches!(options.if_exists, IfExists::Truncate | IfExists::Skip),
            "--if-exists truncate or skip",
            "the target is an archive: choose --if-exists drop to replace it",
        ),
        (options.definer != Definer::Strip, "--definer", import),
        (options.skip_binlog, "--skip-binlog", import),
        (options.all_or_nothing, "--all-or-nothing", import),
        (options.on_unsupported != OnUnsupported::Refuse, "--on-unsupported", import),
    ];
    let reads_archive = from.archive().is_some();
    let moment = "the source is an archive, whose rows are of one moment already";
    let of_source = [
        (options.no_consistency, "--no-consistency", moment),
        (options.lock_guard != CloneOptions::default().lock_guard, "--lock-guard", moment),
    ];
    let of_target = of_target.into_iter().filter(|_| writes_archive);
    let of_source = of_source.into_iter().filter(|_| reads_archive);
    match of_target.chain(of_source).find(|(is_given, ..)| *is_given) {
        Some((_, option, why)) => Err(Error::usage(format!("{option} has no effect: {why}"))),
        None => hosts(sites, options),
    }
}

/// Options of hosts that are reached by SSH.
fn hosts(sites: &[Site], options: &CloneOptions) -> Result<()> {
    let has_agent = sites.iter().any(|site| matches!(site, Site::Agent(_)));
    let has_host = sites.iter().any(|site| *site != Site::Here);
    let wrong = [
        (
            options.insecure_accept_any_host_key && !has_host,
            "--insecure-accept-any-host-key has no effect: no host is reached by SSH; see --source-tunnel and --source-agent",
        ),
        (
            options.agent_credentials == AgentCredentials::Inherit && !has_agent,
            "--agent-credentials has no effect: there is no agent; see --source-agent and --target-agent",
        ),
        (
            options.agent_binary.is_some() && !has_agent,
            "--agent-binary has no effect: there is no agent; see --source-agent and --target-agent",
        ),
    ];
    match wrong.into_iter().find(|(is_wrong, _)| *is_wrong) {
        Some((_, message)) => Err(Error::usage(message)),
        None => Ok(()),
    }
}
