//! The kept corpus of the targets and everything they ever found, run by the tests of the crates they are about
//! (docs/fuzzing.md).

use std::path::Path;
use std::time::{Duration, Instant};

/// What the fuzzer calls a hang is twice that.
const SLOW: Duration = Duration::from_secs(5);

/// A target and its name, which is that of its folders.
pub type Target = (&'static str, fn(&[u8]));

/// Every kept input comes back in time; each target has more than `least` of them. `root` is the folder `fuzz`.
pub fn come_back(root: &Path, targets: &[Target], least: usize) {
    for (name, target) in targets {
        let mut ran = 0;
        for folder in ["corpus", "findings"] {
            let Ok(files) = std::fs::read_dir(root.join(folder).join(name)) else { continue };
            for file in files {
                let path = file.expect("an entry").path();
                let input = std::fs::read(&path).expect("a file");
                let began = Instant::now();
                let outcome = std::panic::catch_unwind(|| target(&input));
                assert!(outcome.is_ok(), "{} panics", path.display());
                assert!(began.elapsed() < SLOW, "{} takes {:?}", path.display(), began.elapsed());
                ran += 1;
            }
        }
        assert!(ran > least, "{name}: {ran} inputs");
    }
}
