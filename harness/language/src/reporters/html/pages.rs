//! The two sorts of pages as text. What must be readable without script (tables, failures, facts) is in the markup;
//! the script adds filters and draws the timeline.

use super::{data, escape, page_name};
use crate::duration;
use crate::failure;
use crate::paint::Paint;
use crate::report::{CaseReport, Outcome, RunReport};

const STYLE: &str = include_str!("style.css");
const INDEX_SCRIPT: &str = include_str!("index.js");
const CASE_SCRIPT: &str = include_str!("case.js");

fn page(title: &str, body: &str, script: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n{body}\n<script>\n{script}</script>\n</body>\n</html>\n",
        escape(title)
    )
}

/// The page of all cases.
pub(super) fn index(report: &RunReport) -> String {
    let mut body = format!("<header class=\"top\"><h1>{}</h1>\n<p class=\"sub\">", escape(&report.title));
    let scenario: std::time::Duration = report.cases.iter().map(|case| case.elapsed).sum();
    let wall = std::time::Duration::from_millis(u64::try_from(report.wall.as_millis()).unwrap_or(u64::MAX));
    let times = format!("{} of scenario time in {}", duration::format(scenario), duration::format(wall));
    body.push_str(&format!(
        "{} &middot; {}</p></header>\n<main>\n",
        escape(&report.summary()),
        escape(&times)
    ));
    body.push_str(&bar(report));
    body.push_str("<div class=\"filters\" role=\"search\">\n<input id=\"q\" type=\"search\" placeholder=\"filter: name, case, tag, issue\" aria-label=\"filter\">\n");
    for word in ["passed", "failed", "broken", "skipped"] {
        let count = report.count(word);
        if count > 0 {
            body.push_str(&format!(
                "<button class=\"chip {word}\" data-outcome=\"{word}\" aria-pressed=\"true\">{word} <b>{count}</b></button>\n"
            ));
        }
    }
    body.push_str("<span id=\"shown\" class=\"sub\" aria-live=\"polite\"></span>\n</div>\n");
    body.push_str("<table class=\"cases\"><thead><tr><th>result</th><th>scenario</th><th>case</th><th>mode</th><th class=\"n\">scenario time</th><th class=\"n\">events</th><th>what happened</th></tr></thead>\n<tbody>\n");
    // What needs attention comes first; otherwise the order of the run.
    let mut cases: Vec<&CaseReport> = report.cases.iter().collect();
    cases.sort_by_key(|case| !case.outcome.is_bad());
    cases.into_iter().for_each(|case| body.push_str(&index_row(case)));
    body.push_str("</tbody></table>\n</main>");
    page(&format!("{}: {}", report.title, report.summary()), &body, INDEX_SCRIPT)
}

/// Proportions at a glance.
fn bar(report: &RunReport) -> String {
    let total = report.cases.len().max(1) as f64;
    let mut out = format!("<div class=\"bar\" role=\"img\" aria-label=\"{}\">", escape(&report.summary()));
    for word in ["failed", "broken", "skipped", "passed"] {
        let share = report.count(word) as f64 * 100.0 / total;
        if share > 0.0 {
            out.push_str(&format!("<span class=\"{word}\" style=\"width:{share:.3}%\"></span>"));
        }
    }
    out.push_str("</div>\n");
    out
}

fn index_row(case: &CaseReport) -> String {
    let word = case.outcome.word();
    let search =
        [&case.scenario, &case.case, &case.mode, &case.tags.join(" "), &case.bugs.join(" "), &case.file]
            .map(String::as_str)
            .join(" ");
    let labels: String = case
        .tags
        .iter()
        .chain(&case.bugs)
        .map(|tag| format!(" <span class=\"tag\">{}</span>", escape(tag)))
        .collect();
    format!(
        "<tr data-outcome=\"{word}\" data-search=\"{}\"><td><span class=\"badge {word}\">{word}</span></td>\
         <td><a href=\"{}\">{}</a>{labels}</td><td class=\"mono\">{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"why\">{}</td></tr>\n",
        escape(&search.to_lowercase()),
        page_name(&case.slug()),
        escape(&case.scenario),
        escape(&case.case),
        escape(&case.mode),
        duration::format(case.elapsed),
        case.events.len(),
        escape(&why(case)),
    )
}

