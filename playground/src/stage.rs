//! What a world shows and what it takes: the seam between the page's server and whoever runs the world.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::feed::Feed;
use crate::history::History;

/// Orders under way to the world; more are refused, since nobody presses that many buttons.
const ORDERS_MAX: usize = 256;

/// What a page looks at. Clones are the same stage.
#[derive(Clone)]
pub struct Stage {
    pub feed: Feed,
    pub history: History,
    orders: mpsc::Sender<Order>,
}

/// The world's end of it.
pub type Orders = mpsc::Receiver<Order>;

impl Stage {
    pub fn new(epoch: &str) -> (Stage, Orders) {
        let (orders, taken) = mpsc::channel(ORDERS_MAX);
        (Stage { feed: Feed::new(epoch), history: History::default(), orders }, taken)
    }

    /// Asks the world to look at itself and tell what has changed.
    pub(crate) fn glance(&self) {
        // A full queue is a world that has enough to do.
        let _ = self.orders.try_send(Order { wish: Wish::Glance, reply: Reply(None) });
    }

    /// None: the world has not answered within `patience`, and may still do it.
    pub(crate) async fn order(&self, wish: Wish, patience: Duration) -> Option<Result<Value, Refusal>> {
        let (reply, answer) = oneshot::channel();
        if self.orders.try_send(Order { wish, reply: Reply(Some(reply)) }).is_err() {
            return Some(Err(Refusal::new(503, "the world has too much to do, or has ended")));
        }
        match tokio::time::timeout(patience, answer).await {
            Err(_) => None,
            Ok(Err(_)) => Some(Err(Refusal::new(503, "the world has ended"))),
            Ok(Ok(answer)) => Some(answer),
        }
    }
}

/// Something the page wants of the world.
pub struct Order {
    pub wish: Wish,
    pub reply: Reply,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Wish {
    /// Publish what has changed; comes a few times per second while pages look.
    Glance,
    /// One step of the scenario language, as YAML or JSON.
    Step(String),
    Clock(ClockOrder),
    /// The last lines of somebody's log.
    Log {
        of: Subject,
        lines: usize,
    },
    /// The session so far as a scenario file.
    Scenario,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    Operator,
    Pod { namespace: String, name: String },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ClockOrder {
    Pause,
    /// World seconds per second.
    Run {
        speed: f64,
    },
    /// Goes on until something happens, then stands.
    StepToEvent,
    /// Lets so much time pass, then stands.
    StepBy(Duration),
}

/// Where the answer goes; nowhere when nobody waits for it any more.
pub struct Reply(Option<oneshot::Sender<Result<Value, Refusal>>>);

impl Reply {
    pub fn send(self, answer: Result<Value, Refusal>) {
        if let Some(sender) = self.0 {
            // Whoever asked has gone away.
            let _ = sender.send(answer);
        }
    }
}

/// Why something was not done, for the one who pressed the button.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// HTTP status.
    pub code: u16,
    pub message: String,
}

impl Refusal {
    pub fn new(code: u16, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into() }
    }

    pub fn to_json(&self) -> Value {
        json!({"error": {"message": self.message}})
    }
}

impl ClockOrder {
    /// `{"do": "pause"}`, `{"do": "run", "speed": 10}`, `{"do": "step"}`, `{"do": "step", "by": "10s"}`.
    pub(crate) fn read(value: &Value) -> Result<ClockOrder, Refusal> {
        let wrong = |message: String| Refusal::new(400, message);
        match value["do"].as_str() {
            Some("pause") => Ok(ClockOrder::Pause),
            Some("run") => match value["speed"].as_f64() {
                Some(speed) if (SPEED_MIN..=SPEED_MAX).contains(&speed) => Ok(ClockOrder::Run { speed }),
                _ => Err(wrong(format!("speed: expected a number from {SPEED_MIN} to {SPEED_MAX}"))),
            },
            Some("step") => match &value["by"] {
                Value::Null => Ok(ClockOrder::StepToEvent),
                Value::String(text) => match drey_language::duration::parse(text) {
                    Ok(by) if !by.is_zero() && by <= STEP_MAX => Ok(ClockOrder::StepBy(by)),
                    Ok(_) => Err(wrong("by: expected a time up to 24h".to_owned())),
                    Err(error) => Err(wrong(format!("by: {error}"))),
                },
                _ => Err(wrong("by: expected text such as 10s".to_owned())),
            },
            _ => Err(wrong("do: expected pause, run or step".to_owned())),
        }
    }
}

const SPEED_MIN: f64 = 0.01;
const SPEED_MAX: f64 = 100_000.0;
const STEP_MAX: Duration = Duration::from_secs(24 * 3600);

/// How the stage is handed around.
pub(crate) type Shared = Arc<Stage>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_of_the_clock() {
        let check = |value: Value, expected: Option<ClockOrder>| {
            assert_eq!(ClockOrder::read(&value).ok(), expected, "{value}");
        };
        check(json!({"do": "pause"}), Some(ClockOrder::Pause));
        check(json!({"do": "run", "speed": 10}), Some(ClockOrder::Run { speed: 10.0 }));
        check(json!({"do": "step"}), Some(ClockOrder::StepToEvent));
        check(json!({"do": "step", "by": "1m30s"}), Some(ClockOrder::StepBy(Duration::from_secs(90))));
        for wrong in [
            json!({}),
            json!({"do": "stop"}),
            json!({"do": "run"}),
            json!({"do": "run", "speed": 0}),
            json!({"do": "run", "speed": 1e9}),
            json!({"do": "step", "by": "soon"}),
            json!({"do": "step", "by": "0s"}),
            json!({"do": "step", "by": "90d"}),
            json!({"do": "step", "by": 7}),
        ] {
            check(wrong, None);
        }
    }

    #[tokio::test]
    async fn a_world_that_has_ended_is_told_so() {
        let (stage, orders) = Stage::new("e");
        drop(orders);
        let answer = stage.order(Wish::Scenario, Duration::from_secs(1)).await;
        assert_eq!(answer.map(|answer| answer.map_err(|refusal| refusal.code)), Some(Err(503)));
    }

    #[tokio::test]
    async fn more_orders_than_a_hand_gives_are_refused() {
        let (stage, _orders) = Stage::new("e");
        (0..ORDERS_MAX).for_each(|_| stage.glance());
        let answer = stage.order(Wish::Scenario, Duration::from_secs(1)).await;
        assert!(matches!(answer, Some(Err(Refusal { code: 503, .. }))));
    }

    #[tokio::test(start_paused = true)]
    async fn an_order_that_takes_long_goes_on_without_an_answer() {
        let (stage, _orders) = Stage::new("e");
        assert_eq!(stage.order(Wish::Scenario, Duration::from_secs(1)).await, None);
    }
}
