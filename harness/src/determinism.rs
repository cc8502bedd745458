//! Same seed, same run: what makes a scenario's thread deterministic, across processes too.
//!
//! Libraries below us keep `HashMap`s whose iteration order decides which task is polled first (kube-runtime's running
//! reconciles), and jitter from `fastrand`. Both draw their seed from the system once per thread. So every scenario runs
//! on a fresh thread, and on such a thread `getrandom` answers from the scenario's seed; other threads get the real one.

use std::cell::Cell;
use std::thread;

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

thread_local! {
    static STREAM: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Runs `work` on a new thread of its own whose every source of chance follows from `seed`.
///
/// A panic of `work` is handed back as the error of the join, as `std::thread` does.
pub fn on_seeded_thread<T: Send + 'static>(
    seed: u64,
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> thread::Result<T> {
    on_thread(name, move || {
        STREAM.set(Some(seed ^ HASH_STREAM));
        fastrand::seed(seed ^ JITTER_STREAM);
        work()
    })
}

/// As [`on_seeded_thread`], with the system's own chance: for worlds in real time, which nobody replays exactly.
pub fn on_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> thread::Result<T> {
    // Deep JSON and deep futures: the default 2 MiB are tight in an unoptimised build.
    let builder = thread::Builder::new().name(name.to_owned()).stack_size(16 << 20);
    builder.spawn(work).expect("the system can start a thread").join()
}

/// Keeps the streams apart: the same seed must not give hash keys and jitter the same numbers.
const HASH_STREAM: u64 = 0x6861_7368_6b65_7973;
const JITTER_STREAM: u64 = 0x6a69_7474_6572_2121;

/// A named child stream of a run's seed: adding a stream never shifts the numbers of another.
pub fn stream(seed: u64, name: &str) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed ^ fnv1a(name.as_bytes()))
}

/// FNV-1a, 64 bit: stable across builds, unlike the hashers of `std`.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The next word of this thread's stream, if it is a scenario's thread.
fn next_word() -> Option<u64> {
    // A thread that is being torn down has no stream any more; the system answers then.
    let state = STREAM.try_with(Cell::get).ok().flatten()?;
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    STREAM.set(Some(state));
    // splitmix64
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    Some(mixed ^ (mixed >> 31))
}

#[cfg(target_os = "linux")]
mod interpose {
    //! `std` asks the C library's `getrandom` for its hash keys; this definition is found first.

    use libc::{c_uint, c_void, size_t, ssize_t};

    #[unsafe(no_mangle)]
    #[expect(
        unsafe_code,
        reason = "the C signature of getrandom(2): the caller hands in `len` writable bytes"
    )]
    unsafe extern "C" fn getrandom(buffer: *mut c_void, len: size_t, flags: c_uint) -> ssize_t {
        let Some(first) = super::next_word() else {
            // SAFETY: the arguments are the caller's, passed on unchanged.
            return unsafe { libc::syscall(libc::SYS_getrandom, buffer, len, flags) as ssize_t };
        };
        // SAFETY: by the contract of getrandom(2) `buffer` points to `len` bytes that may be written.
        let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), len) };
        let mut word = first;
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
            word = super::next_word().unwrap_or(first);
        }
        len as ssize_t
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn order_of_a_hash_set(seed: u64) -> Vec<u32> {
        on_seeded_thread(seed, "order", || (0..64).collect::<HashSet<u32>>().into_iter().collect())
            .expect("the thread ends well")
    }

    #[test]
    fn hash_order_follows_from_the_seed() {
        assert_eq!(order_of_a_hash_set(7), order_of_a_hash_set(7));
        assert_ne!(order_of_a_hash_set(7), order_of_a_hash_set(8));
    }

    #[test]
    fn jitter_follows_from_the_seed() {
        let jitter =
            |seed| on_seeded_thread(seed, "jitter", || fastrand::u64(..)).expect("the thread ends well");
        assert_eq!(jitter(7), jitter(7));
        assert_ne!(jitter(7), jitter(8));
    }

    /// 64 elements by a fixed seed: the same in every process and build, or replay across processes would be a lie.
    #[test]
    fn hash_order_is_the_same_in_every_process() {
        let order = format!("{:?}", order_of_a_hash_set(1));
        assert_eq!(fnv1a(order.as_bytes()), 0xffae0d5aa868a51f, "order was {order}");
    }
}
