//! What several words of the command share: seeds, modes, choosing runs of one file, showing what is wrong with files.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use drey_harness::library::{self, Found, GOLDEN_SEED, Goldens, Options, Run};
use drey_language::{Diagnostics, Paint, Scenario, Vocabulary};

use crate::place::Place;

/// `7`, `0x51f3`.
pub fn seed(text: &str) -> Result<u64, String> {
    let digits = text.replace('_', "");
    let parsed = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => digits.parse(),
    };
    parsed.map_err(|_| "a seed is a whole number below 2^64, such as 7 or 0x51f3".to_owned())
}

/// One file, perhaps one of its cases, and how to run it.
#[derive(clap::Args)]
pub struct One {
    /// The scenario file.
    pub file: PathBuf,
    /// One case of its matrix, as reports name it. Default: all of them.
    #[arg(long, value_name = "NAME")]
    pub case: Option<String>,
    /// Decides every choice left open; the same seed gives the same run.
    #[arg(long, value_name = "N", default_value_t = GOLDEN_SEED, value_parser = seed)]
    pub seed: u64,
    #[command(flatten)]
    pub place: Place,
}

impl One {
    pub fn options(&self) -> anyhow::Result<Options> {
        self.place.fill(Options { jobs: 1, goldens: Goldens::Ignore, ..Options::usual(self.seed) })
    }

    /// The scenario, or `None` after its problems were shown.
    pub fn scenario(&self, vocabulary: &Vocabulary) -> anyhow::Result<Option<Scenario>> {
        anyhow::ensure!(
            !self.file.is_dir(),
            "use {}: it is a folder; name one scenario file",
            self.file.display()
        );
        let found = library::find(std::slice::from_ref(&self.file), vocabulary)?;
        if show_problems(&found)? {
            return Ok(None);
        }
        Ok(found.scenarios.into_iter().next())
    }

    /// The runs that are meant.
    pub fn runs<'s>(&self, scenario: &'s Scenario) -> anyhow::Result<Vec<Run<'s>>> {
        match &self.case {
            None => Ok(library::cells_of(scenario).collect()),
            Some(name) => library::find_run(scenario, name).map(|run| vec![run]).map_err(anyhow::Error::msg),
        }
    }
}

/// Tells what is wrong with files that were found. Whether there was anything.
pub fn show_problems(found: &Found) -> anyhow::Result<bool> {
    show_diagnostics(&found.problems)?;
    Ok(!found.problems.is_empty())
}

pub fn show_diagnostics<'d>(problems: impl IntoIterator<Item = &'d Diagnostics>) -> io::Result<()> {
    let paint = Paint::auto(io::stderr().is_terminal());
    let mut out = Regardless(io::stderr());
    problems
        .into_iter()
        .filter(|problems| !problems.is_empty())
        .try_for_each(|problems| out.write_all(problems.render(paint).as_bytes()))
}

/// Output of a word whose exit code is a verdict: whoever stops reading (`drey run | grep -q`) does not change that.
pub struct Regardless<W>(pub W);

impl<W: Write> Write for Regardless<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        regardless(self.0.flush())
    }
}

/// A closed pipe is no failure.
pub fn regardless(told: io::Result<()>) -> io::Result<()> {
    told.or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
}

/// How a path is shown in tables: without `./`.
pub fn shown(path: &Path) -> String {
    path.strip_prefix(".").unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::seed;

    #[test]
    fn seeds() {
        assert_eq!(seed("7"), Ok(7));
        assert_eq!(seed("0x51F3"), Ok(0x51f3));
        assert_eq!(seed("1_000"), Ok(1000));
        assert_eq!(seed("0xffffffffffffffff"), Ok(u64::MAX));
        assert!(seed("-1").is_err() && seed("seven").is_err() && seed("").is_err());
    }
}
