//! The engine: copies rows from a source to a sink in a bounded loop. It knows the traits and no concrete kind.

mod leg;
mod pipeline;
mod progress_meter;
mod rate_limiter;
mod relay;
mod task_set;
mod verify;

pub(crate) use leg::{Leg, LegOutcome, TableTotals};
pub(crate) use relay::run_both_legs;
