//! Plays runs on several threads and collects their reports in the order of the files.

use std::collections::VecDeque;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};

use drey_language::events::Event;
use drey_language::report::{CaseReport, Outcome};
use drey_language::vocabulary::Vocabulary;

use super::golden::{self, Goldens};
use super::mode::Mode;
use super::runs::Run;
use crate::modes::{ListenerOptions, Place, RemoteCluster};
use crate::run::{CaseRun, Interrupt, Played, run_case};
use crate::world::{CommandLine, Listener, TimeOfDay};

/// How to play.
#[derive(Clone, Debug)]
pub struct Options {
    pub seed: u64,
    pub jobs: usize,
    pub mode: Mode,
    /// Mode loopback: at most so many scenario seconds per real second; as many as the machine can unless said.
    pub speed_max: Option<f64>,
    pub goldens: Goldens,
    /// Leave out the runs that crash the operator at each of its writes.
    pub is_quick: bool,
    /// The cluster of mode cluster.
    pub cluster: Option<Arc<RemoteCluster>>,
    /// Mode loopback: an operator that is a program of its own, instead of ours.
    pub command: Option<(Arc<CommandLine>, TimeOfDay)>,
    /// Ends the whole early.
    pub interrupt: Interrupt,
}

impl Options {
    /// Virtual time, one job per core, goldens compared where they apply.
    pub fn usual(seed: u64) -> Options {
        let jobs = std::thread::available_parallelism().map_or(1, NonZero::get);
        Options {
            seed,
            jobs,
            mode: Mode::Virtual,
            speed_max: None,
            goldens: Goldens::Compare,
            is_quick: false,
            cluster: None,
            command: None,
            interrupt: Interrupt::default(),
        }
    }
}

/// Told as runs begin and end, from one thread at a time.
pub trait Progress: Send {
    /// How many runs there will be, as far as is known. Told again when writes to crash at have been counted.
    fn expected(&mut self, runs: usize);
    fn started(&mut self, title: &str);
    /// With all its events.
    fn finished(&mut self, report: &CaseReport);

    /// Whether [`Progress::event`] is worth calling.
    fn wants_events(&self) -> bool {
        false
    }

    /// An event of a run that has been started and not finished, as it happens; runs interleave.
    fn event(&mut self, _title: &str, _event: &Event) {}
}

impl Progress for () {
    fn expected(&mut self, _runs: usize) {}
    fn started(&mut self, _title: &str) {}
    fn finished(&mut self, _report: &CaseReport) {}
}

/// Plays every run, and the runs that crash the operator at each write as soon as that cell has counted them. Answers the
/// reports in the given order, crashes behind the cell they belong to; those of runs that went well without their events,
/// since [`Progress::finished`] has had them and hundreds of stories would fill memory, unread.
pub fn play(
    runs: &[Run<'_>],
    vocabulary: &Vocabulary,
    options: &Options,
    progress: &mut dyn Progress,
) -> Vec<CaseReport> {
    let player = Player { vocabulary, options, progress: Mutex::new(progress) };
    player.progress().expected(runs.len());
    let expected = AtomicUsize::new(runs.len());
    in_parallel(runs, options.jobs, |run| {
        let (report, writes) = player.play(run);
        if options.is_quick || !run.crashes_at_every_write() {
            return (report, Vec::new());
        }
        let crashes = run.crashed_at_each(writes);
        let so_far = expected.fetch_add(crashes.len(), Ordering::Relaxed);
        player.progress().expected(so_far + crashes.len());
        (report, crashes)
    })
}

struct Player<'p> {
    vocabulary: &'p Vocabulary,
    options: &'p Options,
    progress: Mutex<&'p mut dyn Progress>,
}

impl<'p> Player<'p> {
    fn progress(&self) -> MutexGuard<'_, &'p mut dyn Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The report, and how many deciding writes the operator made: none where the run itself went wrong, since
    /// crashing it at every write would only say that again.
    fn play(&self, run: &Run<'_>) -> (CaseReport, u32) {
        let modes = &run.scenario.modes;
        if !modes.iter().any(|mode| mode == self.options.mode.name()) {
            let reason = format!("runs in {} only", modes.join(", "));
            let report = run.report(self.options, Outcome::Skipped { reason });
            let mut progress = self.progress();
            progress.started(&report.title());
            progress.finished(&report);
            return (report, 0);
        }
        if self.options.interrupt.is_set() {
            let reason = "interrupted before it began".to_owned();
            return (run.report(self.options, Outcome::Skipped { reason }), 0);
        }
        let title = run.report(self.options, Outcome::Passed).title();
        self.progress().started(&title);
        let played = self.play_told(run, &title);
        let is_sound = played.failure.is_none() && played.broken.is_none();
        let writes = if is_sound { played.writes } else { 0 };
        let report = run.report_played(self.options, played);
        // What a crash changes is told by outcome and invariants; a transcript for each of them would be read by nobody.
        let mut report =
            if run.crash.is_none() { golden::judge(report, self.options.goldens) } else { report };
        self.progress().finished(&report);
        if !report.outcome.is_bad() {
            report.events = Vec::new();
        }
        (report, writes)
    }

