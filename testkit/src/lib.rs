//! Builders and matchers for tests over the custom resources.
