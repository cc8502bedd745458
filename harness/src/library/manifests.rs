//! What can be said about a manifest before it is applied: versions and kinds that do not exist, fields the API server
//! would drop or refuse, configuration values nothing can read. Each is told with its line and the nearest spelling.
//!
//! Scenarios also apply bad manifests on purpose, to see what the operator answers. Such a step has `expect`, or its
//! file lies below a folder named `flawed`; neither is checked. Objects written inside a scenario are not checked.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;

use drey_api::FlinkConfiguration;
use drey_blueprint::config::{FlinkConf, InvalidValue, keys};
use drey_language::diagnostics::{Diagnostic, Diagnostics, nearest};
use drey_language::files::{Disk, Files};
use drey_language::scenario::{ArgValue, Manifest, Scenario};
use drey_language::yaml::{self, Kind, Node};
use drey_language::{Source, Span};
use fake_kube_schema::builtins::Builtins;
use fake_kube_schema::{Cause, Schema};
use serde_json::Value;

use crate::world::kinds::{self, KINDS};

/// Checks the manifests that scenarios apply, each once.
#[derive(Default)]
pub struct Manifests {
    seen: BTreeSet<String>,
}

impl Manifests {
    /// What is wrong with the manifests of this scenario that were not looked at before.
    pub fn check(&mut self, scenario: &Scenario) -> Diagnostics {
        let mut found = Diagnostics::default();
        for step in scenario.cases.iter().flat_map(|case| case.all_steps()) {
            let ArgValue::Map(arguments) = &step.args.value else { continue };
            let Some(ArgValue::Manifest(manifest)) = arguments.get("file").map(|file| &file.value) else {
                continue;
            };
            if arguments.contains_key("expect") || is_flawed_on_purpose(&manifest.path) {
                continue;
            }
            // Params make different objects of one file.
            let key = format!("{}\n{}", manifest.path.display(), Value::from(manifest.objects.clone()));
            if self.seen.insert(key) {
                for problem in check(manifest) {
                    found.push(problem.related(&step.span, "applies it"));
                }
            }
        }
        found.settle();
        found
    }
}

fn is_flawed_on_purpose(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "flawed")
}

/// What is wrong with a file of objects by itself.
pub fn check_file(path: &Path) -> Result<Diagnostics, std::io::Error> {
    let source = Source::new(path.display().to_string(), Disk.read(path)?);
    let documents = match yaml::parse_documents(&source) {
        Ok(documents) => documents,
        Err(problems) => return Ok(problems),
    };
    let mut found = Diagnostics(
        documents.iter().flat_map(|document| check_object(document, &document.to_json())).collect(),
    );
    found.settle();
    Ok(found)
}

fn check(manifest: &Manifest) -> Vec<Diagnostic> {
    // It was read a moment ago; if it cannot be read any more, the run will say so.
    let Ok(text) = Disk.read(&manifest.path) else { return Vec::new() };
    let Ok(documents) = yaml::parse_documents(&Source::new(manifest.path.display().to_string(), text)) else {
        return Vec::new();
    };
    documents.iter().zip(&manifest.objects).flat_map(|(node, object)| check_object(node, object)).collect()
}

/// `node` says where things stand, `object` what they are with params filled in.
fn check_object(node: &Node, object: &Value) -> Vec<Diagnostic> {
    let text = |key: &str| object[key].as_str().unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    if let Some(problem) = unknown_kind(node, api_version, kind) {
        return vec![problem];
    }
    let Some(crd) = CRDS.iter().find(|crd| crd.kind == kind && crd.api_version == api_version) else {
        return Vec::new();
    };
    let mut found = crd.unknown_fields(node, object);
    found.extend(crd.bad_values(node, object));
    found.extend(bad_configuration(node, object));
    found
}

/// A kind that exists, under a version that does not; or a kind that is nearly one.
fn unknown_kind(node: &Node, api_version: &str, kind: &str) -> Option<Diagnostic> {
    let place = |key: &str| node.get(key).map_or(&node.span, |value| &value.span);
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let is_built_in = Builtins::load().schema(group, version, kind).is_some();
    match kinds::find(kind) {
        Some(info) if info.api_version() == api_version || is_built_in => None,
        Some(info) => {
            let message = format!("there is no {kind} in `{api_version}`");
            let problem = Diagnostic::error("api-version", place("apiVersion"), message).at("apiVersion");
            let right = info.api_version();
            Some(problem.nearest(right.clone()).help(format!("write `apiVersion: {right}`")))
        }
        None if is_built_in => None,
        None => {
            // Kinds of CRDs that a scenario brings itself are not known here; only slips are told.
            let names: Vec<&str> = KINDS.iter().map(|info| info.kind).collect();
            let near = nearest(kind, &names)?;
            let message = format!("there is no kind `{kind}` in `{api_version}`");
            Some(
                Diagnostic::error("kind", place("kind"), message)
                    .at("kind")
                    .nearest(near)
                    .help("correct the spelling"),
            )
        }
    }
}

