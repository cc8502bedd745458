//! Rules at the edge of what a run of one may cost: the object that ours just lets through, and the next one, which it
//! refuses, must be decided by the real server in the same way.

use fake_kube_apiserver::conformance::{Case, Sent, Transport, local::Local};
use serde_json::{Value, json};

use super::agree;
use super::chance::drawn;
use super::peer::Peer;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const THINGS: &str = "/apis/{{id}}.example.com/v1/namespaces/{{ns}}/things";
/// How long lists may be: as long as the estimate of the rule allows.
const LENGTHS: [usize; 6] = [1000, 700, 500, 350, 250, 150];

/// Rules over `spec`, whose lists are as long as the object is large. Each one costs a million somewhere below the bound.
const RULES: &[&str] = &[
    // Nothing is cut short.
    "self.l.all(x, self.l.all(y, x != y || x == y))",
    "self.l.map(x, self.l.filter(y, y > x).size()).size() >= 0",
    "self.ls.all(x, self.ls.all(y, (x + y).size() > 0))",
    // Ended early: each inner macro looks at half of the list.
    "self.l.all(x, self.l.exists(y, y == x))",
    "self.l.all(x, self.l.all(y, y <= x) || x < 1000)",
    "self.os.all(x, self.os.exists(y, y.k == x.k && y.v == x.v))",
    // Conditions take one branch.
    "self.l.all(x, x % 2 == 0 ? self.l.all(y, y >= 0) : x > 0)",
    // Constants that are looked up.
    "self.ls.all(x, self.ls.all(y, y in ['a', 'b', 'c'] || x in ['a', 'b', 'c'] || true))",
    // Text.
    "self.l.all(x, self.l.all(y, self.s.contains('of') && self.s.startsWith('some')))",
    // Presence and maps.
    "self.os.all(x, self.os.all(y, has(x.k) && has(y.v) && (!has(x.w) || x.w.size() == 1)))",
    "self.l.all(x, self.l.all(y, {'a': x, 'b': y}.a == x && [x, y][0] == x))",
    // Libraries.
    "sets.contains(self.l, self.l) && sets.equivalent(self.l, self.l) && sets.intersects(self.l, self.l)",
];

fn definition(rule: &str, most: usize) -> Value {
    let list = |items: Value| json!({"type": "array", "maxItems": most, "items": items});
    let text = |most: u64| json!({"type": "string", "maxLength": most});
    let item = json!({"type": "object", "properties": {"k": text(10), "v": {"type": "integer"},
        "w": {"type": "array", "maxItems": 3, "items": text(5)}}});
    let spec = json!({"type": "object", "x-kubernetes-validations": [{"rule": rule, "message": "it holds"}], "properties": {
        "l": list(json!({"type": "integer"})), "ls": list(text(10)), "os": list(item),
        "s": text(40), "t": text(40)}});
    let schema = json!({"type": "object", "properties": {"spec": spec}});
    let names = json!({"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"});
    let version =
        json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}});
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.{{id}}.example.com"},
        "spec": {"group": "{{id}}.example.com", "scope": "Namespaced", "names": names, "versions": [version]}})
}

fn object(length: usize) -> Value {
    let all = 0..length;
    let item = |n: usize| match n % 3 {
        0 => json!({"k": format!("k{n:04}"), "v": n}),
        _ => json!({"k": format!("k{n:04}"), "v": n, "w": ["x"]}),
    };
    json!({"apiVersion": "{{id}}.example.com/v1", "kind": "Thing", "metadata": {"name": format!("o{length}")},
        "spec": {"s": "some words of a text, long enough", "t": "another text",
            "l": all.clone().collect::<Vec<_>>(), "ls": all.clone().map(|n| format!("t{n:04}")).collect::<Vec<_>>(),
            "os": all.map(item).collect::<Vec<_>>()}})
}

fn steps(rule: &str, most: usize, lengths: &[usize]) -> Case {
    let post = |path: &str, body: Value| json!({"method": "POST", "path": path, "body": body});
    let mut steps =
        vec![json!({"request": post(DEFINITIONS, definition(rule, most))}), json!({"sleep": 0.5})];
    steps.extend(lengths.iter().map(|n| json!({"request": post(THINGS, object(*n))})));
    drawn("edge".to_owned(), steps, json!({}))
}

/// What ours answers to a creation.
fn answered(ours: &mut Local, path: &str, body: &Value) -> u64 {
    let own = |text: &str| text.replace("{{id}}", "edge").replace("{{ns}}", "default");
    let sent = Sent {
        method: "POST".to_owned(),
        target: own(path),
        headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
        body: Some(own(&body.to_string()).into_bytes()),
    };
    ours.request(&sent).map_or(0, |reply| u64::from(reply.status))
}

/// How long the lists may be, and with what length of them ours lets an object through at most.
fn edge(rule: &str) -> Option<(usize, usize)> {
    let mut ours = Local::new(1);
    let most =
        LENGTHS.into_iter().find(|most| answered(&mut ours, DEFINITIONS, &definition(rule, *most)) == 201)?;
    // Until the kind is served.
    ours.sleep(1.0);
    let (mut passes, mut fails) = (0, most + 1);
    while fails - passes > 1 {
        let middle = passes.midpoint(fails);
        match answered(&mut ours, THINGS, &object(middle)) {
            201 => passes = middle,
            _ => fails = middle,
        }
    }
    (1..most).contains(&passes).then_some((most, passes))
}

/// Rules on whose edge the two do not agree, with what differs; and how many were compared.
pub fn compared(peer: &mut Peer, fresh: &dyn Fn() -> Local) -> (Vec<String>, usize) {
    let mut news = Vec::new();
    for rule in RULES {
        let Some((most, edge)) = edge(rule) else {
            news.push(format!("{rule}: no edge below what its estimate allows"));
            continue;
        };
        let case = steps(rule, most, &[edge, edge + 1]);
        let problems = agree::with_each_other(&case, peer, &mut fresh());
        peer.sweep();
        if !problems.is_empty() {
            news.push(format!("{rule} (lists of {edge} pass):\n    {}", problems.join("\n    ")));
        }
    }
    (news, RULES.len())
}
