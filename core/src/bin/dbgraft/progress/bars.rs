use dbgraft::{Event, LegName, ObjectRef, Phase, Printable, SecretString};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{View, amount, leg_name, phase_name};
use crate::{password, text};

/// How many objects are named in the line of what is being worked on.
const NAMED: usize = 4;

/// Bars on a terminal: one for each leg, and below them what is being worked on.
pub(super) struct Bars {
    screen: MultiProgress,
    legs: Vec<Leg>,
    working: ProgressBar,
    objects: Vec<ObjectRef>,
}

struct Leg {
    name: LegName,
    bar: ProgressBar,
    phase: Phase,
    /// What was said of the rows last.
    rows: String,
}

impl Bars {
    pub(super) fn new() -> Self {
        let screen = MultiProgress::new();
        let working = screen.add(ProgressBar::no_length().with_style(style("       {msg:.dim}")));
        Self { screen, legs: Vec::new(), working, objects: Vec::new() }
    }

    fn leg(&mut self, name: LegName) -> &mut Leg {
        let index = self.legs.iter().position(|leg| leg.name == name).unwrap_or_else(|| {
            let bar = ProgressBar::new(0).with_style(style("{prefix:>6} {msg}")).with_prefix(leg_name(name));
            let bar = self.screen.insert_before(&self.working, bar);
            self.legs.push(Leg { name, bar, phase: Phase::Preflight, rows: String::new() });
            self.legs.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "found or pushed just now")]
        &mut self.legs[index]
    }

    fn show_objects(&self) {
        let names: Vec<&str> = self.objects.iter().map(|object| object.name.as_str()).collect();
        self.working.set_message(text::few(&names, NAMED));
    }
}

impl View for Bars {
    fn ask(&mut self, question: &str) -> Option<SecretString> {
        self.screen.suspend(|| password::answer(question))
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Phase { leg: name, phase } => {
                let leg = self.leg(*name);
                leg.phase = *phase;
                match phase {
                    Phase::Done => leg.bar.set_message(leg.rows.clone()),
                    _ => leg.bar.set_message(phase_name(*name, *phase)),
                }
            }
            Event::Progress { leg, amount: now, .. } => {
                let Leg { name, bar, phase, rows } = self.leg(*leg);
                bar.set_style(style("{prefix:>6} [{bar:24}] {percent:>3}%  {msg}"));
                bar.set_length(now.bytes_total);
                bar.set_position(now.bytes);
                *rows = format!("{}, {} so far", amount(now), text::clock(now.elapsed));
                if matches!((*phase, *name), (Phase::Rows, _) | (Phase::Verify, LegName::Verify)) {
                    bar.set_message(rows.clone());
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
            Event::Warning { message } => self.line(&format!("warning: {}", Printable(message))),
            _ => {}
        }
    }

    fn line(&mut self, text: &str) {
        self.screen.suspend(|| crate::tell(text));
    }

    fn end(&mut self) {
        self.working.finish_and_clear();
        for leg in &self.legs {
            leg.bar.abandon();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}
