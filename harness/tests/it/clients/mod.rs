//! Programs of others, which `make test-clients` builds and names in DREY_CLIENTS; without it these tests say that they
//! were skipped.

mod chart;
