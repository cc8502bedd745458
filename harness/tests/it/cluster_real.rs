//! Cluster mode on a server that nobody simulates: the real CRD server, which `make test-real` builds. It has no pods, so the
//! scenarios are those of custom resources alone.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::support::{drey, repository, text};

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone is fine: the test is over either way.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

mod real {
    use super::*;

    #[test]
    fn scenarios_of_custom_resources_on_the_real_crd_server() {
        let Some(binary) = std::env::var_os("DREY_REAL_CRD_SERVER") else {
            println!("skipped: no real CRD server (make test-real builds it)");
            return;
        };
        let folder = tempfile::tempdir().expect("a folder");
        let mut process = Command::new(binary);
        process.args(["-listen", "127.0.0.1:0"]).env("TMPDIR", folder.path());
        let mut process = process.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(process.stderr.take().expect("piped")).lines();
        let _server = Server(process);
        let url = loop {
            let line = lines.next().and_then(Result::ok).expect("it says that it is ready");
            if let Some(at) = line.find("url=http://") {
                break line[at + "url=".len()..].split(' ').next().unwrap_or_default().to_owned();
            }
        };
        // Its log is read on, or the pipe fills.
        std::thread::spawn(move || lines.for_each(drop));
        let kubeconfig = folder.path().join("kubeconfig");
        let config = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts:\n- name: c\n  context: {{cluster: k, user: u}}\n\
             clusters:\n- name: k\n  cluster: {{server: \"{url}\"}}\nusers:\n- name: u\n  user: {{}}\n"
        );
        std::fs::write(&kubeconfig, config).expect("written");
        let run = |more: &[&str]| {
            let mut command = drey();
            command.arg("run").arg(repository("scenarios/flawed/refused-by-the-schema.yaml"));
            command.args(["--mode", "cluster", "--verbose", "--kubeconfig"]).arg(&kubeconfig).args(more);
            let out = command.output().expect("drey runs");
            (out.status.code(), format!("{}{}", text(&out.stdout), text(&out.stderr)))
        };
        let (code, said) = run(&["--namespace", "default"]);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("1 passed") && !said.contains("skipped step"), "{said}");
        let (code, said) = run(&[]);
        assert!(code == Some(2) && said.contains("custom resources alone"), "{said}");
        println!("real CRD server: 1 scenario of the library passes there");
    }
}
