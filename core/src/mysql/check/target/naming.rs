//! Names that would meet or change on the target.

use std::collections::BTreeMap;

use super::super::words::{list, named, names, plural};
use super::{Target, is_relation};
use crate::mysql::journal;
use crate::report::Finding;

pub(super) fn check(target: &Target<'_>) -> Vec<Finding> {
    let tables = target.tables.iter().map(|(table, _)| table.name.as_str());
    let others = target.of_kind(is_relation).map(|definition| definition.object.name.as_str());
    let all: Vec<&str> = tables.chain(others).collect();
    let mut findings = Vec::new();
    if let Some(name) = all.iter().find(|name| name.eq_ignore_ascii_case(journal::NAME)) {
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
    findings
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
