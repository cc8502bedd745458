//! Ctrl-C and SIGTERM while a cluster is made: the first asks to stop, take back and go; the second goes at once and leaves
//! the rest to `drey cluster prune`.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::{register, register_conditional_shutdown};

/// Exit code of a program that Ctrl-C ended, as shells count.
pub const INTERRUPTED: u8 = 130;

/// A flag that the first signal sets.
pub fn on_signals() -> io::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The order matters: the one that ends the process looks at the flag before the other sets it.
        register_conditional_shutdown(signal, INTERRUPTED.into(), flag.clone())?;
        register(signal, flag.clone())?;
    }
    Ok(flag)
}
