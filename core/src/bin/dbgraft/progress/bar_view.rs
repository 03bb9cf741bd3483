//! Progress as bars on a terminal.

use dbgraft::{Event, LegName, ObjectRef, Phase, Printable, SecretString};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{ProgressView, format_following, format_pause, format_progress, format_refusal, leg_name, phase_name};
use crate::{password, text};

/// The maximum number of names in the line of current objects.
const MAX_NAMES: usize = 4;

/// Draws a bar for each leg, and below them a line with the current objects.
pub(super) struct BarView {
    screen: MultiProgress,
    legs: Vec<LegBar>,
    current: ProgressBar,
    objects: Vec<ObjectRef>,
}

/// The bar of one leg.
struct LegBar {
    name: LegName,
    bar: ProgressBar,
    phase: Phase,
    /// The last progress text.
    progress: String,
}

impl BarView {
    pub(super) fn new() -> Self {
        let screen = MultiProgress::new();
        let current = screen.add(ProgressBar::no_length().with_style(style("       {msg:.dim}")));
        Self { screen, legs: Vec::new(), current, objects: Vec::new() }
    }

    fn leg(&mut self, name: LegName) -> &mut LegBar {
        let index = self.legs.iter().position(|leg| leg.name == name).unwrap_or_else(|| {
            let bar = ProgressBar::new(0).with_style(style("{prefix:>6} {msg}")).with_prefix(leg_name(name));
            let bar = self.screen.insert_before(&self.current, bar);
            self.legs.push(LegBar { name, bar, phase: Phase::Preflight, progress: String::new() });
            self.legs.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "found or pushed just now")]
        &mut self.legs[index]
    }

    fn show_objects(&self) {
        let names: Vec<&str> = self.objects.iter().map(|object| object.name.as_str()).collect();
        self.current.set_message(text::first_names(&names, MAX_NAMES));
    }
}

impl ProgressView for BarView {
    fn prompt(&mut self, prompt: &str) -> Option<SecretString> {
        self.screen.suspend(|| password::prompt(prompt))
    }

    fn show_event(&mut self, event: &Event) {
        match event {
            Event::Phase { leg: name, phase } => {
                let leg = self.leg(*name);
                leg.phase = *phase;
                match phase {
                    Phase::Done => leg.bar.set_message(leg.progress.clone()),
                    _ => leg.bar.set_message(phase_name(*name, *phase)),
                }
            }
            Event::Progress { leg, amount: now, .. } => {
                let LegBar { name, bar, phase, progress } = self.leg(*leg);
                bar.set_style(style("{prefix:>6} [{bar:24}] {percent:>3}%  {msg}"));
                bar.set_length(now.bytes_total);
                bar.set_position(now.bytes);
                *progress = format!("{}, {} so far", format_progress(now), text::clock(now.elapsed));
                if matches!((*phase, *name), (Phase::Rows, _) | (Phase::Verify, LegName::Verify)) {
                    bar.set_message(progress.clone());
                }
            }
            Event::Started { object, .. } => {
                self.objects.push(object.clone());
                self.show_objects();
            }
            Event::Finished { object, .. } => {
                if let Some(index) = self.objects.iter().position(|started| started == object) {
                    self.objects.remove(index);
                }
                self.show_objects();
            }
            Event::Following(now) => self.current.set_message(format_following(now)),
            Event::CutOverRefused { differences } => self.show_line(&format_refusal(differences)),
            Event::Resumed { message } => self.show_line(&Printable(message).to_string()),
            Event::Paused { .. } | Event::Unpaused { .. } => self.show_line(&format_pause(event)),
            Event::Warning { message } => self.show_line(&format!("warning: {}", Printable(message))),
            _ => {}
        }
    }

    fn show_line(&mut self, text: &str) {
        self.screen.suspend(|| crate::print_message(text));
    }

    fn finish(&mut self) {
        self.current.finish_and_clear();
        for leg in &self.legs {
            leg.bar.abandon();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}
