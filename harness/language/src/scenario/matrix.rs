//! Matrix expansion, the same list every time: full product, pairs covered greedily, or listed cells.

use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::yaml::{Kind, Node};
use indexmap::IndexMap;

/// More cells than this are a mistake in the axes; `pairwise` needs far fewer.
pub const MAX_CASES: usize = 1024;
/// With the limits on products this bounds the table of pairs.
const MAX_AXES: usize = 32;
/// Largest product looked through when pairs are covered.
const MAX_PRODUCT: usize = 50_000;

/// One cell: a value per axis, in axis order.
pub(super) type Cell = IndexMap<String, Node>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strategy {
    Full,
    Pairwise,
    Listed,
}

/// The checked parts of `matrix:`.
pub(super) struct Matrix<'a> {
    pub node: &'a Node,
    pub axes: IndexMap<String, Vec<Node>>,
    pub strategy: Strategy,
    pub exclude: Vec<&'a Node>,
    pub cases: Vec<&'a Node>,
}

impl Matrix<'_> {
    pub fn expand(&self, problems: &mut Diagnostics) -> Vec<Cell> {
        let before = problems.len();
        let excludes: Vec<Vec<(usize, usize)>> = self
            .exclude
            .iter()
            .enumerate()
            .filter_map(|(i, node)| self.indices(node, "exclude", i, problems))
            .collect();
        let cells = match self.strategy {
            _ if self.axes.len() > MAX_AXES => self.too_large(MAX_CASES, problems),
            Strategy::Listed => self.listed(problems),
            Strategy::Full => self.product(MAX_CASES, &excludes, problems),
            Strategy::Pairwise if self.pairs_exceed(MAX_CASES) => self.too_large(MAX_CASES, problems),
            Strategy::Pairwise => pairwise(&self.product(MAX_PRODUCT, &excludes, problems), self.axes.len()),
        };
        let cells = if cells.len() > MAX_CASES { self.too_large(MAX_CASES, problems) } else { cells };
        if cells.is_empty() && problems.len() == before {
            let problem = Diagnostic::error("empty-matrix", &self.node.span, "no case is left")
                .at("matrix")
                .help("`exclude` removes every cell, or an axis has no values");
            problems.push(problem);
        }
        cells.iter().map(|cell| self.cell(cell)).collect()
    }

    fn cell(&self, indices: &[usize]) -> Cell {
        self.axes.iter().zip(indices).map(|((name, values), i)| (name.clone(), values[*i].clone())).collect()
    }

    fn listed(&self, problems: &mut Diagnostics) -> Vec<Vec<usize>> {
        let mut cells = Vec::new();
        for (i, node) in self.cases.iter().enumerate() {
            let Some(mut chosen) = self.indices(node, "cases", i, problems) else { continue };
            chosen.sort_unstable();
            let named: Vec<usize> = chosen.iter().map(|(axis, _)| *axis).collect();
            let missing = (0..self.axes.len()).find(|axis| !named.contains(axis));
            match missing.and_then(|axis| self.axes.get_index(axis)) {
                None => cells.push(chosen.into_iter().map(|(_, value)| value).collect()),
                Some((name, _)) => problems.push(
                    Diagnostic::error(
                        "listed-case",
                        &node.span,
                        format!("this case leaves out axis `{name}`"),
                    )
                    .at(format!("matrix.cases[{i}]"))
                    .help("a listed case names every axis"),
                ),
            }
        }
        cells
    }

    /// A map `{axis: value}` as indices; `None` when something in it is unknown.
    fn indices(
        &self,
        node: &Node,
        key: &str,
        i: usize,
        problems: &mut Diagnostics,
    ) -> Option<Vec<(usize, usize)>> {
        let path = format!("matrix.{key}[{i}]");
        let Kind::Map(entries) = &node.kind else {
            let message = format!("expected a map of axes, found {}", node.describe());
            problems.push(Diagnostic::error("type", &node.span, message).at(path));
            return None;
        };
        let mut out = Vec::new();
        let before = problems.len();
        for (name, wanted) in entries {
            let Some((axis, _, values)) = self.axes.get_full(&name.name) else {
                let problem =
                    Diagnostic::error("unknown-axis", &name.span, format!("no axis `{}`", name.name));
                problems.push(problem.at(&path).allowed(&name.name, self.axes.keys()));
                continue;
            };
            // A spelling difference (1.20 against "1.20") is answered like any unknown value.
            match values.iter().position(|value| value.to_json() == wanted.to_json()) {
                Some(value) => out.push((axis, value)),
                None => {
                    let text = plain(wanted);
                    let message = format!("axis `{}` has no value {}", name.name, wanted.to_json());
                    let problem = Diagnostic::error("unknown-axis-value", &wanted.span, message);
                    problems.push(
                        problem
                            .at(format!("{path}.{}", name.name))
                            .allowed(&text, values.iter().map(|v| v.to_json().to_string())),
                    );
                }
            }
        }
        (problems.len() == before).then_some(out)
    }

    /// Two axes whose pairs alone need more cells.
    fn pairs_exceed(&self, limit: usize) -> bool {
        let mut sizes: Vec<usize> = self.axes.values().map(Vec::len).collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        sizes.iter().take(2).product::<usize>() > limit
    }

    fn too_large(&self, limit: usize, problems: &mut Diagnostics) -> Vec<Vec<usize>> {
        let message = format!("more than {limit} cells, or more than {MAX_AXES} axes");
        let problem = Diagnostic::error("matrix-too-large", &self.node.span, message).at("matrix");
        problems.push(problem.help("use `strategy: pairwise`, fewer axes or values, or `strategy: listed`"));
        Vec::new()
    }

    /// The product in axis order, the last axis fastest, without excluded cells.
    fn product(
        &self,
        limit: usize,
        excludes: &[Vec<(usize, usize)>],
        problems: &mut Diagnostics,
    ) -> Vec<Vec<usize>> {
        let sizes: Vec<usize> = self.axes.values().map(Vec::len).collect();
        let total = sizes.iter().try_fold(1usize, |product, size| product.checked_mul(*size));
        if total.is_none_or(|total| total > limit) {
            return self.too_large(limit, problems);
        }
        let mut cells = vec![Vec::new()];
        for size in sizes {
            cells = cells
                .into_iter()
                .flat_map(|cell| (0..size).map(move |value| [cell.as_slice(), &[value]].concat()))
                .collect();
        }
        cells.retain(|cell| {
            !excludes.iter().any(|rule| rule.iter().all(|(axis, value)| cell[*axis] == *value))
        });
        cells
    }
}

