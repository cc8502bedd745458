//! What a scenario cannot have where something is not ours: a cluster that others run, an operator that is a program of its
//! own. Such a step is skipped with the reason; a check that cannot hear anything would pass.

use drey_language::scenario::Step;
use drey_language::vocabulary::StepKind;
use fake_kube::control::POD_DEEDS;

use super::cluster::OperatorUnderTest;

const BREAKS: &str = "a cluster that others run cannot be made to do this";
const TRUTH: &str = "needs the simulated Flink's own knowledge; a real one tells only what REST tells";
const PROCESS: &str = "the operator runs in the cluster, out of reach";
const REQUESTS: &str = "the operator's requests pass no proxy of ours";
const PASSES: &str = "the operator is a program of its own: its passes and its calls to Flink are not seen";
const LEASE: &str = "how a program of its own elects its leader is not ours to say";

/// What is in reach behind what users see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Flink in the pods is the simulated one, and its control endpoint can be asked.
    pub control: bool,
    /// Calls to Flink of an operator that is a program of its own pass the fault proxy.
    pub calls: bool,
    /// The cluster is a simulated one, and its control endpoint breaks pods.
    pub pods: bool,
    /// The scenario's operators elect a leader.
    pub election: bool,
}

/// On a cluster that others run.
pub fn on_a_cluster(step: &Step, operator: &OperatorUnderTest, reach: Reach) -> Option<&'static str> {
    of_the_cluster(step, reach).or_else(|| match operator {
        OperatorUnderTest::InProcess => None,
        OperatorUnderTest::Command(_) => of_a_program(step, reach),
        OperatorUnderTest::Deployed => of_a_deployed_one(step, reach),
    })
}

fn of_the_cluster(step: &Step, reach: Reach) -> Option<&'static str> {
    match step.name.as_str() {
        "pod" => match step.args.opt_text("do") {
            Some("kill" | "evict" | "delete") => None,
            Some(deed) if POD_DEEDS.contains(&deed) && reach.pods => None,
            _ => Some(BREAKS),
        },
        // Who cannot reach a store is not the store's to say: each JobManager would have to be told.
        "store" if step.args.has("unreachable") => Some(BREAKS),
        "job" | "savepoint" | "checkpoint" | "store" | "taskmanagers" if !reach.control => Some(BREAKS),
        "jobmanager" if !step.args.has("rest") && !reach.control => Some(BREAKS),
        "restoredFrom" | "job-is" | "starts" | "redeploy" if !reach.control => Some(TRUTH),
        _ if step.kind == StepKind::Time && step.name == "jumpClock" => Some(BREAKS),
        _ => None,
    }
}

/// An operator that is started and stopped here, and otherwise known by its requests to the API server alone; by its calls
/// to Flink too, where these are in reach.
pub fn of_a_program(step: &Step, reach: Reach) -> Option<&'static str> {
    match step.name.as_str() {
        "jobmanager" if step.args.has("rest") && !reach.calls => Some(PASSES),
        "budget" if step.args.has("reconciles") => Some(PASSES),
        "calls" | "never" if server(step) == Some("flink") && !reach.calls => Some(PASSES),
        // Where nobody elects a leader, a second one is enough.
        "secondOperator" if step.args.opt_text("lease") == Some("expired") => Some(LEASE),
        "secondOperator" if step.args.has("lease") && reach.election => Some(LEASE),
        _ => None,
    }
}

fn of_a_deployed_one(step: &Step, reach: Reach) -> Option<&'static str> {
    match step.name.as_str() {
        "api" | "watch" | "converge" | "writes" => Some(REQUESTS),
        "calls" | "never" if server(step) == Some("api") => Some(REQUESTS),
        "budget" if step.args.has("apiCalls") || step.args.has("writes") => Some(REQUESTS),
        "crashOperator" | "pauseOperator" | "secondOperator" => Some(PROCESS),
        "control" => Some("ends faults of kinds that are not there"),
        _ => of_a_program(step, Reach { calls: false, ..reach }),
    }
}

