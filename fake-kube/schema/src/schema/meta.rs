//! The types every object shares: `metadata`, as OpenAPI 1.35 declares it.
//!
//! Kept here rather than in the built-in data, because every custom resource needs it and it never changes.

use serde_json::{Value, json};

/// `io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta` (openapi-1.35.3).
pub(crate) fn object_meta() -> Value {
    let time = json!({"type": "string", "format": "date-time"});
    let strings = json!({"type": "object", "additionalProperties": {"type": "string"}});
    json!({
        "type": "object",
        "properties": {
            "annotations": strings,
            "creationTimestamp": {"type": "string", "format": "date-time", "nullable": true},
            "deletionGracePeriodSeconds": {"type": "integer", "format": "int64"},
            "deletionTimestamp": time,
            "finalizers": {
                "type": "array", "items": {"type": "string"},
                "x-kubernetes-list-type": "set", "x-kubernetes-patch-strategy": "merge"
            },
            "generateName": {"type": "string"},
            "generation": {"type": "integer", "format": "int64"},
            "labels": strings,
            "managedFields": {
                "type": "array", "x-kubernetes-list-type": "atomic",
                "items": {
                    "type": "object",
                    "properties": {
                        "apiVersion": {"type": "string"},
                        "fieldsType": {"type": "string"},
                        "fieldsV1": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                        "manager": {"type": "string"},
                        "operation": {"type": "string"},
                        "subresource": {"type": "string"},
                        "time": time
                    }
                }
            },
            "name": {"type": "string"},
            "namespace": {"type": "string"},
            "ownerReferences": {
                "type": "array",
                "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["uid"],
                "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "uid",
                "items": {
                    "type": "object", "x-kubernetes-map-type": "atomic",
                    "properties": {
                        "apiVersion": {"type": "string"},
                        "blockOwnerDeletion": {"type": "boolean"},
                        "controller": {"type": "boolean"},
                        "kind": {"type": "string"},
                        "name": {"type": "string"},
                        "uid": {"type": "string"}
                    }
                }
            },
            "resourceVersion": {"type": "string"},
            "selfLink": {"type": "string"},
            "uid": {"type": "string"}
        }
    })
}

/// CRD schemas may not use `$ref`, so nothing resolves.
pub(crate) fn resolve(_: &str) -> Option<Value> {
    None
}
