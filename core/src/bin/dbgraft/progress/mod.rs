//! Displays the progress of a job. A separate thread draws, so that a slow terminal does not delay the job.

mod bar_view;
mod json_view;
mod log_view;

use std::io::{self, IsTerminal};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use dbgraft::{Event, FollowProgress, LegName, LegProgress, Phase, Printable, SecretString};

use crate::args::ProgressMode;
use crate::{password, text};

/// Shows events in one of the modes of `--progress`.
trait ProgressView {
    fn show_event(&mut self, event: &Event);

    /// Shows a line that is not an event.
    fn show_line(&mut self, text: &str) {
        crate::print_message(text);
    }

    /// Asks the user for a secret.
    fn prompt(&mut self, prompt: &str) -> Option<SecretString> {
        password::prompt(prompt)
    }

    /// Clears the display.
    fn finish(&mut self) {}
}

/// A message to the drawing thread.
enum DisplayMessage {
    Event(Event),
    Line(String),
    Prompt(String, Sender<Option<SecretString>>),
    End,
}

/// The running progress display.
pub(crate) struct ProgressDisplay {
    sender: Sender<DisplayMessage>,
    thread: Option<JoinHandle<()>>,
}

impl ProgressDisplay {
    /// Starts the drawing thread.
    pub(crate) fn start(mode: ProgressMode) -> Self {
        let (sender, receiver) = channel();
        let thread = std::thread::spawn(move || {
            let mut view = create_view(mode);
            for message in receiver {
                match message {
                    DisplayMessage::Event(event) => view.show_event(&event),
                    DisplayMessage::Line(text) => view.show_line(&text),
                    DisplayMessage::Prompt(prompt, answer) => drop(answer.send(view.prompt(&prompt))),
                    DisplayMessage::End => break,
                }
            }
            view.finish();
        });
        Self { sender, thread: Some(thread) }
    }

    /// Returns the listener of the job's events.
    pub(crate) fn listener(&self) -> impl Fn(Event) + Send + Sync + 'static {
        let sender = self.sender.clone();
        // Fails after the display has ended.
        move |event| drop(sender.send(DisplayMessage::Event(event)))
    }

    /// Returns a function that shows a line.
    pub(crate) fn line_printer(&self) -> impl Fn(String) + Send + 'static {
        let sender = self.sender.clone();
        move |text| drop(sender.send(DisplayMessage::Line(text)))
    }

    /// Returns a function that asks the user for a secret while nothing is drawn.
    pub(crate) fn prompter(&self) -> impl Fn(&str) -> Option<SecretString> + Send + Sync + 'static {
        let sender = self.sender.clone();
        move |prompt| {
            let (sending, answer) = channel();
            sender.send(DisplayMessage::Prompt(prompt.to_owned(), sending)).ok()?;
            answer.recv().ok()?
        }
    }

    /// Shows the remaining messages and ends the drawing thread.
    pub(crate) fn finish(mut self) {
        let _ = self.sender.send(DisplayMessage::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn create_view(mode: ProgressMode) -> Box<dyn ProgressView> {
    let dumb = std::env::var_os("TERM").is_some_and(|kind| kind == "dumb");
    match mode {
        ProgressMode::Bar => Box::new(bar_view::BarView::new()),
        ProgressMode::Auto if io::stderr().is_terminal() && !dumb => Box::new(bar_view::BarView::new()),
        ProgressMode::Auto | ProgressMode::Plain => Box::new(log_view::LogView::default()),
        ProgressMode::Json => Box::new(json_view::JsonView),
        ProgressMode::None => Box::new(NullView),
    }
}

struct NullView;

impl ProgressView for NullView {
    fn show_event(&mut self, _event: &Event) {}
}

/// Describes how far a follower is.
fn format_following(now: &FollowProgress) -> String {
    let rows = crate::text::count(now.rows);
    let bytes = now
        .lag_bytes
        .filter(|bytes| *bytes > 0)
        .map(|bytes| format!(" and {} of log", crate::text::size(bytes as f64)))
        .unwrap_or_default();
    let lag = match now.lag_seconds > 0.0 {
        true => format!("{:.1} s{bytes} behind", now.lag_seconds),
        false => "up to date".to_owned(),
    };
    format!("following: {lag} at {}, {rows} rows, {:.0}/s", Printable(&now.position), now.rows_per_second)
}

fn leg_name(leg: LegName) -> &'static str {
    match leg {
        LegName::Clone => "clone",
        LegName::Export => "export",
        LegName::Import => "import",
        LegName::Verify => "verify",
    }
}

fn phase_name(leg: LegName, phase: Phase) -> &'static str {
    match (phase, leg) {
        (Phase::Preflight, _) => "checking both ends",
        (Phase::Snapshot, _) => "taking the snapshot",
        (Phase::Tables, LegName::Export) => "beginning the archive",
        (Phase::Tables, _) => "creating tables",
        (Phase::Rows, _) => "copying rows",
        (Phase::Indexes | Phase::Objects, LegName::Export) => "completing the archive",
        (Phase::Indexes, _) => "building indexes",
        (Phase::Verify, LegName::Verify) => "comparing rows",
        (Phase::Verify, _) => "comparing the last tables with what was read",
        (Phase::CatchingUp, _) => "bringing all tables to one moment",
        (Phase::Objects, _) => "foreign keys, views, routines, triggers, events",
        (Phase::Done, _) => "done",
        (Phase::Following, _) => "following the source",
        (Phase::Cleanup, _) => "cleaning up",
    }
}

/// Formats the begin or the end of a pause; empty for other events.
fn format_pause(event: &Event) -> String {
    match event {
        Event::Paused { reason } => format!("paused: {}", Printable(reason)),
        Event::Unpaused { reason, seconds } => {
            format!("going on after {}: {}", text::seconds(*seconds), Printable(reason))
        }
        _ => String::new(),
    }
}

/// Formats why a cut-over is refused.
fn format_refusal(differences: &[String]) -> String {
    format!("not cut over, and following goes on: {}", Printable(&differences.join("; ")))
}

/// Formats progress: `12.3 MiB of about 1.2 GiB, 56.0 MiB/s, 0:21 to go`.
fn format_progress(progress: &LegProgress) -> String {
    let (done, total) = (text::size(progress.bytes as f64), text::size(progress.bytes_total as f64));
    let whole = if progress.bytes < progress.bytes_total { format!("{done} of about {total}") } else { done };
    let to_go = progress.eta.filter(|eta| *eta >= 1.0).map(|eta| format!(", {} to go", text::clock(eta)));
    format!("{whole}, {}/s{}", text::size(progress.rate), to_go.unwrap_or_default())
}
