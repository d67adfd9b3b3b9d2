//! A pasted curl command, as browsers' developer tools copy it and as people
//! write it.

use lexopt::Arg;

use super::pasted::Pasted;
use super::shell;

/// Options with a value that say nothing about CORS.
const IGNORED_WITH_VALUE: &[&str] = &[
    "cacert",
    "capath",
    "cert",
    "connect-timeout",
    "connect-to",
    "cookie-jar",
    "dump-header",
    "interface",
    "key",
    "limit-rate",
    "max-redirs",
    "max-time",
    "noproxy",
    "output",
    "proxy",
    "resolve",
    "retry",
    "retry-delay",
    "retry-max-time",
    "stderr",
    "tls-max",
    "trace",
    "trace-ascii",
    "unix-socket",
    "write-out",
];

const IGNORED: &[&str] = &[
    "basic",
    "compressed",
    "fail",
    "fail-with-body",
    "globoff",
    "http1.0",
    "http1.1",
    "http2",
    "http2-prior-knowledge",
    "http3",
    "include",
    "insecure",
    "ipv4",
    "ipv6",
    "location",
    "no-buffer",
    "no-progress-meter",
    "path-as-is",
    "progress-bar",
    "remote-name",
    "show-error",
    "silent",
    "ssl-no-revoke",
    "tlsv1.2",
    "tlsv1.3",
    "verbose",
];

/// The long name of a short option.
fn long_name(short: char) -> Option<&'static str> {
    Some(match short {
        '#' => "progress-bar",
        '0' => "http1.0",
        '4' => "ipv4",
        '6' => "ipv6",
        'A' => "user-agent",
        'b' => "cookie",
        'c' => "cookie-jar",
        'd' => "data",
        'D' => "dump-header",
        'e' => "referer",
        'E' => "cert",
        'f' => "fail",
        'F' => "form",
        'g' => "globoff",
        'G' => "get",
        'H' => "header",
        'i' => "include",
        'I' => "head",
        'k' => "insecure",
        'L' => "location",
        'm' => "max-time",
        'N' => "no-buffer",
        'o' => "output",
        'O' => "remote-name",
        'r' => "range",
        's' => "silent",
        'S' => "show-error",
        'T' => "upload-file",
        'u' => "user",
        'v' => "verbose",
        'w' => "write-out",
        'x' => "proxy",
        'X' => "request",
        _ => return None,
    })
}

/// Reads a command line as a shell would, and then as curl would.
///
/// # Errors
///
/// What is not a curl command at all, with what to paste instead. What is not
/// understood of one stands in the result.
pub fn parse(text: &str) -> Result<Pasted, String> {
    if text.contains("^\"") {
        return Err("this is written for Windows' cmd; choose \"Copy as cURL (bash)\"".to_owned());
    }
    let words = shell::split(text).ok_or("a quote is not closed; paste the whole command")?;
    from_words(words)
}

/// Reads a command whose words a shell has split already.
///
/// # Errors
///
/// As [`parse`].
pub fn from_words(words: Vec<String>) -> Result<Pasted, String> {
    const ENDS: [&str; 7] = ["|", "||", "&&", "&", ";", ">", "2>"];
    let words = words.into_iter().skip_while(|word| word == "$");
    let mut words = words.take_while(|word| !ENDS.contains(&word.as_str()));
    match words.next() {
        Some(word) if word == "curl" || word.ends_with("/curl") || word == "curl.exe" => {}
        Some(word) => return Err(format!("this begins with {word:?}; paste a curl command")),
        None => return Err("there is nothing; paste a curl command".to_owned()),
    }
    let mut command = Command::default();
    let mut parser = lexopt::Parser::from_args(words);
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        let (name, written) = match argument {
            Arg::Value(url) => {
                command.url(url.to_string_lossy().into_owned());
                continue;
            }
            Arg::Long(name) => (name.to_owned(), format!("--{name}")),
            Arg::Short(short) => {
                (long_name(short).unwrap_or_default().to_owned(), format!("-{short}"))
            }
        };
        let mut value = || parser.value().map(|value| value.to_string_lossy().into_owned());
        if takes_value(&name) {
            let value =
                value().map_err(|_| format!("{written} has no value; paste the whole command"))?;
            command.option(&name, &value);
        } else if !command.flag(&name) {
            command.pasted.not_understood.push(written);
            // Whether it takes a value is not known: `-a=b` would.
            let _ = parser.optional_value();
        }
    }
    Ok(command.finish())
}

