//! The real socket: two calls on one kept-alive connection, a GET with a body, and the end by `DELETE /cluster`.

use fake_flink::serve::{ServeOptions, serve};
use fake_flink::{ResourceManager, StartOptions, Version};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

fn call(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).unwrap();
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let n = stream.read(&mut buffer).unwrap();
        assert!(n > 0, "the connection is kept alive");
        seen.extend(&buffer[..n]);
        let text = String::from_utf8_lossy(&seen).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .lines()
            .find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
        if body.len() >= length.unwrap().parse::<usize>().unwrap() {
            return text;
        }
    }
}

fn client(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let overview = call(&mut stream, "GET /overview HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(overview.starts_with("HTTP/1.1 200 OK") && overview.contains("\"slots-total\":4"), "{overview}");
    let malformed = call(&mut stream, "GET /datasets HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n{not");
    assert!(malformed.contains("Request did not match expected format EmptyRequestBody."), "{malformed}");
    let ended = call(&mut stream, "DELETE /cluster HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(ended.starts_with("HTTP/1.1 200 OK"), "{ended}");
}

#[test]
fn a_served_session_cluster() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let code = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let start = StartOptions::session(Version::V2_2, jiff::Timestamp::UNIX_EPOCH).instant();
        let options = ServeOptions {
            start: StartOptions { resources: ResourceManager::Standalone, ..start },
            time_scale: 1.0,
            task_manager_start: Duration::ZERO,
            task_managers: vec![("localhost:40001-5e55ed".to_owned(), 4)],
            log: |_| {},
        };
        let calls = std::thread::spawn(move || client(address));
        let code = serve(listener, options, std::future::pending()).await.unwrap();
        calls.join().unwrap();
        code
    });
    assert_eq!(code, 0);
}
