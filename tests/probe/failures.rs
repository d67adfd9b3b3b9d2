//! Servers that do not answer, and arguments that are wrong.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned, crypto::ring};

use crate::server::{Server, read, reply};
use crate::{UNKNOWN, probe};

const ORIGIN: &str = "--origin=https://app.example.com";
const HASTE: &str = "--timeout=0.3";

/// What `probe` says of a server, on standard error and without its URL.
fn complaint(url: &str, arguments: &[&str]) -> String {
    let (status, printed, complaint) = probe(&[&[url, ORIGIN], arguments].concat());
    assert_eq!(status, 2, "{printed}{complaint}");
    assert!(printed.contains("not probed: "), "{printed}");
    let complaint = complaint.strip_prefix(&format!("envoy-cors: {url}: ")).unwrap();
    complaint.trim_end().to_owned()
}

#[test]
fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let said = complaint(&url, &[]);
    assert!(said.contains("Connection refused"), "{said}");
}

#[test]
fn there_is_no_such_host() {
    let said = complaint(&format!("{UNKNOWN}/"), &[]);
    assert!(said.starts_with("failed to lookup address information"), "{said}");
}

#[test]
fn a_server_that_says_nothing() {
    let server = Server::serve(|_, _| thread::park());
    assert_eq!(complaint(&format!("{}/", server.url()), &[HASTE]), "no answer in time (--timeout)");
    assert_eq!(server.asked().len(), 1, "it was asked again");
}

#[test]
fn a_server_that_says_it_slowly() {
    let server = Server::serve(|_, stream| {
        for byte in
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: ".iter().chain([b'x'; 5_000].iter())
        {
            if stream.write_all(&[*byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    });
    assert_eq!(complaint(&format!("{}/", server.url()), &[HASTE]), "no answer in time (--timeout)");
}

#[test]
fn headers_without_end() {
    for (line, said) in [
        ("X: 0\r\n", "the answer is not HTTP/1.1: http parse resulted in too many headers"),
        ("0123456789", "the headers of the answer are longer than 65536 bytes"),
    ] {
        let server = Server::serve(move |_, stream| {
            let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ");
            while sent.is_ok() {
                sent = stream.write_all(line.as_bytes());
            }
        });
        assert_eq!(complaint(&format!("{}/", server.url()), &[]), said);
    }
}

#[test]
fn garbage() {
    for bytes in
        [&b"SSH-2.0-OpenSSH_9.2\r\n\r\n"[..], b"\0\x01\x02\r\n\r\n", b"HTTP/1.1 abc OK\r\n\r\n"]
    {
        let server = Server::start(move |_| bytes.to_vec());
        let said = complaint(&format!("{}/", server.url()), &[]);
        assert!(said.starts_with("the answer is not HTTP/1.1: "), "{said}");
    }
}

#[test]
fn an_answer_that_ends_early() {
    for bytes in [&b""[..], b"HTTP/1.1 200 OK\r\nContent-Le"] {
        let server = Server::start(move |_| bytes.to_vec());
        let said = complaint(&format!("{}/", server.url()), &[]);
        assert_eq!(said, "the connection was closed before the answer was complete");
    }
}

#[test]
fn bodies_without_end_are_no_obstacle() {
    let bodies: [fn(&mut std::net::TcpStream) -> std::io::Result<()>; 3] = [
        // As fast as it can.
        |stream| loop {
            stream.write_all(&[b'x'; 4096])?;
        },
        // An event a minute.
        |stream| {
            stream.write_all(b"data: 1\n\n")?;
            thread::park();
            Ok(())
        },
        // None.
        |_| {
            thread::park();
            Ok(())
        },
    ];
    for body in bodies {
        let server = Server::serve(move |asked, stream| {
            let origin = asked.origin();
            let head = format!(
                "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: {origin}\r\nVary: Origin\r\n\r\n"
            );
            drop(stream.write_all(head.as_bytes()).and_then(|()| body(stream)));
        });
        let (status, printed, _) = probe(&[&server.url(), ORIGIN, "--no-strangers"]);
        assert_eq!(status, 0, "{printed}");
    }
}

#[test]
fn one_url_that_fails_does_not_stop_the_others() {
    let server = Server::start(|_| reply(200, &[]));
    for format in ["text", "json", "junit", "html"] {
        let format = format!("--format={format}");
        let (status, printed, complaints) = probe(&[UNKNOWN, &server.url(), ORIGIN, &format]);
        assert_eq!(status, 2);
        assert!(printed.contains("no response has a CORS header"), "{printed}");
        assert!(printed.contains("failed to lookup address"), "{printed}");
        assert_eq!(complaints.lines().count(), 1, "{complaints}");
    }
}

/// Answers over TLS, with a certificate for `localhost` that nobody has signed.
/// Gives the port, and the certificate in PEM.
fn start_tls() -> (u16, String) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream.unwrap());
            if let Some(asked) = read(&mut stream) {
                let grant = ("Access-Control-Allow-Origin", asked.origin());
                let answer = reply(200, &[grant, ("Vary", "Origin")]);
                drop(stream.write_all(&answer));
                stream.conn.send_close_notify();
                drop(stream.flush());
            }
        }
    });
    (port, cert.pem())
}

