//! One world: API server, kubelet, Flink, operator and a clock, in virtual or real time.

pub mod clock;
