//! The clock of loopback mode. Real sockets take real time, and how much depends on the machine and on what else it
//! does; a verdict must not. So scenario time stands still while anything is under way in the process: a task that can
//! run, bytes that somebody will read. Once the runtime has slept undisturbed for a moment, time goes on to exactly the
//! next instant at which something is due. A slow machine takes longer; it does not see other scenario times.
//!
//! Built on tokio's paused clock, which jumps to the next timer whenever the runtime has nothing to do, and would do so
//! with a request on the wire. Tokio holds the jump back while work runs on its blocking pool: that is the brake here.
//! Leaves out: other processes. A cluster that others run has its own clock (mode cluster).

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// How long the runtime must have slept undisturbed. What this process sends to itself over 127.0.0.1 is readable before
/// the sender goes on, so any disturbance would have come at once; the margin is for a kernel that puts off its work.
const QUIET: Duration = Duration::from_micros(50);

/// Runs `work` to its end on a runtime of its own, whose clock goes on only when nothing is under way. With a limit, at
/// most that many seconds of its time pass per real second.
pub fn block_on<F: Future>(limit: Option<f64>, work: F) -> io::Result<F::Output> {
    block_on_steered(Pace::limited(limit), work)
}

/// How fast the clock of a runtime goes, steered from anywhere while it runs. Clones steer the same one.
#[derive(Clone)]
pub struct Pace(Arc<Mutex<Tempo>>);

#[derive(Clone, Copy)]
struct Tempo {
    wish: Wish,
    /// Counts changes: whoever paces begins anew after each.
    changes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Wish {
    /// At most so many seconds per real second, where there is a limit.
    Go(Option<f64>),
    /// As fast as it goes, up to this instant of the runtime's clock. Something must be due then: time jumps from one
    /// timer to the next.
    GoTo(Instant),
    Stand,
}

impl Pace {
    pub fn limited(limit: Option<f64>) -> Pace {
        Pace(Arc::new(Mutex::new(Tempo { wish: Wish::Go(limit), changes: 0 })))
    }

    fn tempo(&self) -> MutexGuard<'_, Tempo> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, wish: Wish) {
        let mut tempo = self.tempo();
        *tempo = Tempo { wish, changes: tempo.changes + 1 };
    }

    pub fn go(&self, limit: Option<f64>) {
        self.set(Wish::Go(limit));
    }

    pub fn go_to(&self, until: Instant) {
        self.set(Wish::GoTo(until));
    }

    /// What can run goes on running; what waits for time waits.
    pub fn stand(&self) {
        self.set(Wish::Stand);
    }

    /// The limit it goes by; none while it stands or goes to an instant.
    pub fn limit(&self) -> Option<f64> {
        match self.tempo().wish {
            Wish::Go(limit) => limit,
            Wish::GoTo(_) | Wish::Stand => None,
        }
    }

    /// Call it on the runtime: its clock decides.
    pub fn stands(&self) -> bool {
        match self.tempo().wish {
            Wish::Go(_) => false,
            Wish::GoTo(until) => Instant::now() >= until,
            Wish::Stand => true,
        }
    }
}

/// As [`block_on`], with a clock that can be steered meanwhile.
pub fn block_on_steered<F: Future>(pace: Pace, work: F) -> io::Result<F::Output> {
    let turnstile = Arc::new(Turnstile::default());
    let parks = turnstile.clone();
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .on_thread_park(move || parks.runtime_parks())
        .build()?;
    Ok(runtime.block_on(async {
        let _keeper = Keeper(tokio::spawn(keep(turnstile, pace)).abort_handle());
        work.await
    }))
}

struct Keeper(AbortHandle);

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Decides, whenever the runtime is about to sleep, whether the clock may jump meanwhile.
#[derive(Default)]
struct Turnstile {
    state: Mutex<State>,
    /// Wakes the keeper: the brake must be on before the runtime sleeps again.
    closed_again: Notify,
}

#[derive(Default)]
struct State {
    /// How often the runtime has gone to sleep.
    parks: u64,
    passage: Passage,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Passage {
    /// The clock has moved, or nobody has looked yet.
    #[default]
    Used,
    /// The keeper has the brake on.
    Held,
    /// Free for one jump, from this instant; and how often the runtime has slept since.
    Free { from: Instant, sleeps: u8 },
}

/// The brake may still be on in the first sleep after it was released: tokio takes it off a moment after it has told so.
const SLEEPS_MAX: u8 = 3;

impl Turnstile {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called by the runtime when no task can run, before it waits for sockets and timers.
    fn runtime_parks(&self) {
        let mut state = self.state();
        state.parks += 1;
        if let Passage::Free { from, sleeps } = state.passage {
            state.passage = match Instant::now() > from || sleeps >= SLEEPS_MAX {
                true => Passage::Used,
                false => Passage::Free { from, sleeps: sleeps + 1 },
            };
        }
        if state.passage == Passage::Used {
            // This makes the keeper runnable: the runtime looks at its sockets and does not sleep.
            self.closed_again.notify_one();
        }
    }
}

async fn keep(turnstile: Arc<Turnstile>, pace: Pace) {
    let mut speed = Speed::new(pace);
    loop {
        turnstile.closed_again.notified().await;
        turnstile.state().passage = Passage::Held;
        let mut is_quiet = false;
        while !is_quiet {
            let ahead = speed.ahead();
            let before = turnstile.state().parks;
            brake(ahead.clamp(QUIET, BRAKE_MAX)).await;
            // Once to sleep, and up again for this task alone.
            is_quiet = turnstile.state().parks == before + 1 && ahead <= BRAKE_MAX;
        }
        speed.starts_here();
        turnstile.state().passage = Passage::Free { from: Instant::now(), sleeps: 0 };
    }
}

/// Real time passes, the runtime's does not.
async fn brake(real: Duration) {
    // The closure cannot panic; it is cancelled only when the runtime ends.
    let _ = tokio::task::spawn_blocking(move || std::thread::sleep(real)).await;
}

/// The longest single brake: the end of a run waits for it.
const BRAKE_MAX: Duration = Duration::from_millis(10);

/// Keeps the runtime's clock at or below a number of its seconds per real second. Time lost to work is not made up for.
struct Speed {
    pace: Pace,
    changes: u64,
    real: std::time::Instant,
    paced: Instant,
}

impl Speed {
    fn new(pace: Pace) -> Speed {
        let changes = pace.tempo().changes;
        Speed { pace, changes, real: std::time::Instant::now(), paced: Instant::now() }
    }