fn why(case: &CaseReport) -> String {
    let mut text = match &case.outcome {
        Outcome::Passed => case.description.lines().next().unwrap_or_default().to_owned(),
        Outcome::Failed { failures } => {
            failures.first().map(|f| format!("{}: {}", f.check, f.expected)).unwrap_or_default()
        }
        Outcome::Skipped { reason } => reason.clone(),
        Outcome::Broken { error } => error.clone(),
    };
    if !case.skipped_steps.is_empty() {
        text.push_str(&format!(" ({} steps skipped)", case.skipped_steps.len()));
    }
    text
}

/// The page of one case.
pub(super) fn case(case: &CaseReport) -> String {
    let word = case.outcome.word();
    let mut body = format!(
        "<header class=\"top\"><p class=\"sub\"><a href=\"index.html\">all cases</a></p>\n<h1><span class=\"badge {word}\">{word}</span> {}</h1>\n",
        escape(&case.scenario)
    );
    if !case.description.is_empty() {
        body.push_str(&format!("<p class=\"about\">{}</p>\n", escape(&case.description)));
    }
    body.push_str(&facts(case));
    body.push_str("</header>\n<main>\n");
    body.push_str(&verdict(case));
    body.push_str(TIMELINE);
    body.push_str("</main>\n");
    // `<` would end the element inside a text such as `</script>`.
    let json = data::of(case).to_string().replace('<', "\\u003c");
    body.push_str(&format!("<script type=\"application/json\" id=\"data\">{json}</script>"));
    page(&format!("{}: {}", case.title(), word), &body, CASE_SCRIPT)
}

fn facts(case: &CaseReport) -> String {
    let mut out = "<dl class=\"facts\">".to_owned();
    let mut fact = |name: &str, value: &str| {
        if !value.is_empty() {
            out.push_str(&format!("<div><dt>{name}</dt><dd>{}</dd></div>", escape(value)));
        }
    };
    fact("case", &case.case);
    fact("mode", &case.mode);
    fact("scenario time", &duration::format(case.elapsed));
    fact("seed", &format!("{:#x}", case.seed));
    fact("file", &case.file);
    fact("tags", &case.tags.join(", "));
    fact("issues", &case.bugs.join(", "));
    out.push_str("</dl>\n");
    out.push_str(&format!(
        "<p class=\"replay\"><code id=\"replay\">{}</code> <button id=\"copy\" type=\"button\">copy</button></p>\n",
        escape(&case.replay)
    ));
    out
}

fn verdict(case: &CaseReport) -> String {
    let mut out = String::new();
    match &case.outcome {
        Outcome::Failed { failures } => {
            for failure in failures {
                let text = failure::render(failure, case, Paint::Plain);
                let (head, rest) = text.split_once('\n').unwrap_or((&text, ""));
                let jump = failure
                    .event
                    .map(|seq| format!(" <a href=\"#e{seq}\">show #{seq}</a>"))
                    .unwrap_or_default();
                out.push_str(&format!(
                    "<section class=\"failure\"><h2>{}{jump}</h2>\n<pre>{}</pre></section>\n",
                    escape(head),
                    escape(rest)
                ));
            }
        }
        Outcome::Broken { error } => {
            out.push_str(&format!(
                "<section class=\"failure\"><h2>the harness failed</h2>\n<pre>{}</pre></section>\n",
                escape(error)
            ));
        }
        Outcome::Skipped { reason } => {
            out.push_str(&format!("<section class=\"notice\">not run: {}</section>\n", escape(reason)));
        }
        Outcome::Passed => {}
    }
    for step in &case.skipped_steps {
        let text = format!("skipped step {} ({}): {}", step.step, step.at, step.reason);
        out.push_str(&format!("<section class=\"notice\">{}</section>\n", escape(&text)));
    }
    out
}

const TIMELINE: &str = r#"<section class="timeline" aria-label="timeline">
<div id="overview" class="overview"></div>
<div class="filters" role="search">
<input id="q" type="search" placeholder="filter: text, object, kind   ( / )" aria-label="filter events">
<span id="lanes"></span>
<span id="shown" class="sub" aria-live="polite"></span>
</div>
<div class="split">
<div id="list" class="list" role="listbox" tabindex="0" aria-label="events"></div>
<aside id="detail" class="detail" aria-live="polite"></aside>
</div>
<p class="keys sub"><kbd>&uarr;</kbd><kbd>&darr;</kbd> event &nbsp; <kbd>c</kbd> its cause &nbsp; <kbd>e</kbd> next effect &nbsp; <kbd>o</kbd> next of this object &nbsp; <kbd>n</kbd> next failure or fault &nbsp; <kbd>/</kbd> filter</p>
<noscript>The timeline needs JavaScript; the transcript reporter writes the same as text.</noscript>
</section>
"#;
