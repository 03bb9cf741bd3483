//! Checks that the account may open as many connections as the clone needs.

use super::account::Account;
use crate::options::CloneOptions;
use crate::report::Finding;

/// Reports a limit that is too small for `--threads` connections and `other_connections` for locks and definitions.
pub(super) fn check(
    side: &str,
    other_connections: usize,
    account: &Account,
    options: &CloneOptions,
) -> Option<Finding> {
    check_account_limit(side, other_connections, account, options)
        .or_else(|| check_server_limit(side, other_connections, account, options))
}

/// Checks the server's limit for all accounts together.
fn check_server_limit(
    side: &str,
    other_connections: usize,
    account: &Account,
    options: &CloneOptions,
) -> Option<Finding> {
    let limit = usize::try_from(account.variables.number("max_connections")?).ok()?;
    let needed = options.threads + other_connections;
    if limit >= needed {
        return None;
    }
    let fewer = fewer_threads_hint(limit, other_connections);
    Some(Finding::error(format!(
        "the {side} takes {limit} connections in all (max_connections), and --threads {} takes {needed}: {fewer}raise \
         max_connections there",
        options.threads
    )))
}

/// Suggests fewer threads; empty if not even one is possible.
fn fewer_threads_hint(limit: usize, other_connections: usize) -> String {
    match limit.checked_sub(other_connections).filter(|threads| *threads > 0) {
        Some(threads) => format!("say --threads {threads}, or "),
        None => String::new(),
    }
}

/// Checks the account's limit.
fn check_account_limit(
    side: &str,
    other_connections: usize,
    account: &Account,
    options: &CloneOptions,
) -> Option<Finding> {
    // The session's value is the account's limit, if the account has one.
    let limit = usize::try_from(account.variables.number("max_user_connections")?).ok().filter(|limit| *limit > 0)?;
    let needed = options.threads + other_connections;
    if limit >= needed {
        return None;
    }
    let fewer = fewer_threads_hint(limit, other_connections);
    Some(Finding::error(format!(
        "the account {} may have {limit} connections to the {side} (max_user_connections), and --threads {} takes {needed}: \
         {fewer}ALTER USER … WITH MAX_USER_CONNECTIONS {needed}, or raise max_user_connections there",
        account.name, options.threads
    )))
}
