//! The engine: one bounded loop from a source to a sink. It knows the traits and no concrete kind.

mod meter;
mod pipeline;
mod relay;
mod throttle;
mod verify;

pub(crate) use pipeline::{Leg, Outcome, TableOutcome};
pub(crate) use relay::relay;
