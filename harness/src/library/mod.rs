//! A library of scenarios: finds the files, expands them into runs, plays them on several threads, holds them against
//! their golden transcripts, writes the report. The `drey` command and the test harness of other crates stand on it.

mod filter;
mod find;
mod golden;
mod manifests;
mod mode;
mod play;
mod runs;
mod tally;
mod worlds;
mod written;

pub use filter::{Filter, FilterError};
pub use find::{Found, find, is_scenario, missing};
pub use golden::{GOLDEN_SEED, Goldens, path_of as golden_path, stale as stale_goldens, transcript_of};
pub(crate) use golden::{Verdict as Kept, check as keep};
pub use manifests::check_file as check_manifest;
pub use mode::Mode;
pub use play::{Options, Progress, play, play_in_its_world};
pub use runs::{Run, cells, cells_of, find_run};
pub use tally::Tally;
pub use worlds::per_mode;
pub use written::{Growing, ReportFolder};
