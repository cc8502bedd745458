//! The JobManager as Kubernetes shows it: one value instead of a Deployment, its pods and their conditions.

use jiff::SignedDuration;

use crate::observation::{ConditionFacts, JobManagerFacts, Observation, PodFacts, Seen};

/// Which JobManager there is.
#[derive(Clone, Copy, Debug)]
pub enum Cluster<'a> {
    /// The watches have not answered: nothing may be concluded.
    Unknown,
    /// No Deployment and no pod: nobody can hold the HA lease, a new one may start.
    Gone,
    /// The Deployment is gone; a pod of it may still run.
    Vanishing,
    /// The Deployment is marked for deletion.
    Leaving,
    Present(&'a JobManagerFacts),
}

pub fn cluster(o: &Observation) -> Cluster<'_> {
    match (&o.job_manager, &o.pods) {
        (Seen::NotAsked | Seen::Unreachable { .. }, _) => Cluster::Unknown,
        (Seen::Known(facts), _) if facts.deleting => Cluster::Leaving,
        (Seen::Known(facts), _) => Cluster::Present(facts),
        (Seen::Absent, Seen::Absent) => Cluster::Gone,
        (Seen::Absent, Seen::Known(pods)) if pods.is_empty() => Cluster::Gone,
        (Seen::Absent, Seen::Known(_) | Seen::NotAsked | Seen::Unreachable { .. }) => Cluster::Vanishing,
    }
}

/// A deployment failure by its Kubernetes reason (reconciler.md 3.4, 3b).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub reason: String,
    pub message: String,
    /// What it is about: the container, the pod or the Deployment.
    pub about: String,
}

/// What is visibly wrong with a JobManager that is not available.
pub fn failure(facts: &JobManagerFacts, o: &Observation) -> Option<Failure> {
    replica_failure(facts).or_else(|| container_failure(o)).or_else(|| mount_failure(facts, o))
}

/// Pods that may be stuck because a volume cannot be mounted; whether they are, their events say.
pub fn pods_to_ask_about(o: &Observation) -> Vec<String> {
    let stuck = |pod: &&PodFacts| {
        let sandbox = condition(&pod.conditions, "PodReadyToStartContainers")
            .or_else(|| condition(&pod.conditions, "Initialized"));
        is_false(condition(&pod.conditions, "Ready")) && is_false(sandbox)
    };
    o.pods.known().into_iter().flatten().filter(stuck).map(|pod| pod.name.clone()).collect()
}

/// The Deployment's `Available` condition is False and never flipped: no JobManager of it ever ran (4.8). Unsure
/// counts as "it may have run".
///
/// QUIRK left behind: there only a condition of the very second of creation counts, so that a Deployment whose
/// controller took a second longer waits for good.
pub fn never_started(facts: &JobManagerFacts) -> bool {
    let Some(available) = condition(&facts.conditions, "Available") else { return false };
    let Some(since) = available.last_transition.filter(|_| available.status == "False") else { return false };
    since == facts.created || (since <= facts.created + FIRST_STATUS_MAX && never_complete(facts))
}

/// How late a controller's first word about a Deployment may be. One whose ReplicaSet was removed by hand begins to
/// tell of its progress anew: what it says of availability is then no first word, and later than this.
const FIRST_STATUS_MAX: SignedDuration = SignedDuration::from_mins(2);

/// What `Progressing` says before the first rollout is complete. `NewReplicaSetAvailable` stays from then on, whatever
/// becomes of the pods (deployment controller, syncRolloutStatus: a complete rollout is not looked at again).
const INCOMPLETE: [&str; 5] = [
    "NewReplicaSetCreated",
    "FoundNewReplicaSet",
    "ReplicaSetUpdated",
    "ReplicaSetCreateError",
    "ProgressDeadlineExceeded",
];

/// The rollout of what was created never came to its end. With one replica that is the moment at which it is first
/// available: of more, some may have been; after a change of the spec there is another rollout.
fn never_complete(facts: &JobManagerFacts) -> bool {
    let reason = condition(&facts.conditions, "Progressing").and_then(|c| c.reason.as_deref());
    facts.own_generation == Some(1)
        && facts.wanted_replicas == 1
        && reason.is_some_and(|reason| INCOMPLETE.contains(&reason))
}

/// Since when the JobManager has been available.
pub fn available_since(facts: &JobManagerFacts) -> Option<jiff::Timestamp> {
    condition(&facts.conditions, "Available").filter(|c| c.status == "True").and_then(|c| c.last_transition)
}

fn replica_failure(facts: &JobManagerFacts) -> Option<Failure> {
    let found = condition(&facts.conditions, "ReplicaFailure")?;
    (found.reason.as_deref() == Some("FailedCreate")).then(|| Failure {
        reason: "FailedCreate".into(),
        message: found.message.clone().unwrap_or_default(),
        about: "Deployment".into(),
    })
}

const FATAL_WAITS: [&str; 6] = [
    "CrashLoopBackOff",
    "ImagePullBackOff",
    "ErrImagePull",
    "RunContainerError",
    "CreateContainerConfigError",
    "OOMKilled",
];

fn container_failure(o: &Observation) -> Option<Failure> {
    for container in o.pods.known()?.iter().filter(|pod| !pod.deleting).flat_map(|pod| &pod.containers) {
        let Some(waiting) = container.waiting.as_ref().filter(|w| FATAL_WAITS.contains(&w.reason.as_str()))
        else {
            continue;
        };
        let crash =
            container.last_terminated_message.as_ref().filter(|_| waiting.reason == "CrashLoopBackOff");
        let message = match crash {
            Some(last) => format!("[{}] CrashLoop - {last}", container.name),
            None => format!("[{}] {}", container.name, waiting.message.as_deref().unwrap_or(&waiting.reason)),
        };
        return Some(Failure { reason: waiting.reason.clone(), message, about: container.name.clone() });
    }
    None
}

/// Events outlive what they tell of: one that misses the cluster's ConfigMap is over once that is there, and the
/// kubelet, which backs off, will see it too.
fn mount_failure(facts: &JobManagerFacts, o: &Observation) -> Option<Failure> {
    let stuck = pods_to_ask_about(o);
    let missed = format!("configmap \"flink-config-{}\" not found", o.resource.name());
    let counts = |message: &String| facts.has_config_map && !message.contains(&missed);
    let all = o.mount_failures.known()?.iter();
    let (_, message) = all.filter(|(_, message)| counts(message)).find(|(pod, _)| stuck.contains(pod))?;
    Some(Failure { reason: "FailedMount".into(), message: message.clone(), about: "pod".into() })
}

fn condition<'a>(conditions: &'a [ConditionFacts], kind: &str) -> Option<&'a ConditionFacts> {
    conditions.iter().find(|c| c.kind == kind)
}

fn is_false(condition: Option<&ConditionFacts>) -> bool {
    condition.is_some_and(|c| c.status == "False")
}
