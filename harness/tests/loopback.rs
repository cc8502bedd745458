//! The scenario library once more, over real HTTP on 127.0.0.1: every case of every file, and each run that crashes the
//! operator at one of its writes. Judged by steps and invariants; the order of requests is the sockets' own.

drey_harness::scenarios!("../scenarios", in Loopback);

/// A simulation is mostly the coming and going of small JSON values.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
