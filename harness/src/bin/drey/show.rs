//! Between the library and the reporters: what happens in a run reaches the terminal, or standard output as JSON lines.

use std::io::{self, IsTerminal};

use drey_harness::library::{Growing, Progress};
use drey_language::events::Event;
use drey_language::report::{CaseReport, RunReport};
use drey_language::reporters::{JsonLines, Reporter, Terminal};

/// How results are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A bar on a terminal, plain lines elsewhere.
    Human,
    /// One JSON record per line on standard output: runs, events, results, a summary.
    Json,
}

/// Follows a run. A reporter that fails is told no more; the run goes on.
pub struct Show {
    reporter: Box<dyn Reporter + Send>,
    format: Format,
    is_begun: bool,
    error: Option<io::Error>,
    /// Written beside what is shown.
    growing: Option<Growing>,
}

impl Show {
    pub fn new(format: Format, is_verbose: bool, growing: Option<Growing>) -> Show {
        let reporter: Box<dyn Reporter + Send> = match format {
            // Where no bar moves, a line per run says that something does.
            Format::Human => Box::new(Terminal::stdout(is_verbose || !io::stdout().is_terminal())),
            Format::Json => Box::new(JsonLines::new(io::stdout())),
        };
        Show { reporter, format, is_begun: false, error: None, growing }
    }

    fn tell(&mut self, what: impl FnOnce(&mut dyn Reporter) -> io::Result<()>) {
        if self.error.is_none() {
            self.error = what(self.reporter.as_mut()).err();
        }
    }

    /// The report that has grown is the caller's to finish.
    pub fn end(mut self, report: &RunReport) -> (io::Result<()>, Option<Growing>) {
        self.tell(|reporter| reporter.end(report));
        (self.error.map_or(Ok(()), Err), self.growing)
    }
}

impl Progress for Show {
    fn expected(&mut self, runs: usize) {
        // The bar may grow; the head of a stream is written once.
        if !self.is_begun || self.format == Format::Human {
            self.tell(|reporter| reporter.begin(runs));
        }
        self.is_begun = true;
    }

    fn started(&mut self, title: &str) {
        self.tell(|reporter| reporter.case_started(title));
    }

    fn finished(&mut self, report: &CaseReport) {
        self.tell(|reporter| reporter.case_finished(report));
        if let Some(growing) = &mut self.growing {
            growing.add(report);
        }
    }

    fn wants_events(&self) -> bool {
        self.format == Format::Json
    }

    fn event(&mut self, title: &str, event: &Event) {
        self.tell(|reporter| reporter.event(title, event));
    }
}
