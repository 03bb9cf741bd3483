//! Names that would meet or change on the target.

use std::collections::{BTreeMap, BTreeSet};

use super::super::words::{self, list, named, names, plural};
use super::{Target, is_relation};
use crate::catalog::Definition;
use crate::mysql::ddl::{Dialect, Token, tokens};
use crate::mysql::journal;
use crate::report::Finding;

pub(super) fn check(target: &Target<'_>) -> Vec<Finding> {
    let tables = target.tables.iter().map(|(table, _)| table.name.as_str());
    let others = target.of_kind(is_relation).map(|definition| definition.object.name.as_str());
    let all: Vec<&str> = tables.chain(others).collect();
    let mut findings = Vec::new();
    if let Some(name) = all.iter().find(|name| name.eq_ignore_ascii_case(journal::TABLE_NAME)) {
        findings.push(Finding::error(format!(
            "{name} is the name of a table that dbgraft keeps in the target while it clones: rename the source's, or \
             leave it out with --exclude {name}"
        )));
    }
    if target.party.settings.folds_names() {
        findings.extend(collisions(&all));
    }
    if target.party.settings.text("lower_case_table_names") == "1" {
        findings.extend(lowered(target, &all));
    }
    if target.catalog.server.folds_names && !target.party.settings.folds_names() {
        findings.extend(miswritten(target, &all));
    }
    findings
}

/// Code that names tables in another case of letters, which the source lets pass. Its headers are put right.
fn miswritten(target: &Target<'_>, all: &[&str]) -> Option<Finding> {
    let lower: BTreeSet<String> = all.iter().map(|name| name.to_lowercase()).collect();
    let is_other = |name: &str| lower.contains(&name.to_lowercase()) && !all.contains(&name);
    let names_otherwise = |definition: &&Definition| {
        let all = tokens(&definition.create, Dialect::of(&definition.sql_mode));
        let mut names = all.iter().filter_map(Token::ident);
        names.any(|name| is_other(&name) && *name != definition.object.name)
    };
    let code = target.of_kind(|kind| !is_relation(kind)).filter(names_otherwise);
    let code: Vec<String> = code.map(|definition| words::object(&definition.object)).collect();
    if code.is_empty() {
        return None;
    }
    Some(Finding::warning(format!(
        "the source takes Orders and orders for one table, and the target does not (lower_case_table_names): {} may name \
         tables in another case of letters than they have there, and then {} when used",
        list(&code),
        plural(code.len(), "fails", "fail"),
    )))
}

fn collisions(all: &[&str]) -> Option<Finding> {
    let mut groups: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for name in all {
        groups.entry(name.to_lowercase()).or_default().push(name);
    }
    let mut groups: Vec<_> = groups.into_values().filter(|group| group.len() > 1).collect();
    groups.iter_mut().for_each(|group| group.sort_unstable());
    let meeting: Vec<String> = groups.into_iter().map(names).collect();
    if meeting.is_empty() {
        return None;
    }
    Some(Finding::error(format!(
        "the target takes names that differ only in upper and lower case for the same (lower_case_table_names is not \
         0): {}: rename one of them, or leave it out by --exclude",
        list(meeting)
    )))
}

fn lowered(target: &Target<'_>, all: &[&str]) -> Option<Finding> {
    let database = std::iter::once(target.database);
    let changing: Vec<&str> = database.chain(all.iter().copied()).filter(|name| name.to_lowercase() != *name).collect();
    if changing.is_empty() {
        return None;
    }
    Some(Finding::warning(format!(
        "the target keeps names in lower case (lower_case_table_names=1): {} {} written so there",
        list(changing.iter().map(|name| named(name))),
        plural(changing.len(), "is", "are"),
    )))
}
