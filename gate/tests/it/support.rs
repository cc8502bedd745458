//! One way to ask the gate, in an environment that is empty unless a test says otherwise.

use std::path::PathBuf;

use drey_gate::command::{Problem, Request, run};
use drey_yaml::Paint;

/// Tests run in the crate's folder.
pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from("tests/fixtures").join(name)
}

pub fn some(name: &str) -> Option<PathBuf> {
    Some(fixture(name))
}

/// A report against a baseline made of the report `stored`.
pub fn report(name: &str) -> Request {
    Request { report: some(name), baseline: some("scenarios-stored.json"), ..Request::default() }
}

pub fn counts(name: &str) -> Request {
    Request { counts: some(name), baseline: some("counts-stored.json"), ..Request::default() }
}

pub fn ratios(name: &str) -> Request {
    Request { ratios: some(name), baseline: some("ratios-stored.json"), ..Request::default() }
}

pub fn strict(mut request: Request) -> Request {
    request.limits.is_strict = true;
    request
}

pub fn partial(mut request: Request) -> Request {
    request.limits.is_partial = true;
    request
}

pub fn ask_in(request: &Request, environment: &[(&str, &str)]) -> Result<(u8, String), Problem> {
    let look =
        |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    let mut out = Vec::new();
    let code = run(request, &look, Paint::Plain, &mut out)?;
    Ok((code, String::from_utf8(out).expect("the gate writes UTF-8")))
}

/// Exit code and what is printed.
pub fn ask(request: &Request) -> (u8, String) {
    ask_in(request, &[]).unwrap_or_else(|problem| panic!("no verdict: {problem}"))
}
