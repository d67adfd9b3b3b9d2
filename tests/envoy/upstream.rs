//! The upstream: answers each request with what its row says, and tells what it got.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use crate::client::{Result, run, spawn};
use crate::table::Reply;

/// Answers by the name of the row, until the process ends. Returns the port.
pub fn start(replies: HashMap<String, Reply>) -> Result<u16> {
    let listener = run(async { Ok(TcpListener::bind(("127.0.0.1", 0)).await?) })?;
    let port = listener.local_addr()?.port();
    let replies = Arc::new(replies);
    spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            spawn(serve(stream, Arc::clone(&replies)));
        }
    });
    Ok(port)
}

async fn serve(stream: TcpStream, replies: Arc<HashMap<String, Reply>>) {
    let service = hyper::service::service_fn(move |request| {
        let reply = reply_to(&request, &replies);
        async move { Ok::<_, Infallible>(reply) }
    });
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // A client may hang up at any time.
    drop(connection.with_upgrades().await);
}

fn reply_to(
    request: &Request<Incoming>,
    replies: &HashMap<String, Reply>,
) -> Response<Full<Bytes>> {
    let row = request.headers().get("x-case").and_then(|id| str::from_utf8(id.as_bytes()).ok());
    let reply = row.and_then(|id| replies.get(id)).cloned().unwrap_or_default();
    let mut response = Response::new(Full::default());
    if reply.status == 200 {
        *response.body_mut() = Full::from(told(request));
    }
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap();
    let headers = response.headers_mut();
    headers.insert("x-upstream", HeaderValue::from_static("reached"));
    if reply.status == 101 {
        headers.insert("connection", HeaderValue::from_static("upgrade"));
        headers.insert("upgrade", HeaderValue::from_static("websocket"));
    }
    for (name, value) in reply.headers {
        headers
            .append(HeaderName::try_from(name).unwrap(), HeaderValue::from_bytes(&value).unwrap());
    }
    response
}

fn told(request: &Request<Incoming>) -> String {
    let head = format!("{} {}\n", request.method(), request.uri());
    let lines = request.headers().iter();
    head + &lines
        .map(|(name, value)| format!("{name}: {}\n", value.as_bytes().escape_ascii()))
        .collect::<String>()
}
