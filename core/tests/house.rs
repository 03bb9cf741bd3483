//! Checks the imports between the modules of the library: each module imports only modules below it, as
//! `ARCHITECTURE.md` lists them, and no files import each other.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test, helpers included")]

#[path = "house/agents.rs"]
mod agents;
#[path = "house/circles.rs"]
mod circles;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The other modules that each module may import. The top of the hierarchy comes first.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    (
        "clone",
        &[
            "endpoint",
            "engine",
            "selector",
            "options",
            "source",
            "sink",
            "catalog",
            "error",
            "event",
            "memory",
            "fidelity",
            "change",
            "change_applier",
            "checkpoint",
            "plan",
            "report",
            "batch",
            "remote",
            "retry",
            "site",
            "ssh",
            "clone_record",
            "verification",
        ],
    ),
    // The entry points of the fuzz targets.
    ("fuzzing", &["archive", "endpoint", "mysql", "remote"]),
    // The agent of a job on several sites.
    (
        "agent",
        &[
            "endpoint",
            "engine",
            "remote",
            "store",
            "source",
            "sink",
            "batch",
            "error",
            "event",
            "memory",
            "change",
            "change_applier",
            "checkpoint",
            "conflict_hasher",
            "plan",
            "retry",
        ],
    ),
    // The only module that names every concrete kind.
    (
        "endpoint",
        &[
            "mysql",
            "archive",
            "remote",
            "ssh",
            "store",
            "options",
            "source",
            "sink",
            "site",
            "batch",
            "bounded_file",
            "error",
            "event",
            "memory",
            "plan",
            "url_syntax",
        ],
    ),
    // The concrete kinds do not import each other, and the engine imports none of them.
    (
        "mysql",
        &[
            "dial",
            "options",
            "source",
            "sink",
            "batch",
            "bounded_file",
            "catalog",
            "codec",
            "error",
            "fidelity",
            "memory",
            "change",
            "change_applier",
            "checkpoint",
            "conflict_hasher",
            "plan",
            "report",
            "retry",
            "clone_record",
        ],
    ),
    (
        "archive",
        &[
            "store",
            "source",
            "sink",
            "batch",
            "catalog",
            "codec",
            "error",
            "fidelity",
            "memory",
            "change_applier",
            "checkpoint",
            "plan",
            "report",
            "clone_record",
        ],
    ),
    (
        "remote",
        &[
            "ssh",
            "store",
            "options",
            "source",
            "sink",
            "batch",
            "bounded_file",
            "catalog",
            "codec",
            "error",
            "event",
            "fidelity",
            "memory",
            "change",
            "change_applier",
            "checkpoint",
            "conflict_hasher",
            "plan",
            "report",
            "retry",
            "clone_record",
        ],
    ),
    ("ssh", &["dial", "bounded_file", "error", "url_syntax"]),
    ("store", &["error"]),
    (
        "engine",
        &[
            "source",
            "sink",
            "options",
            "batch",
            "catalog",
            "codec",
            "error",
            "event",
            "memory",
            "change",
            "change_applier",
            "checkpoint",
            "conflict_hasher",
            "plan",
            "report",
            "retry",
            "verification",
        ],
    ),
    ("selector", &["options", "catalog", "error", "plan"]),
    (
        "sink",
        &[
            "source",
            "batch",
            "catalog",
            "change",
            "codec",
            "error",
            "fidelity",
            "memory",
            "options",
            "change_applier",
            "checkpoint",
            "plan",
            "report",
            "clone_record",
        ],
    ),
    ("source", &["batch", "catalog", "change", "clone_record", "codec", "error", "memory", "plan", "report"]),
    ("change_applier", &["change", "checkpoint", "conflict_hasher", "error", "plan", "report"]),
    // Plain data and policy.
    ("clone_record", &["change", "checkpoint", "plan"]),
    ("checkpoint", &["change", "options"]),
    ("report", &["verification", "catalog", "change", "error", "fidelity", "plan"]),
    ("verification", &["options", "catalog", "plan"]),
    ("options", &["error"]),
    ("plan", &["batch", "catalog", "change", "codec", "fidelity"]),
    ("conflict_hasher", &["change", "codec"]),
    ("change", &[]),
    ("fidelity", &["catalog"]),
    ("event", &["catalog"]),
    ("retry", &["error"]),
    ("site", &["error"]),
    ("dial", &["error"]),
    ("url_syntax", &["error"]),
    ("bounded_file", &[]),
    // The codec builds batches: the two may import each other.
    ("batch", &["codec", "memory"]),
    ("codec", &["batch", "catalog", "error"]),
    ("memory", &[]),
    ("catalog", &[]),
    ("error", &[]),
];

/// Modules that may import each other.
const MUTUAL: [(&str, &str); 1] = [("codec", "batch")];

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The modules of the library, and for each name that `lib.rs` re-exports the module it comes from.
fn names(lib: &str) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for line in code_of(lib).split(';').map(str::trim) {
        let line = line.strip_prefix("pub ").unwrap_or(line);
        if let Some(module) = line.strip_prefix("mod ") {
            names.insert(module.to_owned(), module.to_owned());
        } else if let Some((module, items)) = line.strip_prefix("use ").and_then(|path| path.split_once("::")) {
            first_names(items).into_iter().for_each(|item| drop(names.insert(item, module.to_owned())));
        }
    }
    names
}

