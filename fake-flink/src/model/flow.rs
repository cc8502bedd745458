//! Records through a running job: a fluid model from which every rate, backlog and busy time follows.
//!
//! Between two instants at which something changes (an arrival rate, a backlog that runs dry) all rates are constant,
//! so a stretch of time costs one step whatever flows in it. Buffers between vertices are taken as empty: what leaves
//! a vertex reaches the next at once, and a vertex at its capacity slows the sources above it. Several sources share
//! a bottleneck by their subtasks.
//!
//! Left out: single records, skew of keys (key groups are spread as Flink spreads them), what a stage of a batch job
//! reads of the one before: flow is of the sources, and what follows from them (`stages.rs` says when a stage runs).

use super::job::Vertex;
use crate::program::Ship;
use crate::program::workload::Topic;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flow {
    /// Where sources begin that name no instant themselves.
    origin: i64,
    at: i64,
    /// Position of each source vertex: records read since its origin. Zero for other vertices.
    position: Vec<f64>,
    /// Per vertex, since this attempt began.
    totals: Vec<Totals>,
}

/// What a whole vertex did in this attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    pub records_in: f64,
    pub records_out: f64,
    pub elapsed_ms: f64,
    /// Records flowed.
    active_ms: f64,
    /// Somebody downstream was at capacity; what was read in that time.
    pressed_ms: f64,
    pressed_in: f64,
}

/// What a vertex does right now, records per second over all subtasks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    pub records_in: f64,
    pub records_out: f64,
    pub back_pressured: bool,
}

/// How a subtask spends a second, or an attempt: milliseconds that add up to the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Times {
    pub busy_ms: f64,
    pub idle_ms: f64,
    pub back_pressured_ms: f64,
}

/// Rates now, and until when they hold.
struct Stretch {
    rates: Vec<Rates>,
    until: i64,
}

/// A vertex without a stated cost shows this share of busy time while records flow.
const UNPRICED_BUSY: f64 = 0.1;
/// What a subtask reads of a backlog per second where nothing states its cost.
const UNPRICED_RATE: f64 = 100_000.0;
/// Steps one call may take; the rest of a longer absence goes by at the rates reached.
const STRETCHES_MAX: usize = 100_000;
/// Fewer records than this are no backlog, whatever rounding leaves.
const EPSILON: f64 = 1e-6;

impl Flow {
    pub fn new(origin: i64) -> Flow {
        Flow { origin, ..Flow::default() }
    }

    /// A new attempt, from `progress` records on.
    pub fn begin(&mut self, vertices: &[Vertex], progress: u64, now: i64) {
        self.at = now;
        self.totals = vec![Totals::default(); vertices.len()];
        self.seek(vertices, progress as f64);
    }

    /// Snapshots remember one number: it is shared out as the sources stood, or as much as arrived at each.
    fn seek(&mut self, vertices: &[Vertex], progress: f64) {
        let mut weights = std::mem::take(&mut self.position);
        if weights.len() != vertices.len() || weights.iter().sum::<f64>() <= 0.0 {
            let arrived =
                |v: &Vertex| v.spec.topic.as_ref().map_or(1.0, |t| self.arrived(t, self.at).max(EPSILON));
            weights = vertices.iter().map(|v| if v.spec.is_source() { arrived(v) } else { 0.0 }).collect();
        }
        let sum: f64 = weights.iter().sum();
        self.position =
            weights.into_iter().map(|w| if sum > 0.0 { progress * w / sum } else { 0.0 }).collect();
    }

    /// Records read by all sources since their origin.
    pub fn progress(&self) -> u64 {
        (self.position.iter().sum::<f64>() + EPSILON) as u64
    }

    /// Records a source vertex has read since its origin.
    pub fn position(&self, vertex: usize) -> f64 {
        self.position.get(vertex).copied().unwrap_or(0.0)
    }

    pub fn totals(&self, vertex: usize) -> Totals {
        self.totals.get(vertex).copied().unwrap_or_default()
    }

    /// Lets time pass up to `now`. `generated` is what a source subtask without a topic makes per second.
    pub fn advance(&mut self, vertices: &[Vertex], generated: f64, now: i64) {
        for step in 0.. {
            if self.at >= now || self.position.len() != vertices.len() {
                return;
            }
            let stretch = self.stretch(vertices, generated);
            let end = if step < STRETCHES_MAX { stretch.until.min(now) } else { now };
            self.pass(vertices, &stretch.rates, end);
        }
    }

