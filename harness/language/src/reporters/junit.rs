//! JUnit XML: one suite per scenario file, one testcase per case; seed and replay line in system-out.

use crate::failure;
use crate::paint::Paint;
use crate::report::{CaseReport, Outcome, RunReport};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

/// The whole report as XML text.
pub fn render(report: &RunReport) -> Result<String, quick_junit::SerializeError> {
    let mut junit = Report::new(report.title.clone());
    junit.set_time(report.wall);
    let mut suites: Vec<TestSuite> = Vec::new();
    for case in &report.cases {
        let name = case.scenario.as_str();
        let index = suites.iter().position(|suite| suite.name.as_str() == name).unwrap_or_else(|| {
            suites.push(TestSuite::new(name));
            suites.len() - 1
        });
        suites[index].add_test_case(test_case(case));
    }
    junit.add_test_suites(suites);
    junit.to_string()
}

fn test_case(case: &CaseReport) -> TestCase {
    let mut status = match &case.outcome {
        Outcome::Passed => TestCaseStatus::success(),
        Outcome::Skipped { .. } => TestCaseStatus::skipped(),
        Outcome::Failed { .. } => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Outcome::Broken { .. } => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    match &case.outcome {
        Outcome::Passed => {}
        Outcome::Skipped { reason } => drop(status.set_message(reason.clone())),
        Outcome::Broken { error } => drop(status.set_message(error.clone()).set_type("harness")),
        Outcome::Failed { failures } => {
            let first = failures.first().map(|f| format!("{}: {}", f.check, f.expected)).unwrap_or_default();
            let text: Vec<String> = failures.iter().map(|f| failure::render(f, case, Paint::Plain)).collect();
            status.set_message(first).set_type(failures.first().map(|f| f.check.clone()).unwrap_or_default());
            status.set_description(text.join("\n"));
        }
    }
    let mut test = TestCase::new(case.title(), status);
    test.set_classname(case.scenario.clone()).set_time(case.wall);
    test.set_system_out(system_out(case));
    test
}

fn system_out(case: &CaseReport) -> String {
    let mut out = format!(
        "file: {}\nmode: {}\nseed: {:#x}\nreplay: {}\n",
        case.file, case.mode, case.seed, case.replay
    );
    out.push_str(&format!("scenario time: {}\n", crate::duration::format(case.elapsed)));
    for step in &case.skipped_steps {
        out.push_str(&format!("skipped step: {} ({}): {}\n", step.step, step.at, step.reason));
    }
    out
}
