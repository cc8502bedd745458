//! Bodies as sigs.k8s.io/yaml 1.6.0 reads them, results and texts alike.

use serde_json::Value;

use super::parse;

const SAMPLES: &str = include_str!("samples.jsonl");

/// Inputs that our parser takes for something else: go-yaml ends the document before the colon.
const DIFFERENT: &[&str] = &["[]: 1\n"];

#[test]
fn as_go_reads_it() {
    let (mut wrong, mut same) = (Vec::new(), 0);
    for line in SAMPLES.lines() {
        let sample: Value = serde_json::from_str(line).expect("a sample");
        let body = sample["in"].as_str().expect("an input");
        let (got, strict) = match parse(body.as_bytes()) {
            Ok(d) => (Ok(d.value), d.strict.join(", ")),
            Err(e) => (Err(e), String::new()),
        };
        let want = match sample["error"].as_str() {
            Some(e) => Err(e.to_owned()),
            None => Ok(serde_json::from_str(sample["out"].as_str().unwrap_or("")).expect("JSON")),
        };
        let equal = got == want && strict == sample["strict"].as_str().unwrap_or("");
        match (equal, DIFFERENT.contains(&body)) {
            (true, false) => same += 1,
            (false, true) => {}
            _ => wrong.push(format!("{body:?}\n  want {want:?}\n  got  {got:?} {strict}")),
        }
    }
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), wrong.len() + same, wrong.join("\n"));
}

#[test]
fn growth_and_depth_are_bounded() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for i in 1..10 {
        let uses = vec![format!("*a{}", i - 1); 9].join(", ");
        bomb.push_str(&format!("a{i}: &a{i} [{uses}]\n"));
    }
    assert_eq!(parse(bomb.as_bytes()).err().as_deref(), Some("yaml: document contains excessive aliasing"));
    assert!(parse("[".repeat(100_000).as_bytes()).is_err());
    assert!(parse("- ".repeat(100_000).as_bytes()).is_err());
    assert_eq!(parse(b"a: \xff").err().as_deref(), Some("yaml: invalid leading UTF-8 octet"));
}

/// Every sample with a byte changed, and cut anywhere: read or refused, never a panic.
#[test]
fn damaged_bodies_are_read_or_refused() {
    for line in SAMPLES.lines() {
        let sample: Value = serde_json::from_str(line).expect("a sample");
        let body = sample["in"].as_str().expect("an input").as_bytes();
        for at in 0..body.len() {
            let _ = parse(&body[..at]);
            for byte in *b"\t\n #&*-:[]{}!%|>'\"\\,?~\xff" {
                let mut damaged = body.to_vec();
                damaged[at] = byte;
                let _ = parse(&damaged);
            }
        }
    }
}