    /// When the sources will have read `progress` records altogether, if they ever do.
    pub fn reaches(&self, vertices: &[Vertex], generated: f64, progress: u64) -> Option<i64> {
        let mut ahead = self.clone();
        for _ in 0..STRETCHES_MAX {
            let missing = progress as f64 - ahead.position.iter().sum::<f64>();
            if missing <= EPSILON {
                return Some(ahead.at);
            }
            let stretch = ahead.stretch(vertices, generated);
            let sources = vertices.iter().zip(&stretch.rates).filter(|(v, _)| v.spec.is_source());
            let rate: f64 = sources.map(|(_, r)| r.records_in).sum();
            let needed = (missing * 1000.0 / rate).ceil();
            if rate > 0.0 && needed <= (stretch.until - ahead.at) as f64 {
                return Some(ahead.at + needed as i64);
            }
            if stretch.until == i64::MAX {
                return None;
            }
            ahead.pass(vertices, &stretch.rates, stretch.until);
        }
        None
    }

    /// The rates of every vertex at the instant reached.
    pub fn rates(&self, vertices: &[Vertex], generated: f64) -> Vec<Rates> {
        if self.position.len() == vertices.len() {
            self.stretch(vertices, generated).rates
        } else {
            Vec::new()
        }
    }

    /// Records that wait to be read by this source; `None` for what reads no topic.
    pub fn backlog(&self, vertices: &[Vertex], vertex: usize) -> Option<f64> {
        let topic = vertices.get(vertex)?.spec.topic.as_ref()?;
        let waiting = self.arrived(topic, self.at) - self.position.get(vertex)?;
        Some(if waiting > EPSILON { waiting } else { 0.0 })
    }

    /// How long the oldest unread record has waited.
    pub fn lag_ms(&self, vertices: &[Vertex], vertex: usize) -> Option<i64> {
        let topic = vertices.get(vertex)?.spec.topic.as_ref()?;
        if self.backlog(vertices, vertex)? == 0.0 {
            return Some(0);
        }
        let elapsed = self.at - self.since(topic);
        let next = self.position.get(vertex)? - topic.backlog;
        Some(elapsed - topic.arrivals.arrival_of(next, elapsed))
    }

    fn since(&self, topic: &Topic) -> i64 {
        topic.since_ms.unwrap_or(self.origin)
    }

    fn arrived(&self, topic: &Topic, at: i64) -> f64 {
        topic.backlog + topic.arrivals.total(at - self.since(topic))
    }

    fn stretch(&self, vertices: &[Vertex], generated: f64) -> Stretch {
        let mut until = i64::MAX;
        let mut wanted = vec![0.0; vertices.len()];
        let mut draining = Vec::new();
        for (i, vertex) in vertices.iter().enumerate().filter(|(_, v)| v.spec.is_source()) {
            let Some(topic) = &vertex.spec.topic else {
                wanted[i] = generated * f64::from(vertex.parallelism);
                continue;
            };
            let since = self.since(topic);
            let (arriving, holds) = topic.arrivals.at(self.at - since);
            until = until.min(since.saturating_add(holds));
            wanted[i] = arriving;
            let waiting = self.arrived(topic, self.at) - self.position[i];
            if waiting > EPSILON {
                wanted[i] = capacity(vertex).min(UNPRICED_RATE * f64::from(vertex.parallelism));
                draining.push((i, waiting, arriving));
            }
        }
        let rates = solve(vertices, &wanted);
        for (i, waiting, arriving) in draining {
            let falling = rates[i].records_in - arriving;
            if falling > 0.0 {
                let dry = (waiting * 1000.0 / falling).ceil().min(1e15) as i64;
                until = until.min(self.at.saturating_add(dry));
            }
        }
        Stretch { rates, until: until.max(self.at + 1) }
    }

