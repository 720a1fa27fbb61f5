//! A small HTTP/1.1 client: one request on one connection, and everything of the answer.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::gateway::Gateway;

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}

/// Sends one request, with these headers besides, and reads the answer to its end.
pub(crate) fn ask(to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\n");
    for (name, value) in headers {
        write!(request, "{name}: {value}\r\n").unwrap();
    }
    if method == "POST" {
        write!(
            request,
            "content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n",
            body.len()
        )
        .unwrap();
    }
    request.push_str("\r\n");
    request.push_str(body);
    send(to, request.as_bytes()).expect("an answer")
}

pub(crate) fn get(to: SocketAddr, path: &str) -> Answer {
    ask(to, "GET", path, &[], "")
}

/// The number of the first sample whose line begins so, of a gateway with a web server; 0 where there is none.
pub(crate) fn metric(gateway: &Gateway, name: &str) -> u64 {
    let line: Value = serde_json::from_str(&gateway.wait_for_log("the web server listens")).unwrap();
    let text = get(line["address"].as_str().unwrap().parse().unwrap(), "/metrics").text().to_owned();
    let found = text.lines().find(|line| line.starts_with(name));
    found.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

/// Sends bytes as they are; nothing where the server closes without an answer.
pub(crate) fn send(to: SocketAddr, request: &[u8]) -> Option<Answer> {
    let mut stream = TcpStream::connect(to).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    // It may be refused before it is all sent.
    let _refused = stream.write_all(request);
    let (mut bytes, mut piece) = (Vec::new(), [0; 8192]);
    // Some servers leave the connection open, whatever they are told.
    while !is_whole(&bytes) {
        match stream.read(&mut piece) {
            Ok(count) if count > 0 => bytes.extend_from_slice(&piece[..count]),
            _ => break,
        }
    }
    read(&bytes)
}

/// Whether all has come that the answer's Content-Length announces.
fn is_whole(bytes: &[u8]) -> bool {
    let Some(answer) = read(bytes) else { return false };
    answer.header("content-length").parse().is_ok_and(|length: usize| answer.body.len() >= length)
}

fn read(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).expect("a header is text");
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers: Vec<_> =
        headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect();
    let mut body = bytes[end + 4..].to_vec();
    if headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked") {
        body = unchunked(&body);
    }
    Some(Answer { status, headers, body })
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        let piece = &rest[end + 2..];
        body.extend_from_slice(&piece[..size.min(piece.len())]);
        rest = &rest[(end + 4 + size).min(rest.len())..];
    }
    body
}

/// Asks in JSON and gets JSON, as `WebDriver` does.
#[cfg(feature = "peers")]
pub(crate) fn json(to: SocketAddr, method: &str, path: &str, body: &Value) -> Value {
    let body = if method == "GET" { String::new() } else { body.to_string() };
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let answer = send(to, request.as_bytes()).expect("an answer");
    assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
    serde_json::from_slice(&answer.body).expect("JSON")
}
