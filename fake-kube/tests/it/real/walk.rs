//! Random walks: a few dozen requests on a few objects, drawn from a seed.
//!
//! Names, managers and values come from small sets, so that requests meet each other: creates of what is there, patches
//! of what is gone, applies that conflict, values that the schema refuses.

use fake_kube_apiserver::conformance::Case;
use fastrand::Rng;
use serde_json::{Map, Value, json};

use super::chance::{Chance, drawn};

const STEPS: usize = 30;
const WIDGETS: &str = "/apis/t.example.com/v1/namespaces/{{ns}}/widgets";
const GIZMOS: &str = "/apis/t.example.com/v1/namespaces/{{ns}}/gizmos";
const GADGETS: &str = "/apis/t.example.com/v1/gadgets";

const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const PARTIAL: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
const PARTIAL_LIST: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";

/// The walk of a seed, in the form of a recorded case without answers.
pub fn case(seed: u64) -> Case {
    let mut walk = Walk { rng: Rng::with_seed(seed) };
    let begin = json!({"request": {"method": "GET", "path": WIDGETS}, "capture": {"begin": "/metadata/resourceVersion"}});
    let mut steps = vec![begin];
    steps.extend((0..STEPS).map(|_| walk.step()));
    if seed.is_multiple_of(8) {
        let watch = json!({"watch": "true", "resourceVersion": "{{begin}}", "timeoutSeconds": "1"});
        let request = json!({"method": "GET", "path": WIDGETS, "query": watch});
        steps.push(json!({"request": request, "watch": {"seconds": 3}}));
    }
    let variables = json!({"rv-a": "1", "rv-b": "1", "uid-a": "x", "uid-b": "x"});
    drawn(format!("walk-{seed}"), steps, variables)
}

pub(super) struct Walk {
    pub(super) rng: Rng,
}

/// A kind to work on, and a name of it.
pub(super) struct Target {
    collection: &'static str,
    api_version: &'static str,
    pub(super) kind: &'static str,
    pub(super) name: String,
}

impl Target {
    fn path(&self) -> String {
        format!("{}/{}", self.collection, self.name)
    }

    fn object(&self, name: bool) -> Map<String, Value> {
        let mut all = Map::new();
        all.insert("apiVersion".to_owned(), json!(self.api_version));
        all.insert("kind".to_owned(), json!(self.kind));
        all.insert("metadata".to_owned(), if name { json!({"name": self.name}) } else { json!({}) });
        all
    }
}

impl Walk {
    fn target(&mut self) -> Target {
        let name = self.rng.one(&["a", "a", "b"]).to_owned();
        match self.rng.u32(..10) {
            0 => Target { collection: GIZMOS, api_version: "t.example.com/v1", kind: "Gizmo", name },
            1 => Target {
                collection: GADGETS,
                api_version: "t.example.com/v1",
                kind: "Gadget",
                name: format!("{{{{id}}}}-{name}"),
            },
            _ => Target { collection: WIDGETS, api_version: "t.example.com/v1", kind: "Widget", name },
        }
    }

    fn step(&mut self) -> Value {
        let t = self.target();
        match self.rng.u32(..20) {
            0..=3 => self.create(&t),
            4..=5 => self.replace(&t),
            6..=8 => self.merge_patch(&t),
            9..=10 => self.json_patch(&t),
            11..=15 => self.apply(&t),
            16 => self.scale(&t),
            17 => self.delete(&t),
            18 => self.read(&t),
            _ => self.list(&t),
        }
    }

    /// A request that writes; its answer's version and uid are kept for later ones.
    fn writing(&mut self, t: &Target, mut request: Value) -> Value {
        let mut query = request["query"].as_object().cloned().unwrap_or_default();
        if !query.contains_key("dryRun") && self.rng.rarely(12) {
            query.insert("dryRun".to_owned(), json!(self.rng.one(&["All", "All", "Some"])));
        }
        if self.rng.rarely(6) {
            query.insert(
                "fieldValidation".to_owned(),
                json!(self.rng.one(&["Strict", "Warn", "Ignore", "Loud"])),
            );
        }
        if self.rng.rarely(3) && !query.contains_key("fieldManager") {
            query.insert("fieldManager".to_owned(), json!(self.rng.one(&["m1", "m2", "kubectl"])));
        }
        if !query.is_empty() {
            request["query"] = Value::Object(query);
        }
        let short = t.name.rsplit('-').next().unwrap_or("a");
        let capture = json!({format!("rv-{short}"): "/metadata/resourceVersion", format!("uid-{short}"): "/metadata/uid"});
        json!({"request": request, "capture": capture})
    }

