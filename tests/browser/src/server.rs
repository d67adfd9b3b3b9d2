//! The three servers: they write down what they are asked, and answer what the
//! case says, byte for byte. HTTP libraries refuse some of these bytes.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use envoy_cors::browser::Response;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::case::{Case, Hop, Origins};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Arrived {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Arrived {
    /// The value of a header, its lines joined.
    pub fn get(&self, name: &str) -> Option<Vec<u8>> {
        let lines = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        let lines: Vec<_> = lines.map(|(_, value)| value.as_slice()).collect();
        (!lines.is_empty()).then(|| lines.join(&b", "[..]))
    }

    pub fn is_preflight(&self) -> bool {
        self.method == "OPTIONS" && self.get("access-control-request-method").is_some()
    }
}

/// What the servers share.
#[derive(Default)]
pub struct State {
    pub cases: Vec<Case>,
    /// By number of the case, in the order of arrival, with the number of the hop.
    pub arrived: HashMap<usize, Vec<(usize, Arrived)>>,
}

pub type Shared = Arc<Mutex<State>>;

const PAGE: &str = include_str!("page.html");

/// Starts the servers on free ports.
pub async fn start(state: &Shared) -> io::Result<Origins> {
    let mut origins = Vec::new();
    for _ in 0..3 {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        origins.push(format!("http://{}", listener.local_addr()?));
        tokio::spawn(listen(listener, Arc::clone(state)));
    }
    let [page, other, third] = origins.try_into().expect("three");
    Ok(Origins { page, other, third })
}

/// Lets each hop but the last lead to the next.
pub fn point_redirects(cases: &mut [Case]) {
    for (number, case) in cases.iter_mut().enumerate() {
        for hop in 1..case.hops.len() {
            let url = case.hops[hop].url(number, hop);
            let headers = &mut case.hops[hop - 1].response.headers;
            headers.push(("Location".to_owned(), url.into_bytes()));
        }
    }
}

async fn listen(listener: TcpListener, state: Shared) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        // A browser may hang up at any time.
        tokio::spawn(async move { drop(serve(stream, state).await) });
    }
}

async fn serve(stream: TcpStream, state: Shared) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream).await? {
        let answer = answer(request, &state);
        stream.get_mut().write_all(&answer).await?;
    }
    Ok(())
}

/// Reads the head of a request. None of ours has a body.
async fn read(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Arrived>> {
    let mut lines = Vec::new();
    loop {
        let mut line = Vec::new();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Ok(None);
        }
        let line = line.strip_suffix(b"\r\n").unwrap_or(&line);
        if line.is_empty() {
            break;
        }
        lines.push(line.to_vec());
    }
    let mut lines = lines.into_iter();
    let first = String::from_utf8_lossy(&lines.next().unwrap_or_default()).into_owned();
    let mut words = first.split(' ').map(str::to_owned);
    let headers = lines.filter_map(|line| {
        let colon = line.iter().position(|b| *b == b':')?;
        let name = String::from_utf8_lossy(&line[..colon]).into_owned();
        let value = &line[colon + 1..];
        Some((name, value.strip_prefix(b" ").unwrap_or(value).to_vec()))
    });
    Ok(Some(Arrived {
        method: words.next().unwrap_or_default(),
        path: words.next().unwrap_or_default(),
        headers: headers.collect(),
    }))
}

fn answer(request: Arrived, state: &Shared) -> Vec<u8> {
    let mut state = state.lock().unwrap();
    let numbers = request.path.strip_prefix("/case/").and_then(|path| path.split_once('/'));
    let Some((case, hop)) = numbers else {
        let body = if request.path == "/" { PAGE } else { "" };
        let headers = [("Content-Type", "text/html"), ("Set-Cookie", "session=1")]
            .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        return write(&Response { status: 200, headers: headers.into() }, body);
    };
    let (case, hop): (usize, usize) = (case.parse().unwrap(), hop.parse().unwrap());
    let Hop { preflight, response, .. } = &state.cases[case].hops[hop];
    let answer = write(if request.is_preflight() { preflight } else { response }, "");
    state.arrived.entry(case).or_default().push((hop, request));
    answer
}

fn write(response: &Response, body: &str) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {} Status\r\n", response.status).into_bytes();
    for (name, value) in &response.headers {
        bytes.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    if response.status != 204 && response.status != 304 {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body.as_bytes());
    bytes
}
