//! Every scenario below `scenarios/` is a test of its own, one per case.

drey_harness::scenarios!("scenarios");
