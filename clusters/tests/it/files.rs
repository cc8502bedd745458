//! `cluster.yaml`: what is read, and what is answered to a slip.

use std::path::Path;

use drey_clusters::file::{Mount, Port};
use drey_clusters::{ClusterFile, Provider};
use drey_yaml::Source;
use expect_test::{Expect, expect};

fn parse(text: &str) -> Result<ClusterFile, drey_yaml::Diagnostics> {
    ClusterFile::parse(&Source::new("cluster.yaml", text), Path::new("/work"))
}

#[test]
fn everything_that_can_be_said() {
    let text = include_str!("../../examples/cluster.yaml");
    let file = parse(text).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!((file.name.as_str(), file.provider), ("dev", Provider::Auto));
    assert_eq!(file.images, ["drey-operator:dev", "fake-flink:dev"]);
    assert_eq!(file.ports, [Port { host: 28081, node: 30081 }]);
    let data = Mount { host: "/work/data".into(), node: "/data".to_owned(), is_read_only: true };
    assert_eq!(file.mounts, [data]);
    assert_eq!(file.wait.as_secs(), 300);
    assert!(file.has_host && file.has_crds);
    assert_eq!(file.s3.unwrap().bucket, "checkpoints");
}

#[test]
fn the_header_is_enough() {
    let file = parse("apiVersion: drey/v1\nkind: Cluster\nmetadata: {name: x}\n").unwrap();
    assert_eq!(file, ClusterFile { name: "x".to_owned(), ..ClusterFile::default() });
}

fn check(text: &str, expected: Expect) {
    let problems = parse(&format!("apiVersion: drey/v1\nkind: Cluster\nmetadata: {{name: x}}\n{text}"));
    expected.assert_eq(&problems.expect_err(text).to_string());
}

#[test]
fn slips() {
    check(
        "provdier: kind\n",
        expect![[r#"
        cluster.yaml:4:1: error: unknown key `provdier`
          4 | provdier: kind
            | ^^^^^^^^
             path: provdier
          nearest: provider
          allowed: apiVersion, kind, metadata, provider, nodeImage, workers, apiPort, wait, images, registry, ports, mounts, crds, ingress, s3, hostAccess, colima, context, kubeconfig
             next: write `provider` if that is what you mean

        1 error
    "#]],
    );
    check(
        "provider: minikube\n",
        expect![[r#"
        cluster.yaml:4:11: error: `minikube` is not a valid value
          4 | provider: minikube
            |           ^^^^^^^^
             path: provider
          allowed: k3d, kind, colima, kubeconfig, auto
             next: make the cluster with its own tool, then choose `kubeconfig`, with --yes-use-context NAME

        1 error
    "#]],
    );
    check(
        "provider: knid\ncontext:\nnodeImage: ''\n",
        expect![[r#"
        cluster.yaml:4:11: error: `knid` is not a valid value
          4 | provider: knid
            |           ^^^^
             path: provider
          nearest: kind
          allowed: k3d, kind, colima, kubeconfig, auto
             next: write `kind` if that is what you mean

        cluster.yaml:5:8: error: text belongs here, not nothing
          5 | context:
            |        ^
             path: context
             next: write text

        cluster.yaml:6:12: error: this text is empty
          6 | nodeImage: ''
            |            ^^
             path: nodeImage
             next: write what is meant, or leave it out

        3 errors
    "#]],
    );
    check(
        "registry: {prot: 5000}\n",
        expect![[r#"
        cluster.yaml:4:11: error: `port` is missing
          4 | registry: {prot: 5000}
            |           ^
             path: registry.port
             next: write `port` where `prot` stands, if that is meant

        cluster.yaml:4:12: error: unknown key `prot`
          4 | registry: {prot: 5000}
            |            ^^^^
             path: registry.prot
          nearest: port
          allowed: port
             next: write `port` if that is what you mean

        2 errors
    "#]],
    );
    check(
        "ports: [{host: 99999, node: 1}]\n",
        expect![[r#"
        cluster.yaml:4:16: error: `99999` is not between 1 and 65535
          4 | ports: [{host: 99999, node: 1}]
            |                ^^^^^
             path: ports[0].host
             next: write a whole number from 1 to 65535

        1 error
    "#]],
    );
    check(
        "wait: 5 minutes\n",
        expect![[r#"
        cluster.yaml:4:7: error: unknown unit `minutes`
          4 | wait: 5 minutes
            |       ^^^^^^^^^
             path: wait
          nearest: 5 m
             next: write a number with one of the units d, h, m, s, ms, largest first: `90s`, `1h30m`, `24 h`

        1 error
    "#]],
    );
    check(
        "mounts: [{host: ./x, node: data}]\ncrds: yes\n",
        expect![[r#"
        cluster.yaml:4:28: error: `data` is no absolute path on the node
          4 | mounts: [{host: ./x, node: data}]
            |                            ^^^^
             path: mounts[0].node
             next: write `/data`

        cluster.yaml:5:7: error: true or false belongs here, not text
          5 | crds: yes
            |       ^^^
             path: crds
             next: write true or false

        2 errors
    "#]],
    );
    check(
        "apiPort: 28080\ningress: {port: 28080}\n",
        expect![[r#"
        cluster.yaml:5:10: error: port 28080 of this machine is wanted twice
          5 | ingress: {port: 28080}
            |          ^
             path: ingress
             next: give each its own port

        1 error
    "#]],
    );
}

#[test]
fn files_that_are_none() {
    assert!(parse("").unwrap_err().to_string().contains("0 documents"));
    let bare = parse("kind: Cluster\n").unwrap_err().to_string();
    for text in ["`metadata` is missing", "`apiVersion` is missing", "add `apiVersion: drey/v1` here"] {
        assert!(bare.contains(text), "{text}: {bare}");
    }
    assert_eq!(Provider::check("kind"), Ok("kind".to_owned()));
    assert!(Provider::check("k3").unwrap_err().contains("did you mean k3d?"));
    assert!(Provider::check("minikube").unwrap_err().contains("--yes-use-context"));
    assert!(parse("[1]\n").unwrap_err().to_string().contains("a map belongs here, not a list"));
    let missing = ClusterFile::read(Path::new("/nope/cluster.yaml")).unwrap_err().to_string();
    assert!(missing.contains("/nope/cluster.yaml") && missing.contains("--config"), "{missing}");
}
