//! The three patches a client may send: JSON Patch, JSON merge patch, strategic merge patch, with Go semantics.
//!
//! Evidence: reference 2.8, cases upd-json-*, upd-merge-*, smp-*. Apply patches live in [`crate::managed`].

mod json;
mod merge;
mod strategic;

use std::fmt;

pub use json::json;
pub use merge::merge;
pub use strategic::strategic;

/// Why a patch does not apply, sorted by the answer it earns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatchError {
    /// 400 BadRequest with this message.
    BadRequest(String),
    /// 422 Invalid `the server rejected our request due to an error in our request`, `details: {}`; the text says
    /// why, which a real server keeps to itself.
    Rejected(String),
    /// 422 Invalid with one cause, field `patch`, its value the quoted patch and this detail.
    Undecodable(String),
    /// 413 RequestEntityTooLarge with this message.
    TooLarge(String),
    /// 500 without a reason, with this message.
    Internal(String),
}

impl fmt::Display for PatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (PatchError::BadRequest(text)
        | PatchError::Rejected(text)
        | PatchError::Undecodable(text)
        | PatchError::TooLarge(text)
        | PatchError::Internal(text)) = self;
        f.write_str(text)
    }
}

impl std::error::Error for PatchError {}
