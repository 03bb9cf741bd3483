//! The engine: copies rows from a source to a sink in a bounded loop. It knows the traits and no concrete kind.

mod concurrent_legs;
mod follow;
mod leg;
mod pause_gate;
mod pipeline;
mod progress_meter;
mod rate_limiter;
mod task_set;
mod verify;

pub(crate) use concurrent_legs::run_both_legs;
pub(crate) use follow::{FollowEnd, FollowOutcome, FollowedComparison, Follower, TablePredicate};
pub(crate) use leg::{Leg, LegOutcome, TableTotals};
pub(crate) use pause_gate::{PauseCause, PauseGate};
