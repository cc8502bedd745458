//! The harness: worlds, scenario runner, invariants and the drey command.
