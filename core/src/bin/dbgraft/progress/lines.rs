use std::time::{Duration, Instant};

use dbgraft::{Event, LegName, Printable};

use super::{View, amount, leg_name, phase_name};
use crate::text;

/// How much time lies between two lines of the same leg.
const PAUSE: Duration = Duration::from_secs(2);

/// Lines for a log: at each change of phase, and now and then in between.
#[derive(Default)]
pub(super) struct Lines {
    spoken: Vec<(LegName, Instant)>,
}

impl Lines {
    /// Whether it is time for the leg's next line.
    fn is_due(&mut self, leg: LegName) -> bool {
        let now = Instant::now();
        match self.spoken.iter_mut().find(|(known, _)| *known == leg) {
            Some((_, last)) if now.duration_since(*last) < PAUSE => false,
            Some((_, last)) => {
                *last = now;
                true
            }
            None => {
                self.spoken.push((leg, now));
                true
            }
        }
    }
}

impl View for Lines {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Phase { leg, phase } => crate::tell(&format!("{}: {}", leg_name(*leg), phase_name(*leg, *phase))),
            Event::Progress { leg, amount: now, .. } if now.rows > 0 && self.is_due(*leg) => {
                let (rows, so_far) = (text::count(now.rows), text::clock(now.elapsed));
                crate::tell(&format!("{}: {} rows, {}, {so_far} so far", leg_name(*leg), rows, amount(now)));
            }
            Event::Warning { message } => crate::tell(&format!("warning: {}", Printable(message))),
            _ => {}
        }
    }
}
