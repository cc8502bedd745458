//! The jobs of programs people try Flink with: the conformance jar, Flink's own examples, the operator's.
//!
//! The conformance jobs are recorded. The examples' topologies are public knowledge of their sources (`flink-examples`,
//! Flink 1.18 to 2.2; operators' names vary a little between versions and the newest is taken); none of them sets uids,
//! so the vertex ids follow from the topology. The load simulation follows the operator's example line by line.

use super::job::{Job, ShapedBy, Ship, VertexSpec};
use super::workload::{Arrivals, Topic, Work};
use indexmap::IndexMap;
use std::time::Duration;

type Topology = fn() -> Job;

/// Jobs by entry class.
pub(super) const BY_CLASS: &[(&str, Topology)] = &[
    ("conformance.Stream", stream),
    ("conformance.Wide", wide),
    ("org.apache.flink.streaming.examples.statemachine.StateMachineExample", state_machine),
    ("org.apache.flink.streaming.examples.windowing.TopSpeedWindowing", top_speed),
    ("org.apache.flink.streaming.examples.wordcount.WordCount", word_count),
    ("org.apache.flink.streaming.examples.socket.SocketWindowWordCount", socket_word_count),
    ("org.apache.flink.streaming.examples.windowing.SessionWindowing", session_windowing),
    ("org.apache.flink.streaming.examples.windowing.WindowWordCount", window_word_count),
    ("org.apache.flink.streaming.examples.join.WindowJoin", window_join),
    ("org.apache.flink.streaming.examples.async.AsyncIOExample", async_io),
    ("autoscaling.LoadSimulationPipeline", load_simulation_default),
    ("org.apache.flink.client.python.PythonDriver", python),
    ("org.apache.flink.examples.SqlRunner", sql),
];

/// What runs where nothing is known: the job of the operator's example resources.
pub(crate) fn default() -> Job {
    state_machine()
}

fn job(name: &str, vertices: Vec<VertexSpec>) -> Job {
    Job::streaming(name, vertices).expect("the table holds valid topologies, a test builds them all")
}

fn ends(name: &str, vertices: Vec<VertexSpec>, records: u64) -> Job {
    Job { records: Some(records), ..job(name, vertices) }
}

/// The two-vertex job of the conformance jar.
fn stream() -> Job {
    let source = VertexSpec::new("Source: numbers -> throttle", "numbers");
    let count = VertexSpec::new("count -> out: Writer", "count").fed_by(0, Ship::Hash);
    Job {
        counts_records: true,
        bounded: true,
        shaped_by: ShapedBy::Pairs,
        ..job("stream", vec![source, count])
    }
}

/// The five-vertex job of the conformance jar.
fn wide() -> Job {
    let middle = VertexSpec::new("middle", "middle")
        .fed_by(0, Ship::Rebalance)
        .fed_by(2, Ship::Rebalance)
        .fixed(1)
        .at_most(8);
    let vertices = vec![
        VertexSpec::new("Source: left -> slow left", "left"),
        VertexSpec::new("Source: right", "right"),
        VertexSpec::new("slow right", "slow-right").fed_by(1, Ship::Forward),
        middle,
        VertexSpec::new("tail -> out: Writer", "tail").fed_by(3, Ship::Forward).fixed(1),
    ];
    Job { bounded: true, shaped_by: ShapedBy::Pairs, ..job("wide", vertices) }
}

pub(crate) fn state_machine() -> Job {
    let source = VertexSpec::named("Source: Events Generator Source");
    let machine = VertexSpec::named("Flat Map -> Sink: Print to Std. Out").fed_by(0, Ship::Hash);
    job("State machine job", vec![source, machine])
}

fn top_speed() -> Job {
    let source = VertexSpec::named("Source: Car data generator source -> Timestamps/Watermarks");
    let windows = "Window(GlobalWindows(), DeltaTrigger, TimeEvictor, ComparableAggregator, PassThroughWindowFunction) -> Sink: Print to Std. Out";
    job("CarTopSpeedWindowingExample", vec![source, VertexSpec::named(windows).fed_by(0, Ship::Hash)])
}

/// Reads its built-in text and ends, also when streaming.
fn word_count() -> Job {
    let source = VertexSpec::named("Source: in-memory-input -> tokenizer");
    let count = VertexSpec::named("counter -> Sink: print-sink").fed_by(0, Ship::Hash);
    ends("WordCount", vec![source, count], 35)
}

fn socket_word_count() -> Job {
    let source = VertexSpec::named("Source: Socket Stream -> Flat Map").fixed(1);
    let windows = "Window(TumblingProcessingTimeWindows(5000, 0), ProcessingTimeTrigger, ReduceFunction$1, PassThroughWindowFunction)";
    let window = VertexSpec::named(windows).fed_by(0, Ship::Hash);
    let sink = VertexSpec::named("Sink: Print to Std. Out").fed_by(1, Ship::Rebalance).fixed(1);
    job("Socket Window WordCount", vec![source, window, sink])
}

