//! `drey gate` without its command line: reads the files, judges, tells everybody who listens, gives the exit code.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use drey_yaml::{Diagnostics, Paint};

use crate::baseline::Baseline;
use crate::counts::Counts;
use crate::judge::{Limits, Measured, accept, judge};
use crate::ratios::Samples;
use crate::report::Report;
use crate::verdict::Verdict;
use crate::{annotations, labels, markdown, terminal};

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub report: Option<PathBuf>,
    pub counts: Option<PathBuf>,
    pub ratios: Option<PathBuf>,
    pub baseline: Option<PathBuf>,
    pub update_baseline: bool,
    pub limits: Limits,
    pub markdown: Option<PathBuf>,
    pub code_quality: Option<PathBuf>,
    pub junit: Option<PathBuf>,
    pub verdict: Option<PathBuf>,
    /// `None`: on GitHub, and not elsewhere.
    pub annotations: Option<bool>,
    pub override_label: Option<String>,
    /// Labels of the change, separated by commas; from the environment unless given.
    pub labels: Option<String>,
}

/// Why there is no verdict.
#[derive(Debug)]
pub enum Problem {
    /// A file is not as it should be, with place and next step.
    Input(Diagnostics),
    /// The request does not make sense; says what to do.
    Request(String),
    /// A file could not be written.
    Write(PathBuf, io::Error),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Input(problems) => problems.fmt(f),
            Problem::Request(text) => f.write_str(text),
            Problem::Write(path, error) => write!(f, "write {}: {error}", path.display()),
        }
    }
}

impl std::error::Error for Problem {}

impl From<Diagnostics> for Problem {
    fn from(problems: Diagnostics) -> Problem {
        Problem::Input(problems)
    }
}

/// Variables of CI servers and of people.
pub type Environment<'e> = &'e dyn Fn(&str) -> Option<String>;

/// Exit code: 0 pass, better, or let through by a label; 1 worse; 3 too noisy to tell. An error is exit code 2.
pub fn run(
    request: &Request,
    environment: Environment<'_>,
    paint: Paint,
    out: &mut dyn Write,
) -> Result<u8, Problem> {
    let measured = request.measured()?;
    let baseline = request.stored(&measured)?;
    if let (Some(path), Some(report)) = (&request.junit, &measured.report) {
        pass_on_junit(report, path)?;
    }
    let mut verdict = judge(&measured, baseline.as_ref(), &request.limits);
    if let Some(label) = request.override_label.as_deref().filter(|_| verdict.is_bad()) {
        verdict.overridden = labels::find(label, request.labels.as_deref(), environment);
    }
    let said = |error| Problem::Write(PathBuf::from("standard output"), error);
    out.write_all(terminal::render(&verdict, paint).as_bytes()).map_err(said)?;
    request.tell(&verdict, environment, out)?;
    if !request.update_baseline {
        return Ok(verdict.exit_code());
    }
    if let (Some(path), Some(baseline)) = (&request.baseline, &baseline) {
        let accepted = accept(&measured, baseline, &request.limits);
        accepted.write(path).map_err(|error| Problem::Write(path.clone(), error))?;
        writeln!(out, "stored in {}: read its diff before you commit it", path.display()).map_err(said)?;
        let (samples, ratios) = (&measured.ratios, accepted.ratios.unwrap_or_default());
        let left_out = samples.as_ref().map(|samples| samples.left_out(&ratios)).unwrap_or_default();
        if !left_out.is_empty() {
            let (names, max) = (left_out.join(", "), request.limits.noise_max * 100.0);
            writeln!(
                out,
                "left out, for their samples scatter by more than {max:.0} %: {names}\n\
                 next: take more pairs on a quieter machine, or allow more with --noise-max"
            )
            .map_err(said)?;
        }
    }
    Ok(0)
}

impl Request {
    fn measured(&self) -> Result<Measured, Problem> {
        if self.report.is_none() && self.counts.is_none() && self.ratios.is_none() {
            let text = "find anything to judge: give --report DIR, --counts FILE or --ratios FILE";
            return Err(Problem::Request(text.to_owned()));
        }
        if self.junit.is_some() && self.report.is_none() {
            let text = "pass on a JUnit file: --junit takes it from the report, give --report DIR";
            return Err(Problem::Request(text.to_owned()));
        }
        Ok(Measured {
            report: self.report.as_deref().map(Report::read).transpose()?,
            counts: self.counts.as_deref().map(Counts::read).transpose()?,
            ratios: self.ratios.as_deref().map(Samples::read).transpose()?,
        })
    }

    fn stored(&self, measured: &Measured) -> Result<Option<Baseline>, Problem> {
        let Some(path) = self.baseline.as_deref() else {
            let text = match (self.update_baseline, &measured.counts) {
                (true, _) => "update a baseline: say which with --baseline FILE",
                (false, Some(_)) => {
                    "judge counts: they are held against a baseline, give --baseline FILE; --update-baseline makes it"
                }
                (false, None) => return Ok(None),
            };
            return Err(Problem::Request(text.to_owned()));
        };
        if self.update_baseline && !path.exists() {
            return Ok(Some(Baseline::empty(path)));
        }
        Ok(Some(Baseline::read(path)?))
    }

    /// Everybody but the terminal.
    fn tell(
        &self,
        verdict: &Verdict,
        environment: Environment<'_>,
        out: &mut dyn Write,
    ) -> Result<(), Problem> {
        let root =
            ["GITHUB_WORKSPACE", "CI_PROJECT_DIR"].into_iter().find_map(environment).map(PathBuf::from);
        let root = root.as_deref();
        let is_github = environment("GITHUB_ACTIONS").is_some_and(|value| value == "true");
        if self.annotations.unwrap_or(is_github) {
            let text = annotations::github(verdict, root);
            out.write_all(text.as_bytes())
                .map_err(|error| Problem::Write("standard output".into(), error))?;
        }
        let summary = markdown::render(verdict);
        if let Some(path) = &self.markdown {
            write(path, &summary)?;
        }
        // Other steps write there, too.
        if let Some(path) = environment("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) {
            append(Path::new(&path), &summary)?;
        }
        if let Some(path) = &self.code_quality {
            write(path, &format!("{:#}\n", annotations::gitlab(verdict, root)))?;
        }
        match &self.verdict {
            Some(path) => {
                let mut value = serde_json::to_value(verdict).unwrap_or_default();
                value["exitCode"] = verdict.exit_code().into();
                write(path, &format!("{value:#}\n"))
            }
            None => Ok(()),
        }
    }
}

fn write(path: &Path, text: &str) -> Result<(), Problem> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let made = folder.map_or(Ok(()), std::fs::create_dir_all);
    made.and_then(|()| std::fs::write(path, text)).map_err(|error| Problem::Write(path.to_path_buf(), error))
}

fn append(path: &Path, text: &str) -> Result<(), Problem> {
    let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| Problem::Write(path.to_path_buf(), error))
}

/// As the run wrote it, where the CI server looks for it.
fn pass_on_junit(report: &Report, path: &Path) -> Result<(), Problem> {
    let from = report.folder.clone().unwrap_or_default().join("junit.xml");
    let text = std::fs::read_to_string(&from).map_err(|error| {
        Problem::Request(format!(
            "pass on {}: {error}; give the whole folder of `drey run --report` to --report",
            from.display()
        ))
    })?;
    write(path, &text)
}
