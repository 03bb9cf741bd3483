//! The arguments of `clone` and `plan`, and their conversion to the library's options.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use dbgraft::{CloneOptions, Definer, IfExists, OnDdl, OnUnsupported, Result, Verify};

use super::{CommonArgs, HOW, MEANS, WHAT, on_ddl};

/// The arguments of `clone` and `plan`.
#[derive(Args)]
pub(crate) struct CloneArgs {
    #[command(flatten)]
    pub(crate) common: CommonArgs,

    /// Clone triggers, also in a partial clone
    #[arg(long, help_heading = WHAT, conflicts_with = "no_triggers")]
    triggers: bool,
    /// Clone no triggers, also in a full clone
    #[arg(long, help_heading = WHAT)]
    no_triggers: bool,
    /// Clone functions, procedures and packages, also in a partial clone
    #[arg(long, help_heading = WHAT, conflicts_with = "no_routines")]
    routines: bool,
    /// Clone no functions, procedures and packages, also in a full clone
    #[arg(long, help_heading = WHAT)]
    no_routines: bool,
    /// Clone events, also in a partial clone
    #[arg(long, help_heading = WHAT, conflicts_with = "no_events")]
    events: bool,
    /// Clone no events, also in a full clone
    #[arg(long, help_heading = WHAT)]
    no_events: bool,
    /// Clone definitions only
    #[arg(long, help_heading = WHAT)]
    schema_only: bool,
    /// Clone rows only, into existing tables
    #[arg(long, help_heading = WHAT)]
    data_only: bool,

    /// What to do with a table that already exists
    #[arg(long, value_name = "WHAT", default_value = "fail", help_heading = HOW, value_parser = if_exists())]
    if_exists: IfExists,
    /// Drop the target database and create it again
    #[arg(long, help_heading = HOW)]
    recreate_database: bool,
    /// The definer of views, routines, triggers and events: strip, keep or USER@HOST
    #[arg(long, default_value = "strip", help_heading = HOW)]
    definer: Definer,
    /// What to do with objects that the target does not support: refuse, skip or degrade
    #[arg(long, value_name = "WHAT", default_value = "refuse", help_heading = HOW, value_parser = on_unsupported())]
    on_unsupported: OnUnsupported,
    /// Compare the clone with what was read: none, counts or checksum
    #[arg(long, value_name = "HOW", default_value = "none", help_heading = HOW, value_parser = verify())]
    verify: Verify,
    /// Do not write the target's binary log; its replicas do not get the clone
    #[arg(long, help_heading = HOW)]
    skip_binlog: bool,
    /// Remove the whole clone when the target refuses an index, a foreign key, a view, a routine, a trigger or an event
    #[arg(long, help_heading = HOW)]
    all_or_nothing: bool,

    /// Go on with a clone that was killed, by the same source, target and options
    #[arg(long, help_heading = HOW)]
    resume: bool,
    /// After the copy, apply every change of the source until `dbgraft cutover`
    #[arg(long, help_heading = HOW)]
    follow: bool,
    /// What to do with a statement of the source that changes a definition, with --follow: stop or apply
    #[arg(long, value_name = "WHAT", default_value = "stop", help_heading = HOW, value_parser = on_ddl())]
    on_ddl: OnDdl,

    /// Stage the rows through s3://bucket/prefix or file:///dir; removed at the end
    #[arg(long, value_name = "URL", help_heading = MEANS)]
    via: Option<String>,
    /// Keep the staged archive, after success and after failure
    #[arg(long, help_heading = MEANS)]
    keep_archive: bool,
    /// Pause while the replica of --replica is further behind, or does not replicate: 10, 5m
    #[arg(long, value_name = "SECONDS", help_heading = MEANS, value_parser = dbgraft::parse_seconds)]
    max_lag: Option<u64>,
    /// The replica of the target that --max-lag is about: a mysql:// URL
    #[arg(long, value_name = "URL", help_heading = MEANS)]
    replica: Option<String>,
}

impl CloneArgs {
    /// Converts the arguments to the library's options.
    pub(crate) fn options(&self) -> Result<CloneOptions> {
        Ok(CloneOptions {
            via: self.via.clone(),
            keep_archive: self.keep_archive,
            max_lag: self.max_lag,
            replica: self.replica.clone(),
            triggers: yes_or_no(self.triggers, self.no_triggers),
            routines: yes_or_no(self.routines, self.no_routines),
            events: yes_or_no(self.events, self.no_events),
            schema_only: self.schema_only,
            data_only: self.data_only,
            if_exists: self.if_exists,
            recreate_database: self.recreate_database,
            definer: self.definer.clone(),
            on_unsupported: self.on_unsupported,
            verify: self.verify,
            skip_binlog: self.skip_binlog,
            all_or_nothing: self.all_or_nothing,
            resume: self.resume,
            follow: self.follow,
            on_ddl: self.on_ddl,
            ..self.common.options()?
        })
    }
}

fn yes_or_no(yes: bool, no: bool) -> Option<bool> {
    (yes || no).then_some(yes)
}

fn if_exists() -> impl TypedValueParser<Value = IfExists> {
    PossibleValuesParser::new(["fail", "drop", "truncate", "skip"]).try_map(|text| text.parse::<IfExists>())
}

fn on_unsupported() -> impl TypedValueParser<Value = OnUnsupported> {
    PossibleValuesParser::new(["refuse", "skip", "degrade"]).try_map(|text| text.parse::<OnUnsupported>())
}

pub(super) fn verify() -> impl TypedValueParser<Value = Verify> {
    PossibleValuesParser::new(["none", "counts", "checksum"]).try_map(|text| text.parse::<Verify>())
}
