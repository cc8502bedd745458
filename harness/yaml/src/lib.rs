//! Files that people write by hand, and what is answered when they slip: YAML in which every value knows its place,
//! messages with file, line, path, nearest spelling and next step, durations, a strict reader of small files, text of
//! others in Markdown. Leaves out: what any particular file means.

pub mod diagnostics;
pub mod duration;
pub mod fields;
pub mod files;
mod hints;
pub mod markdown;
pub mod paint;
pub mod source;
pub mod tree;

pub use diagnostics::{Diagnostic, Diagnostics};
pub use paint::Paint;
pub use source::{Source, Span};

/// The `apiVersion` of every file of ours.
pub const API_VERSION: &str = "drey/v1";