/// The modules that `text`, the source of the module at `path` (`["mysql", "read"]`), imports from the crate's root.
fn imports(text: &str, path: &[String], names: &BTreeMap<String, String>) -> BTreeSet<String> {
    let code = code_of(text);
    let mut found = BTreeSet::new();
    for after in rests(&code, "crate::") {
        for name in first_names(after) {
            // Keeps an unknown name: a false alarm is better than a missed import.
            found.insert(names.get(&name).cloned().unwrap_or(name));
        }
    }
    for after in rests(&code, "super::") {
        let mut rest = after;
        let mut levels = 1;
        while let Some(further) = rest.strip_prefix("super::") {
            (rest, levels) = (further, levels + 1);
        }
        if levels >= path.len() {
            found.extend(first_names(rest).iter().filter_map(|name| names.get(name).cloned()));
        }
    }
    found.retain(|module| Some(module) != path.first());
    found
}

/// The text after each `prefix` at the beginning of a path.
fn rests<'a>(code: &'a str, prefix: &'static str) -> impl Iterator<Item = &'a str> {
    let begins = |at: &usize| {
        let before = code[..*at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$')
    };
    code.match_indices(prefix).map(|(at, _)| at).filter(begins).map(move |at| &code[at + prefix.len()..])
}

/// The first name of a path, or of each path of a group: `{a::b, c}` begins with `a` and `c`.
fn first_names(path: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == '*').collect()
    };
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for c in group.chars() {
        match c {
            '}' if depth == 0 => break,
            ',' if depth == 0 => parts.push(String::new()),
            _ => {
                depth += i32::from(c == '{') - i32::from(c == '}');
                parts.last_mut().unwrap().push(c);
            }
        }
    }
    parts.iter().map(|part| name(part)).filter(|name| !name.is_empty()).collect()
}

/// The source without comments and without its tests, which may import anything.
fn code_of(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    let without_comment = |line: &str| {
        let mut slashes = line.match_indices("//").map(|(at, _)| at);
        let end = slashes.find(|at| *at == 0 || line[..*at].ends_with([' ', '\t', ';']));
        line[..end.unwrap_or(line.len())].to_owned()
    };
    text.lines().map(without_comment).collect::<Vec<_>>().join("\n")
}

/// Every source file of the library except tests, with the path of its module.
fn files(dir: &Path, path: &[String], found: &mut Vec<(PathBuf, Vec<String>)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let file = entry.unwrap().path();
        let stem = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let inner: Vec<String> = path.iter().cloned().chain([stem.clone()]).collect();
        if file.is_dir() {
            if inner != ["bin"] && stem != "tests" {
                files(&file, &inner, found);
            }
        } else if stem == "mod" {
            found.push((file, path.to_vec()));
        } else if stem != "lib" && stem != "tests" && !stem.ends_with("_tests") {
            found.push((file, inner));
        }
    }
}

#[test]
fn imports_point_down_only() {
    let names = names(&fs::read_to_string(sources().join("lib.rs")).unwrap());
    let rules: BTreeMap<&str, &[&str]> = MAY_IMPORT.iter().copied().collect();
    let mut all = Vec::new();
    files(&sources(), &[], &mut all);
    assert!(all.len() > 40, "only {} files were found", all.len());
    let mut wrong = Vec::new();
    for (file, path) in all {
        let module = path[0].as_str();
        let name = file.strip_prefix(sources()).unwrap().display().to_string();
        let Some(allowed) = rules.get(module) else {
            wrong.push(format!("{name}: add to MAY_IMPORT what the module `{module}` may import"));
            continue;
        };
        for import in imports(&fs::read_to_string(&file).unwrap(), &path, &names) {
            if !allowed.contains(&import.as_str()) {
                wrong.push(format!("{name} imports `{import}`; `{module}` may import only {allowed:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_rules_point_down() {
    let levels: BTreeMap<&str, usize> = MAY_IMPORT.iter().enumerate().map(|(level, rule)| (rule.0, level)).collect();
    for (module, allowed) in MAY_IMPORT {
        for import in *allowed {
            let below = levels[import] > levels[module];
            assert!(below || MUTUAL.contains(&(module, import)), "{module} lies below {import}");
        }
    }
}

#[test]
fn the_scanner_finds_every_form_of_import() {
    let lib = "mod mysql;\nmod plan;\npub mod codec;\npub use plan::{Chunk, Plan};";
    let names = names(lib);
    let scan = |path: &[&str], text: &str| -> Vec<String> {
        let path: Vec<String> = path.iter().map(|&part| part.to_owned()).collect();
        imports(text, &path, &names).into_iter().collect()
    };
    let plan = |text: &str| scan(&["plan"], text);
    assert_eq!(plan("use crate::mysql::Conn;"), ["mysql"]);
    assert_eq!(plan("use crate::{\n    codec::{Digest, text},\n    mysql,\n};"), ["codec", "mysql"]);
    assert_eq!(plan("fn f(conn: &crate::mysql::Conn) {}"), ["mysql"]);
    assert_eq!(plan("use super::mysql::Conn;"), ["mysql"]);
    assert_eq!(plan("use crate::*;"), ["*"]);
    assert_eq!(plan("use crate::Nobody;"), ["Nobody"]);
    assert_eq!(scan(&["mysql", "read"], "use super::super::codec::Digest; use super::load;"), ["codec"]);
    assert_eq!(scan(&["mysql", "read"], "use crate::Chunk;"), ["plan"]);
    // Ignores comments, tests and the module itself.
    assert_eq!(plan("/// [`crate::mysql`]\nlet a = 1; // crate::mysql\nuse crate::Chunk;"), [""; 0]);
    assert_eq!(plan("#[cfg(test)]\nmod tests {\n    use crate::mysql::Conn;\n}"), [""; 0]);
    assert_eq!(plan("use other_crate::mysql;"), [""; 0]);
}
