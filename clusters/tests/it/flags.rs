//! Every flag that is passed is one the tool knows, by the help it prints: stand-ins would play anything.

use std::path::Path;

use drey_clusters::engine::Engine;
use drey_clusters::file::{Ingress, Mount, Port};
use drey_clusters::host::{Host, Place};
use drey_clusters::maker::Maker;
use drey_clusters::{Call, ClusterFile, colima};

fn file() -> ClusterFile {
    ClusterFile {
        node_image: Some("img:1".to_owned()),
        workers: 2,
        images: vec!["a:1".to_owned()],
        registry: Some(5000),
        ports: vec![Port { host: 1, node: 2 }],
        mounts: vec![Mount { host: "/h".into(), node: "/n".to_owned(), is_read_only: true }],
        ingress: Some(Ingress { port: 3, image: "t:1".to_owned() }),
        ..ClusterFile::default()
    }
}

/// The section of `help.txt` about the longest command that the arguments begin with.
fn help<'h>(all: &'h str, call: &Call) -> &'h str {
    let plain: Vec<&str> =
        call.args.iter().map(String::as_str).take_while(|arg| !arg.starts_with('-')).collect();
    let title = |words: &[&str]| format!("$ {} {} --help", call.program, words.join(" "));
    let start = (0..=plain.len()).rev().find_map(|count| all.find(&title(&plain[..count])));
    let section = &all[start.unwrap_or_else(|| panic!("no help for {call}"))..];
    section.split("\n====").next().unwrap_or(section)
}

fn check(call: &Call) {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings").join(&call.program).join("help.txt");
    let all = std::fs::read_to_string(file).expect("help");
    let help = help(&all, call);
    for flag in call.args.iter().filter(|arg| arg.starts_with('-') && !arg.starts_with("--disable")) {
        let name = flag.split('=').next().unwrap_or(flag);
        let is_known = help.split([' ', ',', '\n']).any(|word| word == name);
        assert!(is_known, "{name} of `{call}` is not in:\n{help}");
    }
}

#[test]
fn flags_are_known() {
    let engine = Engine { host: "unix:///x".to_owned(), colima: None, version: "1".to_owned() };
    let place = Place::of(&Host::default(), "drey");
    let file = file();
    for maker in [Maker::Kind, Maker::K3d] {
        check(&maker.create(&file, &place, &engine, 1));
        check(&maker.list(&engine));
        check(&maker.kubeconfig("drey", &engine));
        check(&maker.load("a:1", "drey", &engine));
        check(&maker.delete(&place, &engine));
        maker.start(&file, &engine).iter().for_each(check);
    }
    check(&colima::list());
    check(&colima::start(&file.colima, true));
    check(&colima::status("default"));
    check(&colima::delete("default"));
}
