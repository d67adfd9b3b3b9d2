//! The client: one request over HTTP/1.1 or HTTP/2, with any bytes in its header values.

use std::error::Error;
use std::sync::LazyLock;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::ext::Protocol as Extended;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::table::Request;

pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;
pub type Outgoing = hyper::Request<Full<Bytes>>;

/// What came back. A WebSocket handshake that succeeded has status 101 over HTTP/2 too.
pub struct Response {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Protocol {
    Http1,
    Http2,
}

static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Runtime::new().unwrap());

/// Runs `future` to its end, or for as long as anything here may take.
pub fn run<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    RUNTIME.block_on(async { tokio::time::timeout(Duration::from_secs(20), future).await? })
}

pub fn spawn<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    RUNTIME.spawn(future)
}

/// The answer of whoever listens on `port` to one request on a connection of its own.
pub fn send(port: u16, protocol: Protocol, request: Outgoing) -> Result<Response> {
    run(
        async move { exchange(TcpStream::connect(("127.0.0.1", port)).await?, protocol, request).await },
    )
}

/// What the Envoy whose admin interface is the socket `admin` answers. A change takes a POST.
pub fn ask_admin(admin: &str, method: Method, path: &str) -> Result<String> {
    let request = hyper::Request::builder().method(method).uri(path).header("host", "admin");
    let request = request.body(Full::default())?;
    let answer = run(async move {
        exchange(UnixStream::connect(admin).await?, Protocol::Http1, request).await
    })?;
    if answer.status != 200 {
        return Err(format!("{path}: {}", answer.status).into());
    }
    Ok(String::from_utf8(answer.body.to_vec())?)
}

async fn exchange<S>(stream: S, protocol: Protocol, request: Outgoing) -> Result<Response>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    match protocol {
        Protocol::Http1 => {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            spawn(async { drop(connection.with_upgrades().await) });
            received(sender.send_request(request).await?).await
        }
        Protocol::Http2 => Http2::over(stream).await?.send(request).await,
    }
}

/// A connection that several requests share.
pub struct Http2(hyper::client::conn::http2::SendRequest<Full<Bytes>>);

impl Http2 {
    pub async fn to(port: u16) -> Result<Self> {
        Self::over(TcpStream::connect(("127.0.0.1", port)).await?).await
    }

    async fn over<S>(stream: S) -> Result<Self>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await?;
        spawn(async { drop(connection.await) });
        Ok(Self(sender))
    }

    pub async fn send(&self, request: Outgoing) -> Result<Response> {
        let handshake = request.extensions().get::<Extended>().is_some();
        let mut response = received(self.0.clone().send_request(request).await?).await?;
        if handshake && response.status == 200 {
            response.status = 101;
        }
        Ok(response)
    }
}

pub async fn received(response: hyper::Response<Incoming>) -> Result<Response> {
    let (head, body) = response.into_parts();
    // What follows a handshake has no end.
    let body = match head.status.as_u16() {
        101 => Bytes::new(),
        _ => body.collect().await?.to_bytes(),
    };
    Ok(Response { status: head.status.as_u16(), headers: head.headers, body })
}

/// A row's request as `protocol` sends it, and one more header that tells upstream which row it is.
pub fn request(row: &Request, id: &str, protocol: Protocol) -> Result<Outgoing> {
    let mut request = hyper::Request::new(Full::new(Bytes::from(row.body.clone())));
    *request.method_mut() = Method::from_bytes(&row.method)?;
    *request.uri_mut() = uri(row, protocol)?;
    let mut lines = vec![("x-case", id.as_bytes())];
    lines.extend(row.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
    if protocol == Protocol::Http1 {
        lines.push(("host", &row.authority));
    } else if row.headers.iter().any(|(name, _)| name == "upgrade") {
        // RFC 8441: the same handshake in the form that HTTP/2 has for it.
        *request.method_mut() = Method::CONNECT;
        request.extensions_mut().insert(Extended::from_static("websocket"));
        lines.retain(|(name, _)| !["connection", "upgrade", "sec-websocket-key"].contains(name));
    }
    for (name, value) in lines {
        request.headers_mut().append(HeaderName::try_from(name)?, HeaderValue::from_bytes(value)?);
    }
    Ok(request)
}

fn uri(row: &Request, protocol: Protocol) -> Result<Uri> {
    let uri = match protocol {
        Protocol::Http1 => Uri::try_from(row.path.as_slice())?,
        Protocol::Http2 => {
            let start = Uri::builder().scheme("http").authority(row.authority.as_slice());
            start.path_and_query(row.path.as_slice()).build()?
        }
    };
    // A fragment is dropped without a word.
    let kept = uri.path_and_query().is_some_and(|it| row.path.ends_with(it.as_str().as_bytes()));
    if kept { Ok(uri) } else { Err("the path would not be sent as it is".into()) }
}