    fn pass(&mut self, vertices: &[Vertex], rates: &[Rates], end: i64) {
        let ms = (end - self.at) as f64;
        let mut read = vec![0.0; vertices.len()];
        for (i, vertex) in vertices.iter().enumerate().filter(|(_, v)| v.spec.is_source()) {
            let mut reached = self.position[i] + rates[i].records_in * ms / 1000.0;
            if let Some(topic) = &vertex.spec.topic {
                let arrived = self.arrived(topic, end);
                // Nobody reads what has not arrived; who keeps up reads all of it, whatever rounding says.
                reached = if arrived - reached < EPSILON { arrived.max(self.position[i]) } else { reached };
            }
            read[i] = reached - self.position[i];
            self.position[i] = reached;
        }
        self.at = end;
        for (i, inflow) in inflows(vertices, &read).into_iter().enumerate() {
            let totals = &mut self.totals[i];
            totals.records_in += inflow;
            totals.records_out += inflow * selectivity(&vertices[i]);
            totals.elapsed_ms += ms;
            totals.active_ms += if inflow > 0.0 { ms } else { 0.0 };
            if rates[i].back_pressured {
                totals.pressed_ms += ms;
                totals.pressed_in += inflow;
            }
        }
    }
}

impl Rates {
    /// How a subtask spends a second at these rates.
    pub fn times(&self, vertex: &Vertex, subtask: usize) -> Times {
        let busy_ms = match cost_seconds(vertex) {
            Some(cost) => (self.records_in * share(vertex, subtask) * cost * 1000.0).min(1000.0),
            None if self.records_in > 0.0 => UNPRICED_BUSY * 1000.0,
            None => 0.0,
        };
        let rest = 1000.0 - busy_ms;
        let (idle_ms, back_pressured_ms) = if self.back_pressured { (0.0, rest) } else { (rest, 0.0) };
        Times { busy_ms, idle_ms, back_pressured_ms }
    }
}

impl Totals {
    /// How a subtask spent the attempt so far.
    pub fn times(&self, vertex: &Vertex, subtask: usize) -> Times {
        let busy = |records: f64, ms: f64, active: f64| match cost_seconds(vertex) {
            Some(cost) => (records * share(vertex, subtask) * cost * 1000.0).min(ms),
            None => active * UNPRICED_BUSY,
        };
        let busy_ms = busy(self.records_in, self.elapsed_ms, self.active_ms);
        let pressed_busy = busy(self.pressed_in, self.pressed_ms, self.pressed_ms.min(self.active_ms));
        let back_pressured_ms = (self.pressed_ms - pressed_busy).clamp(0.0, self.elapsed_ms - busy_ms);
        Times { busy_ms, idle_ms: self.elapsed_ms - busy_ms - back_pressured_ms, back_pressured_ms }
    }
}

/// The part of a vertex's records that one of its subtasks reads.
pub fn share(vertex: &Vertex, subtask: usize) -> f64 {
    let (p, i) = (u64::from(vertex.parallelism.max(1)), subtask as u64);
    if let Some(partitions) = vertex.spec.topic.as_ref().and_then(|t| t.partitions) {
        let partitions = u64::from(partitions.max(1));
        return (partitions / p + u64::from(i < partitions % p)) as f64 / partitions as f64;
    }
    let shipped = |ship| vertex.spec.inputs.iter().any(|input| input.ship == ship);
    if shipped(Ship::Global) {
        return if i == 0 { 1.0 } else { 0.0 };
    }
    if shipped(Ship::Hash) {
        // `KeyGroupRangeAssignment.computeKeyGroupRangeForOperatorIndex`.
        let groups = u64::from(vertex.max_parallelism).max(p);
        return (((i + 1) * groups - 1) / p - (i * groups).div_ceil(p) + 1) as f64 / groups as f64;
    }
    1.0 / p as f64
}

fn cost_seconds(vertex: &Vertex) -> Option<f64> {
    vertex.spec.work.cost.map(|cost| cost.as_secs_f64())
}

fn selectivity(vertex: &Vertex) -> f64 {
    vertex.spec.work.selectivity.unwrap_or(1.0)
}

/// Records per second at which the busiest subtask has no time left.
pub fn capacity(vertex: &Vertex) -> f64 {
    match cost_seconds(vertex) {
        Some(cost) if cost > 0.0 => 1.0 / (cost * largest_share(vertex)),
        _ => f64::INFINITY,
    }
}

/// Of partitions the first subtask never has fewer than another; of key groups one in the middle may have one more.
fn largest_share(vertex: &Vertex) -> f64 {
    let p = u64::from(vertex.parallelism.max(1));
    let hashed =
        vertex.spec.topic.is_none() && vertex.spec.inputs.iter().any(|input| input.ship == Ship::Hash);
    if hashed && vertex.spec.inputs.iter().all(|input| input.ship != Ship::Global) {
        let groups = u64::from(vertex.max_parallelism).max(p);
        return groups.div_ceil(p) as f64 / groups as f64;
    }
    share(vertex, 0)
}

