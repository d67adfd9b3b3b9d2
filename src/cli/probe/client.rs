//! Requests as a browser sends them, to the hosts that were named and no others.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use envoy_cors::browser::Response;
use rustls::crypto::ring;
use ureq::config::Config;
use ureq::http::{Method, Request};
use ureq::tls::{Certificate, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Connector, DefaultConnector, NextTimeout};
use ureq::{Agent, Timeout, http, tls};
use url::{Position, Url};

/// A request and what came of it.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub method: String,
    pub url: Url,
    /// The header lines that were sent, but for those of the connection.
    pub sent: Vec<(String, Vec<u8>)>,
    /// Status and headers, or why there are none, in a clause.
    pub answer: Result<Response, String>,
}

impl Exchange {
    /// The value of a header that was sent.
    pub fn sent(&self, name: &str) -> Option<&[u8]> {
        self.sent.iter().find(|(sent, _)| sent == name).map(|(_, value)| &**value)
    }

    /// The values of the lines of a header of the answer; none if there is none.
    pub fn lines<'e>(&'e self, name: &'e str) -> impl Iterator<Item = &'e [u8]> {
        let headers = self.answer.as_ref().map(|answer| &*answer.headers).unwrap_or_default();
        headers.iter().filter(move |(line, _)| line == name).map(|(_, value)| &**value)
    }

    /// The lines of a header of the answer, joined; `None` without it.
    pub fn value(&self, name: &str) -> Option<String> {
        let lines: Vec<_> = self.lines(name).map(|line| line.escape_ascii().to_string()).collect();
        (!lines.is_empty()).then(|| lines.join(", "))
    }

    pub fn status(&self) -> Option<u16> {
        self.answer.as_ref().ok().map(|answer| answer.status)
    }
}

/// Most bytes of a body that are read. What they say does not matter, but a
/// server that is not heard out logs an error.
const BODY: u64 = 64 * 1024;

/// Longest time for them. Some bodies never end.
const BODY_TIME: Duration = Duration::from_millis(250);

/// How connections are made.
pub struct Settings {
    /// For a connection, TLS included.
    pub connect_timeout: Duration,
    /// For a request, until the end of the answer's headers.
    pub timeout: Duration,
    /// Accept any certificate.
    pub insecure: bool,
    /// Certificates in PEM to trust instead of the system's.
    pub authorities: Option<Vec<u8>>,
    /// Addresses of hosts that are not looked up.
    pub addresses: Vec<Address>,
}

/// `HOST:PORT:ADDRESS`: where to connect instead of asking a name server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub host: String,
    pub port: u16,
    pub address: SocketAddr,
}

pub struct Client {
    agent: Agent,
    named: BTreeSet<(String, u16)>,
}

impl Client {
    /// A client that asks the hosts of these URLs.
    ///
    /// # Errors
    ///
    /// A clause on certificates that cannot be read.
    pub fn new<'u>(
        settings: Settings,
        urls: impl IntoIterator<Item = &'u Url>,
    ) -> Result<Self, String> {
        Self::over(DefaultConnector::default(), settings, urls)
    }

    fn over<'u>(
        connector: impl Connector,
        settings: Settings,
        urls: impl IntoIterator<Item = &'u Url>,
    ) -> Result<Self, String> {
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
            .disable_verification(settings.insecure)
            .root_certs(RootCerts::Specific(Arc::new(trusted(&settings)?)))
            .build();
        let config = Config::builder()
            .tls_config(tls)
            .timeout_connect(Some(settings.connect_timeout))
            .timeout_global(Some(settings.timeout))
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_redirects(0)
            // A variable of the environment must not send requests elsewhere.
            .proxy(None)
            // Every exchange stands for itself.
            .max_idle_connections(0)
            .timeout_recv_body(Some(BODY_TIME))
            .user_agent(concat!("envoy-cors/", env!("CARGO_PKG_VERSION")))
            .accept("*/*")
            .build();
        let resolver = Known { addresses: settings.addresses, others: DefaultResolver::default() };
        let agent = Agent::with_parts(config, connector, resolver);
        Ok(Self { agent, named: urls.into_iter().filter_map(place).collect() })
    }

    /// Whether a URL is on a host that was named. A step from `http` to `https`
    /// on their default ports does not leave the host.
    pub fn may_ask(&self, url: &Url) -> bool {
        let Some((host, port)) = place(url) else { return false };
        let default = |port| port == 80 || port == 443;
        self.named.contains(&(host.clone(), port))
            || (default(port)
                && self.named.iter().any(|(named, port)| *named == host && default(*port)))
    }

    /// Sends a request without a body.
    pub fn ask(&self, method: &str, url: &Url, headers: Vec<(String, Vec<u8>)>) -> Exchange {
        let answer = if self.may_ask(url) {
            self.send(method, url, &headers).map_err(|error| clause(&error))
        } else {
            Err("its host was not named".into())
        };
        Exchange { method: method.into(), url: url.clone(), sent: headers, answer }
    }

    fn send(
        &self,
        method: &str,
        url: &Url,
        headers: &[(String, Vec<u8>)],
    ) -> Result<Response, ureq::Error> {
        let method = Method::from_bytes(method.as_bytes()).map_err(http::Error::from)?;
        // The fragment is the browser's own.
        let mut request = Request::builder().method(method).uri(&url[..Position::AfterQuery]);
        request = request.header("connection", "close");
        for (name, value) in headers {
            request = request.header(name, &**value);
        }
        let mut answer = self.agent.run(request.body(())?)?;
        let body = answer.body_mut().as_reader();
        drop(io::copy(&mut body.take(BODY), &mut io::sink()));
        let headers = answer.headers().iter();
        Ok(Response {
            status: answer.status().as_u16(),
            headers: headers
                .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
                .collect(),
        })
    }
}

