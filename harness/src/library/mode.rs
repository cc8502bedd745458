//! The worlds a scenario can run in.

use std::fmt;
use std::str::FromStr;

use drey_language::diagnostics::nearest;

/// Where a run takes place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// In this process, on a clock that jumps from event to event. The same seed gives the same run.
    #[default]
    Virtual,
    /// In this process, over real HTTP on 127.0.0.1, on the real clock, faster or slower by a scale.
    Loopback,
    /// Against the cluster of a kubeconfig.
    Cluster,
}

impl Mode {
    pub const ALL: [Mode; 3] = [Mode::Virtual, Mode::Loopback, Mode::Cluster];

    /// As scenario files and the command line spell it.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Virtual => "virtual",
            Mode::Loopback => "loopback",
            Mode::Cluster => "cluster",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Mode, String> {
        let names = Mode::ALL.map(Mode::name);
        Mode::ALL.into_iter().find(|mode| mode.name() == text).ok_or_else(|| {
            let hint =
                nearest(text, &names).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            format!("there is no mode `{text}`, only {}{hint}", names.join(", "))
        })
    }
}