#[test]
fn certificates_are_checked() {
    let (port, pem) = start_tls();
    let url = format!("https://localhost:{port}/");
    let said = complaint(&url, &["--no-strangers"]);
    assert!(said.starts_with("TLS failed: invalid peer certificate: "), "{said}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, pem).unwrap();
    let trusted = format!("--cacert={}", file.display());
    for argument in [&*trusted, "--insecure"] {
        let (status, printed, complaints) = probe(&[&url, ORIGIN, "--no-strangers", argument]);
        assert_eq!((status, &*complaints), (0, ""), "{argument}: {printed}");
    }

    // It is not for this name.
    let url = format!("https://api.example.com:{port}/");
    let place = format!("--resolve=api.example.com:{port}:127.0.0.1");
    let said = complaint(&url, &["--no-strangers", &trusted, &place]);
    assert!(said.contains("not valid for name"), "{said}");
}

#[test]
fn a_server_without_tls() {
    let server = Server::serve(|_, _| {});
    let said = complaint(&format!("https://{}/", server.address), &[HASTE]);
    assert!(!said.is_empty(), "{said}");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
            drop(stream.read(&mut [0; 1024]));
        }
    });
    let said = complaint(&url, &[]);
    assert!(said.starts_with("TLS failed: "), "{said}");
}

#[test]
fn arguments_that_are_wrong() {
    for (arguments, said) in [
        (&["/items"][..], "/items: it is a path; write a whole URL, or say what it is relative to"),
        (&["api.example.com"], "api.example.com: it is no URL; write a whole one"),
        (&["/items", "--compare", "https://a.example"], "2 values required"),
        (
            &["https://a.example/", "--compare", "https://a.example", "https://b.example"],
            "write a path",
        ),
        (&["ftp://a.example/"], "only http and https can be probed"),
        (&["https://user:pw@a.example/"], "take it out"),
        (
            &["https://a.example/", "--origin=https://app.example.com/"],
            "an origin does not end in a slash",
        ),
        (&["https://a.example/", "--origin=app.example.com"], "an origin begins with a scheme"),
        (&["https://a.example/", "--header=: x"], "write `NAME: VALUE`"),
        (&["https://a.example/", "--method=P UT"], "it is no method"),
        (&["https://a.example/", "--timeout=0"], "write a number above 0"),
        (&["https://a.example/", "--timeout=1e300"], "write a number above 0"),
        (&["https://a.example/", "--timeout=1e-300"], "write a number above 0"),
        (
            &["https://a.example/", "--resolve=a.example:443"],
            "write it as in api.example.com:443:127.0.0.1",
        ),
        (&["https://a.example/", "--allow=no-such-rule"], "there is no such rule"),
        (
            &["https://a.example/", "--cookie=a=b"],
            "--cookie: browsers send it with credentials only",
        ),
        (&["https://a.example/", "--public", "--credentials"], "cannot be used with"),
        (&["https://a.example/", "--not-found=none"], "begin it with a slash"),
        (&["https://a.example/", "--not-found=//b.example/"], "is no path"),
        (&["https://a.example/", "--cacert=/no/such/file"], "/no/such/file: No such file"),
        (&["https://a.example/", "--cacert=Cargo.toml"], "Cargo.toml: holds no certificate"),
        (&[], "<URL>"),
    ] {
        let (status, printed, complaint) = probe(arguments);
        assert_eq!((status, &*printed), (2, ""), "{arguments:?}");
        assert!(complaint.contains(said), "{arguments:?}: {complaint}");
    }
}
