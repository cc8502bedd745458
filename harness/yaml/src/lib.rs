//! Files that people write by hand, and what is answered when they slip: YAML in which every value knows its place,
//! messages with file, line, path, nearest spelling and next step, durations. Leaves out: what any particular file means.

pub mod diagnostics;
pub mod duration;
pub mod files;
mod hints;
pub mod paint;
pub mod source;
pub mod tree;

pub use diagnostics::{Diagnostic, Diagnostics};
pub use paint::Paint;
pub use source::{Source, Span};
