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