/// A kind of ours with what its CRD admits.
struct Crd {
    kind: String,
    api_version: String,
    open_api: Value,
    schema: Schema,
}

static CRDS: LazyLock<Vec<Crd>> =
    LazyLock::new(|| drey_api::crd::crds().iter().filter_map(Crd::read).collect());

impl Crd {
    fn read(crd: &Value) -> Option<Crd> {
        let version = crd["spec"]["versions"].as_array()?.iter().find(|version| version["served"] == true)?;
        let open_api = version["schema"]["openAPIV3Schema"].clone();
        let (group, name) = (crd["spec"]["group"].as_str()?, version["name"].as_str()?);
        Some(Crd {
            kind: crd["spec"]["names"]["kind"].as_str()?.to_owned(),
            api_version: format!("{group}/{name}"),
            schema: Schema::from_crd(&open_api).ok()?,
            open_api,
        })
    }

    /// What the API server would drop without a word unless asked to be strict.
    fn unknown_fields(&self, node: &Node, object: &Value) -> Vec<Diagnostic> {
        let mut pruned = object.clone();
        let unknown = self.schema.prune(&mut pruned);
        unknown.iter().map(|path| self.unknown_field(node, path)).collect()
    }

    fn unknown_field(&self, node: &Node, path: &str) -> Diagnostic {
        let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
        let mut known = properties_at(&self.open_api, parent);
        known.sort();
        let message = format!("unknown field `{name}`: the API server drops it");
        let problem = Diagnostic::error("unknown-field", &place(node, path), message).at(path);
        problem.allowed(name, known).help("correct the spelling, or remove the field")
    }

    /// What the API server would refuse.
    fn bad_values(&self, node: &Node, object: &Value) -> Vec<Diagnostic> {
        // As the server does on a create: a null where none may stand counts as absent.
        let mut received = object.clone();
        self.schema.drop_nulls(&mut received);
        let causes = self.schema.validate(&received, None);
        causes.iter().map(|cause| self.bad_value(node, object, cause)).collect()
    }

    fn bad_value(&self, node: &Node, object: &Value, cause: &Cause) -> Diagnostic {
        let problem = Diagnostic::error("value", &value_place(node, &cause.field), cause.message.clone());
        let problem =
            problem.at(cause.field.clone()).help("the API server refuses this object; correct the value");
        let pointer = format!("/{}", cause.field.replace('.', "/"));
        let admitted = schema_at(&self.open_api, &cause.field)["enum"].as_array();
        match (object.pointer(&pointer).and_then(Value::as_str), admitted) {
            (Some(written), Some(words)) => problem.allowed(written, words.iter().filter_map(Value::as_str)),
            _ => problem,
        }
    }
}

/// Values below `flinkConfiguration` that cannot be read, such as the duration `24 hrs`.
fn bad_configuration(node: &Node, object: &Value) -> Vec<Diagnostic> {
    let given = object["spec"]["flinkConfiguration"].clone();
    let Ok(given) = serde_json::from_value::<FlinkConfiguration>(given) else { return Vec::new() };
    let mut conf = FlinkConf::new();
    conf.extend(given.flatten());
    keys::problems(&conf).map(|invalid| bad_entry(node, &invalid)).collect()
}

fn bad_entry(node: &Node, invalid: &InvalidValue) -> Diagnostic {
    let path = format!("spec.flinkConfiguration.{}", invalid.key);
    let span = value_place(node, &path);
    let message = format!("`{}` cannot be read: {}", invalid.value, invalid.problem);
    let problem = Diagnostic::error("configuration", &span, message).at(path);
    match nearest_duration(&invalid.value) {
        Some(near) => {
            problem.nearest(near).help("units are d, h, min, s, ms; a space before the unit is fine")
        }
        None => problem.help(format!("correct the value of `{}`", invalid.key)),
    }
}

/// `24 hrs` -> `24 h`: what starts like a unit was probably meant to be it.
fn nearest_duration(text: &str) -> Option<String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).filter(|end| *end > 0)?;
    let unit = text[digits..].trim().to_lowercase();
    let meant = match unit.chars().next()? {
        'd' => "d",
        'h' => "h",
        'm' if unit.starts_with("ms") || unit.starts_with("mil") => "ms",
        'm' => "min",
        's' => "s",
        _ => return None,
    };
    Some(format!("{} {meant}", &text[..digits]))
}

/// The key at a path such as `spec.volumes[0].name`, or the last part of the way to it that exists.
fn place(node: &Node, path: &str) -> Span {
    walk(node, path).0
}

/// The value at a path.
fn value_place(node: &Node, path: &str) -> Span {
    let (_, node) = walk(node, path);
    node.span.clone()
}

