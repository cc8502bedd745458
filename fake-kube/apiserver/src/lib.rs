//! A Kubernetes API server in one process: MVCC store and HTTP semantics of a 1.35.
//!
//! [`ApiServer`] is the handle. [`ApiServer::service`] is its HTTP face (a `tower::Service`), [`ApiServer::client`] the
//! synchronous one, [`ApiServer::changes`] follows every change. Time, randomness and faults are handed in; nothing here
//! starts a thread or reads a wall clock.
//!
//! The rules and their evidence: kube-api.md and the recorded cases under `fake-kube/cases`. Left out: sockets and TLS,
//! controllers, the kubelet (crate `fake-kube`).

mod admission;
mod answer;
mod aside;
mod changes;
mod clock;
mod codec;
mod contents;
mod crd;
mod crd_paths;
pub mod cron;
mod decode;
mod delete;
mod discovery;
mod disturb;
mod events;
mod fault;
mod fields;
mod growth;
mod image;
mod labels;
mod limits;
mod list;
mod local;
mod meta;
mod names;
mod negotiate;
mod openapi;
mod pages;
mod patch;
mod pods;
mod proxy;
mod quota;
pub mod quota_usage;
mod rbac;
mod registry;
mod request;
mod resource;
mod rules;
mod seeded;
mod selector;
mod server;
mod service;
mod service_ip;
mod status;
mod store;
mod stored;
mod strategy;
mod subresource;
mod table;
mod validate;
mod waiting;
mod watch;
mod websocket;
mod write;
mod yaml;

#[cfg(feature = "conformance")]
pub mod conformance;

pub use admission::{Answered, Question, Webhooks};
pub use answer::ApiBody;
pub use changes::Changes;
pub use clock::{Clock, ManualClock};
pub use contents::Contents;
pub use disturb::{Disturbance, How};
pub use fake_kube_schema::{equal, equal_members};
pub use fault::{Change, Gate, Observer, RequestRecord, Verdict};
pub use image::Image;
pub use local::{LocalClient, PatchKind, ServedResource};
pub use pods::{LogOptions, LogStream, PodBackend};
pub use proxy::ProxyTarget;
pub use request::RequestInfo;
pub use resource::Resource;
pub use selector::{FieldSelector, LabelSelector};
pub use server::{ApiServer, Options, User};
pub use service::{ApiService, ConnectionCut};
pub use status::{BODY_MAX, Status};
pub use store::{ChangeKind, HistoryLimits};
pub use websocket::{Handshake, Messages};
