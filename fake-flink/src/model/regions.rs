//! Pipelined regions: the tasks that fall together when one of them fails.
//!
//! `RestartPipelinedRegionFailoverStrategy`: tasks joined by pipelined edges are one region; a forward edge joins
//! subtask with subtask, every other edge all with all, a blocking edge nobody.

use super::job::{Job, Vertex};
use super::state::TaskState;
use crate::program::Ship;

/// Which subtasks of each vertex have to start again.
pub(super) type Affected = Vec<Vec<bool>>;

impl Job {
    /// What a failure takes with it: the region of the failed task and of every task without its TaskManager, or all
    /// (no task to blame, the adaptive scheduler, `jobmanager.execution.failover-strategy: full`).
    pub(super) fn affected_by(&self, task: Option<(usize, usize)>) -> Affected {
        let is_full = self.conf.get("jobmanager.execution.failover-strategy").is_some_and(|s| s == "full");
        let Some(task) = task.filter(|_| !is_full && !self.adaptive) else {
            return self.vertices.iter().map(|v| vec![true; v.subtasks.len()]).collect();
        };
        let regions = Regions::of(&self.vertices);
        let lost = |s: &super::job::Subtask| s.tm.as_ref().is_some_and(|tm| !self.slots.contains(tm));
        let is_down = |v: usize, s: usize| (v, s) == task || lost(&self.vertices[v].subtasks[s]);
        let mut down: Vec<usize> = Vec::new();
        for (v, vertex) in self.vertices.iter().enumerate() {
            down.extend((0..vertex.subtasks.len()).filter(|s| is_down(v, *s)).map(|s| regions.root(v, s)));
        }
        let falls = |v: usize, s: usize| down.contains(&regions.root(v, s));
        let all = self.vertices.iter().enumerate();
        all.map(|(v, vertex)| (0..vertex.subtasks.len()).map(|s| falls(v, s)).collect()).collect()
    }

    /// Each affected subtask, with its place.
    pub(super) fn each_affected(&mut self, affected: &Affected, mut f: impl FnMut(&mut super::job::Subtask)) {
        for (vertex, hit) in self.vertices.iter_mut().zip(affected) {
            vertex.subtasks.iter_mut().zip(hit).filter(|(_, hit)| **hit).for_each(|(subtask, _)| f(subtask));
        }
    }
}

/// Tasks whose attempt is over while the job goes on: they start again.
pub(super) fn is_down(state: TaskState) -> bool {
    matches!(state, TaskState::Failed | TaskState::Canceled)
}

/// Union-find over all subtasks, numbered vertex by vertex.
struct Regions {
    first: Vec<usize>,
    parent: Vec<usize>,
}

impl Regions {
    fn of(vertices: &[Vertex]) -> Regions {
        let mut first = Vec::new();
        let mut count = 0;
        for vertex in vertices {
            first.push(count);
            count += vertex.subtasks.len();
        }
        let mut regions = Regions { first, parent: (0..count).collect() };
        for (v, vertex) in vertices.iter().enumerate() {
            for input in vertex.spec.inputs.iter().filter(|input| !input.is_staged()) {
                let (up, down) = (vertices[input.from].subtasks.len(), vertex.subtasks.len());
                if up == 0 || down == 0 {
                    continue;
                }
                let pointwise = input.ship == Ship::Forward && up == down;
                for s in 0..up.max(down) {
                    let (from, to) = if pointwise { (s, s) } else { (s.min(up - 1), 0) };
                    regions.join((input.from, from), (v, to));
                    if !pointwise {
                        regions.join((v, s.min(down - 1)), (v, 0));
                    }
                }
            }
        }
        regions
    }

    fn join(&mut self, (v, s): (usize, usize), (w, t): (usize, usize)) {
        let (a, b) = (self.root(v, s), self.root(w, t));
        self.parent[a.max(b)] = a.min(b);
    }

    fn root(&self, vertex: usize, subtask: usize) -> usize {
        let mut at = self.first[vertex] + subtask;
        while self.parent[at] != at {
            at = self.parent[at];
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::job::Subtask;
    use crate::program::VertexSpec;

    fn roots(specs: Vec<VertexSpec>, parallelism: usize) -> Vec<Vec<usize>> {
        let vertices: Vec<Vertex> = specs
            .into_iter()
            .map(|spec| Vertex {
                id: String::new(),
                spec,
                parallelism: parallelism as u32,
                max_parallelism: 128,
                is_sized: true,
                is_open: false,
                slot_group: None,
                subtasks: vec![Subtask::new(0); parallelism],
            })
            .collect();
        let regions = Regions::of(&vertices);
        (0..vertices.len()).map(|v| (0..parallelism).map(|s| regions.root(v, s)).collect()).collect()
    }

    #[test]
    fn edges_join_as_they_ship() {
        let of = |ship| vec![VertexSpec::named("a"), VertexSpec::named("b").fed_by(0, ship)];
        assert_eq!(roots(of(Ship::Forward), 2), [[0, 1], [0, 1]]);
        assert_eq!(roots(of(Ship::Hash), 2), [[0, 0], [0, 0]]);
        let blocking = vec![VertexSpec::named("a"), VertexSpec::named("b").after(0, Ship::Hash)];
        assert_eq!(roots(blocking, 2), [[0, 1], [2, 3]]);
        let apart = vec![VertexSpec::named("a"), VertexSpec::named("b")];
        assert_eq!(roots(apart, 1), [[0], [1]]);
    }
}
