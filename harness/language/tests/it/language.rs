//! What valid files become: params, matrix, fragments, typed arguments.

use crate::product;
use drey_language::files::Memory;
use drey_language::scenario::{Count, fragments_of, parse_with};
use drey_language::vocabulary::StepKind;
use drey_language::{Diagnostics, Scenario, lint};
use proptest::prelude::*;
use serde_json::json;
use std::path::Path;
use std::time::Duration;

const HEAD: &str = "apiVersion: drey/v1\nkind: Scenario\nmetadata: {name: s, bugs: [FLINK-1]}\n";

fn try_read(files: Memory, body: &str) -> Result<Scenario, Diagnostics> {
    parse_with(
        Path::new("dir/s.yaml"),
        &product::vocabulary(),
        &files.with("dir/s.yaml", format!("{HEAD}{body}")),
    )
}

fn read(body: &str) -> Scenario {
    try_read(Memory::default(), body).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn arguments_arrive_typed() {
    let scenario = read(
        "world: {operator: {replicas: 2, config: {interval: 15s}}, kubelet: {start: {uniform: [2s, 8s]}}}\n\
         clock: {start: \"2026-03-01T10:00:00Z\", limit: 6h}\n\
         steps:\n\
         - eventually: {within: 2m, of: \"ns:FlinkDeployment.flink.apache.org/app\", match: {a: 1}}\n\
         \x20 name: it runs\n\
         - writes: {by: operator, kind: Deployment, count: {max: 2}}\n\
         - jumpClock: {of: operator, by: -30s}\n\
         - fault: {crashOperator: {everyWrite: true, at: acceptedReplyLost}}\n\
         - restoredFrom: {job: app, is: newestCompleted}\n\
         - restoredFrom: {job: app, is: {path: /sp/3}}\n\
         - advance: 24 h\n",
    );
    let case = &scenario.cases[0];
    assert_eq!((case.name.as_str(), scenario.modes.as_slice()), ("default", &["virtual".to_owned()][..]));
    assert_eq!(case.clock.limit, Duration::from_secs(6 * 3600));
    assert_eq!(case.world.at("operator").unwrap().int("replicas").unwrap(), 2);
    assert_eq!(case.world.get("kubelet").unwrap().to_json(), json!({"start": {"uniform": ["2s", "8s"]}}));
    let [eventually, writes, jump, crash, newest, path, advance] = case.steps.as_slice() else {
        panic!("steps")
    };
    assert_eq!(eventually.title(), "it runs");
    assert_eq!(eventually.span.to_string(), "dir/s.yaml:7:3");
    assert_eq!(eventually.args.duration("within").unwrap(), Duration::from_secs(120));
    let of = eventually.args.object_ref("of").unwrap();
    assert_eq!(of.to_string(), "ns:FlinkDeployment.flink.apache.org/app");
    assert!(eventually.args.tree("match").unwrap().matches(Some(&json!({"a": 1, "b": 2}))));
    assert_eq!(writes.args.count("count").unwrap(), Count { min: 0, max: Some(2) });
    assert_eq!(jump.args.signed_duration("by").unwrap(), -30_000);
    assert!(jump.virtual_only);
    assert_eq!((crash.name.as_str(), crash.kind), ("crashOperator", StepKind::Fault));
    assert!(crash.args.flag("everyWrite").unwrap());
    assert_eq!(newest.args.opt_text("is"), Some("newestCompleted"));
    assert_eq!(path.args.get("is").unwrap().text("path").unwrap(), "/sp/3");
    assert_eq!(advance.args.as_duration(), Some(Duration::from_secs(86_400)));
    let disagreement = advance.args.text("of").unwrap_err().to_string();
    assert!(disagreement.contains("dir/s.yaml:14"), "{disagreement}");
}

#[test]
fn params_keep_their_type_and_the_place_of_use() {
    let scenario = read(
        "params: {n: 3, ver: \"1.20\", labels: {a: b}, wait: 2m}\n\
         steps:\n\
         - scale: {of: Deployment/app, replicas: \"${params.n}\"}\n\
         - apply: {object: {kind: ConfigMap, v: \"v${params.ver}-${params.n}\", l: \"${params.labels}\", a: \"${params.labels.a}\", lit: \"$${params.n}\", sh: \"${HOME}\"}}\n\
         - advance: \"${params.wait}\"\n",
    );
    let steps = &scenario.cases[0].steps;
    assert_eq!(steps[0].args.int("replicas").unwrap(), 3);
    let object = steps[1].args.object("object").unwrap();
    let expected = json!({"kind": "ConfigMap", "v": "v1.20-3", "l": {"a": "b"}, "a": "b", "lit": "${params.n}", "sh": "${HOME}"});
    assert_eq!(object, &expected);
    assert_eq!(steps[2].args.span.line(), 8);
}

#[test]
fn matrix_cells_have_names_and_override_params() {
    let names = |body: &str| read(body).cases.iter().map(|case| case.name.clone()).collect::<Vec<_>>();
    let steps = "steps: [{advance: 1s}]\n";
    let full = format!(
        "params: {{a: z}}\nmatrix: {{axes: {{a: [x, y], v: [\"1.20\", 2]}}, exclude: [{{a: y, v: 2}}]}}\n{steps}"
    );
    assert_eq!(names(&full), ["a=x,v=1.20", "a=x,v=2", "a=y,v=1.20"]);
    assert_eq!(read(&full).cases[2].params_json(), json!({"a": "y", "v": "1.20"}));
    let listed = format!(
        "matrix: {{axes: {{a: [x, y], b: [p, q]}}, strategy: listed, cases: [{{b: q, a: x}}]}}\n{steps}"
    );
    assert_eq!(names(&listed), ["a=x,b=q"]);
    let axes = (0..6).map(|i| format!("a{i}: [x, y, z]")).collect::<Vec<_>>().join(", ");
    let pairs = format!("matrix: {{axes: {{{axes}}}, strategy: pairwise}}\n{steps}");
    let found = names(&pairs);
    assert!(found.len() <= 20, "{} cells for pairs of 3^6", found.len());
    assert_eq!(found, names(&pairs));
    let wide = (0..9).map(|i| format!("a{i}: [x, y, z]")).collect::<Vec<_>>().join(", ");
    let wide = names(&format!("matrix: {{axes: {{{wide}}}, strategy: pairwise}}\n{steps}"));
    assert!(wide.len() <= 24, "{} cells for pairs of 3^9", wide.len());
    let many = |count: usize| (0..count).map(|i| format!("v{i}")).collect::<Vec<_>>().join(", ");
    let single = (0..40).map(|i| format!("a{i}: [x]")).collect::<Vec<_>>().join(", ");
    for (axes, strategy) in [
        (format!("{axes}, b: [1, 2]"), "full"),
        (format!("a: [{}], b: [{}]", many(200), many(200)), "pairwise"),
        (format!("{axes}, b: [{}]", many(100)), "pairwise"),
        (single, "pairwise"),
    ] {
        let huge = format!("matrix: {{axes: {{{axes}}}, strategy: {strategy}}}\n{steps}");
        let problems = try_read(Memory::default(), &huge).unwrap_err().to_string();
        assert!(problems.contains("next: use `strategy: pairwise`, fewer axes or values"), "{problems}");
    }
}

#[test]
fn fragments_bring_steps_monitors_and_their_own_params() {
    let fragment = "apiVersion: drey/v1\nkind: Fragment\nparams: {name: null, n: 1}\n\
        monitors: [{never: {cel: \"obj.bad\", of: \"Deployment/${params.name}\"}}]\n\
        steps: [{apply: {file: ../objects/app.yaml}}, {scale: {of: \"Deployment/${params.name}\", replicas: \"${params.n}\"}}]\n";
    let files = Memory::default().with("lib/base.yaml", fragment).with(
        "objects/app.yaml",
        "kind: ConfigMap\nmetadata: {name: \"${params.name}\"}\n---\nkind: Secret\n",
    );
    let body = "params: {app: web}\nuse: [{file: ../lib/base.yaml, with: {name: \"${params.app}\"}}]\nsteps: [{advance: 1s}]\n";
    let scenario = try_read(files, body).unwrap_or_else(|e| panic!("{e}"));
    let case = &scenario.cases[0];
    let names: Vec<&str> = case.all_steps().iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["use", "never", "apply", "scale", "advance"]);
    let inner = case.steps[0].steps("steps");
    assert_eq!(inner[0].args.object_ref("of").unwrap().name, "web");
    assert_eq!(inner[1].args.objects()[0]["metadata"]["name"], "web");
    assert_eq!(inner[1].args.objects().len(), 2);
    assert_eq!(inner[2].span.file(), "lib/base.yaml");
    assert_eq!(fragments_of(&scenario), [Path::new("lib/base.yaml")]);
}

