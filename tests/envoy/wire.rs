//! Requests and answers byte by byte, as they stand on the wire.

use std::collections::HashMap;
use std::fmt::{self, Debug, Formatter};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{self, Protocol, Result};
use crate::table::{Case, Reply, Request};

type Stream = BufStream<TcpStream>;

/// One request on both sides of a gateway.
#[derive(PartialEq)]
pub struct Exchange {
    /// What upstream got; empty if nothing came.
    pub forwarded: Vec<u8>,
    /// What the client got. Over HTTP/2 the header block, with nothing else on its connection
    /// before it, and the data.
    pub answer: Vec<u8>,
}

impl Debug for Exchange {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [forwarded, answer] = [&self.forwarded, &self.answer].map(|it| it.escape_ascii());
        write!(f, "upstream got {forwarded}\nthe client got {answer}")
    }
}

/// An upstream that answers each request with what its row says, and keeps what it got.
pub struct Upstream {
    pub port: u16,
    got: Arc<Mutex<Vec<u8>>>,
}

impl Upstream {
    pub fn start(replies: HashMap<String, Reply>) -> Result<Self> {
        let listener = client::run(async { Ok(TcpListener::bind(("127.0.0.1", 0)).await?) })?;
        let port = listener.local_addr()?.port();
        let (replies, got) = (Arc::new(replies), Arc::<Mutex<Vec<u8>>>::default());
        let keep = Arc::clone(&got);
        client::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (replies, keep) = (Arc::clone(&replies), Arc::clone(&keep));
                client::spawn(
                    async move { serve(BufStream::new(stream), &replies, &keep).await.ok() },
                );
            }
        });
        Ok(Self { port, got })
    }

    /// Sends the request of `case` to the gateway on `port`, on a connection of its own.
    pub fn exchange(&self, port: u16, protocol: Protocol, case: &Case) -> Result<Exchange> {
        let answer = client::run(async {
            match protocol {
                Protocol::Http1 => http1(port, case).await,
                Protocol::Http2 => http2(port, &case.name, &case.send).await,
            }
        })?;
        let forwarded = std::mem::take(&mut *self.got.lock().unwrap());
        Ok(Exchange { forwarded, answer })
    }
}

async fn serve(
    mut stream: Stream,
    replies: &HashMap<String, Reply>,
    got: &Mutex<Vec<u8>>,
) -> Result<()> {
    loop {
        let request = message(&mut stream, false).await?;
        let reply = field(&request, "x-case").and_then(|name| replies.get(name));
        let reply = reply.cloned().unwrap_or_default();
        let is_head = request.starts_with(b"HEAD ");
        got.lock().unwrap().extend(request);
        stream.write_all(&reply_bytes(&reply, is_head)).await?;
        stream.flush().await?;
        if reply.status == 101 {
            let mut frame = [0; PING.len()];
            stream.read_exact(&mut frame).await?;
            got.lock().unwrap().extend(frame);
            stream.write_all(&frame).await?;
            return Ok(stream.flush().await?);
        }
    }
}

/// Some of the forms that an answer can take.
fn reply_bytes(reply: &Reply, is_head: bool) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {} Whatever\r\nX-Upstream: reached\r\n", reply.status);
    match reply.status {
        101 => bytes += "Connection: Upgrade\r\nUpgrade: websocket\r\n",
        204 | 304 => {}
        200 => bytes += "Transfer-Encoding: chunked\r\nX-Twice: 1\r\nx-twice: 2\r\n",
        _ => bytes += "Content-Length: 6\r\n",
    }
    let mut bytes = bytes.into_bytes();
    push_lines(&mut bytes, &reply.headers);
    bytes.extend(b"\r\n");
    match reply.status {
        101 | 204 | 304 => {}
        _ if is_head => {}
        200 => bytes.extend(b"2\r\nhe\r\n4\r\nllo\n\r\n0\r\n\r\n"),
        _ => bytes.extend(b"hello\n"),
    }
    bytes
}

fn push_lines(bytes: &mut Vec<u8>, lines: &[(String, Vec<u8>)]) {
    for (name, value) in lines {
        bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
}

/// What goes through a WebSocket.
const PING: &[u8; 4] = b"ping";

async fn connect(port: u16) -> Result<Stream> {
    Ok(BufStream::new(TcpStream::connect(("127.0.0.1", port)).await?))
}

async fn http1(port: u16, case: &Case) -> Result<Vec<u8>> {
    let mut stream = connect(port).await?;
    let Request { method, path, authority, headers, .. } = &case.send;
    let mut request = [method, &b" "[..], path, b" HTTP/1.1\r\nhost: ", authority].concat();
    request.extend(format!("\r\nx-case: {}\r\n", case.name).into_bytes());
    push_lines(&mut request, headers);
    if let Some(body) = body(&case.send) {
        request.extend(format!("content-length: {}\r\n\r\n", body.len()).into_bytes());
        request.extend(body);
    } else {
        request.extend(b"\r\n");
    }
    stream.write_all(&request).await?;
    stream.flush().await?;
    let mut answer = message(&mut stream, method == b"HEAD").await?;
    if answer.starts_with(b"HTTP/1.1 101 ") {
        stream.write_all(PING).await?;
        stream.flush().await?;
        let mut frame = [0; PING.len()];
        stream.read_exact(&mut frame).await?;
        answer.extend(frame);
    }
    Ok(answer)
}

fn body(request: &Request) -> Option<&'static [u8]> {
    (request.method == b"POST").then_some(b"a body")
}

