//! The real clock: the one place of this program that reads it.

use drey_operator::Clock;
use jiff::Timestamp;

pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the operator in a real cluster lives in real time")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
