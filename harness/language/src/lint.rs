//! Warnings about scenarios that are valid and still not what somebody wants: a scenario that checks nothing, a param
//! nobody reads, a deadline beyond the clock's limit, two scenarios of one name.

use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::scenario::{ArgValue, Case, Scenario, Step};
use crate::source::{Source, Span};
use crate::vocabulary::StepKind;
use std::collections::BTreeMap;

/// Warnings for one scenario.
pub fn scenario(scenario: &Scenario) -> Diagnostics {
    let mut found = Diagnostics::default();
    unread_params(scenario, &mut found);
    file_name(scenario, &mut found);
    for case in &scenario.cases {
        checks_nothing(scenario, case, &mut found);
        case.all_steps().into_iter().for_each(|step| beyond_limit(step, case, &mut found));
        last_step_is_no_check(case, &mut found);
    }
    found.settle();
    found
}

/// Warnings that need all scenarios of a run.
pub fn all(scenarios: &[Scenario]) -> Diagnostics {
    let mut found = Diagnostics::default();
    let mut names: BTreeMap<&str, &Scenario> = BTreeMap::new();
    for one in scenarios {
        match names.get(one.metadata.name.as_str()) {
            None => drop(names.insert(&one.metadata.name, one)),
            Some(first) => {
                let message = format!("`{}` also has the name `{}`", first.path.display(), one.metadata.name);
                let problem = Diagnostic::warning("duplicate-name", &top(one), message).at("metadata.name");
                found.push(problem.help("reports and replay lines find scenarios by name; rename one"));
            }
        }
    }
    found.settle();
    found
}

fn top(scenario: &Scenario) -> Span {
    let first = scenario.cases.first().map(|case| case.world.span.source().clone());
    let source = first.unwrap_or_else(|| Source::new(scenario.path.display().to_string(), ""));
    Span::start_of(&source)
}

fn unread_params(scenario: &Scenario, found: &mut Diagnostics) {
    let by_expression = |name: &str| {
        let word = format!("params.{name}");
        let steps = scenario.cases.iter().flat_map(Case::all_steps);
        steps.filter(|s| reads(s, &word)).count() > 0
    };
    for (name, span) in &scenario.declared_params {
        if !scenario.used_params.contains(name) && !by_expression(name) {
            let message = format!("param `{name}` is never read");
            let problem = Diagnostic::warning("unread-param", span, message).at(format!("params.{name}"));
            found.push(problem.help(format!("remove it, or use it as `${{params.{name}}}`")));
        }
    }
    for axis in scenario.cases.first().into_iter().flat_map(|case| case.axes.keys()) {
        if !scenario.used_params.contains(axis)
            && !by_expression(axis)
            && !scenario.declared_params.contains_key(axis)
        {
            let message = format!("matrix axis `{axis}` is never read: its cases are all the same");
            let problem =
                Diagnostic::warning("unread-axis", &top(scenario), message).at(format!("matrix.axes.{axis}"));
            found.push(problem.help(format!("use it as `${{params.{axis}}}`, or remove the axis")));
        }
    }
}

fn reads(step: &Step, word: &str) -> bool {
    let ArgValue::Map(map) = &step.args.value else { return false };
    map.values().any(|arg| matches!(&arg.value, ArgValue::Cel(e) if e.source().contains(word)))
}

fn checks_nothing(scenario: &Scenario, case: &Case, found: &mut Diagnostics) {
    let expects = |step: &&Step| step.args.has("expect") || step.name == "snapshot";
    let checks = case.has(StepKind::Check) || case.has(StepKind::Monitor);
    if !checks && !case.all_steps().iter().any(expects) {
        let problem =
            Diagnostic::warning("checks-nothing", &top(scenario), "this scenario checks nothing").at("steps");
        found.push(problem.help("end with what must hold: `converge: {within: 10m}`, `eventually: ..`"));
    }
}

fn beyond_limit(step: &Step, case: &Case, found: &mut Diagnostics) {
    for key in ["within", "max", "for"] {
        let Some(duration) = step.args.opt_duration(key).filter(|d| *d > case.clock.limit) else { continue };
        let (long, limit) = (crate::duration::format(duration), crate::duration::format(case.clock.limit));
        let message = format!("`{key}: {long}` is longer than the scenario may last ({limit})");
        let span = step.args.get(key).map_or(&step.span, |arg| &arg.span);
        let problem = Diagnostic::warning("beyond-limit", span, message).at(format!("{}.{key}", step.name));
        found.push(problem.help("shorten it, or raise `clock: {limit: ..}`"));
    }
}

/// A fault or an action as the last step happens after everything that looks.
fn last_step_is_no_check(case: &Case, found: &mut Diagnostics) {
    let Some(last) = case.steps.last() else { return };
    // A deletion that waits looks: the object must go.
    let waits = last.args.get("wait").is_some_and(|wait| !matches!(wait.value, ArgValue::Bool(false)));
    if matches!(last.kind, StepKind::Fault | StepKind::Action)
        && !last.args.has("expect")
        && last.name != "snapshot"
        && !waits
    {
        let message = format!("nothing looks at what `{}` does: it is the last step", last.name);
        let problem = Diagnostic::warning("unchecked-end", &last.span, message);
        found.push(problem.at("steps").help("add a check after it, such as `converge: {within: 10m}`"));
    }
}

fn file_name(scenario: &Scenario, found: &mut Diagnostics) {
    let stem = scenario.path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    if stem != scenario.metadata.name {
        let message = format!("the file is called `{stem}`, the scenario `{}`", scenario.metadata.name);
        let problem = Diagnostic::warning("file-name", &top(scenario), message).at("metadata.name");
        found.push(problem.help("give both the same name, so that a failure's name finds its file"));
    }
}