fn takes_value(name: &str) -> bool {
    const TAKEN: [&str; 17] = [
        "cookie",
        "data",
        "data-ascii",
        "data-binary",
        "data-raw",
        "data-urlencode",
        "form",
        "form-string",
        "header",
        "json",
        "oauth2-bearer",
        "range",
        "referer",
        "request",
        "upload-file",
        "url",
        "user",
    ];
    TAKEN.contains(&name) || name == "user-agent" || IGNORED_WITH_VALUE.contains(&name)
}

/// What the options before add up to.
#[derive(Default)]
struct Command {
    pasted: Pasted,
    /// The `Content-Type` of the body, if there is one.
    body: Option<&'static str>,
    head: bool,
    get: bool,
    upload: bool,
}

impl Command {
    fn url(&mut self, url: String) {
        if self.pasted.url.is_none() {
            let whole = url.contains("://");
            self.pasted.url = Some(if whole { url } else { format!("http://{url}") });
        } else {
            self.pasted.not_understood.push(format!("a second URL, {url}"));
        }
    }

    fn header(&mut self, name: &str, value: &str) {
        self.pasted.headers.push((name.to_owned(), value.to_owned()));
    }

    fn option(&mut self, name: &str, value: &str) {
        match name {
            "url" => self.url(value.to_owned()),
            "request" => self.pasted.method = Some(value.to_owned()),
            "header" => match value.split_once(':') {
                // `Name:` takes one of curl's own away, `Name;` sends an empty one.
                Some((_, "")) => {}
                Some((name, value)) => self.header(name, value.trim()),
                None => match value.strip_suffix(';') {
                    Some(name) => self.header(name, ""),
                    None => self.pasted.not_understood.push(format!("-H {value}")),
                },
            },
            "cookie" => self.header("cookie", value),
            "referer" => self.header("referer", value),
            "user-agent" => self.header("user-agent", value),
            "range" => self.header("range", &format!("bytes={value}")),
            "user" => self.header("authorization", "Basic …"),
            "oauth2-bearer" => self.header("authorization", "Bearer …"),
            "upload-file" => self.upload = true,
            "json" => {
                self.body = Some("application/json");
                if !self.has("accept") {
                    self.header("accept", "application/json");
                }
            }
            "form" | "form-string" => self.body = Some("multipart/form-data"),
            _ if name.starts_with("data") => {
                self.body = self.body.or(Some("application/x-www-form-urlencoded"));
            }
            _ => {}
        }
    }

    /// Whether an option without a value is known.
    fn flag(&mut self, name: &str) -> bool {
        match name {
            "head" => self.head = true,
            "get" => self.get = true,
            _ => return IGNORED.contains(&name),
        }
        true
    }

    fn has(&self, name: &str) -> bool {
        self.pasted.headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name))
    }

    fn finish(mut self) -> Pasted {
        let body = self.body.filter(|_| !self.get);
        if let Some(content_type) = body
            && !self.has("content-type")
        {
            self.header("content-type", content_type);
        }
        let method = match body {
            _ if self.head => "HEAD",
            _ if self.upload => "PUT",
            Some(_) => "POST",
            None => "GET",
        };
        self.pasted.method.get_or_insert_with(|| method.to_owned());
        self.pasted
    }
}
