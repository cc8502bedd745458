//! One world: API server, controllers and kubelet, Flink, operator and a clock, in virtual or in real time.

pub mod boot;
pub mod budget;
pub mod clock;
pub mod flink;
pub mod furnished;
pub mod gate;
pub mod hands;
pub mod journal;
pub mod kinds;
pub mod network;
pub mod operator;
pub mod settings;
pub mod watcher;

pub use boot::{OPERATORS_HOME, World};
pub use clock::{ScenarioClock, TimeOfDay};
pub use hands::Hands;
pub use journal::{Journal, Listener};
pub use operator::CommandLine;
pub use settings::WorldSettings;
