//! The images as `ci/images` writes them: the layout's parts, what a container gets, the same bytes twice; and a container,
//! where an engine runs and a static binary is at hand.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const SIZE_MAX: u64 = 25 << 20;

fn images(out: &Path, which: &str, variable: &str) {
    let output = Command::new(Path::new(ROOT).join("ci/images"))
        .arg(which)
        .env("IMAGES", out)
        .env(variable, env!("CARGO_BIN_EXE_fake-flink"))
        // No engine: what is tested is what is written.
        .env("DREY_LOAD_IMAGES", "no")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn read(layout: &Path, file: &str) -> Value {
    serde_json::from_slice(&std::fs::read(layout.join(file)).unwrap()).unwrap()
}

/// The blob a descriptor names, of the size it names.
fn blob(layout: &Path, descriptor: &Value) -> std::path::PathBuf {
    let file = layout.join("blobs").join(descriptor["digest"].as_str().unwrap().replace(':', "/"));
    assert_eq!(Some(std::fs::metadata(&file).unwrap().len()), descriptor["size"].as_u64());
    let sum = Command::new("sha256sum").arg(&file).output().unwrap();
    assert!(String::from_utf8(sum.stdout).unwrap().starts_with(file.file_name().unwrap().to_str().unwrap()));
    file
}

#[test]
fn the_layout_holds_what_a_container_needs_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    images(folder.path(), "fake-flink", "FAKE_FLINK_BINARY");
    let layout = folder.path().join("fake-flink");
    let index = read(&layout, "index.json");
    let manifests = index["manifests"].as_array().unwrap();
    let tag = |m: &Value| m["annotations"]["org.opencontainers.image.ref.name"].as_str().unwrap().to_owned();
    assert_eq!(manifests.iter().map(tag).collect::<Vec<_>>(), ["1.18", "1.20", "2.2"]);
    for manifest in manifests {
        let version = tag(manifest);
        let manifest: Value =
            serde_json::from_slice(&std::fs::read(blob(&layout, manifest)).unwrap()).unwrap();
        let config: Value =
            serde_json::from_slice(&std::fs::read(blob(&layout, &manifest["config"])).unwrap()).unwrap();
        let config = &config["config"];
        assert_eq!(config["User"], "9999:9999");
        assert_eq!(config["Entrypoint"][0], "/docker-entrypoint.sh");
        assert!(config["Env"].to_string().contains(&format!("FLINK_VERSION={version}")));
        let layer = blob(&layout, &manifest["layers"][0]);
        let listing = Command::new("tar").arg("tvzf").arg(&layer).output().unwrap();
        let listing = String::from_utf8(listing.stdout).unwrap();
        assert!(listing.contains("./docker-entrypoint.sh -> fake-flink"), "{listing}");
        assert!(
            listing.lines().all(|line| line.contains(" 0/0 ") && line.contains("1970-01-01")),
            "{listing}"
        );
        assert!(listing.lines().any(|line| line.starts_with("drwxrwxrwt") && line.ends_with("./tmp/")));
    }
    assert!(std::fs::metadata(folder.path().join("fake-flink.tar")).unwrap().len() < SIZE_MAX);
    for image in read(&layout, "manifest.json").as_array().unwrap() {
        assert!(layout.join(image["Config"].as_str().unwrap()).is_file());
    }
}

#[test]
fn the_same_binary_makes_the_same_bytes() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let bytes = folders.each_ref().map(|folder| {
        images(folder.path(), "operator", "OPERATOR_BINARY");
        std::fs::read(folder.path().join("operator.tar")).unwrap()
    });
    assert!(bytes[0] == bytes[1]);
}

#[test]
fn the_operator_is_alone_in_its_image() {
    let folder = tempfile::tempdir().unwrap();
    images(folder.path(), "operator", "OPERATOR_BINARY");
    let layout = folder.path().join("operator");
    let index = read(&layout, "index.json");
    let [manifest] = index["manifests"].as_array().unwrap().as_slice() else { panic!("{index}") };
    let manifest: Value = serde_json::from_slice(&std::fs::read(blob(&layout, manifest)).unwrap()).unwrap();
    let config = std::fs::read(blob(&layout, &manifest["config"])).unwrap();
    let config = &serde_json::from_slice::<Value>(&config).unwrap()["config"];
    assert_eq!((&config["User"], &config["Entrypoint"]), (&json!("9999:9999"), &json!(["/drey-operator"])));
    let listing = Command::new("tar").arg("tzf").arg(blob(&layout, &manifest["layers"][0])).output().unwrap();
    let listing = String::from_utf8(listing.stdout).unwrap();
    let mut files: Vec<&str> = listing.lines().filter(|name| !name.ends_with('/')).collect();
    files.sort_unstable();
    // The stand-in has its own name.
    assert_eq!(files, ["./etc/group", "./etc/passwd", "./fake-flink"]);
}

fn docker(arguments: &[&str]) -> std::io::Result<Output> {
    Command::new("docker").args(arguments).output()
}

/// An image of `make images` in the engine, or why not.
fn loaded(name: &str) -> bool {
    let archive = Path::new(ROOT).join("target/images").join(name).with_extension("tar");
    if !docker(&["info"]).is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no docker daemon answers");
        return false;
    }
    if !archive.is_file() {
        eprintln!("skipped: no {}; make images", archive.display());
        return false;
    }
    assert!(std::fs::metadata(&archive).unwrap().len() < SIZE_MAX);
    assert!(docker(&["load", "--input", archive.to_str().unwrap()]).unwrap().status.success());
    true
}

/// Needs an engine and `make images` before it; says so when it lacks one. The operator looks for a cluster, finds that it
/// is in no pod, and says so.
#[test]
fn the_operators_container_says_what_it_lacks() {
    if !loaded("operator") {
        return;
    }
    let image = concat!("drey/operator:", env!("CARGO_PKG_VERSION"));
    let run = |arguments: &[&str]| {
        let out = docker(&[&["run", "--rm", "--read-only", "--cap-drop", "ALL", image], arguments].concat())
            .unwrap();
        (out.status.code(), String::from_utf8(out.stdout).unwrap() + &String::from_utf8(out.stderr).unwrap())
    };
    let (code, told) = run(&["--help"]);
    assert!(code == Some(0) && told.contains("--leader-elect"), "{told}");
    let (code, told) = run(&[]);
    assert!(code != Some(0) && told.contains("found no cluster: not inside a pod"), "{told}");
}

/// Needs an engine and `make images` before it; says so when it lacks one.
#[test]
fn a_container_answers() {
    if !loaded("fake-flink") {
        return;
    }
    let run = [
        "run",
        "--detach",
        "--rm",
        "--read-only",
        "--publish",
        "127.0.0.1:0:8081",
        "drey/fake-flink:2.2",
        "jobmanager",
    ];
    let started = docker(&run).unwrap();
    let id = String::from_utf8(started.stdout).unwrap().trim().to_owned();
    let port = docker(&["port", &id, "8081"]).unwrap();
    let address = String::from_utf8(port.stdout).unwrap().trim().to_owned();
    // The engine takes connections before the container does.
    let version = || {
        let told = crate::forms::try_call(&address, "GET", "/overview", "", b"");
        told.map(|(_, overview)| overview["flink-version"].clone()).unwrap_or_default()
    };
    let seen = std::panic::catch_unwind(|| crate::forms::eventually("it answers", || version() == "2.2.1"));
    docker(&["rm", "--force", &id]).unwrap();
    seen.unwrap();
}