/// Chooses cells until every pair of values that any allowed cell has is in a chosen one. Greedy, ties by order.
fn pairwise(cells: &[Vec<usize>], axes: usize) -> Vec<Vec<usize>> {
    if axes < 2 {
        return cells.to_vec();
    }
    // A pair is one number below size²: a flat table is asked some ten million times for large matrices.
    let widths = (0..axes).map(|axis| cells.iter().map(|cell| cell[axis] + 1).max().unwrap_or(0));
    let offsets: Vec<usize> =
        widths.scan(0, |sum, width| Some(std::mem::replace(sum, *sum + width))).collect();
    let size = offsets
        .last()
        .map_or(0, |last| last + cells.iter().filter_map(|c| c.last()).max().map_or(0, |v| v + 1));
    let pairs = |cell: &[usize]| -> Vec<usize> {
        let id = |axis: usize| offsets[axis] + cell[axis];
        (0..axes)
            .flat_map(|a| (a + 1..axes).map(move |b| (a, b)))
            .map(|(a, b)| id(a) * size + id(b))
            .collect()
    };
    let all: Vec<Vec<usize>> = cells.iter().map(|cell| pairs(cell)).collect();
    let mut open = vec![false; size * size];
    all.iter().flatten().for_each(|pair| open[*pair] = true);
    let mut chosen = Vec::new();
    // Ends: each chosen cell covers something new.
    loop {
        let gain = |index: &usize| all[*index].iter().filter(|pair| open[**pair]).count();
        // `max_by_key` takes the last of equals; reversed, it takes the first.
        let Some(best) = (0..cells.len()).rev().max_by_key(gain).filter(|best| gain(best) > 0) else { break };
        all[best].iter().for_each(|pair| open[*pair] = false);
        chosen.push(cells[best].clone());
    }
    chosen.sort();
    chosen
}

/// `upgradeMode=savepoint,flink=1.20`.
pub(super) fn name(cell: &Cell) -> String {
    if cell.is_empty() {
        return "default".to_owned();
    }
    cell.iter().map(|(axis, value)| format!("{axis}={}", plain(value))).collect::<Vec<_>>().join(",")
}

/// An axis value as it stands in a case's name.
pub(super) fn plain(value: &Node) -> String {
    match &value.kind {
        Kind::Text(text) => text.clone(),
        Kind::Number(_, spelling) => spelling.clone(),
        Kind::Bool(truth) => truth.to_string(),
        Kind::Null => "null".to_owned(),
        Kind::List(_) | Kind::Map(_) => value.to_json().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_all_covered_by_few_cells() {
        let cells: Vec<Vec<usize>> =
            (0..81).map(|i: usize| (0..4).map(|axis| i / 3usize.pow(axis) % 3).collect()).collect();
        let chosen = pairwise(&cells, 4);
        assert!(chosen.len() <= 12, "{} cells for 3^4", chosen.len());
        for a in 0..4 {
            for b in a + 1..4 {
                for (x, y) in (0..9).map(|i| (i / 3, i % 3)) {
                    assert!(chosen.iter().any(|cell| cell[a] == x && cell[b] == y), "{a}={x},{b}={y}");
                }
            }
        }
        assert_eq!(chosen, pairwise(&cells, 4));
    }

    #[test]
    fn pairs_that_exclusion_makes_impossible_are_not_waited_for() {
        let cells = vec![vec![0, 0], vec![1, 1]];
        assert_eq!(pairwise(&cells, 2), cells);
    }
}