/// What every vertex reads when the sources read this much.
fn inflows(vertices: &[Vertex], read: &[f64]) -> Vec<f64> {
    let mut inflow = read.to_vec();
    for (i, vertex) in vertices.iter().enumerate() {
        for input in &vertex.spec.inputs {
            let copies = if input.ship == Ship::Broadcast { f64::from(vertex.parallelism) } else { 1.0 };
            inflow[i] += inflow[input.from] * selectivity(&vertices[input.from]) * copies;
        }
    }
    inflow
}

/// The rates that let nobody exceed his capacity: all sources rise together, each at the speed of its subtasks, until
/// it reads what it wants or somebody below is full. What a source gets thus does not depend on how much more it wants.
fn solve(vertices: &[Vertex], wanted: &[f64]) -> Vec<Rates> {
    let weight = |i: usize| f64::from(vertices[i].parallelism.max(1));
    let mut rising: Vec<usize> = (0..vertices.len()).filter(|i| wanted[*i] > 0.0).collect();
    let mut read = vec![0.0; vertices.len()];
    let mut full = vec![false; vertices.len()];
    while !rising.is_empty() {
        let mut speed = vec![0.0; vertices.len()];
        rising.iter().for_each(|i| speed[*i] = weight(*i));
        let (fixed, growth) = (inflows(vertices, &read), inflows(vertices, &speed));
        let sated = rising.iter().map(|i| wanted[*i] / weight(*i)).fold(f64::INFINITY, f64::min);
        let fills = |i: usize| ((capacity(&vertices[i]) - fixed[i]) / growth[i]).max(0.0);
        let filled =
            (0..vertices.len()).filter(|i| growth[*i] > 0.0).min_by(|a, b| fills(*a).total_cmp(&fills(*b)));
        match filled.filter(|i| fills(*i) < sated) {
            Some(bottleneck) => {
                full[bottleneck] = true;
                let above = upstream(vertices, bottleneck);
                rising.iter().filter(|i| above[**i]).for_each(|i| read[*i] = weight(*i) * fills(bottleneck));
                rising.retain(|i| !above[*i]);
            }
            None => {
                let is_sated = |i: usize| wanted[i] / weight(i) <= sated;
                rising.iter().filter(|i| is_sated(**i)).for_each(|i| read[*i] = wanted[*i]);
                rising.retain(|i| !is_sated(*i));
            }
        }
    }
    let pressed = pressed(vertices, &full);
    let rate = |(i, records_in): (usize, f64)| Rates {
        records_in,
        records_out: records_in * selectivity(&vertices[i]),
        back_pressured: pressed[i],
    };
    inflows(vertices, &read).into_iter().enumerate().map(rate).collect()
}

/// Which vertices feed this one, itself among them.
fn upstream(vertices: &[Vertex], of: usize) -> Vec<bool> {
    let mut above = vec![false; vertices.len()];
    above[of] = true;
    for i in (0..=of).rev() {
        if above[i] {
            vertices[i].spec.inputs.iter().for_each(|input| above[input.from] = true);
        }
    }
    above
}