    /// Plays, and passes the events on as they happen to who wants them.
    fn play_told(&self, run: &Run<'_>, title: &str) -> Played {
        if !self.progress().wants_events() {
            return play_in_its_world(run, self.vocabulary, self.options);
        }
        let (events, heard) = mpsc::sync_channel(EVENTS_UNDER_WAY);
        let listener: Listener = {
            let events = events.clone();
            // Who should hear it is gone only when the run is over.
            Arc::new(move |event: &Event| drop(events.send(Some(event.clone()))))
        };
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let happening = heard.into_iter().map_while(|event| event);
                happening.for_each(|event| self.progress().event(title, &event));
            });
            let played = play_with(run, self.vocabulary, self.options, Some(listener));
            // The world may be left over somewhere with its end of the channel: say that this was all.
            let _ = events.send(None);
            played
        })
    }
}

/// Events of a run that wait to be told; beyond that the run waits for who listens.
const EVENTS_UNDER_WAY: usize = 1024;

/// One run, in the world of its mode.
pub fn play_in_its_world(run: &Run<'_>, vocabulary: &Vocabulary, options: &Options) -> Played {
    play_with(run, vocabulary, options, None)
}

fn play_with(
    run: &Run<'_>,
    vocabulary: &Vocabulary,
    options: &Options,
    listener: Option<Listener>,
) -> Played {
    let place = match (options.mode, &options.cluster) {
        (Mode::Virtual, _) => Place::Virtual,
        (Mode::Loopback, _) => match options.command.clone() {
            Some((line, time)) => Place::Command(line, time),
            None => Place::Loopback(ListenerOptions::default()),
        },
        (Mode::Cluster, Some(cluster)) => Place::Cluster(cluster.clone()),
        (Mode::Cluster, None) => {
            return Played::broken("mode cluster needs a cluster: give --kubeconfig FILE".to_owned());
        }
    };
    let Options { seed, speed_max, interrupt, .. } = options.clone();
    run_case(run.case, vocabulary, &CaseRun { seed, speed_max, crash: run.crash, place, listener, interrupt })
}

/// Threads, however many somebody asks for: each has a world of its own.
const JOBS_MAX: usize = 256;

/// `work` over all items on `jobs` threads. What an item brings along is worked on behind all that waits; its results come
/// behind the item's own, which come in the order of the items.
fn in_parallel<T: Clone + Send + Sync, R: Send>(
    items: &[T],
    jobs: usize,
    work: impl Fn(&T) -> (R, Vec<T>) + Sync,
) -> Vec<R> {
    let waiting = items.iter().cloned().enumerate().map(|(index, item)| ((index, 0), item)).collect();
    let queue = Mutex::new(Queue { waiting, under_way: 0, results: Vec::with_capacity(items.len()) });
    let changed = Condvar::new();
    let lock = || queue.lock().unwrap_or_else(PoisonError::into_inner);
    let next = || {
        let mut queue = lock();
        loop {
            if let Some(next) = queue.waiting.pop_front() {
                queue.under_way += 1;
                return Some(next);
            }
            // What is under way may bring something along.
            if queue.under_way == 0 {
                return None;
            }
            queue = changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, JOBS_MAX) {
            scope.spawn(|| {
                while let Some(((index, place), item)) = next() {
                    let _under_way = UnderWay { queue: &queue, changed: &changed };
                    let (result, brought) = work(&item);
                    let mut queue = lock();
                    queue.results.push(((index, place), result));
                    let behind = brought.into_iter().enumerate();
                    queue.waiting.extend(behind.map(|(more, item)| ((index, place + 1 + more), item)));
                }
            });
        }
    });
    let mut results = queue.into_inner().unwrap_or_else(PoisonError::into_inner).results;
    results.sort_by_key(|(place, _)| *place);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Items and results carry their place: the item they come from, and where behind it.
struct Queue<T, R> {
    waiting: VecDeque<((usize, usize), T)>,
    under_way: usize,
    results: Vec<((usize, usize), R)>,
}

/// Dropped when an item is done, also by a panic: nobody waits for what will not come.
struct UnderWay<'q, T, R> {
    queue: &'q Mutex<Queue<T, R>>,
    changed: &'q Condvar,
}

impl<T, R> Drop for UnderWay<'_, T, R> {
    fn drop(&mut self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).under_way -= 1;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let items: Vec<u32> = (0..100).collect();
        for jobs in [1, 4, 1000] {
            let doubled = in_parallel(&items, jobs, |n| (n * 2, Vec::new()));
            assert_eq!(doubled, items.iter().map(|n| n * 2).collect::<Vec<_>>());
        }
        assert!(in_parallel(&[] as &[u32], 4, |n| (*n, Vec::new())).is_empty());
    }

    #[test]
    fn what_an_item_brings_comes_behind_it() {
        for jobs in [1, 4] {
            let told = in_parallel(&[1, 2, 3], jobs, |n| {
                let brought = if *n == 2 { vec![20, 21, 22] } else { Vec::new() };
                (*n, brought)
            });
            assert_eq!(told, [1, 2, 20, 21, 22, 3]);
        }
    }
}
