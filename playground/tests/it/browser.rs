//! The page in a headless Chromium, over `drey play`: three deployments become stable, one is failed and restarts, the clock
//! is paused and stepped, the session is saved and replays. `make test-playground` runs it; without Chromium or the command
//! it says so. `DREY_SCREENSHOTS=FOLDER` keeps pictures.
//!
//! Chromium is driven over a pair of pipes (`--remote-debugging-pipe`): messages of the DevTools protocol with a zero byte
//! after each. That needs neither a driver nor a WebSocket.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A busy machine starts a browser slowly.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Browser {
    child: Child,
    orders: File,
    answers: BufReader<File>,
    last: u64,
    session: Value,
    /// What the page complained about.
    complaints: Vec<String>,
}

impl Browser {
    /// A browser that looks at a page, in a window of that size.
    pub fn open(program: &Path, folder: &Path, url: &str) -> Browser {
        let pipe = |name: &str| {
            let path = folder.join(name);
            let made = Command::new("mkfifo").arg(&path).status().expect("mkfifo runs");
            assert!(made.success(), "a named pipe");
            // Opened both ways, so that neither side waits for the other.
            let file = File::options().read(true).write(true).open(&path).expect("a pipe");
            (path, file)
        };
        let ((to, orders), (from, answers)) = (pipe("orders"), pipe("answers"));
        let child = Command::new("bash")
            .args(["-c", r#"exec "$0" "${@:3}" 3<"$1" 4>"$2""#])
            .arg(program)
            .args([&to, &from])
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", folder.join("profile").display()))
            .arg("about:blank")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the browser starts");
        let answers = BufReader::new(answers);
        let mut browser =
            Browser { child, orders, answers, last: 0, session: Value::Null, complaints: Vec::new() };
        let target = browser.send("Target.createTarget", json!({"url": "about:blank"}))["targetId"].clone();
        let attached = browser.send("Target.attachToTarget", json!({"targetId": target, "flatten": true}));
        browser.session = attached["sessionId"].clone();
        for domain in ["Runtime.enable", "Log.enable", "Page.enable"] {
            browser.send(domain, json!({}));
        }
        browser.look(1280, 800, "light");
        browser.send("Page.navigate", json!({"url": url}));
        browser
    }

    fn send(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let mut message = json!({"id": self.last, "method": method, "params": params});
        if !self.session.is_null() {
            message["sessionId"] = self.session.clone();
        }
        self.orders.write_all(format!("{message}\0").as_bytes()).expect("sent");
        loop {
            let mut bytes = Vec::new();
            self.answers.read_until(0, &mut bytes).expect("an answer");
            bytes.pop();
            let answer: Value = serde_json::from_slice(&bytes).expect("JSON");
            match answer["method"].as_str() {
                Some("Runtime.exceptionThrown" | "Log.entryAdded") => {
                    self.complaints.push(answer["params"].to_string())
                }
                Some(_) => {}
                None if answer["id"] == self.last => {
                    assert!(answer["error"].is_null(), "{method}: {answer}");
                    return answer["result"].clone();
                }
                None => {}
            }
        }
    }

    fn look(&mut self, width: u32, height: u32, scheme: &str) {
        self.send(
            "Emulation.setDeviceMetricsOverride",
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}),
        );
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.send("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// An expression of the page; promises are waited for.
    pub fn ask(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let answer = self.send("Runtime.evaluate", params);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    pub fn wait(&mut self, what: &str, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.ask(expression) != json!(true) {
            if Instant::now() > deadline {
                let page = self.ask("document.body.innerText");
                panic!("{what} does not come: {expression}\n{}", page.as_str().unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// One key, as a keyboard sends it.
    fn key(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" && key.chars().count() == 1 { key } else { "" };
            self.send("Input.dispatchKeyEvent", json!({"type": kind, "key": key, "text": text}));
        }
    }

    fn picture(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("DREY_SCREENSHOTS") else { return };
        let shot = self.send("Page.captureScreenshot", json!({"format": "png"}));
        let bytes = decoded(shot["data"].as_str().expect("a picture"));
        std::fs::write(PathBuf::from(folder).join(name), bytes).expect("written");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Already gone is fine: the test is over either way.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Base64, of a picture: not worth a crate.
fn decoded(text: &str) -> Vec<u8> {
    let value = |b: u8| match b {
        b'A'..=b'Z' => Some(b - b'A'),
        b'a'..=b'z' => Some(b - b'a' + 26),
        b'0'..=b'9' => Some(b - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let digits: Vec<u8> = text.bytes().filter_map(value).collect();
    let group = |four: &[u8]| {
        let bits =
            four.iter().fold(0_u32, |bits, digit| bits << 6 | u32::from(*digit)) << (6 * (4 - four.len()));
        bits.to_be_bytes()[1..four.len()].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}

/// A running `drey play`.
pub struct Play {
    child: Child,
    pub url: String,
}

impl Play {
    fn start(program: &Path, folder: &Path) -> Play {
        let mut command = Command::new(program);
        command
            .args(["play", "--quiet", "--time-scale", "10", "--kubeconfig"])
            .arg(folder.join("kubeconfig"));
        Play::of(command)
    }

    pub fn of(mut command: Command) -> Play {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("drey starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let url = lines.find_map(|line| {
            let line = line.expect("text");
            line.split_once("http://").map(|(_, rest)| format!("http://{rest}"))
        });
        // Little more is said: the pipe is large enough.
        std::mem::forget(lines);
        Play { child, url: url.expect("the address of the page") }
    }
}

impl Drop for Play {
    fn drop(&mut self) {
        // Ctrl-C, so that the kubeconfig goes; then whatever is left.
        let _ = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.child.try_wait().is_ok_and(|status| status.is_none()) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn chromium() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|file| file.is_file())
}

pub const STATES: &str = "[...document.querySelectorAll('.job')].map(c => c.dataset.state).join()";
/// Milliseconds of scenario time as the page shows them.
const CLOCK: &str = "(([h, m, s]) => (h * 60 + +m) * 60000 + s * 1000)(document.getElementById('clock').textContent.split(':'))";

#[test]
fn a_session_in_a_browser() {
    let (Some(drey), Some(chromium)) = (std::env::var_os("DREY_PLAYGROUND"), chromium()) else {
        println!("skipped: no Chromium, or no DREY_PLAYGROUND=path of drey; make test-playground has both");
        return;
    };
    let (drey, folder) = (PathBuf::from(drey), tempfile::tempdir().expect("a folder"));
    let play = Play::start(&drey, folder.path());
    let mut page = Browser::open(&chromium, folder.path(), &play.url);

    page.wait("three stable deployments", &format!("{STATES} === 'STABLE,STABLE,STABLE'"));
    page.wait(
        "checkpoints",
        "[...document.querySelectorAll('dd.checkpoint')].some(d => d.textContent.startsWith('#'))",
    );
    assert_eq!(
        page.ask("document.querySelectorAll('#rows tr').length > 10"),
        json!(true),
        "objects are listed"
    );

    // One is failed, by its button, and Flink restarts it.
    let card = |name: &str| format!("document.querySelector('[data-job=\"default/{name}\"]')");
    let orders = card("orders");
    let restarts = format!(
        "[...{orders}.querySelectorAll('dl div')].find(d => d.textContent.startsWith('restarts')).textContent"
    );
    assert_eq!(page.ask(&restarts), json!("restarts0"));
    page.ask(&format!(
        "[...{orders}.querySelectorAll('button')].find(b => b.textContent === 'fail job').click()"
    ));
    page.wait("a restart", &format!("{restarts} === 'restarts1'"));
    page.wait("the recording", "document.getElementById('n-deeds').textContent === '1'");
    page.wait("running again", &format!("{STATES} === 'STABLE,STABLE,STABLE'"));

    // A pod is deleted, and another takes over; then the operator crashes.
    let clicks = card("clicks");
    page.ask(&format!(
        "[...{clicks}.querySelectorAll('button')].find(b => b.textContent === 'kill JM pod').click()"
    ));
    page.wait(
        "the loss",
        "[...document.querySelectorAll('#rows tr.gone')].some(r => r.textContent.includes('Podclicks-'))",
    );
    page.wait(
        "another pod",
        &format!("{STATES} === 'STABLE,STABLE,STABLE' && !{clicks}.textContent.includes('no JobManager')"),
    );
    page.key("b");
    page.ask(
        "[...document.querySelectorAll('#presets button')].find(b => b.textContent === 'crash').click()",
    );
    page.wait("the crash in the recording", "document.getElementById('n-deeds').textContent === '3'");

    // By keyboard: the clock stands, goes to the next event, and one second on.
    page.ask("document.activeElement.blur()");
    page.key(" ");
    page.wait("a clock that stands", "document.getElementById('pace').textContent === 'stands still'");
    let before = page.ask(CLOCK);
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(page.ask(CLOCK), before, "no time passes");
    page.key(",");
    let after = before.as_f64().expect("a number") + 1000.0;
    page.wait("one second", &format!("Math.abs({CLOCK} - {after}) <= 100"));
    let count = "Number(document.getElementById('shown').textContent.split(' ')[0])";
    let events = page.ask(count);
    page.key(".");
    page.wait(
        "the next event",
        &format!("{count} > {events} && document.getElementById('pace').textContent === 'stands still'"),
    );

    // An event with what it changed, by keyboard; a step that is refused says why.
    page.ask("(() => { const q = document.getElementById('q'); q.value = 'jobStatus'; q.oninput(); document.getElementById('list').focus(); })()");
    page.ask(
        "(() => { const q = document.getElementById('q'); q.value = 'lifecycleState'; q.oninput(); })()",
    );
    page.key("ArrowUp");
    page.wait("what changed", "document.querySelectorAll('#detail .diff .p').length > 0");
    page.ask("(() => { document.getElementById('text').value = 'job: {name: nobody, set: FAILED}'; document.getElementById('do').click(); })()");
    page.wait(
        "the refusal",
        "document.querySelector('#notice.bad')?.textContent.includes('nobody') ?? false",
    );
    page.ask("(() => { document.getElementById('q').value = ''; document.getElementById('q').oninput(); document.getElementById('notice').hidden = true; })()");
    pictures(&mut page);

    // The session as a scenario, which passes in virtual time.
    let text = page.ask("fetch('/v1/scenario').then(r => r.text())");
    let file = folder.path().join("session.yaml");
    std::fs::write(&file, text.as_str().expect("text")).expect("written");
    let played = Command::new(&drey).arg("run").arg(&file).args(["--seed", "1"]).output().expect("drey runs");
    let (out, err) = (String::from_utf8_lossy(&played.stdout), String::from_utf8_lossy(&played.stderr));
    assert!(played.status.success(), "{out}{err}\n{}", text.as_str().unwrap_or_default());
    // The refused step is what the browser logs as a failed request; nothing else went wrong on the page.
    let strange = page.complaints.iter().filter(|complaint| !complaint.contains("/v1/steps"));
    assert_eq!(strange.collect::<Vec<_>>(), Vec::<&String>::new());
}

fn pictures(page: &mut Browser) {
    page.picture("playground.png");
    page.look(1280, 800, "dark");
    std::thread::sleep(Duration::from_millis(300));
    page.picture("playground-dark.png");
    page.look(800, 1100, "light");
    page.wait("a page without a bar below", "document.documentElement.scrollWidth <= 800");
    page.picture("playground-800.png");
    page.look(1280, 800, "light");
}