fn session_windowing() -> Job {
    let source = VertexSpec::named("Source: Session Data Generator Source -> Timestamps/Watermarks").fixed(1);
    let windows = "Window(EventTimeSessionWindows(3), EventTimeTrigger, SumAggregator, PassThroughWindowFunction) -> Sink: Print to Std. Out";
    ends("Session Windowing", vec![source, VertexSpec::named(windows).fed_by(0, Ship::Hash)], 8)
}

fn window_word_count() -> Job {
    let source = VertexSpec::named("Source: in-memory-input -> tokenizer");
    let windows = "Window(GlobalWindows(), CountTrigger, CountEvictor, SumAggregator, PassThroughWindowFunction) -> Sink: print-sink";
    ends("WindowWordCount", vec![source, VertexSpec::named(windows).fed_by(0, Ship::Hash)], 35)
}

fn window_join() -> Job {
    let grades = VertexSpec::named("Source: Grades Data Generator -> Map").fixed(1);
    let salaries = VertexSpec::named("Source: Salaries Data Generator -> Map").fixed(1);
    let windows = "Window(TumblingEventTimeWindows(2000), EventTimeTrigger, CoGroupWindowFunction) -> Map -> Sink: Print to Std. Out";
    let join = VertexSpec::named(windows).fed_by(0, Ship::Hash).fed_by(1, Ship::Hash);
    job("Windowed Join Example", vec![grades, salaries, join])
}

fn async_io() -> Job {
    let source = VertexSpec::named(
        "Source: Events Generator Source -> async wait operator -> Sink: Print to Std. Out",
    );
    job("Async IO Example: ORDERED", vec![source])
}

/// The operator's autoscaling example under its defaults; its arguments shape it.
fn load_simulation_default() -> Job {
    load_simulation(&IndexMap::new())
}

/// `maxLoadPerTask` lists branches by line and their tasks by `;`: the load of a task is the number of subtasks it
/// keeps busy at the crest of a sine of `repeatsAfterMinutes`. The example sleeps for a share of each second whatever
/// arrives; here the arrivals swing and each record has its cost, which is the same load and lets rates be compared.
pub(super) fn load_simulation(options: &IndexMap<String, String>) -> Job {
    let loads = options.get("maxLoadPerTask").map_or("1;2;4;8;16;\n16;8;4;2;1\n8;4;16;1;2", String::as_str);
    let minutes = options.get("repeatsAfterMinutes").and_then(|m| m.parse().ok()).unwrap_or(60u64).max(1);
    let period = Duration::from_secs(minutes.saturating_mul(60));
    let mut vertices = Vec::new();
    for branch in loads.split(['\n', '|']).take(BRANCHES_MAX) {
        let mut from = vertices.len();
        vertices.push(VertexSpec::named("Source: ImpulseSource").fixed(1).reading(impulses(period)));
        for load in branch.split(';').filter_map(|load| load.trim().parse::<f64>().ok()).take(BRANCHES_MAX) {
            let cost = Duration::from_secs_f64((load / CREST).clamp(0.0, 3600.0));
            let work = Work { cost: Some(cost), ..Work::default() };
            let task =
                VertexSpec::named(&format!("MaxLoad: {load:?}")).fed_by(from, Ship::Shuffle).working(work);
            from = vertices.len();
            vertices.push(task);
        }
        vertices.push(VertexSpec::named("Sink: Unnamed").fed_by(from, Ship::Broadcast));
    }
    let name = format!("Load Simulation (repeats after {})", crate::conf::iso(period.as_millis() as i64));
    Job { shaped_by: ShapedBy::LoadSimulation, ..job(&name, vertices) }
}

/// Records per second at the crest of the load simulation's sine.
const CREST: f64 = 100.0;
const BRANCHES_MAX: usize = 50;

fn impulses(period: Duration) -> Topic {
    let half = CREST / 2.0;
    Topic::new(Arrivals::Sine { mean: half, amplitude: half, period, shift: Duration::ZERO })
}

/// The Table API word count of PyFlink's documentation.
fn python() -> Job {
    let source = VertexSpec::named("Source: source[1] -> Calc[2] -> PythonCorrelate[3]");
    let count = VertexSpec::named("GroupAggregate[5] -> Calc[6] -> sink[7]: Writer").fed_by(0, Ship::Hash);
    job("insert-into_default_catalog.default_database.sink", vec![source, count])
}

fn sql() -> Job {
    let source = VertexSpec::named("Source: orders[1] -> Sink: print_table[2]");
    job("insert-into_default_catalog.default_database.print_table", vec![source])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topology_is_valid_and_has_ids_of_its_own() {
        for (class, topology) in BY_CLASS {
            let job = topology();
            let mut ids: Vec<&str> = job.vertices.iter().map(VertexSpec::id).collect();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), job.vertices.len(), "{class}");
            assert!(ids.iter().all(|id| id.len() == 32), "{class}");
        }
    }

    #[test]
    fn the_state_machine_has_the_ids_its_dashboards_show() {
        let ids: Vec<String> = state_machine().vertices.iter().map(|v| v.id().to_owned()).collect();
        assert_eq!(ids, ["bc764cd8ddf7a0cff126f51c16239658", "20ba6b65f97481d5570070de90e4e791"]);
    }
}