#[test]
fn fragments_that_multiply_are_bounded() {
    let mut files = Memory::default();
    for level in 0..14 {
        let uses = format!("  - use: {{file: f{}.yaml}}\n", level + 1).repeat(4);
        files = files.with(
            format!("dir/f{level}.yaml"),
            format!("apiVersion: drey/v1\nkind: Fragment\nsteps:\n{uses}"),
        );
    }
    let files = files.with("dir/f14.yaml", "apiVersion: drey/v1\nkind: Fragment\nsteps: [{advance: 1s}]\n");
    let problems = try_read(files, "use: [{file: f0.yaml}]\nsteps: []\n").unwrap_err();
    assert!(problems.to_string().contains("more than 10000 steps"), "{problems}");
}

#[test]
fn aliases_cannot_explode() {
    let mut body = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (from, to) in "abcdefgh".chars().zip("bcdefghi".chars()) {
        let many = vec![format!("*{from}"); 9].join(", ");
        body.push_str(&format!("{to}: &{to} [{many}]\n"));
    }
    let problems = try_read(Memory::default(), &body).unwrap_err();
    assert!(problems.to_string().contains("more than 200000 values"), "{problems}");
}

#[test]
fn lint_warns_about_what_is_valid_and_useless() {
    let codes = |body: &str| lint::scenario(&read(body)).iter().map(|d| d.code).collect::<Vec<_>>();
    assert_eq!(codes("steps: [{advance: 1s}]\n"), ["checks-nothing"]);
    assert_eq!(codes("params: {x: 1}\nsteps: [{converge: {within: 1m}}]\n"), ["unread-param"]);
    assert_eq!(codes("params: {x: 1}\nsteps: [{assert: {cel: \"params.x == 1\"}}]\n"), Vec::<&str>::new());
    assert_eq!(codes("matrix: {axes: {x: [1, 2]}}\nsteps: [{converge: {within: 1m}}]\n"), ["unread-axis"]);
    assert_eq!(codes("clock: {limit: 1h}\nsteps: [{converge: {within: 2h}}]\n"), ["beyond-limit"]);
    assert_eq!(codes("steps: [{converge: {within: 1m}}, {pauseOperator: {for: 1m}}]\n"), ["unchecked-end"]);
    let deletes = |wait: &str| {
        codes(&format!("steps: [{{converge: {{within: 1m}}}}, {{delete: {{of: Deployment/app{wait}}}}}]\n"))
    };
    assert_eq!(deletes(""), ["unchecked-end"]);
    assert_eq!(deletes(", wait: false"), ["unchecked-end"]);
    assert!(deletes(", wait: 1m").is_empty() && deletes(", wait: true").is_empty(), "waiting is looking");
    let twice = [read("steps: [{converge: {within: 1m}}]\n"), read("steps: [{converge: {within: 1m}}]\n")];
    assert_eq!(lint::all(&twice).iter().map(|d| d.code).collect::<Vec<_>>(), ["duplicate-name"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,200}") {
        let _ = try_read(Memory::default(), &text);
    }

    #[test]
    fn no_mixture_of_our_words_makes_the_parser_panic(
        parts in prop::collection::vec(prop::sample::select(PARTS), 0..40)
    ) {
        let text = parts.concat();
        if let Err(problems) = try_read(Memory::default(), &text) {
            // Rendering has arithmetic of its own.
            prop_assert!(!problems.to_string().is_empty());
        }
    }

    #[test]
    fn no_expression_makes_the_compiler_panic(
        parts in prop::collection::vec(prop::sample::select(EXPRESSION_PARTS), 0..14)
    ) {
        let text = parts.concat();
        let body = format!("steps:\n- assert: {{cel: {}}}\n", serde_json::to_string(&text).unwrap());
        let _ = try_read(Memory::default(), &body);
    }
}

