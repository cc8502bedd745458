//! Access to the shared data folder, which may be absent.

use std::path::PathBuf;

/// `path` inside the shared folder; `None`, said aloud, where there is none (an error when it is required).
pub fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("DREY_SHARED")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")));
    let full = root.join(path);
    if full.exists() {
        return Some(full);
    }
    let required = std::env::var("DREY_REQUIRE_SHARED").is_ok_and(|value| value == "1");
    assert!(!required, "{} is required and absent", full.display());
    println!("skipped: no shared data ({})", full.display());
    None
}
