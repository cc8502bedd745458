//! Real time, scaled: the only clock of the binary. Everything else is told the time.

use std::time::Duration;

use jiff::Timestamp;

#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Timestamp,
    started: tokio::time::Instant,
    scale: f64,
}

impl Clock {
    /// `scale` model seconds pass in a real one; what is no pace at all counts as 1.
    #[expect(clippy::disallowed_methods, reason = "the binary's clock: everything else is told the time")]
    pub fn new(scale: f64) -> Clock {
        let scale = if scale.is_finite() && scale > 0.0 { scale } else { 1.0 };
        Clock { origin: Timestamp::now(), started: tokio::time::Instant::now(), scale }
    }

    /// The clock of a cluster that others run, from `SCALE,DAY,CLUSTER`: so many of its seconds pass in a real one, and at
    /// that time of day it was that time in the cluster.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn of_cluster(told: &str) -> Result<Clock, String> {
        let real = Clock::new(1.0);
        let parts: Vec<&str> = told.split(',').collect();
        let [scale, day, cluster] = parts.as_slice() else {
            return Err(format!("{told:?}: expected SCALE,TIME OF DAY,TIME OF THE CLUSTER"));
        };
        let moment = |text: &str| text.parse::<Timestamp>().map_err(|why| format!("{text:?}: {why}"));
        let scale: f64 = scale.parse().map_err(|_| format!("{scale:?}: expected a number"))?;
        if !(scale.is_finite() && scale > 0.0) {
            return Err(format!("{scale}: expected a positive number"));
        }
        let passed = real.origin.duration_since(moment(day)?).as_secs_f64() * scale;
        let passed = jiff::SignedDuration::try_from_secs_f64(passed).map_err(|why| why.to_string())?;
        let origin = moment(cluster)?.checked_add(passed).map_err(|why| why.to_string())?;
        Ok(Clock { origin, scale, ..real })
    }

    pub fn now(&self) -> Timestamp {
        let passed = self.started.elapsed().as_secs_f64() * self.scale;
        let passed = Duration::try_from_secs_f64(passed).unwrap_or_default();
        self.origin.checked_add(passed).unwrap_or(Timestamp::MAX)
    }

    /// Real time until a moment of the model.
    pub fn until(&self, due: Timestamp) -> Duration {
        let left = due.duration_since(self.now());
        let left = Duration::try_from(left).unwrap_or_default();
        // The model counts whole milliseconds: a moment later it is surely due.
        self.real(left) + Duration::from_millis(1)
    }

    pub fn real(&self, model: Duration) -> Duration {
        model.div_f64(self.scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_tells_how_its_time_runs() {
        let clock = Clock::of_cluster("60,2026-01-01T00:00:00Z,2027-01-01T00:00:00Z").expect("a clock");
        let later = clock.origin.duration_since("2027-01-01T00:00:00Z".parse().expect("a timestamp"));
        let real =
            Clock::new(1.0).origin.duration_since("2026-01-01T00:00:00Z".parse().expect("a timestamp"));
        assert!((later.as_secs_f64() - real.as_secs_f64() * 60.0).abs() < 60.0, "{later:?} {real:?}");
        assert_eq!(clock.real(Duration::from_secs(60)), Duration::from_secs(1));
        for wrong in
            ["", "1", "0,2026-01-01T00:00:00Z,2026-01-01T00:00:00Z", "1,yesterday,2026-01-01T00:00:00Z"]
        {
            assert!(Clock::of_cluster(wrong).is_err(), "{wrong}");
        }
    }
}
