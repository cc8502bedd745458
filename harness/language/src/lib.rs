//! The scenario language and everything that speaks to its authors: strict parsing with positions, the vocabulary as
//! data, partial-match trees, CEL expressions, the one event stream of a run and the reports made from it.
//!
//! Generic on purpose: this crate knows nothing of Flink, of our other crates, of async or of HTTP. The harness
//! registers product words with [`vocabulary::Vocabulary::add`] and runs what [`scenario::parse`] returns.
//!
//! ```
//! use drey_language::vocabulary::{Shape, StepKind, StepSchema, Type};
//! use drey_language::{Vocabulary, files::Memory, scenario::parse_with};
//!
//! let mut vocabulary = Vocabulary::core();
//! let args = Shape::new().required("next", Type::words(&["fail", "hang"]), "what the next one does");
//! vocabulary.add(StepSchema::new(StepKind::Fault, "savepoint", args, "A savepoint fails.", "savepoint: {next: hang}"));
//!
//! let text = "apiVersion: drey/v1\nkind: Scenario\nmetadata: {name: s}\nsteps: [{savepoint: {next: hagn}}]\n";
//! let problems = parse_with("s.yaml".as_ref(), &vocabulary, &Memory::default().with("s.yaml", text)).unwrap_err();
//! assert!(problems.to_string().starts_with("s.yaml:4:28: error: `hagn` is not a valid value"));
//! assert!(problems.to_string().contains("nearest: hang"));
//! ```

pub mod cel;
pub mod changes;
pub mod events;
pub mod failure;
pub mod lint;
pub mod matching;
pub mod report;
pub mod reporters;
pub mod scenario;
pub mod vocabulary;

// How files are read and answered is shared with those who read other files.
pub use drey_yaml::{diagnostics, duration, files, paint, source, tree as yaml};

pub use diagnostics::{Diagnostic, Diagnostics};
pub use paint::Paint;
pub use scenario::{Case, Scenario, Step, parse};
pub use source::{Source, Span};
pub use vocabulary::Vocabulary;
