//! Checks for names that collide or change on the target.

use std::collections::{BTreeMap, BTreeSet};

use super::super::message_format::{self, display_name, join_list, join_names, plural};
use super::{PreflightContext, is_relation};
use crate::catalog::Definition;
use crate::mysql::ddl::{Dialect, Token, tokenize};
use crate::mysql::journal;
use crate::report::Finding;

pub(super) fn check(target: &PreflightContext<'_>) -> Vec<Finding> {
    let tables = target.tables.iter().map(|(table, _)| table.name.as_str());
    let others = target.definitions_of_kind(is_relation).map(|definition| definition.object.name.as_str());
    let all: Vec<&str> = tables.chain(others).collect();
    let mut findings = Vec::new();
    if let Some(name) = all.iter().find(|name| name.eq_ignore_ascii_case(journal::TABLE_NAME)) {
        findings.push(Finding::error(format!(
            "{name} is the name of a table that dbgraft keeps in the target while it clones: rename the source's, or \
             leave it out with --exclude {name}"
        )));
    }
    if target.account.variables.folds_names() {
        findings.extend(check_case_collisions(&all));
    }
    if target.account.variables.text("lower_case_table_names") == "1" {
        findings.extend(check_lowercased_names(target, &all));
    }
    if target.catalog.server.folds_names && !target.account.variables.folds_names() {
        findings.extend(check_case_in_code(target, &all));
    }
    findings
}

/// Warns of code that names tables in another letter case, which only the source ignores. The clone corrects the
/// headers of definitions.
fn check_case_in_code(target: &PreflightContext<'_>, all: &[&str]) -> Option<Finding> {
    let lower: BTreeSet<String> = all.iter().map(|name| name.to_lowercase()).collect();
    let is_other = |name: &str| lower.contains(&name.to_lowercase()) && !all.contains(&name);
    let names_otherwise = |definition: &&Definition| {
        let all = tokenize(&definition.create, Dialect::from_sql_mode(&definition.sql_mode));
        let mut names = all.iter().filter_map(Token::ident);
        names.any(|name| is_other(&name) && *name != definition.object.name)
    };
    let code = target.definitions_of_kind(|kind| !is_relation(kind)).filter(names_otherwise);
    let code: Vec<String> = code.map(|definition| message_format::display_object(&definition.object)).collect();
    if code.is_empty() {
        return None;
    }
    Some(Finding::warning(format!(
        "the source takes Orders and orders for one table, and the target does not (lower_case_table_names): {} may name \
         tables in another case of letters than they have there, and then {} when used",
        join_list(&code),
        plural(code.len(), "fails", "fail"),
    )))
}

/// Reports names that differ only in case, for a target that ignores it.
fn check_case_collisions(all: &[&str]) -> Option<Finding> {
    let mut groups: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for name in all {
        groups.entry(name.to_lowercase()).or_default().push(name);
    }
    let mut groups: Vec<_> = groups.into_values().filter(|group| group.len() > 1).collect();
    groups.iter_mut().for_each(|group| group.sort_unstable());
    let meeting: Vec<String> = groups.into_iter().map(join_names).collect();
    if meeting.is_empty() {
        return None;
    }
    Some(Finding::error(format!(
        "the target takes names that differ only in upper and lower case for the same (lower_case_table_names is not \
         0): {}: rename one of them, or leave it out by --exclude",
        join_list(meeting)
    )))
}

/// Warns of names that the target changes to lower case.
fn check_lowercased_names(target: &PreflightContext<'_>, all: &[&str]) -> Option<Finding> {
    let database = std::iter::once(target.database);
    let changing: Vec<&str> = database.chain(all.iter().copied()).filter(|name| name.to_lowercase() != *name).collect();
    if changing.is_empty() {
        return None;
    }
    Some(Finding::warning(format!(
        "the target keeps names in lower case (lower_case_table_names=1): {} {} written so there",
        join_list(changing.iter().map(|name| display_name(name))),
        plural(changing.len(), "is", "are"),
    )))
}
