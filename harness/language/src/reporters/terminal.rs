//! The terminal: a progress bar where there is a terminal, plain lines elsewhere, failures in full as they come and a
//! closing count. Colour follows `Paint`.

use super::Reporter;
use crate::duration;
use crate::events::Event;
use crate::failure;
use crate::paint::Paint;
use crate::report::{CaseReport, Outcome, RunReport};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal, Write};

/// Writes a run for a person who watches.
pub struct Terminal<W: Write> {
    out: W,
    paint: Paint,
    /// Hidden when there is no terminal.
    bar: Option<ProgressBar>,
    /// Passed cases are told one by one; otherwise only counted.
    verbose: bool,
    failed: usize,
}

impl Terminal<io::Stdout> {
    /// Standard output, with a bar on standard error when both are terminals.
    pub fn stdout(verbose: bool) -> Terminal<io::Stdout> {
        let out = io::stdout();
        let live = out.is_terminal() && io::stderr().is_terminal();
        let bar = live.then(|| ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()));
        let paint = Paint::auto(out.is_terminal());
        Terminal { out, paint, bar, verbose, failed: 0 }
    }
}

impl<W: Write> Terminal<W> {
    /// Plain lines into anything: logs, tests.
    pub fn plain(out: W, verbose: bool) -> Terminal<W> {
        Terminal { out, paint: Paint::Plain, bar: None, verbose, failed: 0 }
    }

    pub fn into_inner(self) -> W {
        self.out
    }

    fn print(&mut self, text: &str) -> io::Result<()> {
        let Terminal { out, bar, .. } = self;
        match bar {
            // The bar steps aside for the lines and comes back below them.
            Some(bar) => bar.suspend(|| out.write_all(text.as_bytes())),
            None => out.write_all(text.as_bytes()),
        }
    }

    fn verdict(&self, case: &CaseReport) -> String {
        let paint = self.paint;
        let word = match &case.outcome {
            Outcome::Passed => paint.green("  passed"),
            Outcome::Failed { .. } => paint.red("  failed"),
            Outcome::Broken { .. } => paint.red("  broken"),
            Outcome::Skipped { .. } => paint.yellow(" skipped"),
        };
        let mut text = format!("{word} {}", case.title());
        match &case.outcome {
            Outcome::Skipped { reason } => text.push_str(&format!(" ({reason})")),
            _ => text.push_str(&paint.dim(&format!(" ({} scenario time)", duration::format(case.elapsed)))),
        }
        text.push('\n');
        for step in &case.skipped_steps {
            let line = format!("          skipped step {} ({}): {}\n", step.step, step.at, step.reason);
            text.push_str(&paint.yellow(&line));
        }
        text
    }
}

impl<W: Write> Reporter for Terminal<W> {
    fn begin(&mut self, cases: usize) -> io::Result<()> {
        if let Some(bar) = &self.bar {
            bar.set_length(cases as u64);
            if let Ok(style) = ProgressStyle::with_template("{bar:30.cyan/dim} {pos}/{len} {msg}") {
                bar.set_style(style);
            }
        }
        Ok(())
    }

    fn case_started(&mut self, title: &str) -> io::Result<()> {
        if let Some(bar) = &self.bar {
            let failed = if self.failed > 0 { format!("{} failed, ", self.failed) } else { String::new() };
            bar.set_message(format!("{failed}{title}"));
        }
        Ok(())
    }

    fn event(&mut self, _title: &str, _event: &Event) -> io::Result<()> {
        Ok(())
    }

    fn case_finished(&mut self, case: &CaseReport) -> io::Result<()> {
        self.failed += usize::from(case.outcome.is_bad());
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
        let mut text = String::new();
        let quiet = matches!(case.outcome, Outcome::Passed) && case.skipped_steps.is_empty();
        if self.verbose || !quiet {
            text.push_str(&self.verdict(case));
        }
        match &case.outcome {
            Outcome::Failed { failures } => {
                for failure in failures {
                    for line in failure::render(failure, case, self.paint).lines() {
                        text.push_str(&format!("    {line}\n"));
                    }
                }
            }
            Outcome::Broken { error } => {
                text.push_str(&format!("    {error}\n    {} {}\n", self.paint.dim("replay:"), case.replay));
            }
            Outcome::Passed | Outcome::Skipped { .. } => {}
        }
        self.print(&text)
    }

    fn end(&mut self, report: &RunReport) -> io::Result<()> {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        let summary = report.summary();
        let summary = if report.failed() { self.paint.red(&summary) } else { self.paint.green(&summary) };
        let scenario: std::time::Duration = report.cases.iter().map(|case| case.elapsed).sum();
        let wall =
            std::time::Duration::from_millis(u64::try_from(report.wall.as_millis()).unwrap_or(u64::MAX));
        let times = format!("{} of scenario time in {}", duration::format(scenario), duration::format(wall));
        self.print(&format!("{summary} {}\n", self.paint.dim(&format!("({times})"))))?;
        self.out.flush()
    }
}
