use std::collections::BTreeSet;

use clap::CommandFactory;
use dbgraft::{CloneOptions, Encryption, Error, IfExists, Result};

use super::*;

fn options(arguments: &[&str]) -> Result<CloneOptions> {
    let start = ["dbgraft", "clone", "mysql://a/b", "mysql://c/d"];
    let cli = Cli::try_parse_from(start.iter().chain(arguments)).map_err(|error| Error::usage(error.to_string()))?;
    match cli.command {
        Command::Clone { request, .. } | Command::Plan { request } => request.options(),
        Command::Follow { .. } | Command::CutOver { .. } => panic!("no options of a clone"),
        Command::Verify { common, .. } => common.options(),
        Command::Status { target, .. } | Command::Abandon { target } => Ok(target.options()),
        Command::Agent => Ok(CloneOptions::default()),
    }
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn the_defaults_are_those_of_the_library() {
    assert_eq!(options(&[]).unwrap(), CloneOptions::default());
}

#[test]
fn every_option_has_a_flag_and_every_flag_an_option() {
    let known = serde_json::to_value(CloneOptions::default()).unwrap();
    let known: BTreeSet<String> = known.as_object().unwrap().keys().map(|key| key.replace('_', "-")).collect();
    let command = Cli::command();
    let clone = command.get_subcommands().find(|command| command.get_name() == "clone").unwrap();
    let flags: BTreeSet<String> = clone.get_arguments().filter_map(|flag| flag.get_long()).map(str::to_owned).collect();
    assert_eq!(known.difference(&flags).next(), None);
    let of_the_command = ["dry-run", "progress", "report", "no-triggers", "no-routines", "no-events", "help"];
    assert_eq!(flags.difference(&known).find(|flag| !of_the_command.contains(&flag.as_str())), None);
}

#[test]
fn a_filter_is_split_at_its_first_equals_sign() {
    let filters = options(&["--where", "orders=id = 3", "--where", "a b = x"]).unwrap().filters;
    assert_eq!(
        filters.into_iter().collect::<Vec<_>>(),
        [("a b".into(), "x".into()), ("orders".into(), "id = 3".into())]
    );
    for wrong in ["orders", "=1", "orders=", "a=1 --where a=2"] {
        let words: Vec<&str> = wrong.split(" --where ").flat_map(|filter| ["--where", filter]).collect();
        assert!(options(&words).unwrap_err().to_string().starts_with("--where "));
    }
}

#[test]
fn flags_select_kinds() {
    assert_eq!(options(&["--triggers", "--no-events"]).unwrap().triggers, Some(true));
    assert_eq!(options(&["--triggers", "--no-events"]).unwrap().events, Some(false));
    assert_eq!(options(&["--triggers"]).unwrap().routines, None);
    assert!(options(&["--triggers", "--no-triggers"]).is_err());
}

#[test]
fn values_of_every_type_are_parsed() {
    let all = ["--if-exists=drop", "--definer=app@%", "--memory=1G", "--max-rate=10M", "--threads=8", "--via=s3://b/p"];
    let options = options(&all).unwrap();
    assert_eq!((options.if_exists, options.definer.to_string().as_str()), (IfExists::Drop, "app@%"));
    assert_eq!((options.memory, options.max_rate, options.threads), (1 << 30, Some(10 << 20), 8));
    assert_eq!(options.via.as_deref(), Some("s3://b/p"));
}

#[test]
fn an_archive_is_encrypted_by_a_passphrase_that_is_asked_for_or_by_a_file() {
    let encrypt = |how: &str| options(&["--encrypt", how]).map(|options| options.encrypt);
    assert_eq!(encrypt("passphrase").unwrap(), Some(Encryption::Passphrase));
    assert_eq!(encrypt("key-file=a=b").unwrap(), Some(Encryption::KeyFile("a=b".into())));
    for wrong in ["", "key-file", "key-file=", "Passphrase", "hunter2"] {
        assert!(encrypt(wrong).unwrap_err().to_string().contains("never the passphrase itself"), "{wrong}");
    }
}
