//! What went wrong with a cluster, said in one paragraph: what, why, and the next step.

use std::fmt;

/// The kinds that are told apart. `Other` is the tool's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    NotInstalled,
    TooOld,
    EngineDown,
    SocketDenied,
    PortTaken,
    ImageMissing,
    PullFailed,
    PrivilegedRefused,
    BadName,
    NameTaken,
    OutOfDisk,
    NeverReady,
    TookTooLong,
    Interrupted,
    MountMissing,
    MountNotShared,
    /// The cluster belongs to another tool, or to somebody else.
    ForeignCluster,
    ForeignContext,
    NothingThere,
    Unreachable,
    CertificateBad,
    Forbidden,
    CrdVersion,
    CannotLoadImages,
    InUse,
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub trouble: Trouble,
    /// Finishes "failed to ...".
    pub what: String,
    pub why: String,
    /// The next step, a full sentence without its full stop.
    pub next: String,
}

impl Problem {
    pub fn new(
        trouble: Trouble,
        what: impl Into<String>,
        why: impl Into<String>,
        next: impl Into<String>,
    ) -> Problem {
        Problem { trouble, what: what.into(), why: why.into(), next: next.into() }
    }

    /// The same trouble, met while doing something larger.
    pub fn during(mut self, what: impl Into<String>) -> Problem {
        self.what = what.into();
        self
    }

    /// Says more about what to do.
    pub fn and(mut self, more: &str) -> Problem {
        self.next.push_str(". ");
        self.next.push_str(more);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}. Next: {}.", self.what, self.why.trim_end_matches('.'), self.next)
    }
}

impl std::error::Error for Problem {}