/// Who waits for somebody below.
fn pressed(vertices: &[Vertex], full: &[bool]) -> Vec<bool> {
    let mut pressed = vec![false; vertices.len()];
    for (i, vertex) in vertices.iter().enumerate().rev() {
        if full[i] || pressed[i] {
            vertex.spec.inputs.iter().for_each(|input| pressed[input.from] = true);
        }
    }
    pressed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::workload::{Arrivals, Work};
    use crate::program::{Exchange, Input, VertexSpec};
    use proptest::prelude::*;
    use std::time::Duration;

    fn vertex(spec: VertexSpec, parallelism: u32) -> Vertex {
        Vertex {
            id: String::new(),
            spec,
            parallelism,
            max_parallelism: 128,
            subtasks: Vec::new(),
            is_sized: true,
            is_open: false,
            slot_group: None,
        }
    }

    fn priced(spec: VertexSpec, cost_us: u64, selectivity: f64) -> VertexSpec {
        let cost = Some(Duration::from_micros(cost_us));
        spec.working(Work { cost, selectivity: Some(selectivity), state: None })
    }

    fn source(arrivals: Arrivals) -> VertexSpec {
        VertexSpec::named("Source: s").reading(Topic::new(arrivals))
    }

    fn running(vertices: &[Vertex]) -> Flow {
        let mut flow = Flow::new(0);
        flow.begin(vertices, 0, 0);
        flow
    }

    /// 1000 records a second into a map of 1 ms: one subtask is exactly full, two are half idle.
    #[test]
    fn a_bottleneck_holds_its_source_and_grows_the_backlog() {
        let graph = |p| {
            let map = priced(VertexSpec::named("map").fed_by(0, Ship::Rebalance), 1000, 1.0);
            vec![vertex(source(Arrivals::Constant(1500.0)), 1), vertex(map, p)]
        };
        let slow = graph(1);
        let mut flow = running(&slow);
        flow.advance(&slow, 0.0, 60_000);
        assert_eq!(flow.progress(), 60_000);
        assert_eq!(flow.backlog(&slow, 0).map(f64::round), Some(30_000.0));
        let rates = flow.rates(&slow, 0.0);
        assert!(rates[0].back_pressured && !rates[1].back_pressured);
        let times = rates[1].times(&slow[1], 0);
        assert!((times.busy_ms - 1000.0).abs() < 1e-6, "{times:?}");
        // 30 s behind: what it reads now arrived at 40 s.
        assert_eq!(flow.lag_ms(&slow, 0), Some(20_000));
        // Scaled out it drains 500 records a second and is dry a minute later.
        let wide = graph(2);
        flow.begin(&wide, flow.progress(), 60_000);
        assert_eq!(flow.rates(&wide, 0.0)[0].records_in.round(), 2000.0);
        flow.advance(&wide, 0.0, 120_001);
        assert_eq!(flow.backlog(&wide, 0), Some(0.0));
        let rates = flow.rates(&wide, 0.0);
        assert_eq!((rates[0].records_in, rates[0].back_pressured), (1500.0, false));
        assert!((rates[1].times(&wide[1], 0).busy_ms - 750.0).abs() < 1e-6);
    }

    #[test]
    fn partitions_and_key_groups_are_dealt_as_flink_deals_them() {
        let topic = Topic { partitions: Some(5), ..Topic::new(Arrivals::Constant(1.0)) };
        let read = vertex(VertexSpec::named("s").reading(topic), 3);
        assert_eq!([share(&read, 0), share(&read, 1), share(&read, 2)], [0.4, 0.4, 0.2]);
        let keyed = vertex(VertexSpec::named("k").fed_by(0, Ship::Hash), 3);
        let groups: Vec<f64> = (0..3).map(|i| share(&keyed, i) * 128.0).collect();
        assert_eq!(groups, [43.0, 43.0, 42.0]);
    }

    fn arrivals() -> impl Strategy<Value = Arrivals> {
        let rate = || 0.0f64..5_000.0;
        let second = Duration::from_secs;
        prop_oneof![
            rate().prop_map(Arrivals::Constant),
            (rate(), rate(), 1u64..400, proptest::bool::ANY).prop_map(move |(a, b, at, again)| {
                Arrivals::Steps {
                    steps: vec![(Duration::ZERO, a), (second(at), b)],
                    every: again.then(|| second(at * 2)),
                }
            }),
            (rate(), rate(), 60u64..4000).prop_map(move |(mean, amplitude, period)| Arrivals::Sine {
                mean,
                amplitude,
                period: second(period),
                shift: Duration::ZERO,
            }),
        ]
    }

    prop_compose! {
        fn graph()(
            sources in proptest::collection::vec((arrivals(), 0u64..2_000, 1u32..6), 1..3),
            rest in proptest::collection::vec((0usize..16, 0usize..16, 0u64..5_000, 0.1f64..3.0, 1u32..9, 0usize..8), 0..5),
        ) -> Vec<Vertex> {
            let mut out: Vec<Vertex> = Vec::new();
            for (arrivals, cost, p) in sources {
                out.push(vertex(priced(source(arrivals), cost, 1.0), p));
            }
            for (a, b, cost, selectivity, p, ship) in rest {
                let mut spec = priced(VertexSpec::named("v"), cost, selectivity);
                let mut from: Vec<usize> = vec![a % out.len(), b % out.len()];
                from.dedup();
                spec.inputs = from.into_iter().map(|from| Input { from, ship: Ship::ALL[ship], exchange: Exchange::Pipelined }).collect();
                out.push(vertex(spec, p));
            }
            out
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn records_and_time_are_conserved(vertices in graph(), looks in proptest::collection::vec(1i64..300_000, 1..12)) {
            let mut flow = running(&vertices);
            let mut now = 0;
            for look in looks {
                now += look;
                flow.advance(&vertices, 0.0, now);
                let rates = flow.rates(&vertices, 0.0);
                for (i, v) in vertices.iter().enumerate() {
                    // What leaves the inputs is what is read.
                    let of = |out: &dyn Fn(usize) -> f64| -> f64 {
                        v.spec.inputs.iter().map(|input| out(input.from) * if input.ship == Ship::Broadcast { f64::from(v.parallelism) } else { 1.0 }).sum()
                    };
                    if !v.spec.is_source() {
                        let (came, read) = (of(&|u| flow.totals(u).records_out), flow.totals(i).records_in);
                        prop_assert!((came - read).abs() <= 1e-6 * came.max(1.0), "{came} {read}");
                        let (comes, reads) = (of(&|u| rates[u].records_out), rates[i].records_in);
                        prop_assert!((comes - reads).abs() <= 1e-6 * comes.max(1.0));
                    } else {
                        // The backlog is what arrived and was not read.
                        let arrived = v.spec.topic.as_ref().unwrap().arrivals.total(now);
                        let left = arrived - flow.totals(i).records_in;
                        prop_assert!((flow.backlog(&vertices, i).unwrap() - left).abs() < 1e-3 + 1e-9 * arrived);
                    }
                    prop_assert!((0..v.parallelism as usize).map(|s| share(v, s)).sum::<f64>() < 1.0 + 1e-9);
                    for subtask in 0..v.parallelism as usize {
                        for (times, whole) in [(rates[i].times(v, subtask), 1000.0), (flow.totals(i).times(v, subtask), now as f64)] {
                            let Times { busy_ms, idle_ms, back_pressured_ms } = times;
                            prop_assert!(busy_ms >= 0.0 && idle_ms >= -1e-3 && back_pressured_ms >= 0.0, "{times:?}");
                            prop_assert!((busy_ms + idle_ms + back_pressured_ms - whole).abs() < 1e-6 * whole);
                        }
                    }
                }
            }
        }

        #[test]
        fn looking_changes_nothing(vertices in graph(), looks in proptest::collection::vec(1i64..60_000, 1..20)) {
            let (mut often, mut once) = (running(&vertices), running(&vertices));
            let mut now = 0;
            for look in looks {
                now += look;
                often.advance(&vertices, 0.0, now);
            }
            once.advance(&vertices, 0.0, now);
            let (a, b) = (often.position.iter().sum::<f64>(), once.position.iter().sum::<f64>());
            // A backlog runs dry between two milliseconds; each look may round there once.
            prop_assert!((a - b).abs() < 1.0 + 1e-9 * b, "{a} {b}");
        }

        #[test]
        fn more_parallelism_never_makes_a_vertex_busier(vertices in graph(), which in 0usize..8, more in 1u32..5) {
            let which = which % vertices.len();
            let mut wider = vertices.clone();
            // Broadcasts to more subtasks are more records; the rule is about spreading the same ones.
            prop_assume!(vertices[which].spec.inputs.iter().all(|input| input.ship != Ship::Broadcast));
            wider[which].parallelism += more;
            let hottest = |graph: &[Vertex]| {
                let rates = running(graph).rates(graph, 0.0);
                let v = &graph[which];
                (0..v.parallelism as usize).map(|s| rates[which].times(v, s).busy_ms).fold(0.0, f64::max)
            };
            prop_assert!(hottest(&wider) <= hottest(&vertices) + 1e-6);
        }

        #[test]
        fn the_end_is_foreseen(vertices in graph(), wanted in 1u64..1_000_000) {
            let flow = running(&vertices);
            if let Some(at) = flow.reaches(&vertices, 0.0, wanted) {
                let mut there = flow.clone();
                there.advance(&vertices, 0.0, at);
                prop_assert!(there.progress() >= wanted, "{} of {wanted} at {at}", there.progress());
            }
        }
    }
}
