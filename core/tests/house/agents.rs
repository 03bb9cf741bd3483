//! Checks that an end at an agent can do what the same end can do here.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A trait, what forwards its methods to an agent, and the methods that need no agent.
const FORWARDED: [(&str, &str, &[&str]); 3] = [
    ("source.rs", "remote/source.rs", &[]),
    // The agent itself calls these two.
    ("sink.rs", "remote/sink.rs", &["is_takeover_requested", "set_undo_recorder"]),
    ("change_applier.rs", "remote/applier.rs", &[]),
];

/// The methods that a file declares or defines after the line that begins with `start`, up to the end of that block.
fn methods(file: &str, start: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file)).unwrap();
    let block = text.lines().skip_while(|line| !line.starts_with(start)).skip(1).take_while(|line| *line != "}");
    let name = |line: &str| {
        let rest = line.strip_prefix("    ")?;
        let rest = rest.strip_prefix("async ").unwrap_or(rest).strip_prefix("fn ")?;
        Some(rest.split(['(', '<']).next()?.to_owned())
    };
    block.filter_map(name).collect()
}

#[test]
fn an_agent_is_asked_for_everything_that_its_end_can_do() {
    for (declared, forwarding, not_needed) in FORWARDED {
        let name = declared.trim_end_matches(".rs").replace("change_applier", "ChangeApplier");
        let name = name.replace("source", "Source").replace("sink", "Sink");
        let all = methods(declared, &format!("pub trait {name}"));
        let forwarded = methods(forwarding, &format!("impl {name} for "));
        assert!(!all.is_empty() && !forwarded.is_empty(), "{declared}: nothing was found");
        let missing: Vec<_> =
            all.difference(&forwarded).filter(|method| !not_needed.contains(&method.as_str())).collect();
        assert!(missing.is_empty(), "{forwarding} leaves the defaults of {missing:?}");
    }
}
