//! Real CRDs with large schemas, read where they are: they are structural, accept a real object, and stay fast.

use std::path::PathBuf;
use std::time::Instant;

use fake_kube_schema::Schema;
use fake_kube_schema::managed::{self, Write};
use serde_json::{Value, json};

fn schema(file: &str) -> Option<Value> {
    let default = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let root = std::env::var_os("DREY_SHARED").map_or(default, PathBuf::from);
    let folder = "real/flink-kubernetes-operator-1.15.0/helm/flink-kubernetes-operator/crds";
    let Ok(text) = std::fs::read_to_string(root.join(folder).join(file)) else {
        assert!(
            std::env::var_os("DREY_REQUIRE_SHARED").is_none_or(|v| v != "1"),
            "no shared data at {}",
            root.display()
        );
        println!("skipped: no shared data");
        return None;
    };
    let crd: Value = serde_saphyr::from_str(&text).expect("a CRD is YAML");
    Some(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone())
}

fn deployment() -> Value {
    json!({
        "apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkDeployment",
        "metadata": {"name": "basic", "namespace": "default", "labels": {"app": "x"}},
        "spec": {
            "image": "flink:1.20", "flinkVersion": "v1_20", "serviceAccount": "flink", "mode": "native",
            "flinkConfiguration": {"taskmanager.numberOfTaskSlots": "2", "state.savepoints.dir": "s3://a/b"},
            "jobManager": {"resource": {"memory": "2048m", "cpu": 1}, "replicas": 1},
            "taskManager": {"resource": {"memory": "2048m", "cpu": 1}},
            "podTemplate": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "t"}, "spec": {
                "containers": [{"name": "flink-main-container", "env": [{"name": "A", "value": "1"}],
                    "ports": [{"containerPort": 9249, "name": "metrics", "protocol": "TCP"}],
                    "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
                "volumes": [{"name": "v", "emptyDir": {}}]}},
            "job": {"jarURI": "local:///a.jar", "parallelism": 2, "upgradeMode": "savepoint", "state": "running",
                "args": ["--a", "b"], "entryClass": "a.B"}
        }
    })
}

#[test]
fn real_crds_are_structural() {
    for file in [
        "flinkdeployments.flink.apache.org-v1.yml",
        "flinksessionjobs.flink.apache.org-v1.yml",
        "flinkstatesnapshots.flink.apache.org-v1.yml",
        "flinkbluegreendeployments.flink.apache.org-v1.yml",
    ] {
        let Some(document) = schema(file) else { return };
        assert_eq!(Schema::from_crd(&document).map(drop), Ok(()), "{file}");
    }
}

#[test]
fn a_real_object_passes_and_is_owned() {
    let Some(document) = schema("flinkdeployments.flink.apache.org-v1.yml") else { return };
    let started = Instant::now();
    let schema = Schema::from_crd(&document).expect("structural");
    println!("compile {:?}", started.elapsed());
    let mut object = deployment();
    assert_eq!(schema.prune(&mut object), Vec::<String>::new());
    schema.default(&mut object);
    assert_eq!(schema.validate(&object, None), []);
    let write = Write {
        manager: "m",
        api_version: "flink.apache.org/v1beta1",
        subresource: "",
        now: "2024-01-01T00:00:00Z".parse().expect("time"),
        same_schema: false,
        reset_fields: &["status"],
    };
    let live = managed::apply(&schema, None, &object, &write, false).expect("applied");
    assert!(live["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:podTemplate"].is_object());

    const ROUNDS: u32 = 500;
    let timed = |what: &str, f: &mut dyn FnMut()| {
        let started = Instant::now();
        (0..ROUNDS).for_each(|_| f());
        println!("{what} {:?}", started.elapsed() / ROUNDS);
    };
    timed("clone", &mut || drop(live.clone()));
    timed("prune", &mut || drop(schema.prune(&mut object.clone())));
    timed("validate", &mut || drop(schema.validate(&object, None)));
    timed("apply", &mut || drop(managed::apply(&schema, Some(&live), &object, &write, false)));
    let mut changed = live.clone();
    changed["spec"]["job"]["parallelism"] = json!(3);
    timed("track", &mut || managed::track_update(&schema, Some(&live), &mut changed.clone(), &write));
}
