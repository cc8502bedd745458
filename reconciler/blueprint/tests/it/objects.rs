//! Objects of a native cluster: kubernetes-objects.md 1, as whole documents and as rows.

use drey_api::{FlinkVersion, PodTemplate};
use drey_blueprint::config::{OperatorConfig, effective};
use drey_blueprint::objects::{
    ClusterObjects, DeployOptions, application_cluster, session_cluster as session_objects,
};
use drey_testkit::{DeploymentBuilder, JOB_ID, flink_deployment, session_cluster};
use expect_test::{Expect, expect};
use serde_json::{Value, json};

fn options() -> DeployOptions {
    DeployOptions {
        savepoint_path: None,
        job_id: JOB_ID.to_owned(),
        job_result_store_id: "5b9b1e5c-0000-4000-8000-000000000001".to_owned(),
    }
}

fn objects_with(cr: DeploymentBuilder, options: &DeployOptions) -> ClusterObjects {
    let cr = cr.build();
    let conf = effective::deploy(&OperatorConfig::default(), &cr, &cr.spec);
    application_cluster(&cr, &cr.spec, &conf, options).unwrap()
}

fn objects(cr: DeploymentBuilder) -> ClusterObjects {
    objects_with(cr, &options())
}

#[track_caller]
fn json_is(value: &Value, expected: Expect) {
    expected.assert_eq(&serde_json::to_string_pretty(value).unwrap());
}

fn names(objects: &ClusterObjects) -> Vec<String> {
    let name = |object: &Value| {
        format!("{} {}", object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap())
    };
    objects.dependents("uid").iter().map(name).collect()
}

fn main_container(objects: &ClusterObjects) -> Value {
    let containers = objects.deployment["spec"]["template"]["spec"]["containers"].as_array().unwrap().clone();
    containers.into_iter().find(|container| container["name"] == "flink-main-container").unwrap()
}

fn flink_conf(objects: &ClusterObjects, file: &str) -> String {
    let dependents = objects.dependents("uid");
    let map = dependents.iter().find(|o| o["metadata"]["name"] == "flink-config-app").unwrap();
    map["data"][file].as_str().unwrap_or_else(|| panic!("{file} is there")).to_owned()
}

fn template(value: Value) -> Option<PodTemplate> {
    PodTemplate::from_value(value)
}

