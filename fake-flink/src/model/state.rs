//! Job and task states, their names on the wire, and which job transitions exist.

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobState {
    Initializing,
    Created,
    Running,
    Failing,
    Failed,
    Cancelling,
    Canceled,
    Finished,
    Restarting,
    Suspended,
    Reconciling,
}

impl JobState {
    pub const ALL: [JobState; 11] = [
        JobState::Initializing,
        JobState::Created,
        JobState::Running,
        JobState::Failing,
        JobState::Failed,
        JobState::Cancelling,
        JobState::Canceled,
        JobState::Finished,
        JobState::Restarting,
        JobState::Suspended,
        JobState::Reconciling,
    ];

    pub fn name(self) -> &'static str {
        match self {
            JobState::Initializing => "INITIALIZING",
            JobState::Created => "CREATED",
            JobState::Running => "RUNNING",
            JobState::Failing => "FAILING",
            JobState::Failed => "FAILED",
            JobState::Cancelling => "CANCELLING",
            JobState::Canceled => "CANCELED",
            JobState::Finished => "FINISHED",
            JobState::Restarting => "RESTARTING",
            JobState::Suspended => "SUSPENDED",
            JobState::Reconciling => "RECONCILING",
        }
    }

    /// No JobManager will run this job again.
    pub fn is_globally_terminal(self) -> bool {
        matches!(self, JobState::Failed | JobState::Canceled | JobState::Finished)
    }

    /// Over for this JobManager.
    pub fn is_terminal(self) -> bool {
        self.is_globally_terminal() || self == JobState::Suspended
    }

    /// The transitions of the reference, section 4. RECONCILING is legacy and never entered.
    pub fn allows(self, next: JobState) -> bool {
        use JobState::*;
        match self {
            Initializing => matches!(next, Created | Failed | Cancelling | Canceled | Suspended),
            Created => matches!(next, Running | Cancelling | Canceled | Failing | Failed | Suspended),
            Running => matches!(next, Finished | Restarting | Failing | Cancelling | Suspended),
            Restarting => matches!(next, Running | Created | Cancelling | Canceled | Failing | Suspended),
            Failing => matches!(next, Failed | Suspended),
            Cancelling => matches!(next, Canceled | Failing | Suspended),
            Failed | Canceled | Finished | Suspended | Reconciling => false,
        }
    }

    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TaskState {
    Created,
    Scheduled,
    Deploying,
    Initializing,
    Running,
    Finished,
    Canceling,
    Canceled,
    Failed,
    Reconciling,
}

impl TaskState {
    pub const ALL: [TaskState; 10] = [
        TaskState::Created,
        TaskState::Scheduled,
        TaskState::Deploying,
        TaskState::Initializing,
        TaskState::Running,
        TaskState::Finished,
        TaskState::Canceling,
        TaskState::Canceled,
        TaskState::Failed,
        TaskState::Reconciling,
    ];

    pub fn name(self) -> &'static str {
        match self {
            TaskState::Created => "CREATED",
            TaskState::Scheduled => "SCHEDULED",
            TaskState::Deploying => "DEPLOYING",
            TaskState::Initializing => "INITIALIZING",
            TaskState::Running => "RUNNING",
            TaskState::Finished => "FINISHED",
            TaskState::Canceling => "CANCELING",
            TaskState::Canceled => "CANCELED",
            TaskState::Failed => "FAILED",
            TaskState::Reconciling => "RECONCILING",
        }
    }

    pub fn is_terminal(self) -> bool {
        matches!(self, TaskState::Finished | TaskState::Canceled | TaskState::Failed)
    }

    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// A vertex's `status` from its subtasks, as `ExecutionJobVertex.getAggregateJobVertexState`: any failed, else
    /// any canceling, else all the same, else running when anything runs, else created.
    pub fn aggregate(states: &[TaskState]) -> TaskState {
        use TaskState::*;
        let any = |s| states.contains(&s);
        let all = |s| states.iter().all(|x| *x == s);
        if any(Failed) {
            Failed
        } else if any(Canceling) {
            Canceling
        } else if any(Canceled) {
            Canceled
        } else if any(Running) {
            Running
        } else if any(Initializing) {
            Initializing
        } else if !states.is_empty() && all(Finished) {
            Finished
        } else if any(Deploying) {
            Deploying
        } else {
            // Scheduled tasks show as CREATED in the vertex (recorded: a job waiting for slots).
            Created
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_states_have_no_way_out() {
        for from in JobState::ALL.into_iter().filter(|s| s.is_terminal()) {
            for to in JobState::ALL {
                assert!(!from.allows(to), "{from:?} -> {to:?}");
            }
        }
    }

    #[test]
    fn a_waiting_vertex_is_created() {
        assert_eq!(TaskState::aggregate(&[TaskState::Scheduled, TaskState::Scheduled]), TaskState::Created);
        assert_eq!(TaskState::aggregate(&[TaskState::Failed, TaskState::Canceled]), TaskState::Failed);
    }
}
