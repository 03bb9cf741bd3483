//! Progress on its way from the engine to the person: drawn by a thread of its own, so that a slow terminal never
//! slows the work.

mod bars;
mod json;
mod lines;

use std::io::{self, IsTerminal};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use dbgraft::{Amount, Event, LegName, Phase, SecretString};

use crate::args::Mode;
use crate::{password, text};

/// One way to show progress.
trait View {
    fn event(&mut self, event: &Event);

    /// Says something that is no event.
    fn line(&mut self, text: &str) {
        crate::tell(text);
    }

    /// Asks the person something secret.
    fn ask(&mut self, question: &str) -> Option<SecretString> {
        password::answer(question)
    }

    fn end(&mut self) {}
}

enum Message {
    Event(Event),
    Line(String),
    Question(String, Sender<Option<SecretString>>),
    End,
}

/// The running display.
pub(crate) struct Progress {
    sender: Sender<Message>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Starts to show what [`listener`](Self::listener) hears.
    pub(crate) fn start(mode: Mode) -> Self {
        let (sender, receiver) = channel();
        let thread = std::thread::spawn(move || {
            let mut view = view(mode);
            for message in receiver {
                match message {
                    Message::Event(event) => view.event(&event),
                    Message::Line(text) => view.line(&text),
                    Message::Question(question, answer) => drop(answer.send(view.ask(&question))),
                    Message::End => break,
                }
            }
            view.end();
        });
        Self { sender, thread: Some(thread) }
    }

    /// What hears the job's events.
    pub(crate) fn listener(&self) -> impl Fn(Event) + Send + Sync + 'static {
        let sender = self.sender.clone();
        // After the end nobody listens any more.
        move |event| drop(sender.send(Message::Event(event)))
    }

    /// What says something to the person in between.
    pub(crate) fn teller(&self) -> impl Fn(String) + Send + 'static {
        let sender = self.sender.clone();
        move |text| drop(sender.send(Message::Line(text)))
    }

    /// What asks the person for something secret, while nothing is drawn.
    pub(crate) fn asker(&self) -> impl Fn(&str) -> Option<SecretString> + Send + Sync + 'static {
        let sender = self.sender.clone();
        move |question| {
            let (sending, answer) = channel();
            sender.send(Message::Question(question.to_owned(), sending)).ok()?;
            answer.recv().ok()?
        }
    }

    /// Shows what is still under way, and leaves the terminal to others.
    pub(crate) fn end(mut self) {
        let _ = self.sender.send(Message::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn view(mode: Mode) -> Box<dyn View> {
    let dumb = std::env::var_os("TERM").is_some_and(|kind| kind == "dumb");
    match mode {
        Mode::Bar => Box::new(bars::Bars::new()),
        Mode::Auto if io::stderr().is_terminal() && !dumb => Box::new(bars::Bars::new()),
        Mode::Auto | Mode::Plain => Box::new(lines::Lines::default()),
        Mode::Json => Box::new(json::Json),
        Mode::None => Box::new(Silent),
    }
}

struct Silent;

impl View for Silent {
    fn event(&mut self, _event: &Event) {}
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
        (Phase::Snapshot, _) => "fixing the moment of the rows",
        (Phase::Tables, LegName::Export) => "beginning the archive",
        (Phase::Tables, _) => "creating tables",
        (Phase::Rows, _) => "copying rows",
        (Phase::Indexes | Phase::Objects, LegName::Export) => "completing the archive",
        (Phase::Indexes, _) => "building indexes",
        (Phase::Verify, LegName::Verify) => "comparing rows",
        (Phase::Verify, _) => "comparing the last tables with what was read",
        (Phase::Objects, _) => "foreign keys, views, routines, triggers, events",
        (Phase::Done, _) => "done",
        (Phase::Cleanup, _) => "cleaning up",
    }
}

/// `12.3 MiB of about 1.2 GiB, 56.0 MiB/s, 0:21 to go`
fn amount(amount: &Amount) -> String {
    let (done, total) = (text::size(amount.bytes as f64), text::size(amount.bytes_total as f64));
    let whole = if amount.bytes < amount.bytes_total { format!("{done} of about {total}") } else { done };
    let to_go = amount.eta.filter(|eta| *eta >= 1.0).map(|eta| format!(", {} to go", text::clock(eta)));
    format!("{whole}, {}/s{}", text::size(amount.rate), to_go.unwrap_or_default())
}
