//! Scenario time. One clock drives operator, fakes and runner: the scenario's epoch plus what tokio's clock has advanced
//! since, times a scale. In virtual mode tokio's clock is paused and jumps; in loopback mode it is the real one, and a
//! scale of 10 makes ten scenario seconds of one real second. Nothing here reads the wall clock.

use std::time::Duration;

use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// A copyable handle on scenario time. Make it inside the runtime whose clock it follows.
#[derive(Clone, Copy, Debug)]
pub struct ScenarioClock {
    epoch: Timestamp,
    started: Instant,
    scale: f64,
}

impl ScenarioClock {
    /// Scenario time `epoch` is now; `scale` scenario seconds pass per second of tokio's clock.
    pub fn start(epoch: Timestamp, scale: f64) -> ScenarioClock {
        assert!(scale.is_finite() && scale > 0.0, "the time scale is a positive number");
        ScenarioClock { epoch, started: Instant::now(), scale }
    }

    pub fn now(&self) -> Timestamp {
        let passed = self.scenario(self.started.elapsed());
        self.epoch + SignedDuration::try_from(passed).expect("a scenario lasts less than centuries")
    }

    /// Scenario time since the epoch.
    pub fn elapsed(&self) -> Duration {
        self.scenario(self.started.elapsed())
    }

    /// A span of scenario time as tokio must sleep it.
    pub fn runtime(&self, span: Duration) -> Duration {
        if self.scale == 1.0 { span } else { span.div_f64(self.scale) }
    }

    /// Simulated latencies shorter than a timer can sleep are left to the real ones.
    pub fn lasting(&self, latency: Duration) -> Duration {
        if self.runtime(latency) < Duration::from_millis(1) { Duration::ZERO } else { latency }
    }

    /// A span of tokio's time as scenario time.
    pub fn scenario(&self, span: Duration) -> Duration {
        if self.scale == 1.0 { span } else { span.mul_f64(self.scale) }
    }

    pub async fn sleep(&self, span: Duration) {
        tokio::time::sleep(self.runtime(span)).await;
    }

    /// Returns at once when `until` has passed.
    pub async fn sleep_until(&self, until: Timestamp) {
        let left = until.duration_since(self.now());
        if let Ok(left) = Duration::try_from(left) {
            self.sleep(left).await;
        }
    }
}

/// The clock as the operator asks for it.
#[derive(Clone, Copy)]
pub struct OperatorClock(pub ScenarioClock);

impl drey_operator::Clock for OperatorClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn runtime(&self, world: Duration) -> Duration {
        self.0.runtime(world)
    }
}

/// The clock as the API server and its controllers ask for it.
#[derive(Clone, Copy)]
pub struct ApiClock(pub ScenarioClock);

impl fake_kube_apiserver::Clock for ApiClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'static, ()> {
        let clock = self.0;
        Box::pin(async move { clock.sleep_until(until).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().expect("a timestamp")
    }

    #[tokio::test(start_paused = true)]
    async fn scenario_time_follows_the_paused_clock() {
        let clock = ScenarioClock::start(epoch(), 1.0);
        clock.sleep(Duration::from_secs(90)).await;
        assert_eq!(clock.now().to_string(), "2026-01-01T00:01:30Z");
    }

    #[tokio::test(start_paused = true)]
    async fn a_scale_stretches_what_passes_and_shortens_what_is_slept() {
        let clock = ScenarioClock::start(epoch(), 10.0);
        let before = Instant::now();
        clock.sleep_until(epoch() + SignedDuration::from_secs(60)).await;
        assert_eq!(before.elapsed(), Duration::from_secs(6));
        assert_eq!(clock.elapsed(), Duration::from_secs(60));
    }

    #[test]
    fn a_cluster_may_have_a_time_of_its_own() {
        let day = TimeOfDay::starting(epoch());
        assert_eq!(day.told(), None);
        assert_eq!(day.of_cluster(epoch(), 1.0).told(), None, "the same time");
        let later = epoch() + SignedDuration::from_hours(1);
        let fast = day.of_cluster(later, 20.0);
        let told = fast.told().expect("another time");
        assert!(
            told.starts_with("20,2026-01-01T00:00:00") && told.ends_with(",2026-01-01T01:00:00Z"),
            "{told}"
        );
        assert!(fast.now() >= later);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_the_past_does_not_wait() {
        let clock = ScenarioClock::start(epoch(), 1.0);
        clock.sleep_until(epoch() - SignedDuration::from_secs(5)).await;
        assert_eq!(clock.elapsed(), Duration::ZERO);
    }
}

/// The time outside of this process, which only the binary reads, and the moment it was read: the time of day, or that of
/// a simulated cluster whose time runs otherwise.
#[derive(Clone, Copy, Debug)]
pub struct TimeOfDay {
    read: Timestamp,
    at: std::time::Instant,
    /// So many of its seconds pass in a second.
    scale: f64,
    /// The time of day when it was read.
    day: Timestamp,
}

/// What asking for the time may take; a clock that differs by less is the same.
const ASKING_MAX: SignedDuration = SignedDuration::from_secs(2);

impl TimeOfDay {
    /// `now` is the time of day at this moment.
    pub fn starting(now: Timestamp) -> TimeOfDay {
        TimeOfDay { read: now, at: std::time::Instant::now(), scale: 1.0, day: now }
    }

    /// The time of a cluster that tells its own, read at this moment, when `self` is the time of day.
    pub fn of_cluster(self, now: Timestamp, scale: f64) -> TimeOfDay {
        let day = self.now();
        TimeOfDay { read: now, at: std::time::Instant::now(), scale, day }
    }

    pub fn now(&self) -> Timestamp {
        SignedDuration::try_from_secs_f64(self.at.elapsed().as_secs_f64() * self.scale)
            .ok()
            .and_then(|passed| self.read.checked_add(passed).ok())
            .unwrap_or(self.read)
    }

    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// For processes that must live in this time and cannot tell it from the time of day (`CLUSTER_CLOCK`): how many seconds
    /// pass in one, a time of day, and what time it was then.
    pub fn told(&self) -> Option<String> {
        let is_day = self.scale == 1.0 && self.read.duration_since(self.day).abs() < ASKING_MAX;
        (!is_day).then(|| format!("{},{},{}", self.scale, self.day, self.read))
    }
}
