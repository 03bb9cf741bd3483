//! Whether the account may have as many connections as the work takes.

use super::party::Party;
use crate::options::CloneOptions;
use crate::report::Finding;

/// A limit that is too small for `--threads` connections and those beside them.
///
/// `beside` are the connections for locks and definitions.
pub(super) fn check(side: &str, beside: usize, party: &Party, options: &CloneOptions) -> Option<Finding> {
    of_account(side, beside, party, options).or_else(|| of_server(side, beside, party, options))
}

/// The server's own limit, which is that of all accounts together.
fn of_server(side: &str, beside: usize, party: &Party, options: &CloneOptions) -> Option<Finding> {
    let limit = usize::try_from(party.settings.number("max_connections")?).ok()?;
    let needed = options.threads + beside;
    if limit >= needed {
        return None;
    }
    let fewer = fewer(limit, beside);
    Some(Finding::error(format!(
        "the {side} takes {limit} connections in all (max_connections), and --threads {} takes {needed}: {fewer}raise \
         max_connections there",
        options.threads
    )))
}

/// What helps where fewer threads would do.
fn fewer(limit: usize, beside: usize) -> String {
    match limit.checked_sub(beside).filter(|threads| *threads > 0) {
        Some(threads) => format!("say --threads {threads}, or "),
        None => String::new(),
    }
}

fn of_account(side: &str, beside: usize, party: &Party, options: &CloneOptions) -> Option<Finding> {
    // The session's value is that of the account, where it has one.
    let limit = usize::try_from(party.settings.number("max_user_connections")?).ok().filter(|limit| *limit > 0)?;
    let needed = options.threads + beside;
    if limit >= needed {
        return None;
    }
    let fewer = fewer(limit, beside);
    Some(Finding::error(format!(
        "the account {} may have {limit} connections to the {side} (max_user_connections), and --threads {} takes {needed}: \
         {fewer}ALTER USER … WITH MAX_USER_CONNECTIONS {needed}, or raise max_user_connections there",
        party.account, options.threads
    )))
}
