//! A client that keeps its connection for as long as it is allowed to.

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::CONNECTION;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::client::{Outgoing, Protocol, Response, Result, received, spawn};

type Body = Full<Bytes>;

pub struct KeepAlive {
    port: u16,
    pub protocol: Protocol,
    connection: Option<Connection>,
    /// How many connections it took so far.
    pub opened: usize,
}

enum Connection {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

impl KeepAlive {
    pub fn new(port: u16, protocol: Protocol) -> Self {
        Self { port, protocol, connection: None, opened: 0 }
    }

    /// The answer to `request`. A connection that ends otherwise than by `Connection: close` or
    /// GOAWAY is an error.
    pub async fn ask(&mut self, mut request: Outgoing) -> Result<Response> {
        loop {
            let mut connection = self.connection().await?;
            let error = match connection.send(request).await {
                Ok(response) => {
                    let response = received(response).await?;
                    let close = response.headers.get(CONNECTION).is_some_and(|it| it == "close");
                    self.connection = (!close).then_some(connection);
                    return Ok(response);
                }
                Err(error) => error,
            };
            // Over HTTP/2 a GOAWAY may come before it is sent, over HTTP/1.1 nothing.
            match error {
                (_, Some(unsent)) if self.protocol == Protocol::Http2 => request = unsent,
                (error, _) => return Err(error.into()),
            }
        }
    }

    async fn connection(&mut self) -> Result<Connection> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        self.opened += 1;
        let stream = TokioIo::new(TcpStream::connect(("127.0.0.1", self.port)).await?);
        Ok(match self.protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(stream).await?;
                spawn(connection);
                Connection::Http1(sender)
            }
            Protocol::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
                spawn(connection);
                Connection::Http2(sender)
            }
        })
    }
}

impl Connection {
    /// Gives back a request that was not sent.
    async fn send(
        &mut self,
        request: Outgoing,
    ) -> std::result::Result<hyper::Response<Incoming>, (hyper::Error, Option<Outgoing>)> {
        let ready = match self {
            Self::Http1(sender) => sender.ready().await,
            Self::Http2(sender) => sender.ready().await,
        };
        if let Err(error) = ready {
            return Err((error, Some(request)));
        }
        let sent = match self {
            Self::Http1(sender) => sender.try_send_request(request).await,
            Self::Http2(sender) => sender.try_send_request(request).await,
        };
        sent.map_err(|mut error| {
            let unsent = error.take_message();
            (error.into_error(), unsent)
        })
    }
}
