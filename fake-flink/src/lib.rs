//! fake-flink: a Flink JobManager as a pure state machine, with the real REST format on top.
//!
//! [`Cluster`] is one JobManager process and its jobs. It does no I/O, reads no clock and draws every delay and id
//! from a seed: time comes in with each call, everything it wants done comes back as [`Effect`]s, and what it writes
//! lands in a [`SnapshotStore`] that outlives it. [`serve`] puts one cluster behind a real socket.
//!
//! The behaviour follows recordings of Flink 1.18.1, 1.20.3 and 2.2.1; where a rule is not recorded but public
//! knowledge of Flink, the comment at the rule says so. Left out: TLS and authentication, SQL
//! gateway, datasets with content, job submission by serialised job graph.
//!
//! ```
//! use fake_flink::{Cluster, Event, StartOptions, Version};
//! let start = jiff::Timestamp::UNIX_EPOCH;
//! let (mut cluster, _effects) = Cluster::start(StartOptions::application(Version::V1_20, start).instant());
//! cluster.step(Event::TaskManagerUp { id: "tm-1".into(), slots: 2 }, start);
//! let request = http::Request::get("/jobs/overview").body(bytes::Bytes::new()).unwrap();
//! let (answer, _effects) = cluster.handle(&request, start);
//! assert_eq!(answer.status(), 200);
//! assert_eq!(cluster.facts().jobs[0].state, fake_flink::JobState::Running);
//! ```

pub mod conf;
pub mod dashboard;
mod hash;
pub(crate) mod ids;
pub mod image;
pub mod jar;
mod java;
mod knobs;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
mod logs;
pub mod model;
#[cfg(feature = "net")]
mod net;
pub mod program;
pub mod rest;
pub mod serve;
pub mod storage;
mod throwable;
mod version;

pub use conf::Conf;
pub use knobs::{Delay, ModelKnobs};
pub use model::api::{
    Command, Effect, Event, JobFact, Mode, ResourceManager, Signal, StartOptions, TaskManagers,
};
pub use model::cluster::Cluster;
pub use model::facts::{Facts, JobFacts, Phase, SnapshotFact};
pub use model::ha::{ConfigMap, HaState};
pub use model::state::{JobState, TaskState};
pub use program::{Behaviour, Job as ProgramJob, Program, ProgramTable, Ship, VertexSpec};
pub use rest::Pace;
pub use storage::{ReadError, Snapshot, SnapshotStore};
pub use throwable::Throwable;
pub use version::Version;
