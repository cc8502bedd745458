//! The real clock: the one place of this program that reads it.
//!
//! A simulated cluster may live in a time of its own, which runs faster: it tells so in `CLUSTER_CLOCK`
//! (`SCALE,DAY,CLUSTER`: so many of its seconds pass in one, and at that time of day it was that time there), and everything
//! the operator waits for takes as much less. No real cluster sets it.

use std::time::Duration;

use anyhow::{Context, ensure};
use drey_operator::Clock;
use jiff::{SignedDuration, Timestamp};

pub struct SystemClock {
    course: Option<Course>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Course {
    scale: f64,
    day: Timestamp,
    cluster: Timestamp,
}

impl SystemClock {
    /// # Errors
    /// The environment's word cannot be read.
    pub fn of_environment() -> anyhow::Result<SystemClock> {
        let told = std::env::var("CLUSTER_CLOCK").ok().filter(|told| !told.is_empty());
        let course =
            told.map(|told| Course::read(&told).with_context(|| format!("read CLUSTER_CLOCK={told}")));
        Ok(SystemClock { course: course.transpose()? })
    }
}

impl Course {
    fn read(told: &str) -> anyhow::Result<Course> {
        let parts: Vec<&str> = told.split(',').collect();
        let [scale, day, cluster] = parts.as_slice() else {
            anyhow::bail!("expected SCALE,DAY,CLUSTER, such as 10,2026-01-01T00:00:00Z,2026-01-01T00:00:00Z");
        };
        let scale: f64 = scale.parse().context("expected a number first")?;
        ensure!(scale.is_finite() && scale > 0.0, "expected a positive number first");
        Ok(Course { scale, day: day.parse()?, cluster: cluster.parse()? })
    }

    fn at(&self, day: Timestamp) -> Timestamp {
        let passed = day.duration_since(self.day).as_secs_f64() * self.scale;
        let passed = SignedDuration::try_from_secs_f64(passed).unwrap_or(SignedDuration::MAX);
        self.cluster.saturating_add(passed).unwrap_or(Timestamp::MAX)
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the operator in a real cluster lives in real time")]
    fn now(&self) -> Timestamp {
        let day = Timestamp::now();
        self.course.map_or(day, |course| course.at(day))
    }

    fn runtime(&self, world: Duration) -> Duration {
        self.course.map_or(world, |course| world.div_f64(course.scale))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_may_run_faster() {
        let moment = |text: &str| text.parse::<Timestamp>().expect("a timestamp");
        let course = Course::read("20,2026-01-01T00:00:00Z,2026-01-01T06:00:00Z").expect("a course");
        assert_eq!(course.at(moment("2026-01-01T00:00:30Z")), moment("2026-01-01T06:10:00Z"));
        let clock = SystemClock { course: Some(course) };
        assert_eq!(clock.runtime(Duration::from_secs(60)), Duration::from_secs(3));
        assert_eq!(SystemClock { course: None }.runtime(Duration::from_secs(60)), Duration::from_secs(60));
        for wrong in ["", "1", "0,2026-01-01T00:00:00Z,2026-01-01T00:00:00Z", "x,2026-01-01T00:00:00Z,never"]
        {
            assert!(Course::read(wrong).is_err(), "{wrong}");
        }
    }
}
