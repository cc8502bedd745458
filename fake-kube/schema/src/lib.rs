//! Schemas as a Kubernetes API server applies them: pruning, defaulting, validation, CEL, patches, field ownership.
//!
//! Everything here is a pure function over [`serde_json::Value`]: no IO, no clock, no threads. The API server crate
//! decides when to call what and turns [`Cause`]s into `Status` bodies. Behaviour follows Kubernetes 1.35; a comment
//! names the rule of the reference or the recorded case it was taken from.
//!
//! ```
//! use fake_kube_schema::Schema;
//! use serde_json::json;
//!
//! let schema = Schema::from_crd(&json!({"type": "object", "properties": {"spec": {"type": "object",
//!     "properties": {"size": {"type": "integer", "minimum": 1, "default": 3}}}}})).unwrap();
//! let mut object = json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "a"}, "spec": {"zzz": 1}});
//! assert_eq!(schema.prune(&mut object), ["spec.zzz"]);
//! schema.default(&mut object);
//! assert_eq!(object["spec"]["size"], 3);
//! assert!(schema.validate(&object, None).is_empty());
//! ```

pub mod builtins;
mod cause;
mod encode;
mod equal;
mod expression;
pub mod managed;
mod members;
pub mod openapi;
pub mod patch;
pub mod proto;
mod schema;
pub mod table;
pub mod text;

pub use builtins::{Builtins, quantity_nanos, quantity_text};
pub use cause::{Cause, Reason, summary};
pub use encode::{write_json, write_json_text};
pub use equal::{equal, equal_members};
pub use expression::Expression;
pub use members::{Members, put_member, take_member};
pub use schema::{Request, Schema, unrecognized_formats};

/// How deep an object may nest. Deeper parts are left alone by every walk, so no input can exhaust the stack;
/// `serde_json` itself refuses to parse below 128 levels.
pub(crate) const DEPTH_MAX: usize = 200;
