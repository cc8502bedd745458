//! Blueprint against manifests, tables and shared data.
