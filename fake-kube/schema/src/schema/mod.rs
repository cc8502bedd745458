//! A schema and what an API server does with it on a write: prune, default, validate.
//!
//! [`Schema`] lives in this file; the walks are one file each. `rules` is CEL, `structural` the checks a CRD's schema
//! must pass before it becomes a [`Schema`] at all.

mod cache;
mod compile;
mod cost;
pub(crate) mod default;
mod embedded;
mod formats;
mod listtype;
mod meta;
mod meter;
pub(crate) mod node;
mod path;
mod properties;
mod prune;
pub(crate) mod rules;
mod run_cost;
mod structural;
mod validate;

use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};

pub use formats::unrecognized as unrecognized_formats;

use crate::cause::{Cause, Reason};
pub(crate) use node::{Additional, Arena, ListType, Node, NodeId, Type};
use path::Path;

/// A compiled schema, cheap to clone.
#[derive(Clone, Debug)]
pub struct Schema(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    arena: Arena,
    origin: Origin,
    /// Objects can be too expensive for the rules: what they cost is measured.
    is_metered: bool,
    /// See [`Schema::empty`].
    empty: OnceLock<Value>,
}

/// Custom resources stay unstructured; built-in kinds pass through Go structs, which forget nulls and extras.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Custom,
    BuiltIn,
}

/// What a caller of [`Schema::check`] adds to it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// Only this top-level member is held to the schema; list types and rules are always those of the whole object.
    pub part: Option<&'a str>,
    /// Errors that take their place between those of the schema and those of list types.
    pub after_schema: &'a [Cause],
}

impl Schema {
    /// Compiles the `openAPIV3Schema` of a CRD version. Errors carry fields below `spec.validation.openAPIV3Schema`,
    /// the path the server names when all versions share one schema; see [`Schema::from_crd_at`].
    pub fn from_crd(open_api_v3_schema: &Value) -> Result<Schema, Vec<Cause>> {
        Schema::from_crd_at(open_api_v3_schema, "spec.validation.openAPIV3Schema")
    }

    /// As [`Schema::from_crd`], reporting errors below `base`, such as `spec.versions[0].schema.openAPIV3Schema`.
    pub fn from_crd_at(open_api_v3_schema: &Value, base: &str) -> Result<Schema, Vec<Cause>> {
        if let Some(known) = cache::find(open_api_v3_schema, true) {
            return Ok(known);
        }
        let causes = structural::check(open_api_v3_schema, base);
        if !causes.is_empty() {
            return Err(causes);
        }
        let causes = structural::check_compiled(open_api_v3_schema, base);
        if !causes.is_empty() {
            return Err(causes);
        }
        let schema = Schema::compile(open_api_v3_schema);
        cache::keep(open_api_v3_schema, &schema, true);
        Ok(schema)
    }

    /// Compiles without the structural checks: for schemas stored before a check existed.
    pub fn custom(open_api_v3_schema: &Value) -> Schema {
        cache::find(open_api_v3_schema, false).unwrap_or_else(|| {
            let schema = Schema::compile(open_api_v3_schema);
            cache::keep(open_api_v3_schema, &schema, false);
            schema
        })
    }

    /// Compiles a document, whether or not it was seen before.
    pub(crate) fn compile(open_api_v3_schema: &Value) -> Schema {
        let arena = compile::compile_crd(open_api_v3_schema, &meta::object_meta(), &meta::resolve);
        let has_rules = arena.rules_below[arena.root as usize];
        let is_metered = has_rules && open_api_v3_schema.as_object().is_some_and(meter::is_needed);
        Schema(Arc::new(Compiled { arena, origin: Origin::Custom, is_metered, empty: OnceLock::new() }))
    }

    /// The schema of a built-in type; `resolve` finds the types it refers to.
    pub(crate) fn built_in(name: &str, resolve: compile::Resolve<'_>) -> Schema {
        let arena = compile::compile(&json!({"$ref": name}), resolve);
        Schema(Arc::new(Compiled {
            arena,
            origin: Origin::BuiltIn,
            is_metered: false,
            empty: OnceLock::new(),
        }))
    }