/// Whose calls a step speaks of, if it speaks of calls.
fn server(step: &Step) -> Option<&str> {
    let call = if step.name == "never" { step.args.get("call")? } else { &step.args };
    Some(call.opt_text("to").unwrap_or("api"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use drey_language::files::Memory;
    use drey_language::scenario::parse_with;

    use super::*;
    use crate::run::vocabulary;
    use crate::world::CommandLine;

    /// A check that cannot hear anything passes: whatever is deaf must be skipped, and said so. For an operator in this
    /// process, a program of its own, and one that is deployed.
    #[test]
    fn what_cannot_be_asked_is_skipped() {
        let check_with = |word: &str, reach: Reach, is_skipped: [bool; 3]| {
            let text =
                format!("apiVersion: drey/v1\nkind: Scenario\nmetadata: {{name: s}}\nsteps: [{{{word}}}]\n");
            let files = Memory::default().with("s.yaml", text);
            let scenario = parse_with(Path::new("s.yaml"), &vocabulary(), &files).expect("a scenario");
            let step = &scenario.cases[0].steps[0];
            let command = OperatorUnderTest::Command(Arc::new(CommandLine::new("true").expect("a command")));
            let operators = [OperatorUnderTest::InProcess, command, OperatorUnderTest::Deployed];
            for (operator, is_skipped) in operators.iter().zip(is_skipped) {
                assert_eq!(on_a_cluster(step, operator, reach).is_some(), is_skipped, "{word} {operator:?}");
            }
        };
        let check = |word: &str, is_skipped| check_with(word, Reach::default(), is_skipped);
        check("never: {call: {method: DELETE}}", [false, false, true]);
        check("never: {call: {to: api, method: DELETE}}", [false, false, true]);
        check("never: {call: {to: flink, method: PATCH}}", [false, true, true]);
        check("never: {event: {reason: Rollback}}", [false, false, false]);
        check("never: {of: FlinkDeployment/app, cel: \"obj.spec.paused\"}", [false, false, false]);
        check("calls: {to: api, match: {method: GET}, count: 0}", [false, false, true]);
        check("calls: {to: flink, match: {method: GET}, count: 0}", [false, true, true]);
        check("budget: {apiCalls: {perHour: 1}}", [false, false, true]);
        check("budget: {writes: {max: 1}, reconciles: {max: 1}}", [false, true, true]);
        check("budget: {reconciles: {max: 1}}", [false, true, true]);
        check("writes: {count: 0}", [false, false, true]);
        check("crashOperator: {everyWrite: true}", [false, false, true]);
        check("secondOperator: {for: 30s, lease: ignored}", [false, false, true]);
        check("secondOperator: {for: 30s, lease: expired}", [false, true, true]);
        check("pod: {select: {component: jobmanager}, do: neverScheduled}", [true, true, true]);
        check("jobmanager: {name: app, rest: {down: true}}", [false, true, true]);
        check("jobmanager: {name: app, do: hang}", [true, true, true]);
        check("pod: {select: {component: jobmanager}, do: kill}", [false, false, false]);
        check("pod: {select: {component: jobmanager}, do: oom}", [true, true, true]);
        check("restoredFrom: {name: app, is: newest}", [true, true, true]);
        check("advance: 1s", [false, false, false]);
        let reach = Reach { control: true, ..Reach::default() };
        check_with("restoredFrom: {name: app, is: newest}", reach, [false, false, false]);
        check_with("jobmanager: {name: app, do: hang}", reach, [false, false, false]);
        check_with("store: {lose: savepoint-}", reach, [false, false, false]);
        check_with("store: {unreachable: s3}", reach, [true, true, true]);
        check_with("jobmanager: {name: app, rest: {down: true}}", reach, [false, true, true]);
        let reach = Reach { calls: true, ..Reach::default() };
        check_with("jobmanager: {name: app, rest: {down: true}}", reach, [false, false, true]);
        check_with("calls: {to: flink, match: {method: GET}, count: 0}", reach, [false, false, true]);
        let reach = Reach { pods: true, election: true, ..Reach::default() };
        check_with(
            "pod: {select: {component: jobmanager}, do: neverScheduled}",
            reach,
            [false, false, false],
        );
        check_with("pod: {select: {component: jobmanager}, do: oom}", reach, [true, true, true]);
        check_with("secondOperator: {for: 30s, lease: ignored}", reach, [false, true, true]);
    }
}
