//! The Flink version of a cluster, in the form of the CRD enum (`v1_20`).
//!
//! A version is a pair of numbers rather than a list of names: rules compare ("at least 1.17"), and an operator
//! must be able to read an object that names a version newer than itself.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// `v<major>_<minor>`; ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlinkVersion {
    pub major: u16,
    pub minor: u16,
}

impl FlinkVersion {
    pub const V1_13: Self = Self::new(1, 13);
    pub const V1_14: Self = Self::new(1, 14);
    pub const V1_15: Self = Self::new(1, 15);
    pub const V1_16: Self = Self::new(1, 16);
    pub const V1_17: Self = Self::new(1, 17);
    pub const V1_18: Self = Self::new(1, 18);
    pub const V1_19: Self = Self::new(1, 19);
    pub const V1_20: Self = Self::new(1, 20);
    pub const V2_0: Self = Self::new(2, 0);
    pub const V2_1: Self = Self::new(2, 1);
    pub const V2_2: Self = Self::new(2, 2);
    pub const V2_3: Self = Self::new(2, 3);
    pub const V2_4: Self = Self::new(2, 4);

    /// Every version the CRD accepts, ascending.
    pub const ALL: [Self; 13] = [
        Self::V1_13,
        Self::V1_14,
        Self::V1_15,
        Self::V1_16,
        Self::V1_17,
        Self::V1_18,
        Self::V1_19,
        Self::V1_20,
        Self::V2_0,
        Self::V2_1,
        Self::V2_2,
        Self::V2_3,
        Self::V2_4,
    ];

    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }

    /// 1.15 and later are supported (reconciler.md 1.2).
    pub fn is_supported(self) -> bool {
        self >= Self::V1_15
    }

    /// Up to 1.18: works, and the log advises to move on.
    pub fn is_deprecated(self) -> bool {
        self <= Self::V1_18
    }
}

impl fmt::Display for FlinkVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}_{}", self.major, self.minor)
    }
}

/// A text that is not a Flink version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionFormatError(String);

impl fmt::Display for VersionFormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flink version {:?} is not of the form v<major>_<minor>, for example v1_20", self.0)
    }
}

impl std::error::Error for VersionFormatError {}

impl FromStr for FlinkVersion {
    type Err = VersionFormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| digits.parse::<u16>().ok()).flatten()
        };
        text.strip_prefix('v')
            .and_then(|rest| rest.split_once('_'))
            .and_then(|(major, minor)| Some(Self::new(number(major)?, number(minor)?)))
            .ok_or_else(|| VersionFormatError(text.to_owned()))
    }
}

impl Serialize for FlinkVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FlinkVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_order_by_number_not_by_text() {
        assert!(FlinkVersion::V1_9_FOR_TEST < FlinkVersion::V1_13);
        assert!(FlinkVersion::V1_20 < FlinkVersion::V2_0);
        assert!(FlinkVersion::ALL.is_sorted());
    }

    #[test]
    fn text_form() {
        for version in FlinkVersion::ALL {
            assert_eq!(version.to_string().parse(), Ok(version));
        }
        for text in ["", "1_20", "v1.20", "v1_", "v_1", "v1_+2", "v1_2_3", "v99999999_1"] {
            assert!(text.parse::<FlinkVersion>().is_err(), "{text}");
        }
    }

    #[test]
    fn support_starts_at_1_15() {
        assert!(!FlinkVersion::V1_14.is_supported());
        assert!(FlinkVersion::V1_15.is_supported() && FlinkVersion::V1_15.is_deprecated());
        assert!(!FlinkVersion::V1_19.is_deprecated());
    }

    impl FlinkVersion {
        const V1_9_FOR_TEST: Self = Self::new(1, 9);
    }
}