    /// A kind whose fields nobody declared: everything is kept, maps are granular, lists atomic.
    pub fn schemaless() -> Schema {
        Schema::custom(&json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}))
    }

    /// The object without any value as this type writes it: a Go type writes its structs, and null for the lists and
    /// pointers that are not left out. A custom resource writes nothing.
    pub(crate) fn empty(&self) -> &Value {
        self.0.empty.get_or_init(|| match self.0.origin {
            Origin::Custom => json!({}),
            Origin::BuiltIn => default::empty(self.arena()),
        })
    }

    /// Of a kind every server has: no write can change it.
    pub(crate) fn is_built_in(&self) -> bool {
        self.0.origin == Origin::BuiltIn
    }

    /// Fills in defaults: those of the schema (in place of missing members and of nulls that may not be null), and for
    /// built-in kinds those that Kubernetes has in code.
    pub fn default(&self, object: &mut Value) {
        match self.0.origin {
            Origin::Custom => default::fill(self.arena(), object),
            Origin::BuiltIn => crate::builtins::defaults::fill(self.arena(), object),
        }
    }

    /// Why a body does not decode into the Go types of a built-in kind, in Go's words; custom resources always decode.
    pub fn decode_error(&self, object: &Value) -> Option<String> {
        match self.0.origin {
            Origin::Custom => None,
            Origin::BuiltIn => crate::builtins::decode::error(self.arena(), object),
        }
    }

    /// Drops nulls of non-nullable fields without default: done on create, update and patch, not on apply
    /// (case ssa-empty-containers). In a Go `map[string]string` a null is the empty text (case upd-json-fail).
    pub fn drop_nulls(&self, object: &mut Value) {
        if !default::has_null(object) {
            return;
        }
        if self.0.origin == Origin::BuiltIn {
            default::empty_null_texts(self.arena(), object);
        }
        default::drop_nulls(self.arena(), object);
    }

    /// Drops what the schema does not declare; returns the paths, for `fieldValidation` Strict and Warn.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        prune::prune(self.arena(), self.0.origin, object)
    }

    /// Why an object with embedded resources cannot be decoded at all, if so.
    pub fn embedded_error(&self, object: &Value) -> Option<String> {
        embedded::error(self.arena(), object)
    }

    /// Everything wrong with `new`; `old` is the stored object on an update.
    pub fn validate(&self, new: &Value, old: Option<&Value>) -> Vec<Cause> {
        let mut causes = Vec::new();
        self.check(new, old, &Request::default(), &mut causes);
        causes
    }

    /// Validates in the server's order: schema, the caller's own checks, list types, then CEL rules unless an earlier
    /// error (of `causes`, which holds those of the metadata, too) makes evaluating them meaningless. Adds what is
    /// wrong to `causes` and returns warnings: failures of rules over values that did not change.
    pub fn check(
        &self,
        new: &Value,
        old: Option<&Value>,
        request: &Request<'_>,
        causes: &mut Vec<Cause>,
    ) -> Vec<String> {
        causes.extend(match request.part {
            Some(part) => validate::validate_member(self.arena(), part, new, old, &Path::Part(part)),
            None => validate::validate(self.arena(), new, old),
        });
        causes.extend_from_slice(request.after_schema);
        causes.extend(listtype::check(self.arena(), new, old));
        if !self.has_rules() {
            return vec![];
        }
        if causes.iter().any(blocks_rules) {
            causes.push(Cause::invalid("<nil>", &Value::Null, RULES_NOT_CHECKED));
            return vec![];
        }
        let outcome = rules::check(self.arena(), new, old, self.0.is_metered);
        causes.extend(outcome.errors);
        outcome.ratcheted.iter().map(Cause::to_string).collect()
    }

    /// Whether the schema has CEL rules anywhere.
    pub fn has_rules(&self) -> bool {
        self.arena().rules_below[self.arena().root as usize]
    }

    pub(crate) fn arena(&self) -> &Arena {
        &self.0.arena
    }
}

const RULES_NOT_CHECKED: &str = "some validation rules were not checked because the object was invalid; \
                                 correct the existing errors to complete validation";

/// Errors after which rules are skipped; bounds, patterns and minLength do not count (case crv-cel-skipped).
fn blocks_rules(cause: &Cause) -> bool {
    matches!(
        cause.reason,
        Reason::Required | Reason::NotSupported | Reason::TooLong | Reason::TooMany | Reason::TypeInvalid
    )
}

/// Appends `.key` (or `key` at the top) to `path` for the duration of `f`.
pub(crate) fn with_key<T>(path: &mut String, key: &str, f: impl FnOnce(&mut String) -> T) -> T {
    let length = path.len();
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(key);
    let result = f(path);
    path.truncate(length);
    result
}

/// Appends `[index]` to `path` for the duration of `f`.
pub(crate) fn with_index<T>(path: &mut String, index: usize, f: impl FnOnce(&mut String) -> T) -> T {
    let length = path.len();
    path.push('[');
    path.push_str(&index.to_string());
    path.push(']');
    let result = f(path);
    path.truncate(length);
    result
}
