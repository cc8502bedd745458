//! One call of somebody else's program as a value, what came of it, and the seam behind which it happens.
//! Leaves out: how a process is run and ended, which is `processes`.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// A program with its arguments, and how long it may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub program: String,
    pub args: Vec<String>,
    /// Over the environment of this process.
    pub env: Vec<(String, String)>,
    pub stdin: Option<String>,
    /// Longer than this, and the program is ended with all it started.
    pub limit: Duration,
    /// Whether what it says is shown while it runs.
    pub is_shown: bool,
    /// Takes something back, and so runs after Ctrl-C, too.
    pub is_undo: bool,
}

/// Enough for whatever only asks; everything that makes something says its own limit.
pub const ASKING: Duration = Duration::from_secs(30);

impl Call {
    pub fn new<S: Into<String>>(program: &str, args: impl IntoIterator<Item = S>) -> Call {
        Call {
            program: program.to_owned(),
            args: args.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            stdin: None,
            limit: ASKING,
            is_shown: false,
            is_undo: false,
        }
    }

    pub fn arg(mut self, arg: impl Into<String>) -> Call {
        self.args.push(arg.into());
        self
    }

    pub fn path(self, path: &Path) -> Call {
        self.arg(path.display().to_string())
    }

    pub fn env(mut self, key: &str, value: impl Into<String>) -> Call {
        self.env.push((key.to_owned(), value.into()));
        self
    }

    pub fn stdin(mut self, text: impl Into<String>) -> Call {
        self.stdin = Some(text.into());
        self
    }

    pub fn within(mut self, limit: Duration) -> Call {
        self.limit = limit;
        self
    }

    pub fn shown(mut self) -> Call {
        self.is_shown = true;
        self
    }

    pub fn undo(mut self) -> Call {
        self.is_undo = true;
        self
    }
}

/// As one would type it, for messages.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program)?;
        for arg in &self.args {
            let is_plain =
                !arg.is_empty() && arg.bytes().all(|b| b.is_ascii_graphic() && !b"'\"{};*$".contains(&b));
            if is_plain { write!(f, " {arg}")? } else { write!(f, " '{arg}'")? }
        }
        Ok(())
    }
}

/// What a program that ended by itself left behind. Output beyond [`OUTPUT_MAX`] is cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// `None`: ended by a signal.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

pub const OUTPUT_MAX: usize = 8 << 20;

impl Outcome {
    /// Tools warn on standard error and succeed: only the code counts.
    pub fn is_success(&self) -> bool {
        self.code == Some(0)
    }
}

/// Why a call came to no end of its own.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("{program} is not on PATH")]
    Missing { program: String },
    #[error("`{call}` was still running after {}s and was ended", limit.as_secs())]
    TimedOut { call: String, limit: Duration, said: Outcome },
    #[error("`{call}` was ended because of Ctrl-C")]
    Interrupted { call: String },
    #[error("start `{call}`")]
    Start { call: String, source: std::io::Error },
}

/// Where calls happen. Tests put stand-ins here or on PATH.
pub trait Runner {
    /// Runs to the end. A code other than 0 is an answer, not an error.
    fn run(&self, call: &Call) -> Result<Outcome, RunError>;

    /// Whether a program is there to be called.
    fn has(&self, program: &str) -> bool;
}

/// The file a program's name means on a search path.
pub(crate) fn which(program: &str, path: &OsStr) -> Option<std::path::PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let is_program = |file: &std::path::PathBuf| {
        file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(path).map(|folder| folder.join(program)).find(is_program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_as_typed() {
        let call = Call::new("docker", ["version", "--format", "{{.Server.Version}}", ""]);
        assert_eq!(call.to_string(), "docker version --format '{{.Server.Version}}' ''");
    }
}
