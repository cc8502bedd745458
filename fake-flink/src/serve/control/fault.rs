//! Faults of Flink in the words of scenario files (docs/scenario-language.md), so that what is in a scenario's `fault:`
//! can be sent as it is. `name` there says which cluster; here the path does, and a `name` is allowed and not read.

use std::time::Duration;

use serde::Deserialize;

use super::{Controlled, Span};
use crate::model::api::{HaLoss, SavepointFault};
use crate::serve::stubs::{self, StubSpec};
use crate::{Command, Signal, Throwable};

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    Job(Job),
    JobManager(JobManager),
    Savepoint(Savepoint),
    Checkpoint(Checkpoint),
    Ha(Ha),
    Store(Store),
    TaskManagers(TaskManagers),
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Job {
    #[serde(default, rename = "name")]
    _name: Option<String>,
    /// Its id; the first that is not over unless said.
    #[serde(default)]
    id: Option<String>,
    set: JobState,
    #[serde(default)]
    cause: Option<String>,
    #[serde(default)]
    times: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum JobState {
    /// Every attempt fails.
    Failed,
    /// So many attempts fail.
    Restarting,
    Finished,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct JobManager {
    #[serde(default, rename = "name")]
    _name: Option<String>,
    #[serde(default)]
    r#do: Option<Deed>,
    #[serde(default)]
    rest: Option<Rest>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Deed {
    Hang,
    Resume,
    /// Dies at once; whoever runs the process starts it again, or nobody.
    Restart,
    /// As SIGTERM.
    Stop,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Rest {
    path: Option<String>,
    method: Option<String>,
    down: bool,
    hang: bool,
    slow: Option<Span>,
    lose_reply: bool,
    code: Option<u16>,
    body: Option<String>,
    times: Option<u64>,
    r#for: Option<Span>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Savepoint {
    #[serde(default, rename = "name")]
    _name: Option<String>,
    next: Next,
    #[serde(default)]
    by: Option<Span>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Next {
    Fail,
    Hang,
    Slow,
    CompleteButReplyLost,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Checkpoint {
    #[serde(default, rename = "name")]
    _name: Option<String>,
    #[serde(default)]
    stall: Option<bool>,
    #[serde(default)]
    fail: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Ha {
    #[serde(default, rename = "name")]
    _name: Option<String>,
    delete: HaLoss,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Store {
    #[serde(default)]
    lose: Option<String>,
    #[serde(default)]
    corrupt: Option<String>,
    #[serde(default)]
    unreachable: Option<String>,
    #[serde(default)]
    reachable: Option<String>,
    #[serde(default)]
    r#for: Option<Span>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TaskManagers {
    #[serde(default, rename = "name")]
    _name: Option<String>,
    r#do: TaskManagersDo,
    /// How many come back.
    #[serde(default)]
    count: Option<u32>,
    #[serde(default)]
    slots: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum TaskManagersDo {
    Lose,
    Return,
}

const EXCEPTION: &str = "java.lang.RuntimeException";
/// What `slow` takes unless said otherwise: longer than Flink's own default timeout of ten minutes.
const SLOW: Duration = Duration::from_secs(15 * 60);
const RETURN_MAX: u32 = 1_000;

type Done = Result<String, String>;

impl Fault {
    /// Carries it out; says what was done, or why it could not be.
    pub fn strike(self, on: &dyn Controlled) -> Done {
        match self {
            Fault::Job(job) => command(on, job.command(), "the job was told"),
            Fault::JobManager(fault) => fault.strike(on),
            Fault::Savepoint(fault) => command(on, fault.command(), "the next savepoint will see"),
            Fault::Checkpoint(fault) => command(on, fault.command()?, "checkpoints will see"),
            Fault::Ha(fault) => fault.strike(on),
            Fault::Store(fault) => fault.strike(on),
            Fault::TaskManagers(fault) => fault.strike(on),
        }
    }
}

fn command(on: &dyn Controlled, command: Command, done: &str) -> Done {
    match on.command(command) {
        true => Ok(done.to_owned()),
        false => Err(format!("no JobManager of {} is alive to take this", on.name())),
    }
}

impl Job {
    fn command(self) -> Command {
        let cause = Throwable::new(EXCEPTION, self.cause.as_deref().unwrap_or("injected"));
        let job = self.id;
        match self.set {
            JobState::Failed => Command::FailJob { job, cause, times: None },
            JobState::Restarting => Command::FailJob { job, cause, times: Some(self.times.unwrap_or(1)) },
            JobState::Finished => Command::FinishJob { job },
        }
    }
}

impl JobManager {
    fn strike(self, on: &dyn Controlled) -> Done {
        match (self.r#do, self.rest) {
            (Some(Deed::Hang), None) => command(on, Command::Hang { on: true }, "the JobManager hangs"),
            (Some(Deed::Resume), None) => command(on, Command::Hang { on: false }, "the JobManager goes on"),
            (Some(deed), None) => {
                let signal = if deed == Deed::Stop { Signal::Term } else { Signal::Kill };
                match on.end(signal) {
                    true => Ok("the JobManager ends".to_owned()),
                    false => Err("not from here: delete its pod".to_owned()),
                }
            }
            (None, Some(rest)) => {
                let stub = on.stubs().add(rest.stub(), on.now())?;
                Ok(format!("stub {} is in front of its REST API", stub.id))
            }
            _ => Err("jobmanager: give one of `do` and `rest`".to_owned()),
        }
    }
}

impl Rest {
    /// Calls below a path, as scenario files mean it.
    fn stub(self) -> StubSpec {
        let below = |path: String| format!("{}*", path.trim_end_matches('*'));
        let body = self.body.unwrap_or_else(|| "injected".to_owned());
        let answer = if self.slow.is_some() {
            stubs::Answer { delay: self.slow, ..Default::default() }
        } else if self.hang {
            stubs::Answer { drop: Some(stubs::Drop::Never), ..Default::default() }
        } else if self.lose_reply {
            stubs::Answer { drop: Some(stubs::Drop::After), ..Default::default() }
        } else if let Some(status) = self.code {
            let body = Some(serde_json::json!({"errors": [body]}));
            stubs::Answer { status: Some(status), body, ..Default::default() }
        } else {
            // `down`, and what is said when nothing is: nobody answers.
            stubs::Answer { drop: Some(stubs::Drop::Before), ..Default::default() }
        };
        let matches = stubs::Match { method: self.method, path: self.path.map(below), ..Default::default() };
        StubSpec { matches, answer, times: self.times, lasts: self.r#for, ..StubSpec::default() }
    }
}

impl Savepoint {
    fn command(self) -> Command {
        Command::NextSavepoint(match self.next {
            Next::Fail => SavepointFault::Fails,
            Next::Hang => SavepointFault::Hangs,
            Next::Slow => SavepointFault::Slow(self.by.map_or(SLOW, |by| by.0)),
            Next::CompleteButReplyLost => SavepointFault::ReplyLost,
        })
    }
}

impl Ha {
    fn strike(self, on: &dyn Controlled) -> Done {
        if on.facts().is_some_and(|facts| facts.ha_maps.is_empty()) {
            return Err(format!(
                "{} has no HA metadata to lose: its configuration wants high-availability.type: kubernetes",
                on.name()
            ));
        }
        command(on, Command::LoseHa(self.delete), "HA metadata is deleted")
    }
}

impl Checkpoint {
    fn command(self) -> Result<Command, String> {
        match (self.stall, self.fail) {
            (Some(on), None) => Ok(Command::StallCheckpoints { on }),
            (None, Some(times)) => Ok(Command::FailCheckpoints { times }),
            _ => Err("checkpoint: give one of `stall` and `fail`".to_owned()),
        }
    }
}

impl Store {
    fn strike(self, on: &dyn Controlled) -> Done {
        let storage = on.storage();
        match (self.lose, self.corrupt, self.unreachable, self.reachable) {
            (Some(part), None, None, None) => hit(&storage, &part, "lost", |path| storage.lose(path)),
            (None, Some(part), None, None) => hit(&storage, &part, "corrupted", |path| storage.corrupt(path)),
            (None, None, Some(prefix), None) => {
                storage.set_reachable(&prefix, false);
                if let Some(span) = self.r#for {
                    let (storage, prefix) = (storage.clone(), prefix.clone());
                    on.later(span.0, Box::new(move || storage.set_reachable(&prefix, true)));
                }
                Ok(format!("nothing below {prefix} can be read or written"))
            }
            (None, None, None, Some(prefix)) => {
                storage.set_reachable(&prefix, true);
                Ok(format!("{prefix} can be read and written again"))
            }
            _ => Err("store: give one of `lose`, `corrupt`, `unreachable` and `reachable`".to_owned()),
        }
    }
}

/// Every snapshot whose path contains this.
fn hit(storage: &crate::SnapshotStore, part: &str, what: &str, deed: impl Fn(&str) -> bool) -> Done {
    let paths = storage.snapshots().into_keys().filter(|path| path.contains(part));
    match paths.filter(|path| deed(path)).count() {
        0 => Err(format!("no snapshot has {part:?} in its path")),
        count => Ok(format!("{count} snapshots {what}")),
    }
}

impl TaskManagers {
    fn strike(self, on: &dyn Controlled) -> Done {
        if self.r#do == TaskManagersDo::Lose {
            return command(on, Command::LoseTaskManagers, "the TaskManagers are lost");
        }
        let count = self.count.unwrap_or(1);
        if count > RETURN_MAX {
            return Err(format!("taskmanagers.count: {count} are more than {RETURN_MAX}"));
        }
        let stamp = on.now().as_millisecond();
        for index in 1..=count {
            let id = format!("localhost:{}-{stamp:x}", 40_000 + index);
            if !on.bring_task_manager(id, self.slots.unwrap_or(1)) {
                return Err("not from here: they are pods, which come by themselves".to_owned());
            }
        }
        Ok(format!("{count} TaskManagers register"))
    }
}