    fn starts_here(&mut self) {
        (self.real, self.paced) = (std::time::Instant::now(), Instant::now());
    }

    /// Real time by which the runtime's clock is ahead of what is wished.
    fn ahead(&mut self) -> Duration {
        let tempo = *self.pace.tempo();
        if tempo.changes != self.changes {
            // What it was ahead by at another speed says nothing about this one.
            self.changes = tempo.changes;
            self.starts_here();
        }
        match tempo.wish {
            Wish::Stand => Duration::MAX,
            Wish::GoTo(until) if Instant::now() >= until => Duration::MAX,
            Wish::GoTo(_) | Wish::Go(None) => Duration::ZERO,
            Wish::Go(Some(limit)) => self.paced.elapsed().div_f64(limit).saturating_sub(self.real.elapsed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    #[test]
    fn hours_of_waiting_take_no_time_and_end_on_the_dot() {
        let real = std::time::Instant::now();
        let passed = block_on(None, async {
            let start = Instant::now();
            for _ in 0..240 {
                tokio::time::sleep(Duration::from_secs(15)).await;
            }
            start.elapsed()
        });
        assert_eq!(passed.expect("a runtime"), Duration::from_secs(3600));
        assert!(real.elapsed() < Duration::from_secs(30), "{:?}", real.elapsed());
    }

    /// Answers after so much real work; the asking side has a timer that is due long before, on its own clock.
    async fn elapsed_of_calls(work: Duration) -> Duration {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a caller");
            let mut byte = [0];
            while stream.read_exact(&mut byte).await.is_ok() {
                std::thread::sleep(work);
                stream.write_all(&byte).await.expect("sent");
            }
        });
        tokio::spawn(async {
            loop {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        let mut stream = TcpStream::connect(address).await.expect("connected");
        let start = Instant::now();
        for n in 0..20 {
            stream.write_all(&[n]).await.expect("sent");
            let mut byte = [0];
            stream.read_exact(&mut byte).await.expect("answered");
            assert_eq!(byte, [n]);
        }
        start.elapsed()
    }

    #[test]
    fn the_clock_stands_while_a_request_is_under_way_however_slow_the_machine() {
        for work in [Duration::ZERO, Duration::from_millis(20)] {
            let passed = block_on(None, elapsed_of_calls(work)).expect("a runtime");
            // Without the brake each call would take at least the millisecond of the other timer.
            assert!(passed <= Duration::from_millis(2), "{passed:?} passed with {work:?} of work per call");
        }
    }

    #[test]
    fn a_limit_is_kept() {
        let real = std::time::Instant::now();
        let passed = block_on(Some(100.0), async {
            let start = Instant::now();
            for _ in 0..40 {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            start.elapsed()
        });
        assert_eq!(passed.expect("a runtime"), Duration::from_secs(20));
        assert!(real.elapsed() >= Duration::from_millis(190), "{:?}", real.elapsed());
    }

    /// Ticks once per 100 ms of the runtime's clock.
    async fn ticking() {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    #[test]
    fn a_clock_that_stands_is_stepped_and_goes_on() {
        let pace = Pace::limited(None);
        pace.stand();
        let steered = pace.clone();
        block_on_steered(pace, async move {
            tokio::spawn(ticking());
            let start = Instant::now();
            // The blocking pool holds the clock back by itself; so the wait for real time is another thread's.
            let (bell, rung) = tokio::sync::oneshot::channel();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(60));
                let _ = bell.send(());
            });
            rung.await.expect("rung");
            assert_eq!((start.elapsed(), steered.stands()), (Duration::ZERO, true), "it stands");

            let target = start + Duration::from_secs(90);
            steered.go_to(target);
            tokio::time::sleep_until(target).await;
            assert_eq!(start.elapsed(), Duration::from_secs(90));
            assert!(steered.stands(), "it stands again");

            steered.go(Some(1000.0));
            let began = std::time::Instant::now();
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert!(began.elapsed() >= Duration::from_millis(50), "{:?}", began.elapsed());
            assert_eq!((steered.stands(), steered.limit()), (false, Some(1000.0)));
        })
        .expect("a runtime");
    }
}