/// Keys may hold dots themselves, so the longest key that fits decides.
fn walk<'n>(node: &'n Node, path: &str) -> (Span, &'n Node) {
    let (mut node, mut span, mut rest) = (node, node.span.clone(), path);
    while !rest.is_empty() {
        let next = match &node.kind {
            Kind::Map(entries) => entries
                .iter()
                .filter_map(|(key, value)| Some((after(rest, &key.name)?, key.span.clone(), value)))
                .min_by_key(|(rest, ..)| rest.len()),
            Kind::List(items) => {
                index(rest).and_then(|(at, rest)| items.get(at).map(|item| (rest, item.span.clone(), item)))
            }
            Kind::Null | Kind::Bool(_) | Kind::Number(..) | Kind::Text(_) => None,
        };
        let Some((left, at, value)) = next else { break };
        (node, span, rest) = (value, at, left);
    }
    (span, node)
}

/// What follows a key in a path, if the path begins with it.
fn after<'p>(path: &'p str, key: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(key)?;
    match rest.chars().next() {
        None => Some(rest),
        Some('.') => Some(&rest[1..]),
        Some('[') => Some(rest),
        Some(_) => None,
    }
}

/// `[3].name` -> 3 and `name`.
fn index(path: &str) -> Option<(usize, &str)> {
    let (number, rest) = path.strip_prefix('[')?.split_once(']')?;
    Some((number.parse().ok()?, rest.strip_prefix('.').unwrap_or(rest)))
}

/// The names a schema declares at a path.
fn properties_at(schema: &Value, path: &str) -> Vec<String> {
    let properties = schema_at(schema, path)["properties"].as_object();
    properties.map(|map| map.keys().cloned().collect()).unwrap_or_default()
}

/// The schema of what stands at a path; null where it declares nothing.
fn schema_at<'s>(schema: &'s Value, path: &str) -> &'s Value {
    let mut schema = schema;
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let (name, indices) =
            part.split_once('[').map_or((part, 0), |(name, _)| (name, part.matches('[').count()));
        let property = &schema["properties"][name];
        schema = if property.is_null() { &schema["additionalProperties"] } else { property };
        for _ in 0..indices {
            schema = &schema["items"];
        }
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        let source = Source::new("app.yaml", text);
        let documents = yaml::parse_documents(&source).expect("the test writes YAML");
        let problems = documents.iter().flat_map(|document| check_object(document, &document.to_json()));
        problems.map(|problem| problem.to_string()).collect()
    }

    const HEAD: &str = "apiVersion: flink.apache.org/v1beta1\nkind: FlinkDeployment\nmetadata: {name: app}\n";

    #[test]
    fn misspelt_versions_and_kinds() {
        let found = told("apiVersion: flink.apache.org/vlbetal\nkind: FlinkDeployment\n");
        assert!(found[0].starts_with("app.yaml:1:13: error: there is no FlinkDeployment in"), "{found:?}");
        assert!(found[0].contains("nearest: flink.apache.org/v1beta1"), "{found:?}");
        let found = told("apiVersion: flink.apache.org/v1beta1\nkind: FlinkDeploymnet\n");
        assert!(found[0].contains("nearest: FlinkDeployment"), "{found:?}");
        for fine in ["apiVersion: v1\nkind: ConfigMap\n", "apiVersion: example.com/v1\nkind: Widget\n"] {
            assert!(told(fine).is_empty(), "{fine}");
        }
    }

    #[test]
    fn fields_deep_inside_are_told_at_their_line() {
        let text = format!(
            "{HEAD}spec:\n  podTemplate:\n    spec:\n      volumes:\n        - name: x\n          persistenceVolumeClaim: {{claimName: y}}\n"
        );
        let found = told(&text);
        assert!(
            found[0].starts_with("app.yaml:9:11: error: unknown field `persistenceVolumeClaim`"),
            "{found:?}"
        );
        assert!(found[0].contains("nearest: persistentVolumeClaim"), "{found:?}");
    }

    #[test]
    fn durations_flink_cannot_read() {
        let conf = |line: &str| told(&format!("{HEAD}spec:\n  flinkConfiguration:\n    {line}\n"));
        let found = conf("execution.checkpointing.interval: 24 hrs");
        assert!(found[0].starts_with("app.yaml:6:39: error: `24 hrs` cannot be read"), "{found:?}");
        assert!(found[0].contains("nearest: 24 h"), "{found:?}");
        let found = conf("execution: {checkpointing: {interval: 24 hrs}}");
        assert!(found[0].starts_with("app.yaml:6:"), "{found:?}");
        for fine in ["24 h", "30 s", "5min"] {
            assert!(conf(&format!("execution.checkpointing.interval: {fine}")).is_empty(), "{fine}");
        }
        assert!(conf("execution.checkpointing.unaligned: true").is_empty());
    }

    #[test]
    fn what_the_server_refuses() {
        let found = told(&format!("{HEAD}spec:\n  flinkVersion: v1_99\n"));
        assert!(found[0].starts_with("app.yaml:5:17: error: "), "{found:?}");
        let found = told(&format!("{HEAD}spec:\n  job: {{upgradeMode: laststate}}\n"));
        assert!(found[0].contains("nearest: last-state"), "{found:?}");
        assert!(
            told(&format!("{HEAD}spec:\n  job: {{upgradeMode: stateless, initialSavepointPath: null}}\n"))
                .is_empty()
        );
    }
}