    fn create(&mut self, t: &Target) -> Value {
        let mut object = t.object(true);
        // Where generated names sort is left to chance: such objects are not stored.
        let generated = self.rng.rarely(8);
        if generated {
            object["metadata"] = json!({"generateName": "g-"});
        }
        self.metadata(&mut object);
        self.fill(t, &mut object);
        if self.rng.rarely(5) {
            object.insert("status".to_owned(), self.status());
        }
        let mut request = json!({"method": "POST", "path": t.collection, "body": object});
        if generated {
            request["query"] = json!({"dryRun": "All"});
        }
        self.writing(t, request)
    }

    fn replace(&mut self, t: &Target) -> Value {
        let mut object = t.object(true);
        self.metadata(&mut object);
        if !self.rng.rarely(6) {
            let short = t.name.rsplit('-').next().unwrap_or("a");
            let stale = if self.rng.rarely(6) { "-1" } else { "" };
            object["metadata"]["resourceVersion"] = json!(format!("{{{{rv-{short}{stale}}}}}"));
        }
        self.fill(t, &mut object);
        let path = self.maybe_status(t);
        if self.rng.rarely(3) {
            object.insert("status".to_owned(), self.status());
        }
        let request = json!({"method": "PUT", "path": path, "body": object});
        self.writing(t, request)
    }

    fn maybe_status(&mut self, t: &Target) -> String {
        if self.rng.rarely(4) { format!("{}/status", t.path()) } else { t.path() }
    }

    fn merge_patch(&mut self, t: &Target) -> Value {
        let mut patch = Map::new();
        if self.rng.rarely(3) {
            patch.insert("metadata".to_owned(), self.metadata_change(t));
        }
        let mut spec = self.spec(t);
        if self.rng.rarely(3) {
            let gone = self.rng.one(&["size", "color", "items", "nested", "replicas", "maybe"]);
            spec.insert(gone.to_owned(), Value::Null);
        }
        patch.insert("spec".to_owned(), Value::Object(spec));
        if self.rng.rarely(3) {
            patch.insert("status".to_owned(), self.status());
        }
        let path = self.maybe_status(t);
        let request =
            json!({"method": "PATCH", "path": path, "body": patch, "headers": {"Content-Type": MERGE_PATCH}});
        self.writing(t, request)
    }

    fn json_patch(&mut self, t: &Target) -> Value {
        let count = self.rng.usize(1..4);
        let operations: Vec<Value> = (0..count).map(|_| self.operation()).collect();
        let path = self.maybe_status(t);
        let headers = json!({"Content-Type": JSON_PATCH});
        let request = json!({"method": "PATCH", "path": path, "body": operations, "headers": headers});
        self.writing(t, request)
    }

    fn operation(&mut self) -> Value {
        let path = self.rng.one(&[
            "/spec/size",
            "/spec/color",
            "/spec/items/0",
            "/spec/items/-",
            "/spec/nested/b",
            "/spec/missing/deep",
            "/metadata/labels",
            "/metadata/labels/app",
            "/metadata/annotations/a~1b",
            "/spec",
            "/status/phase",
        ]);
        let value = match path {
            "/spec/size" => json!(self.rng.i32(-1..110)),
            "/spec/items/0" | "/spec/items/-" => self.item(),
            "/metadata/labels" => json!({"app": "x"}),
            "/spec" => Value::Object(self.widget_spec()),
            _ => json!(self.rng.one(&["red", "x", "blue"])),
        };
        match self.rng.u32(..6) {
            0 => json!({"op": "remove", "path": path}),
            1 => json!({"op": "test", "path": path, "value": value}),
            2 => json!({"op": "replace", "path": path, "value": value}),
            3 => json!({"op": self.rng.one(&["copy", "move"]), "from": path, "path": "/spec/color"}),
            _ => json!({"op": "add", "path": path, "value": value}),
        }
    }

