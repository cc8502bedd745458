//! What cases run against: the model under virtual time, or any JobManager over HTTP.

use super::super::driver::{Answer, Driver, HOST};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

pub trait Server {
    /// Host and port as answers name them.
    fn address(&self) -> &str;
    fn send(&mut self, request: Request<Bytes>) -> Answer;
    fn pass(&mut self, by: Duration);
    /// Makes ids fresh where several runs meet one server.
    fn salt(&self) -> String;
    /// The jar of the conformance jobs as this server can run it.
    fn job(&self) -> &'static [u8] {
        include_bytes!("../../data/Job.jar")
    }
}

impl Server for Driver {
    fn address(&self) -> &str {
        HOST
    }

    fn send(&mut self, request: Request<Bytes>) -> Answer {
        Driver::send(self, request)
    }

    fn pass(&mut self, by: Duration) {
        Driver::pass(self, by);
    }

    fn salt(&self) -> String {
        String::new()
    }
}

/// A JobManager behind a socket, one connection per request.
pub struct Http {
    address: String,
    /// Seconds there per second here.
    speed: f64,
    job: Option<&'static [u8]>,
}

impl Http {
    pub fn new(url: &str, speed: f64) -> Http {
        let address = url.trim().trim_start_matches("http://").trim_end_matches('/');
        Http { address: address.to_owned(), speed, job: None }
    }

    /// The same jobs compiled against a release whose interfaces have other names.
    pub fn with_job(self, jar: &'static [u8]) -> Http {
        Http { job: Some(jar), ..self }
    }

    fn call(&self, request: &Request<Bytes>) -> std::io::Result<(u16, HeaderMap, Vec<u8>)> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let target = request.uri().path_and_query().map_or("/", |p| p.as_str());
        let mut head = format!("{} {target} HTTP/1.1\r\nhost: {}\r\n", request.method(), self.address);
        for (name, value) in request.headers().iter().filter(|(name, _)| *name != "host") {
            head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", request.body().len()));
        stream.write_all(head.as_bytes())?;
        // A server may answer and hang up before it has read everything.
        let _sent = stream.write_all(request.body());
        answer(&mut stream, request.method() == http::Method::HEAD)
    }
}

impl Server for Http {
    fn address(&self) -> &str {
        &self.address
    }

    fn send(&mut self, request: Request<Bytes>) -> Answer {
        match self.call(&request) {
            Ok((status, headers, body)) => Answer::new(status, headers, &body),
            Err(why) => Answer::new(0, HeaderMap::new(), format!("no answer: {why}").as_bytes()),
        }
    }

    fn pass(&mut self, by: Duration) {
        std::thread::sleep(by.div_f64(self.speed));
    }

    fn salt(&self) -> String {
        format!("{}-{}", std::process::id(), self.address)
    }

    fn job(&self) -> &'static [u8] {
        self.job.unwrap_or(include_bytes!("../../data/Job.jar"))
    }
}

fn answer(stream: &mut TcpStream, bodiless: bool) -> std::io::Result<(u16, HeaderMap, Vec<u8>)> {
    let mut seen = Vec::new();
    let head = loop {
        if let Some(at) = seen.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
        more(stream, &mut seen)?;
    };
    let text = String::from_utf8_lossy(&seen[..head]).into_owned();
    let mut lines = text.lines();
    let status = lines.next().and_then(|l| l.split(' ').nth(1)?.parse().ok()).unwrap_or(0);
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|l| l.split_once(':')) {
        if let (Ok(name), Ok(value)) =
            (name.trim().parse::<HeaderName>(), HeaderValue::from_str(value.trim()))
        {
            headers.append(name, value);
        }
    }
    let mut body = seen.split_off(head + 4);
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    if bodiless || status == 304 {
        body.clear();
    } else if let Some(length) = header("content-length").and_then(|l| l.parse::<usize>().ok()) {
        while body.len() < length {
            more(stream, &mut body)?;
        }
    } else if header("transfer-encoding") == Some("chunked") {
        while !body.ends_with(b"0\r\n\r\n") {
            more(stream, &mut body)?;
        }
        body = dechunked(&body);
    } else {
        let _until_closed = stream.read_to_end(&mut body);
    }
    Ok((status, headers, body))
}

fn more(stream: &mut TcpStream, into: &mut Vec<u8>) -> std::io::Result<()> {
    let mut buffer = [0; 16_384];
    match stream.read(&mut buffer)? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        n => {
            into.extend_from_slice(&buffer[..n]);
            Ok(())
        }
    }
}

fn dechunked(mut chunks: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(at) = chunks.windows(2).position(|w| w == b"\r\n") {
        let size = std::str::from_utf8(&chunks[..at]).ok().and_then(|s| usize::from_str_radix(s, 16).ok());
        let Some(content) = size.filter(|s| *s > 0).and_then(|s| chunks.get(at + 2..at + 2 + s)) else {
            break;
        };
        out.extend_from_slice(content);
        chunks = &chunks[at + 2 + content.len() + 2..];
    }
    out
}
