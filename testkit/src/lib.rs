//! Builders for tests over the custom resources: each starts from a valid object, and a test says what differs.
//!
//! ```
//! use drey_testkit::flink_deployment;
//! let cr = flink_deployment("wordcount").last_state().with_ha().stable().build();
//! assert!(cr.status.unwrap().reconciliation_status.is_stable());
//! ```

mod deployment;
mod session_job;
mod snapshot;

pub use deployment::{DeploymentBuilder, flink_deployment, session_cluster};
pub use session_job::{SessionJobBuilder, session_job};
pub use snapshot::{SnapshotBuilder, checkpoint_of, savepoint_of};

/// The namespace of every object that is not told otherwise.
pub const NAMESPACE: &str = "jobs";
/// A job id for those who need one.
pub const JOB_ID: &str = "0123456789abcdef0123456789abcdef";

/// A uid that looks like one and is the same for the same name.
fn uid_of(name: &str) -> String {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{:08x}-{:04x}-4{:03x}-8000-{:012x}", hash >> 32, (hash >> 16) & 0xffff, hash & 0xfff, hash >> 16)
}

#[cfg(test)]
mod tests {
    #[test]
    fn uids_are_stable_and_well_formed() {
        let uid = super::uid_of("wordcount");
        assert_eq!(uid, super::uid_of("wordcount"));
        assert_ne!(uid, super::uid_of("other"));
        assert_eq!(uid.len(), 36);
    }
}