/// One message of HTTP/1.1.
async fn message(stream: &mut Stream, answers_head: bool) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        if stream.read_until(b'\n', &mut bytes).await? == 0 {
            return Err(format!("the connection ended after {}", bytes.escape_ascii()).into());
        }
    }
    let is_without = [&b"HTTP/1.1 101 "[..], b"HTTP/1.1 204 ", b"HTTP/1.1 304 "];
    if answers_head || is_without.iter().any(|start| bytes.starts_with(start)) {
        return Ok(bytes);
    }
    if field(&bytes, "transfer-encoding").is_some() {
        while !bytes.ends_with(b"\r\n0\r\n\r\n") {
            stream.read_until(b'\n', &mut bytes).await?;
        }
    } else if let Some(length) = field(&bytes, "content-length") {
        let mut body = vec![0; length.parse()?];
        stream.read_exact(&mut body).await?;
        bytes.extend(body);
    }
    Ok(bytes)
}

/// The value of a field in the head of a message, if that is text.
fn field<'m>(message: &'m [u8], name: &str) -> Option<&'m str> {
    let mut lines = message.split(|byte| *byte == b'\n');
    lines.find_map(|line| {
        let (start, value) = line.split_at_checked(name.len())?;
        let value =
            value.strip_prefix(b": ").filter(|_| start.eq_ignore_ascii_case(name.as_bytes()))?;
        Some(str::from_utf8(value).ok()?.trim_end())
    })
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The answer to `request`, of the row `name`, on a connection of its own. Written by hand, because
/// clients hide what they get and choose what they send.
pub async fn http2(port: u16, name: &str, request: &Request) -> Result<Vec<u8>> {
    let mut stream = connect(port).await?;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await?;
    let block = header_block(name, request);
    let pieces: Vec<_> = block.chunks(16_384).collect();
    let body = body(request);
    for (index, piece) in pieces.iter().enumerate() {
        let kind = if index == 0 { HEADERS } else { CONTINUATION };
        let mut flags = if index == 0 && body.is_none() { END_STREAM } else { 0 };
        if index + 1 == pieces.len() {
            flags |= END_HEADERS;
        }
        stream.write_all(&frame(kind, flags, piece)).await?;
    }
    if let Some(body) = body {
        stream.write_all(&frame(DATA, END_STREAM, body)).await?;
    }
    stream.flush().await?;
    let mut answer = Vec::new();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let [a, b, c, kind, flags, ..] = head;
        let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, a, b, c]))?];
        stream.read_exact(&mut payload).await?;
        match kind {
            HEADERS | CONTINUATION | DATA => answer.extend(payload),
            RST_STREAM | GOAWAY => return Err(format!("frame {kind}: {payload:?}").into()),
            _ => continue,
        }
        if kind != CONTINUATION && flags & END_STREAM != 0 {
            return Ok(answer);
        }
    }
}

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    let stream = [0, 0, 0, 1];
    [&length[..], &[kind, flags], &stream, payload].concat()
}

fn header_block(name: &str, request: &Request) -> Vec<u8> {
    let Request { method, scheme, authority, path, headers, .. } = request;
    let pseudo: [(&str, &[u8]); 5] = [
        (":method", method),
        (":scheme", scheme),
        (":authority", authority),
        (":path", path),
        ("x-case", name.as_bytes()),
    ];
    let lines = headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
    let mut block = Vec::new();
    for (name, value) in pseudo.into_iter().chain(lines) {
        // RFC 7541, 6.2.2: a literal without indexing, nothing compressed.
        block.push(0);
        push_text(&mut block, name.as_bytes());
        push_text(&mut block, value);
    }
    block
}

/// RFC 7541, 5.2: the length in a prefix of seven bits, and more bytes if it takes them.
fn push_text(block: &mut Vec<u8>, text: &[u8]) {
    match u8::try_from(text.len()) {
        Ok(length @ ..0x7f) => block.push(length),
        _ => {
            block.push(0x7f);
            let mut rest = text.len() - 0x7f;
            while rest > 0x7f {
                block.push(0x80 | (rest & 0x7f) as u8);
                rest >>= 7;
            }
            block.push(rest as u8);
        }
    }
    block.extend(text);
}
