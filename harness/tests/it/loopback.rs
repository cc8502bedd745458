//! Loopback mode: the sockets that stand for the simulated network. Scenarios over them are `tests/loopback.rs`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use drey_harness::modes::{FlinkSockets, ListenerOptions, Place};
use drey_harness::world::flink::ClusterKey;
use drey_harness::world::{World, WorldSettings};
use drey_operator::{FlinkTransport, Target, Unanswered};

use crate::support::repository;

fn in_loopback<F: Future<Output = ()> + 'static>(scale: f64, tell: impl FnOnce(World) -> F + Send + 'static) {
    let work = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let epoch = "2026-01-01T00:00:00Z".parse().expect("a timestamp");
            let place = Place::Loopback(ListenerOptions::default());
            let world =
                World::boot_in(&place, WorldSettings::usual(1), &[], 1, epoch, scale, Arc::new(())).await;
            tell(world.expect("a world")).await;
        });
    };
    drey_harness::determinism::on_thread("loopback", work).expect("the thread ends well");
}

async fn ask(sockets: &FlinkSockets, target: &Target) -> Result<u16, Unanswered> {
    let request = http::Request::get("/v1/overview").body(Bytes::new()).expect("a request");
    let answer = sockets.call(target, request, Duration::from_millis(400)).await;
    if let Err(error) = &answer {
        assert_eq!(error.target, *target, "errors speak of the service and not of the socket");
    }
    answer.map(|response| response.status().as_u16()).map_err(|error| error.why)
}

#[test]
fn sockets_behave_as_the_network_in_the_cluster_would() {
    in_loopback(60.0, |world| async move {
        let sockets = FlinkSockets::open(world.cluster.clone(), world.clock).expect("sockets");
        let target = Target::rest("default", "basic-example", 8081);
        assert_eq!(ask(&sockets, &target).await, Err(Unanswered::Dns), "no service yet");
        world.start_operators();
        let file = repository("scenarios/manifests/basic-example.yaml");
        let text = std::fs::read_to_string(file).expect("the manifest");
        let manifest = serde_saphyr::from_str(&text).expect("YAML");
        assert!(world.hands.apply(&manifest).await.expect("an answer").is_success());
        let mut met = Vec::new();
        let mut met_all = async || {
            loop {
                let answer = ask(&sockets, &target).await;
                if met.last() != Some(&answer) {
                    met.push(answer);
                }
                if answer == Ok(200) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), met_all()).await.expect("the JobManager comes up");
        assert!(met.contains(&Err(Unanswered::Refused)), "a starting JobManager refuses: {met:?}");
        let key = ClusterKey::new("default", "basic-example");
        assert!(world.command(&key, &fake_flink::Command::Hang { on: true }));
        world.clock.sleep(Duration::from_secs(1)).await;
        assert_eq!(ask(&sockets, &target).await, Err(Unanswered::Timeout), "it hangs");
        assert!(world.command(&key, &fake_flink::Command::Hang { on: false }));
        world.clock.sleep(Duration::from_secs(1)).await;
        assert_eq!(ask(&sockets, &target).await, Ok(200), "it goes on");
    });
}

#[test]
fn the_operator_is_known_by_its_token() {
    in_loopback(60.0, |world| async move {
        let url = &world.sockets.as_ref().expect("a listener").listening.url;
        assert!(url.starts_with("http://127.0.0.1:"), "{url}");
        world.start_operators();
        let manifest = serde_json::json!({"apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkDeployment",
            "metadata": {"name": "app"}, "spec": {"flinkVersion": "v1_20", "image": "flink:1.20", "serviceAccount": "flink",
            "jobManager": {"resource": {"memory": "1g"}}, "taskManager": {"resource": {"memory": "1g"}},
            "job": {"jarURI": "local:///app.jar", "parallelism": 1, "upgradeMode": "stateless"}}});
        assert!(world.hands.apply(&manifest).await.expect("an answer").is_success());
        let wrote = async {
            while world.faults.writes() == 0 {
                world.clock.sleep(Duration::from_millis(500)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wrote)
            .await
            .expect("the gate counts the operator's writes");
    });
}