fn place(url: &Url) -> Option<(String, u16)> {
    Some((url.host_str()?.to_owned(), url.port_or_known_default()?))
}

fn trusted(settings: &Settings) -> Result<Vec<Certificate<'static>>, String> {
    let mut certificates = Vec::new();
    if let Some(pem) = &settings.authorities {
        for item in parse_pem(pem) {
            match item {
                Ok(tls::PemItem::Certificate(certificate)) => certificates.push(certificate),
                Ok(_) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        if certificates.is_empty() {
            return Err("holds no certificate in PEM (-----BEGIN CERTIFICATE-----)".into());
        }
    } else if !settings.insecure {
        // Without any, each certificate is refused with a message of its own.
        let system = rustls_native_certs::load_native_certs().certs;
        certificates.extend(system.iter().map(|der| Certificate::from_der(der).to_owned()));
    }
    Ok(certificates)
}

/// Looks up the addresses that were not given.
#[derive(Debug)]
struct Known {
    addresses: Vec<Address>,
    others: DefaultResolver,
}

impl Resolver for Known {
    fn resolve(
        &self,
        uri: &http::Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().unwrap_or_default();
        let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(default);
        let known = |known: &&Address| known.host == host && known.port == port;
        match self.addresses.iter().find(known) {
            Some(known) => {
                let mut addresses = self.empty();
                addresses.push(known.address);
                Ok(addresses)
            }
            None => self.others.resolve(uri, config, timeout),
        }
    }
}

/// Why there is no answer, for people.
fn clause(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(Timeout::Connect) => {
            "no connection in time (--connect-timeout)".into()
        }
        ureq::Error::Timeout(Timeout::Resolve) => "no address of the host in time".into(),
        ureq::Error::Timeout(_) => "no answer in time (--timeout)".into(),
        ureq::Error::HostNotFound => "no address of the host is known".into(),
        ureq::Error::Rustls(error) => of_tls(error),
        ureq::Error::Protocol(error) => format!("the answer is not HTTP/1.1: {error}"),
        ureq::Error::LargeResponseHeader(_, limit) => {
            format!("the headers of the answer are longer than {limit} bytes")
        }
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the connection was closed before the answer was complete".into()
        }
        ureq::Error::Io(error) => {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
            inner.map_or_else(|| error.to_string(), of_tls)
        }
        other => other.to_string(),
    }
}

fn of_tls(error: &rustls::Error) -> String {
    let remedy = match error {
        rustls::Error::InvalidCertificate(_) => {
            "; --cacert names an authority to trust, --insecure trusts everybody"
        }
        _ => "",
    };
    format!("TLS failed: {error}{remedy}")
}

impl fmt::Display for Exchange {
    /// The request line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, &self.url[..Position::AfterQuery])
    }
}

#[cfg(test)]
mod tests {
    use std::mem;
    use std::sync::Mutex;

    use ureq::unversioned::transport::{Buffers, ConnectionDetails, LazyBuffers, Transport};

    use super::super::compare::{Compared, Comparison};
    use super::super::endpoint::Endpoint;
    use super::super::outcome::Outcome;
    use super::super::page::Pages;
    use super::super::{html, junit, text};
    use super::*;
    use crate::cli::hostile;

    /// A server that gives every request the same bytes, and ends the connection.
    #[derive(Clone, Debug, Default)]
    struct Server(Arc<Mutex<Vec<u8>>>);

    #[derive(Debug)]
    struct Connection {
        buffers: LazyBuffers,
        left: Vec<u8>,
    }

    impl Connector for Server {
        type Out = Connection;

        fn connect(
            &self,
            _: &ConnectionDetails<'_>,
            _: Option<()>,
        ) -> Result<Option<Connection>, ureq::Error> {
            let left = self.0.lock().unwrap().clone();
            Ok(Some(Connection { buffers: LazyBuffers::new(2048, 2048), left }))
        }
    }

    impl Transport for Connection {
        fn buffers(&mut self) -> &mut dyn Buffers {
            &mut self.buffers
        }

        fn transmit_output(&mut self, _: usize, _: NextTimeout) -> Result<(), ureq::Error> {
            Ok(())
        }

        fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
            let room = self.buffers.input_append_buf();
            let amount = room.len().min(self.left.len());
            room[..amount].copy_from_slice(&self.left[..amount]);
            self.left.drain(..amount);
            self.buffers.input_appended(amount);
            Ok(amount > 0)
        }

        fn is_open(&mut self) -> bool {
            false
        }
    }

    fn endpoint() -> Endpoint {
        let url = |path| Url::parse("http://api.example.com").unwrap().join(path).unwrap();
        Endpoint {
            name: "/items".into(),
            url: url("/items"),
            origins: vec!["http://app.example.com".into()],
            public: false,
            methods: vec!["PUT".into()],
            headers: vec![("content-type".into(), b"application/json".to_vec())],
            credentials: true,
            reads: vec!["x-request-id".into()],
            refused: Vec::new(),
            not_found: Some(url("/none")),
            unauthorized: None,
            allowed: Vec::new(),
        }
    }

    /// Whether a report can be printed, or is well-formed XML.
    fn check(write: impl Fn(&mut Vec<u8>) -> io::Result<()>, is_xml: bool) {
        let mut bytes = Vec::new();
        write(&mut bytes).unwrap();
        if is_xml {
            let text = std::str::from_utf8(&bytes).unwrap();
            let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
            let document = roxmltree::Document::parse_with_options(text, options).unwrap();
            assert!(!document.descendants().any(|node| node.has_tag_name("script")));
        } else {
            hostile::check_shown(&bytes);
        }
    }

    #[test]
    fn an_answer_never_panics() {
        const WORDS: &[&str] = &[
            "\r\n\r\n",
            "\r\nLocation: /items\r\n",
            "\r\nLocation: //stranger.example\r\n",
            "\r\nContent-Length: ",
            "\r\nTransfer-Encoding: chunked\r\n",
            "\r\nAccess-Control-Allow-Origin: ",
            "\r\nAccess-Control-Allow-Methods: *\r\n",
            "\r\nAccess-Control-Allow-Headers: *\r\n",
            "\r\nAccess-Control-Max-Age: ",
            "\r\nVary: ",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 403 \r\n",
            "http://app.example.com",
            "<script>",
            "]]>",
        ];
        let (server, url) = (Server::default(), endpoint().url);
        let host = url.host_str().unwrap().to_owned();
        let address = Address { host, port: 80, address: ([127, 0, 0, 1], 80).into() };
        let settings = Settings {
            connect_timeout: Duration::from_secs(60),
            timeout: Duration::from_secs(60),
            insecure: true,
            authorities: None,
            addresses: vec![address],
        };
        let client = Client::over(server.clone(), settings, [&url]).unwrap();
        let pages = Pages { client: &client, cookie: Some("session=1"), send_unsafe: true };
        let grant = "Access-Control-Allow-Origin: http://app.example.com\r\nAccess-Control-Allow-Credentials: true";
        let lists = "Access-Control-Allow-Methods: PUT, DELETE\r\nAccess-Control-Allow-Headers: content-type";
        let samples = [
            format!("HTTP/1.1 200 OK\r\n{grant}\r\n{lists}\r\nVary: Origin\r\nContent-Length: 2\r\n\r\nok"),
            format!("HTTP/1.1 204 No Content\r\n{grant}\r\n{lists}\r\nAccess-Control-Max-Age: 600\r\n\r\n"),
            format!("HTTP/1.1 302 Found\r\n{grant}\r\n{lists}\r\nLocation: /elsewhere\r\n\r\n"),
            "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: *\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n".into(),
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nServer: x\r\nCache-Control: max-age=60\r\n\r\n".into(),
        ];
        let endpoint = &endpoint();
        let mut last = Err(String::new());
        hostile::each(&hostile::samples(samples), WORDS, |bytes| {
            bytes.clone_into(&mut server.0.lock().unwrap());
            // Strangers get the same answers, and take longer than all others.
            let observed = pages.observe(endpoint, bytes.len().is_multiple_of(16));
            let is_answered = observed.is_ok();
            match bytes.len() % 8 {
                0 => last = observed,
                kind @ 1..4 => {
                    let last = mem::replace(&mut last, Err(String::new()));
                    let compared = Compared::new([endpoint; 2], [last, observed]);
                    let bases = ["http://a.example".into(), "http://b.example".into()];
                    let comparison = Comparison { bases, endpoints: vec![compared] };
                    match kind {
                        1 => check(|to| comparison.write_text(to), false),
                        2 => check(|to| junit::write_comparison(&comparison, to), true),
                        _ => check(|to| html::write_comparison(&comparison, to), true),
                    }
                }
                kind => {
                    let outcomes = &[Outcome::new(endpoint, observed)];
                    match kind {
                        4 => check(|to| junit::write(outcomes, to), true),
                        5 => check(|to| html::write(outcomes, to), true),
                        _ => check(|to| text::write(outcomes, to), false),
                    }
                }
            }
            is_answered
        });
    }
}