    fn apply(&mut self, t: &Target) -> Value {
        let mut object = t.object(self.rng.bool());
        self.metadata(&mut object);
        if !self.rng.rarely(8) {
            self.fill(t, &mut object);
        }
        let path = self.maybe_status(t);
        if path.ends_with("/status") || self.rng.rarely(6) {
            object.insert("status".to_owned(), self.status());
        }
        let mut query = json!({"fieldManager": self.rng.one(&["m1", "m2", "m3"])});
        if self.rng.rarely(3) {
            query["force"] = json!("true");
        }
        if self.rng.rarely(30) {
            query = json!({});
        }
        let headers = json!({"Content-Type": APPLY});
        let request =
            json!({"method": "PATCH", "path": path, "query": query, "headers": headers, "body": object});
        self.writing(t, request)
    }

    fn scale(&mut self, t: &Target) -> Value {
        let path = format!("{}/scale", t.path());
        let body = match self.rng.u32(..3) {
            0 => return json!({"request": {"method": "GET", "path": path}}),
            1 => json!({"spec": {"replicas": self.rng.i32(-1..5)}}),
            _ => {
                json!({"metadata": {"labels": {"x": "y"}}, "spec": {"replicas": self.rng.i32(0..5)}, "status": {"replicas": 3}})
            }
        };
        json!({"request": {"method": "PATCH", "path": path, "body": body, "headers": {"Content-Type": MERGE_PATCH}}})
    }

    fn delete(&mut self, t: &Target) -> Value {
        let short = t.name.rsplit('-').next().unwrap_or("a");
        let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
        match self.rng.u32(..6) {
            0 => options["preconditions"] = json!({"uid": format!("{{{{uid-{short}}}}}")}),
            1 => options["preconditions"] = json!({"uid": "other", "resourceVersion": "1"}),
            2 => {
                options["propagationPolicy"] =
                    json!(self.rng.one(&["Foreground", "Orphan", "Background", "Sideways"]))
            }
            3 => options["gracePeriodSeconds"] = json!(self.rng.one(&[0, 30, -1])),
            4 => options["dryRun"] = json!(["All"]),
            _ => {}
        }
        if self.rng.rarely(4) {
            let query = json!({"labelSelector": self.rng.one(&["app=x", "app", "!app", "app in (x,y)"])});
            return json!({"request": {"method": "DELETE", "path": t.collection, "query": query, "body": options}});
        }
        json!({"request": {"method": "DELETE", "path": t.path(), "body": options}})
    }

    fn read(&mut self, t: &Target) -> Value {
        let accept = self.rng.one(&["application/json", TABLE, PARTIAL, "*/*", "text/html"]);
        let path = self.maybe_status(t);
        json!({"request": {"method": "GET", "path": path, "headers": {"Accept": accept}}})
    }

    fn list(&mut self, t: &Target) -> Value {
        let mut query = Map::new();
        let mut ask = |k: &str, v: Value| drop(query.insert(k.to_owned(), v));
        match self.rng.u32(..7) {
            0 => ask(
                "labelSelector",
                json!(self.rng.one(&[
                    "app=x",
                    "app!=x",
                    "app in (x, y)",
                    "!app",
                    "app=x,b",
                    "app>3",
                    "=x",
                    "app notin (x"
                ])),
            ),
            1 => ask(
                "fieldSelector",
                json!(self.rng.one(&[
                    "metadata.name=a",
                    "metadata.name!=a",
                    "spec.color=red",
                    "spec.size=3",
                    "spec.color",
                    "metadata.namespace={{ns}}"
                ])),
            ),
            2 => ask("limit", json!(self.rng.one(&["1", "2", "-1", "x"]))),
            3 => ask("resourceVersion", json!(self.rng.one(&["0", "x", "{{begin}}"]))),
            4 => {
                ask("resourceVersion", json!(self.rng.one(&["0", "{{begin}}"])));
                ask("resourceVersionMatch", json!(self.rng.one(&["NotOlderThan", "Newer"])));
            }
            5 => ask("resourceVersionMatch", json!("Exact")),
            _ => {}
        }
        let accept = self.rng.one(&["application/json", "application/json", TABLE, PARTIAL_LIST]);
        let request =
            json!({"method": "GET", "path": t.collection, "query": query, "headers": {"Accept": accept}});
        // The watch cache may lag behind: what it lists, and at which version, is left to chance.
        let cached = query.contains_key("resourceVersion");
        json!({"request": request, "ignore_body": cached})
    }
}
