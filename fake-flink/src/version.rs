//! The Flink versions the fake speaks, and what differs between them as named questions.
//!
//! Recorded are 1.18.1, 1.20.3 and 2.2.1. The other supported minor versions (1.15 to 2.4) answer like the nearest
//! recorded one; only the version texts carry their own number.

use std::fmt;
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u8,
    minor: u8,
    patch: u8,
}

impl Version {
    pub const V1_18: Version = Version { major: 1, minor: 18, patch: 1 };
    pub const V1_20: Version = Version { major: 1, minor: 20, patch: 3 };
    pub const V2_2: Version = Version { major: 2, minor: 2, patch: 1 };

    /// 2.x: `host` and the deprecated exception fields are gone, `pending-operators` appears.
    pub fn is_2(self) -> bool {
        self.major >= 2
    }

    /// Behaves like 1.20 or later. 1.19 counts: it is where the restart and configuration defaults changed.
    pub fn since_1_20(self) -> bool {
        self.is_2() || self.minor >= 19
    }

    /// The recorded release this one answers like.
    pub fn recorded(self) -> Version {
        match (self.is_2(), self.since_1_20()) {
            (true, _) => Version::V2_2,
            (false, true) => Version::V1_20,
            (false, false) => Version::V1_18,
        }
    }

    /// A failure enters the exception history when its restart begins, later versions note it at once.
    pub fn archives_failures_at_restart(self) -> bool {
        !self.since_1_20()
    }

    /// `execution.checkpointing.dir`, `execution.state-recovery.path` and others of FLIP-406.
    pub fn knows_options_of_1_20(self) -> bool {
        self.is_2() || self.minor >= 20
    }

    pub fn rejects_unknown_fields(self) -> bool {
        !self.since_1_20()
    }

    pub fn commit(self) -> &'static str {
        match (self.is_2(), self.since_1_20()) {
            (true, _) => "450c63e",
            (false, true) => "01e3a6d",
            (false, false) => "a8c8b1c",
        }
    }

    /// The `flink-revision` text of `GET /config`.
    pub fn revision(self) -> String {
        let date = match (self.is_2(), self.since_1_20()) {
            (true, _) => "2026-05-03T10:10:44+02:00",
            (false, true) => "2025-09-20T02:22:05+02:00",
            (false, false) => "2023-12-19T22:17:36+01:00",
        };
        format!("{} @ {date}", self.commit())
    }

    /// The key named when neither a target directory nor a default one is known.
    pub fn savepoint_dir_key(self) -> &'static str {
        if self.since_1_20() { "execution.checkpointing.savepoint-dir" } else { "state.savepoints.dir" }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Why a text is not a version the fake can play.
#[derive(Debug, PartialEq, Eq)]
pub struct UnknownVersion(String);

impl fmt::Display for UnknownVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "play Flink {:?}: known are 1.15 to 1.20 and 2.0 to 2.4, for example 1.20 or v2_2", self.0)
    }
}

impl std::error::Error for UnknownVersion {}

impl FromStr for Version {
    type Err = UnknownVersion;

    /// Accepts `1.20`, `1.20.3` and the spelling of custom resources, `v1_20`.
    fn from_str(text: &str) -> Result<Version, UnknownVersion> {
        let unknown = || UnknownVersion(text.to_owned());
        let plain = text.trim().trim_start_matches('v').replace('_', ".");
        let mut parts = plain.split('.').map(|p| p.parse::<u8>().map_err(|_| unknown()));
        let major = parts.next().ok_or_else(unknown)??;
        let minor = parts.next().ok_or_else(unknown)??;
        let patch = parts.next().transpose()?;
        let version = match (major, minor) {
            (1, 18) => Version { patch: patch.unwrap_or(1), ..Version::V1_18 },
            (1, 20) => Version { patch: patch.unwrap_or(3), ..Version::V1_20 },
            (2, 2) => Version { patch: patch.unwrap_or(1), ..Version::V2_2 },
            (1, 15..=19) | (2, 0..=4) => Version { major, minor, patch: patch.unwrap_or(0) },
            _ => return Err(unknown()),
        };
        if parts.next().is_some() { Err(unknown()) } else { Ok(version) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        for (text, expected) in
            [("1.20", "1.20.3"), ("v2_2", "2.2.1"), ("1.18.0", "1.18.0"), ("2.0", "2.0.0")]
        {
            assert_eq!(text.parse::<Version>().unwrap().to_string(), expected);
        }
        for text in ["", "1", "1.14", "3.0", "x.y", "1.20.3.4", "1.999"] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }
}