const PARTS: &[&str] = &[
    "steps:",
    "\n",
    "\n  ",
    "\n    ",
    "- ",
    "advance: ",
    "10m",
    "{",
    "}",
    "[",
    "]",
    ", ",
    ": ",
    "eventually: ",
    "within: ",
    "match: ",
    "$gt: ",
    "$byKey: ",
    "items: ",
    "${params.x}",
    "params: ",
    "x",
    "matrix: ",
    "axes: ",
    "strategy: pairwise",
    "\"",
    "'",
    "|",
    ">",
    "&a ",
    "*a",
    "<<: ",
    "\t",
    "// ",
    "# ",
    "---\n",
    "é",
    "\u{1F600}",
    "of: ",
    "Deployment/app",
    "cel: ",
    "obj.a",
    "==",
    "1.20",
    "-5",
    "null",
    "~",
    "use: ",
    "file: ",
    "s.yaml",
    "fault: ",
    "crashOperator: ",
    "on: ",
    "\r\n",
    "!!str ",
    "? ",
    "%YAML",
    "group: ",
    "repeat: ",
    "n: ",
];

const EXPRESSION_PARTS: &[&str] = &[
    "obj",
    ".",
    "a",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "==",
    "&&",
    "||",
    "!",
    "-",
    "1",
    "1.5",
    "'x'",
    "\"",
    ".filter(x, ",
    ".all(j, ",
    "has(",
    "?",
    ":",
    ",",
    " in ",
    "now",
    "size(",
    "duration('1h')",
    "é",
    "@",
    "r'",
    "b'",
    "\\",
    "null",
    "true",
    "0x",
    "1u",
    "9223372036854775808",
    "%",
    "/",
];

#[test]
fn windows_line_ends_and_a_byte_order_mark_are_no_matter() {
    let text = format!("\u{feff}{HEAD}steps:\n- advance: 10m\n").replace('\n', "\r\n");
    let files = Memory::default().with("s.yaml", text);
    let scenario =
        parse_with(Path::new("s.yaml"), &product::vocabulary(), &files).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(scenario.cases[0].steps[0].span.line(), 5);
    let bad = files.with("s.yaml", format!("{HEAD}steps:\n- advance: 10 min\n").replace('\n', "\r\n"));
    let problems = parse_with(Path::new("s.yaml"), &product::vocabulary(), &bad).unwrap_err();
    assert!(!problems.to_string().contains('\r'));
}

/// Cases run in parallel, and futures that hold a scenario move between threads.
#[test]
fn what_a_runner_holds_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Scenario>();
    shared::<drey_language::Vocabulary>();
    shared::<drey_language::cel::Evaluator>();
    shared::<drey_language::cel::Bindings>();
    shared::<Diagnostics>();
}
