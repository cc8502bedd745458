//! The clock of a served cluster: the time of day at the start, then as fast as asked, and moved when somebody says so.
//! The wall clock is read here and nowhere else.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fake_kube::control::TimeControl;
use fake_kube_apiserver::Clock;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;

const YEAR: Duration = Duration::from_secs(86_400 * 365);

/// Clones are the same clock.
#[derive(Clone)]
pub struct ScaledClock(Arc<Shared>);

struct Shared {
    /// The time of day when it was started, and that moment.
    read: (Timestamp, Instant),
    course: Mutex<Course>,
    /// Counts changes of the course: whoever sleeps reckons anew.
    changed: watch::Sender<u64>,
}

/// Time since `origin` runs at `scale` from `epoch`.
#[derive(Clone, Copy)]
struct Course {
    epoch: Timestamp,
    origin: Instant,
    scale: f64,
}

impl Course {
    fn now(&self) -> Timestamp {
        let elapsed = self.origin.elapsed().as_secs_f64() * self.scale;
        let elapsed = SignedDuration::try_from_secs_f64(elapsed).unwrap_or(SignedDuration::MAX);
        self.epoch.saturating_add(elapsed).unwrap_or(Timestamp::MAX)
    }

    /// When a moment comes, as tokio sees it.
    fn instant(&self, t: Timestamp) -> Instant {
        let seconds = t.duration_since(self.epoch).as_secs_f64().max(0.0) / self.scale;
        // Rounded up: a timer that fires early would find nothing due.
        let after = Duration::try_from_secs_f64(seconds + 0.000_001).unwrap_or(YEAR);
        self.origin + after.min(YEAR)
    }
}

impl ScaledClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where a served cluster takes the time of day"
    )]
    pub fn start(scale: f64) -> ScaledClock {
        ScaledClock::at(Timestamp::now(), scale)
    }

    fn at(epoch: Timestamp, scale: f64) -> ScaledClock {
        let origin = Instant::now();
        let course = Mutex::new(Course { epoch, origin, scale });
        ScaledClock(Arc::new(Shared { read: (epoch, origin), course, changed: watch::channel(0).0 }))
    }

    /// For processes of the cluster, if they cannot tell it from the time of day: `SCALE,DAY,CLUSTER`, so many seconds pass in
    /// one, and at that time of day it was that time in the cluster.
    pub fn told(&self) -> Option<String> {
        let (course, (day, at)) = (self.course(), self.0.read);
        let since = SignedDuration::try_from(course.origin.duration_since(at)).unwrap_or_default();
        let day = day.saturating_add(since).unwrap_or(Timestamp::MAX);
        let is_day = course.scale == 1.0 && day == course.epoch;
        (!is_day).then(|| format!("{},{day},{}", course.scale, course.epoch))
    }

    fn course(&self) -> Course {
        *self.0.course.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, by: SignedDuration, scale: Option<f64>) {
        {
            let mut course = self.0.course.lock().unwrap_or_else(PoisonError::into_inner);
            let epoch = course.now().saturating_add(by).unwrap_or(Timestamp::MAX);
            *course = Course { epoch, origin: Instant::now(), scale: scale.unwrap_or(course.scale) };
        }
        self.0.changed.send_modify(|n| *n += 1);
    }
}

impl Clock for ScaledClock {
    fn now(&self) -> Timestamp {
        self.course().now()
    }

    fn sleep_until(&self, t: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        let clock = self.clone();
        let mut changed = self.0.changed.subscribe();
        Box::pin(async move {
            loop {
                changed.mark_unchanged();
                let course = clock.course();
                if course.now() >= t {
                    return;
                }
                tokio::select! {
                    () = tokio::time::sleep_until(course.instant(t)) => {}
                    _ = changed.changed() => {}
                }
            }
        })
    }
}

impl TimeControl for ScaledClock {
    fn now(&self) -> Timestamp {
        self.course().now()
    }

    fn scale(&self) -> f64 {
        self.course().scale
    }

    fn set_scale(&self, scale: f64) {
        self.change(SignedDuration::ZERO, Some(scale));
    }

    fn jump(&self, by: SignedDuration) {
        self.change(by, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn processes_are_told_of_a_time_of_its_own() {
        let day: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a timestamp");
        let clock = ScaledClock::at(day, 1.0);
        assert_eq!(clock.told(), None);
        tokio::time::sleep(Duration::from_secs(10)).await;
        clock.set_scale(20.0);
        assert_eq!(clock.told().as_deref(), Some("20,2026-01-01T00:00:10Z,2026-01-01T00:00:10Z"));
        clock.jump(SignedDuration::from_hours(1));
        assert_eq!(clock.told().as_deref(), Some("20,2026-01-01T00:00:10Z,2026-01-01T01:00:10Z"));
    }

    #[tokio::test(start_paused = true)]
    async fn sleepers_follow_jumps_and_changes_of_pace() {
        let epoch: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a timestamp");
        let clock = ScaledClock::at(epoch, 10.0);
        let began = Instant::now();
        Clock::sleep_until(&clock, epoch + SignedDuration::from_secs(60)).await;
        assert_eq!(began.elapsed().as_millis(), 6001, "a timer of a millisecond's grain");
        let sleeper = tokio::spawn(Clock::sleep_until(&clock, epoch + SignedDuration::from_hours(2)));
        tokio::task::yield_now().await;
        clock.jump(SignedDuration::from_hours(1));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!sleeper.is_finished());
        clock.jump(SignedDuration::from_hours(1));
        sleeper.await.expect("woken by the jump");
        clock.jump(SignedDuration::from_mins(-90));
        assert!(Clock::now(&clock) < epoch + SignedDuration::from_hours(1));
        clock.set_scale(3600.0);
        let began = Instant::now();
        Clock::sleep_until(&clock, epoch + SignedDuration::from_hours(2)).await;
        assert!(began.elapsed() < Duration::from_secs(2));
    }
}
