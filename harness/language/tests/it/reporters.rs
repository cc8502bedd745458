//! What the reporters write for one run, as goldens.

use crate::sample;
use drey_language::Paint;
use drey_language::events::{Event, Kind, Lane, Log};
use drey_language::failure;
use drey_language::report::{Outcome, RunReport};
use drey_language::reporters::{JsonLines, Reporter, Terminal, html, junit, markdown, transcript};
use expect_test::{ExpectFile, expect_file};
use std::path::PathBuf;
use std::time::Duration;

fn play(reporter: &mut dyn Reporter, report: &RunReport) {
    reporter.begin(report.cases.len()).unwrap();
    for case in &report.cases {
        reporter.case_started(&case.title()).unwrap();
        case.events.iter().for_each(|event| reporter.event(&case.title(), event).unwrap());
        reporter.case_finished(case).unwrap();
    }
    reporter.end(report).unwrap();
}

fn check(actual: &str, golden: ExpectFile) {
    golden.assert_eq(actual);
}

#[test]
fn a_failure_tells_value_history_calls_faults_and_replay() {
    let run = sample::run();
    let text = failure::render(&sample::failure(), &run.cases[0], Paint::Plain);
    check(&text, expect_file!["../golden/failure.txt"]);
    let coloured = failure::render(&sample::failure(), &run.cases[0], Paint::Colour);
    assert!(coloured.contains("\u{1b}[1;31meventually failed\u{1b}[0m"));
}

#[test]
fn terminal_without_a_terminal_writes_plain_lines() {
    let mut terminal = Terminal::plain(Vec::new(), true);
    play(&mut terminal, &sample::run());
    let text = String::from_utf8(terminal.into_inner()).unwrap();
    assert!(!text.contains('\u{1b}'), "escape sequences outside a terminal");
    check(&text, expect_file!["../golden/terminal.txt"]);
}

#[test]
fn junit_has_one_testcase_per_case() {
    let text = junit::render(&sample::run()).unwrap();
    check(&text, expect_file!["../golden/junit.xml"]);
}

#[test]
fn json_lines_parse_one_by_one_and_begin_with_the_schema() {
    let mut lines = JsonLines::new(Vec::new());
    play(&mut lines, &sample::run());
    let text = String::from_utf8(lines.into_inner()).unwrap();
    let records: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records[0]["schema"], drey_language::events::SCHEMA);
    let events = sample::run().cases.iter().map(|case| case.events.len()).sum::<usize>();
    assert_eq!(records.iter().filter(|r| r["type"] == "event").count(), events);
    check(&text, expect_file!["../golden/run.jsonl"]);
}

#[test]
fn transcript_is_readable_and_has_no_wall_time() {
    let run = sample::run();
    let text = transcript::render(&run.cases[0]);
    check(&text, expect_file!["../golden/transcript.txt"]);
    let mut slower = run.cases[0].clone();
    slower.wall *= 7;
    assert_eq!(transcript::render(&slower), text);
}

#[test]
fn transcripts_differ_by_lines() {
    let run = sample::run();
    let before = transcript::render(&run.cases[0]);
    assert_eq!(transcript::diff(&before, &before), "");
    let mut changed = run.cases[0].clone();
    changed.events[6].text = "status updated by somebody else".to_owned();
    let diff = transcript::diff(&before, &transcript::render(&changed));
    let lines = |mark: char| {
        diff.lines().filter(|l| l.starts_with(mark) && !l.starts_with(&mark.to_string().repeat(3))).count()
    };
    assert_eq!((lines('-'), lines('+')), (1, 1), "{diff}");
}

#[test]
fn markdown_shows_failures_first() {
    check(&markdown::render(&sample::run()), expect_file!["../golden/summary.md"]);
}

/// The pages are also left in the target folder, to be looked at.
#[test]
fn html_pages_stand_alone_and_escape_what_they_show() {
    let mut run = sample::run();
    run.cases[0].events[3].text = "</script><b>created".to_owned();
    let pages = html::pages(&run);
    let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.len(), 5, "{names:?}");
    for (name, text) in &pages {
        for outside in ["http://", "https://", "src=", "@import", "url("] {
            let found = text.replace("http://www.w3.org/2000/svg", "").contains(outside);
            assert!(!found, "{name} refers to something outside: {outside}");
        }
        assert!(text.len() < 60_000, "{name}: {} bytes", text.len());
    }
    let page = &pages[1].1;
    assert_eq!(page.matches("</script>").count(), 2, "an event's text ends the data element");
    assert!(page.contains("&lt;goes&gt; away &amp; comes back"));
    assert!(page.contains("outlives your deadline by 3m40s"));
    html::write(&PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("html"), &run).unwrap();
}

#[test]
fn every_page_named_in_the_index_is_written() {
    let pages = html::pages(&sample::run());
    for part in pages[0].1.split("href=\"").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(pages.iter().any(|(page, _)| page == name), "{name}");
    }
}

#[test]
fn the_command_fails_when_a_case_failed_or_broke() {
    let check = |outcome: Outcome, bad: bool| {
        let run = RunReport { cases: vec![sample::case("x", outcome, Vec::new())], ..RunReport::default() };
        assert_eq!(run.failed(), bad, "{}", run.summary());
    };
    check(Outcome::Passed, false);
    check(Outcome::Skipped { reason: String::new() }, false);
    check(Outcome::Failed { failures: Vec::new() }, true);
    check(Outcome::Broken { error: String::new() }, true);
    assert_eq!(RunReport::default().summary(), "nothing was run");
}

#[test]
fn a_long_run_still_makes_a_page_of_reasonable_size() {
    let mut log = Log::default();
    let big = serde_json::json!({"text": "x".repeat(3_000)});
    for n in 0..30_000_u64 {
        let event = Event::new(sample::start() + Duration::from_secs(n), Lane::Flink, Kind::Log, "a line")
            .detail(big.clone());
        log.push(event);
    }
    let case = sample::case("long", Outcome::Passed, log.into_events());
    let run = RunReport { cases: vec![case], ..RunReport::default() };
    let page = &html::pages(&run)[1].1;
    assert!(page.len() < 7_000_000, "{} bytes", page.len());
    assert!(page.contains("\"cut\":10000"), "the page says what it leaves out");
    html::write(&PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("long"), &run).unwrap();
}
