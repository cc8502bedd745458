//! The scenario library of this repository: every case of every file below scenarios/ is a test of its own, held
//! against its golden transcript. `DREY_BLESS=1 cargo test -p drey-harness --test library` keeps what passes.

drey_harness::scenarios!("../scenarios");

/// A simulation is mostly the coming and going of small JSON values.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
