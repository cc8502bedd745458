//! OpenAPI documents: v3 per group version, and v2 in one piece for clients that know nothing else (reference 1.4).
//!
//! Built-in documents are those of the real server, kept packed (`pack.rs`); documents of custom resources are built as
//! its CRD controller builds them (`custom.rs`); v2 is made from v3 (`v2.rs`), and written as protobuf by `gnostic.rs`.
//! Nothing is read before it is asked for, and nothing unpacked is kept.

mod custom;
mod gnostic;
mod pack;
mod v2;

pub use custom::{CustomKind, custom, custom_schema_name};
pub use gnostic::encode as protobuf;
pub use pack::{built_in, documents, hash};
pub use v2::swagger;