#[test]
fn the_deployment_of_a_plain_application() {
    json_is(
        &objects(flink_deployment("app").generation(4)).deployment,
        expect![[r#"
        {
          "apiVersion": "apps/v1",
          "kind": "Deployment",
          "metadata": {
            "name": "app",
            "namespace": "jobs",
            "labels": {
              "app": "app",
              "component": "jobmanager",
              "type": "flink-native-kubernetes"
            },
            "annotations": {
              "flinkdeployment.flink.apache.org/generation": "4"
            },
            "ownerReferences": [
              {
                "apiVersion": "flink.apache.org/v1beta1",
                "kind": "FlinkDeployment",
                "name": "app",
                "uid": "e74fa719-056a-438c-8000-e74fa719056a",
                "controller": false,
                "blockOwnerDeletion": true
              }
            ]
          },
          "spec": {
            "replicas": 1,
            "selector": {
              "matchLabels": {
                "app": "app",
                "component": "jobmanager",
                "type": "flink-native-kubernetes"
              }
            },
            "template": {
              "metadata": {
                "labels": {
                  "app": "app",
                  "component": "jobmanager",
                  "type": "flink-native-kubernetes"
                },
                "annotations": {
                  "flinkdeployment.flink.apache.org/generation": "4"
                }
              },
              "spec": {
                "containers": [
                  {
                    "name": "flink-main-container",
                    "startupProbe": {
                      "failureThreshold": 2147483647,
                      "httpGet": {
                        "path": "/config",
                        "port": "rest"
                      },
                      "periodSeconds": 1
                    },
                    "command": [
                      "/docker-entrypoint.sh"
                    ],
                    "args": [
                      "bash",
                      "-c",
                      "kubernetes-jobmanager.sh kubernetes-application "
                    ],
                    "image": "flink:1.20",
                    "imagePullPolicy": "IfNotPresent",
                    "env": [
                      {
                        "name": "_POD_IP_ADDRESS",
                        "valueFrom": {
                          "fieldRef": {
                            "apiVersion": "v1",
                            "fieldPath": "status.podIP"
                          }
                        }
                      }
                    ],
                    "ports": [
                      {
                        "name": "rest",
                        "containerPort": 8081
                      },
                      {
                        "name": "jobmanager-rpc",
                        "containerPort": 6123
                      },
                      {
                        "name": "blobserver",
                        "containerPort": 6124
                      }
                    ],
                    "resources": {
                      "requests": {
                        "cpu": "1.0",
                        "memory": "2048Mi"
                      },
                      "limits": {
                        "cpu": "1.0",
                        "memory": "2048Mi"
                      }
                    },
                    "volumeMounts": [
                      {
                        "name": "user-artifacts-volume",
                        "mountPath": "/opt/flink/artifacts"
                      },
                      {
                        "name": "flink-config-volume",
                        "mountPath": "/opt/flink/conf"
                      }
                    ]
                  }
                ],
                "serviceAccount": "flink",
                "serviceAccountName": "flink",
                "hostNetwork": false,
                "dnsPolicy": "ClusterFirst",
                "volumes": [
                  {
                    "name": "user-artifacts-volume",
                    "emptyDir": {}
                  },
                  {
                    "name": "flink-config-volume",
                    "configMap": {
                      "name": "flink-config-app",
                      "items": [
                        {
                          "key": "logback-console.xml",
                          "path": "logback-console.xml"
                        },
                        {
                          "key": "log4j-console.properties",
                          "path": "log4j-console.properties"
                        },
                        {
                          "key": "flink-conf.yaml",
                          "path": "flink-conf.yaml"
                        }
                      ]
                    }
                  }
                ]
              }
            }
          }
        }"#]],
    );
}

#[test]
fn services_and_order_without_ha() {
    let objects = objects(flink_deployment("app"));
    assert_eq!(names(&objects), ["Service app", "Service app-rest", "ConfigMap flink-config-app"]);
    json_is(
        &json!(objects.dependents("uid-1")[..2]),
        expect![[r#"
        [
          {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
              "name": "app",
              "namespace": "jobs",
              "labels": {
                "app": "app",
                "type": "flink-native-kubernetes"
              },
              "ownerReferences": [
                {
                  "apiVersion": "apps/v1",
                  "kind": "Deployment",
                  "name": "app",
                  "uid": "uid-1",
                  "controller": true,
                  "blockOwnerDeletion": true
                }
              ]
            },
            "spec": {
              "clusterIP": "None",
              "ports": [
                {
                  "name": "jobmanager-rpc",
                  "port": 6123
                },
                {
                  "name": "blobserver",
                  "port": 6124
                }
              ],
              "selector": {
                "app": "app",
                "component": "jobmanager",
                "type": "flink-native-kubernetes"
              }
            }
          },
          {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
              "name": "app-rest",
              "namespace": "jobs",
              "labels": {
                "app": "app",
                "type": "flink-native-kubernetes"
              },
              "ownerReferences": [
                {
                  "apiVersion": "apps/v1",
                  "kind": "Deployment",
                  "name": "app",
                  "uid": "uid-1",
                  "controller": true,
                  "blockOwnerDeletion": true
                }
              ]
            },
            "spec": {
              "type": "ClusterIP",
              "ports": [
                {
                  "name": "rest",
                  "port": 8081,
                  "targetPort": 8081
                }
              ],
              "selector": {
                "app": "app",
                "component": "jobmanager",
                "type": "flink-native-kubernetes"
              }
            }
          }
        ]"#]],
    );
}

#[test]
fn with_ha_job_managers_are_found_through_it() {
    let objects = objects(flink_deployment("app").with_ha().config("jobmanager.rpc.address", "elsewhere"));
    assert_eq!(names(&objects), ["Service app-rest", "ConfigMap flink-config-app"]);
    expect![[r#"
        $internal.flink.version: v1_20
        $internal.pipeline.job-id: 0123456789abcdef0123456789abcdef
        blob.server.port: 6124
        execution.checkpointing.externalized-checkpoint-retention: RETAIN_ON_CANCELLATION
        execution.shutdown-on-application-finish: false
        execution.submit-failed-job-on-application-error: true
        execution.target: kubernetes-application
        high-availability.cluster-id: app
        high-availability.jobmanager.port: 6123
        high-availability.storageDir: file:///flink/ha
        high-availability.type: kubernetes
        job-result-store.delete-on-commit: false
        job-result-store.storage-path: file:///flink/ha/job-result-store/app/5b9b1e5c-0000-4000-8000-000000000001
        jobmanager.memory.process.size: 2147483648 bytes
        kubernetes.cluster-id: app
        kubernetes.container.image.ref: flink:1.20
        kubernetes.internal.jobmanager.entrypoint.class: org.apache.flink.kubernetes.entrypoint.KubernetesApplicationClusterEntrypoint
        kubernetes.jobmanager.annotations: flinkdeployment.flink.apache.org/generation:1
        kubernetes.jobmanager.cpu.amount: 1.0
        kubernetes.jobmanager.replicas: 1
        kubernetes.namespace: jobs
        kubernetes.rest-service.exposed.type: ClusterIP
        kubernetes.service-account: flink
        kubernetes.taskmanager.cpu.amount: 1.0
        parallelism.default: 2
        pipeline.jars: local:///opt/flink/examples/streaming/StateMachineExample.jar
        pipeline.name: app
        rest.bind-port: 8081
        taskmanager.memory.process.size: 2147483648 bytes
        taskmanager.numberOfTaskSlots: 2
        taskmanager.rpc.port: 6122
        web.cancel.enable: false
    "#]].assert_eq(&flink_conf(&objects, "flink-conf.yaml"));
}

#[test]
fn the_configuration_of_flink_2_is_nested() {
    let objects = objects(flink_deployment("app").version(FlinkVersion::V2_1));
    expect![[r#"
        $internal:
          flink:
            version: "v2_1"
          pipeline:
            job-id: "0123456789abcdef0123456789abcdef"
        blob:
          server:
            port: "6124"
        execution:
          checkpointing:
            externalized-checkpoint-retention: "RETAIN_ON_CANCELLATION"
          shutdown-on-application-finish: "false"
          submit-failed-job-on-application-error: "true"
          target: "kubernetes-application"
        jobmanager:
          memory:
            process:
              size: "2147483648 bytes"
          rpc:
            address: "app.jobs"
        kubernetes:
          cluster-id: "app"
          container:
            image:
              ref: "flink:1.20"
          internal:
            jobmanager:
              entrypoint:
                class: "org.apache.flink.kubernetes.entrypoint.KubernetesApplicationClusterEntrypoint"
          jobmanager:
            annotations: "flinkdeployment.flink.apache.org/generation:1"
            cpu:
              amount: "1.0"
            replicas: "1"
          namespace: "jobs"
          rest-service:
            exposed:
              type: "ClusterIP"
          service-account: "flink"
          taskmanager:
            cpu:
              amount: "1.0"
        parallelism:
          default: "2"
        pipeline:
          jars: ["local:///opt/flink/examples/streaming/StateMachineExample.jar"]
          name: "app"
        rest:
          bind-port: "8081"
        taskmanager:
          memory:
            process:
              size: "2147483648 bytes"
          numberOfTaskSlots: "2"
          rpc:
            port: "6122"
        web:
          cancel:
            enable: "false"
    "#]]
    .assert_eq(&flink_conf(&objects, "config.yaml"));
    let volumes = objects.deployment["spec"]["template"]["spec"]["volumes"].clone();
    assert_eq!(volumes[1]["configMap"]["items"][2]["key"], "config.yaml");
}

/// T39, T36: where a job starts from.
#[test]
fn restore_paths() {
    let start = |options: &DeployOptions| {
        let cr = flink_deployment("app").with_ha().config("execution.savepoint.path", "s3://left-over");
        let text = flink_conf(&objects_with(cr, options), "flink-conf.yaml");
        text.lines().find_map(|line| line.strip_prefix("execution.savepoint.path: ")).map(str::to_owned)
    };
    assert_eq!(start(&options()), None);
    assert_eq!(start(&options().last_state()).as_deref(), Some("KUBERNETES_OPERATOR_LAST_STATE"));
    let savepoint = DeployOptions { savepoint_path: Some("s3://sp-1".to_owned()), ..options() };
    assert_eq!(start(&savepoint).as_deref(), Some("s3://sp-1"));

    let renamed =
        flink_deployment("app").version(FlinkVersion::V2_0).config("execution.savepoint.path", "s3://x");
    let text = flink_conf(&objects_with(renamed, &savepoint), "config.yaml");
    assert!(text.contains("  state-recovery:\n    path: \"s3://sp-1\"\n"), "{text}");
    assert!(!text.contains("s3://x"));
}

/// T60.
#[test]
fn job_result_store() {
    let text = flink_conf(&objects(flink_deployment("app").with_ha()), "flink-conf.yaml");
    assert!(text.contains(
        "job-result-store.storage-path: file:///flink/ha/job-result-store/app/5b9b1e5c-0000-4000-8000-000000000001\n"
    ));
    assert!(text.contains("job-result-store.delete-on-commit: false\n"));
    let kept = flink_deployment("app").with_ha().config("job-result-store.delete-on-commit", "true");
    assert!(
        flink_conf(&objects(kept), "flink-conf.yaml").contains("job-result-store.delete-on-commit: true\n")
    );
}

#[test]
fn pod_templates_are_merged_and_completed() {
    let cr = flink_deployment("app").spec(|spec| {
        spec.pod_template = template(json!({
            "metadata": {"name": "pod-template", "labels": {"team": "data", "app": "mine"}},
            "spec": {
                "containers": [
                    {"name": "flink-main-container", "env": [{"name": "A", "value": "1"}],
                     "volumeMounts": [{"name": "logs", "mountPath": "/opt/flink/log"}]},
                    {"name": "sidecar", "image": "busybox"},
                ],
                "volumes": [{"name": "logs", "emptyDir": {}}],
            },
        }));
        spec.job_manager.as_mut().unwrap().pod_template = template(
            json!({"spec": {"containers": [{"image": "own", "startupProbe": {"periodSeconds": 9}}]}}),
        );
    });
    let objects = objects(cr);
    let pod = &objects.deployment["spec"]["template"];
    assert_eq!(pod["metadata"]["labels"]["team"], "data");
    assert_eq!(pod["metadata"]["labels"]["app"], "app", "the selector relies on it");
    assert_eq!(pod["metadata"]["name"], Value::Null);
    let order: Vec<&str> =
        pod["spec"]["containers"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(order, ["sidecar", "flink-main-container"]);
    let main = main_container(&objects);
    assert_eq!(main["image"], "flink:1.20", "what the spec says wins over the template");
    assert_eq!(main["startupProbe"], json!({"periodSeconds": 9}));
    assert_eq!(main["env"][0], json!({"name": "A", "value": "1"}));
    assert_eq!(main["volumeMounts"][0]["name"], "logs");
    assert_eq!(pod["spec"]["volumes"][0]["name"], "logs");

    assert_eq!(names(&objects).last().unwrap(), "ConfigMap pod-template-app");
    let dependents = objects.dependents("uid");
    let text = dependents.last().unwrap()["data"]["taskmanager-pod-template.yaml"].as_str().unwrap();
    let task_manager: Value = serde_json::from_str(text).unwrap();
    assert_eq!(task_manager["kind"], "Pod");
    assert_eq!(
        task_manager["spec"]["containers"][0]["image"],
        Value::Null,
        "that was the JobManager's alone"
    );
    assert_eq!(task_manager["spec"]["containers"][0]["startupProbe"], Value::Null);
    assert_eq!(task_manager["spec"]["containers"][1]["name"], "sidecar");
}

#[test]
fn merging_by_name_keeps_sidecars_apart() {
    let with = |by_name: &str| {
        let cr = flink_deployment("app")
            .config("kubernetes.operator.pod-template.merge-arrays-by-name", by_name)
            .spec(|spec| {
                spec.pod_template =
                    template(json!({"spec": {"containers": [{"name": "sidecar", "image": "s"}]}}));
                spec.job_manager.as_mut().unwrap().pod_template = template(
                    json!({"spec": {"containers": [{"name": "flink-main-container", "tty": true}]}}),
                );
            });
        let pod = objects(cr).deployment["spec"]["template"]["spec"].clone();
        pod["containers"].as_array().unwrap().len()
    };
    assert_eq!(with("true"), 2);
    assert_eq!(with("false"), 1);
}

#[test]
fn resources_and_limits() {
    let cr = flink_deployment("app").spec(|spec| {
        spec.job_manager = serde_json::from_value(json!({"resources": {
            "requests": {"cpu": "500m", "memory": "1Gi", "ephemeral-storage": "1Gi"},
            "limits": {"cpu": 1, "memory": "1536m", "nvidia.com/gpu": 1},
        }}))
        .unwrap();
    });
    assert_eq!(
        main_container(&objects(cr))["resources"],
        json!({
            "limits": {"nvidia.com/gpu": 1, "cpu": "1.0", "memory": "1536Mi"},
            "requests": {"ephemeral-storage": "1Gi", "cpu": "0.5", "memory": "1024Mi"},
        })
    );
    let cr = flink_deployment("app")
        .spec(|spec| spec.job_manager = None)
        .config("jobmanager.memory.flink.size", "1280m")
        .config("kubernetes.jobmanager.cpu.amount", "2");
    let resources = main_container(&objects(cr))["resources"].clone();
    assert_eq!(resources["requests"], json!({"cpu": "2.0", "memory": "1728Mi"}));
}

#[test]
fn settings_of_the_pod() {
    let cr = flink_deployment("app")
        .config("containerized.master.env.HTTP_PROXY", "proxy:1")
        .config("kubernetes.env.secretKeyRef", "env:PASSWORD,secret:db,key:password")
        .config("kubernetes.secrets", "tls:/opt/tls")
        .config("kubernetes.container.image.pull-secrets", "reg-a;reg-b")
        .config("kubernetes.jobmanager.node-selector", "disk:ssd")
        .config("kubernetes.jobmanager.tolerations", "key:a,operator:Exists;key:b,value:c")
        .config("kubernetes.jobmanager.labels", "team:data,component:mine")
        .config("kubernetes.jobmanager.annotations", "note:x")
        .config("kubernetes.operator.jm-deployment.startup.probe.enabled", "false")
        .config("rest.port", "9000");
    let objects = objects(cr);
    let pod = &objects.deployment["spec"]["template"]["spec"];
    assert_eq!(pod["imagePullSecrets"], json!([{"name": "reg-a"}, {"name": "reg-b"}]));
    assert_eq!(pod["nodeSelector"], json!({"disk": "ssd"}));
    assert_eq!(pod["tolerations"], json!([{"key": "a", "operator": "Exists"}, {"key": "b", "value": "c"}]));
    let metadata = &objects.deployment["metadata"];
    assert_eq!(metadata["labels"]["team"], "data");
    assert_eq!(metadata["labels"]["component"], "jobmanager");
    assert_eq!(
        metadata["annotations"],
        json!({"flinkdeployment.flink.apache.org/generation": "1", "note": "x"})
    );
    let main = main_container(&objects);
    assert_eq!(main["startupProbe"], Value::Null);
    assert_eq!(main["ports"][0], json!({"name": "rest", "containerPort": 9000}));
    assert_eq!(main["env"][0], json!({"name": "HTTP_PROXY", "value": "proxy:1"}));
    assert_eq!(main["env"][1]["valueFrom"]["secretKeyRef"], json!({"name": "db", "key": "password"}));
    assert_eq!(main["volumeMounts"][1], json!({"name": "tls-volume", "mountPath": "/opt/tls"}));
}

#[test]
fn rest_service_types() {
    let rest = |kind: &str| {
        let cr = flink_deployment("app").with_ha().config("kubernetes.rest-service.exposed.type", kind);
        let service = objects(cr).dependents("uid")[0]["spec"].clone();
        (service["type"].as_str().unwrap().to_owned(), service["clusterIP"].clone())
    };
    assert_eq!(rest("ClusterIP"), ("ClusterIP".to_owned(), Value::Null));
    assert_eq!(rest("Headless_ClusterIP"), ("ClusterIP".to_owned(), json!("None")));
    assert_eq!(rest("LoadBalancer"), ("LoadBalancer".to_owned(), Value::Null));
}

#[test]
fn log_files_are_the_users_or_ours() {
    let files = |cr: DeploymentBuilder| {
        let objects = objects(cr);
        let volumes = objects.deployment["spec"]["template"]["spec"]["volumes"].clone();
        let volumes = volumes.as_array().unwrap().clone();
        let config = volumes.iter().find(|volume| volume["name"] == "flink-config-volume").unwrap().clone();
        let items = config["configMap"]["items"].as_array().unwrap().clone();
        items.iter().map(|item| item["key"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        files(flink_deployment("app")),
        ["logback-console.xml", "log4j-console.properties", "flink-conf.yaml"]
    );
    let own = flink_deployment("app").spec(|spec| {
        spec.log_configuration = Some([("log4j-console.properties".to_owned(), "x".to_owned())].into());
    });
    assert_eq!(files(own), ["log4j-console.properties", "flink-conf.yaml"]);
}

#[test]
fn a_session_cluster_runs_the_session_command() {
    let cr = session_cluster("app").build();
    let conf = effective::deploy(&OperatorConfig::default(), &cr, &cr.spec);
    let objects = session_objects(&cr, &cr.spec, &conf).unwrap();
    assert_eq!(
        main_container(&objects)["args"],
        json!(["bash", "-c", "kubernetes-jobmanager.sh kubernetes-session "])
    );
    assert!(flink_conf(&objects, "flink-conf.yaml").contains("KubernetesSessionClusterEntrypoint"));
}
