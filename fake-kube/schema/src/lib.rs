//! Schemas as a Kubernetes API server applies them: pruning, defaulting, validation, CEL, patches, field ownership.
