//! Benchmarks and exact cost counts.
