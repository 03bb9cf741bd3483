//! Progress as lines of a log.

use std::time::{Duration, Instant};

use dbgraft::{Event, LegName, Printable};

use super::{ProgressView, format_following, format_pause, format_progress, format_refusal, leg_name, phase_name};
use crate::text;

/// The minimum time between two progress lines of one leg.
const INTERVAL: Duration = Duration::from_secs(2);
/// The minimum time between two lines about following.
const FOLLOWING_INTERVAL: Duration = Duration::from_secs(10);

/// Prints a line at each change of phase, and progress lines in between.
#[derive(Default)]
pub(super) struct LogView {
    last_lines: Vec<(LegName, Instant)>,
    last_following: Option<Instant>,
}

impl LogView {
    /// Whether the next progress line of the leg is due.
    fn is_due(&mut self, leg: LegName) -> bool {
        let now = Instant::now();
        match self.last_lines.iter_mut().find(|(known, _)| *known == leg) {
            Some((_, last)) if now.duration_since(*last) < INTERVAL => false,
            Some((_, last)) => {
                *last = now;
                true
            }
            None => {
                self.last_lines.push((leg, now));
                true
            }
        }
    }
}

impl ProgressView for LogView {
    fn show_event(&mut self, event: &Event) {
        match event {
            Event::Phase { leg, phase } => {
                crate::print_message(&format!("{}: {}", leg_name(*leg), phase_name(*leg, *phase)))
            }
            Event::Progress { leg, amount: now, .. } if now.rows > 0 && self.is_due(*leg) => {
                let (rows, so_far) = (text::count(now.rows), text::clock(now.elapsed));
                crate::print_message(&format!(
                    "{}: {} rows, {}, {so_far} so far",
                    leg_name(*leg),
                    rows,
                    format_progress(now)
                ));
            }
            Event::Following(now) if self.last_following.is_none_or(|last| last.elapsed() > FOLLOWING_INTERVAL) => {
                self.last_following = Some(Instant::now());
                crate::print_message(&format_following(now));
            }
            Event::CutOverRefused { differences } => crate::print_message(&format_refusal(differences)),
            Event::Resumed { message } => crate::print_message(&Printable(message).to_string()),
            Event::Paused { .. } | Event::Unpaused { .. } => crate::print_message(&format_pause(event)),
            Event::Warning { message } => crate::print_message(&format!("warning: {}", Printable(message))),
            _ => {}
        }
    }
}
