//! Snapshots on an S3 server: a small one in this process, and moto (a package of PyPI) where it is installed.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fake_flink::storage::{Medium, S3, S3Options};
use fake_flink::{ReadError, Snapshot, SnapshotStore};

fn options(endpoint: &str) -> S3Options {
    S3Options {
        endpoint: endpoint.to_owned(),
        region: "us-east-1".to_owned(),
        bucket: "state".to_owned(),
        prefix: "run".to_owned(),
        access_key: "key".to_owned(),
        secret_key: "secret".to_owned(),
    }
}

fn snapshot() -> Snapshot {
    Snapshot {
        job: "a".into(),
        id: 1,
        savepoint: true,
        format: None,
        progress: 7,
        operators: vec!["x".into()],
        max_parallelism: Vec::new(),
        bytes: 1,
        triggered_ms: 0,
    }
}

/// What any S3 server must carry.
fn check(endpoint: &str) {
    let medium = Arc::new(S3::open(options(endpoint)).unwrap());
    let store = SnapshotStore::open(medium.clone()).unwrap();
    for path in ["file:/sp/with space", "/sp/spoiled", "/sp/gone", "s3://state/own/one"] {
        store.write(path, snapshot()).unwrap();
    }
    assert!(medium.get("s3://state/own/one/_metadata").unwrap().is_some());
    assert_eq!(medium.list("s3://state/own").unwrap(), ["s3://state/own/one/_metadata"]);
    assert!(store.corrupt("/sp/spoiled") && store.delete("/sp/gone"));
    let later = SnapshotStore::open(medium).unwrap();
    assert_eq!(later.snapshots().into_keys().collect::<Vec<_>>(), ["file:/sp/with space"]);
    assert_eq!(later.read("s3://state/own/one").map(|s| s.progress), Ok(7));
    assert_eq!(later.read("/sp/spoiled"), Err(ReadError::Truncated));
    assert_eq!(later.read("/sp/gone"), Err(ReadError::Missing));
    assert_eq!(later.read("/sp"), Err(ReadError::NoMetadata));
    assert!(later.write("s3://nobody/x", snapshot()).is_err(), "no such bucket");
}

#[test]
fn against_a_small_server() {
    check(&stub());
}

#[test]
fn nobody_there() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    drop(taken);
    assert!(S3::open(options(&format!("http://{address}"))).is_err());
    assert!(S3::open(options("not a url")).is_err());
}

#[test]
fn against_moto() {
    let has_moto = Command::new("python3").args(["-c", "import moto.server"]).stderr(Stdio::null()).status();
    if !has_moto.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no moto; pip install 'moto[server]'");
        return;
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut moto = Command::new("python3")
        .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let endpoint = format!("127.0.0.1:{port}");
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline && TcpStream::connect(&endpoint).is_err() {
        std::thread::sleep(Duration::from_millis(100));
    }
    let outcome = std::panic::catch_unwind(|| {
        assert_eq!(crate::forms::call(&endpoint, "PUT", "/state", "", "").0, 200, "make the bucket");
        check(&format!("http://{endpoint}"));
    });
    moto.kill().unwrap();
    moto.wait().unwrap();
    outcome.unwrap();
}

type Objects = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// Objects of the bucket `state` by key; signatures must be there, and are not looked into.
fn stub() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let objects = Objects::default();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let objects = objects.clone();
            std::thread::spawn(move || while serve(stream.as_ref().unwrap(), &objects).is_some() {});
        }
    });
    format!("http://{address}")
}

fn serve(stream: &TcpStream, objects: &Objects) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (code, answer) = answer(&method, &target, body, &mut objects.lock().unwrap());
    let head = format!("HTTP/1.1 {code} x\r\nContent-Length: {}\r\n\r\n", answer.len());
    (&mut &*stream).write_all(head.as_bytes()).ok()?;
    (&mut &*stream).write_all(&answer).ok()
}

fn answer(
    method: &str,
    target: &str,
    body: Vec<u8>,
    objects: &mut BTreeMap<String, Vec<u8>>,
) -> (u16, Vec<u8>) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let parameters: BTreeMap<String, String> =
        form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    if !parameters.contains_key("X-Amz-Signature") {
        return (403, Vec::new());
    }
    let Some(key) = path.strip_prefix("/state") else { return (404, b"NoSuchBucket".to_vec()) };
    let key = key.trim_start_matches('/').to_owned();
    match method {
        "GET" if key.is_empty() => (200, list(&parameters, objects).into_bytes()),
        "GET" => objects.get(&key).map_or((404, Vec::new()), |bytes| (200, bytes.clone())),
        "PUT" => {
            objects.insert(key, body);
            (200, Vec::new())
        }
        _ => {
            objects.remove(&key);
            (204, Vec::new())
        }
    }
}

/// One key per page, so that pages are turned.
fn list(parameters: &BTreeMap<String, String>, objects: &BTreeMap<String, Vec<u8>>) -> String {
    let prefix = parameters.get("prefix").cloned().unwrap_or_default();
    let after = parameters.get("continuation-token").cloned().unwrap_or_default();
    let decoded = objects.keys().map(|key| key.replace("%20", " "));
    let mut keys = decoded.filter(|key| key.starts_with(&prefix) && *key > after);
    let first = keys.next();
    let more = keys.next().is_some();
    let contents = first.iter().map(|key| {
        format!("<Contents><Key>{key}</Key><ETag>e</ETag><LastModified>2026-01-01T00:00:00.000Z</LastModified><Size>1</Size></Contents>")
    });
    let contents: String = contents.collect();
    let next =
        first.filter(|_| more).map(|key| format!("<NextContinuationToken>{key}</NextContinuationToken>"));
    format!(
        "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{contents}<IsTruncated>{more}</IsTruncated><MaxKeys>1</MaxKeys>{}</ListBucketResult>",
        next.unwrap_or_default()
    )
}
