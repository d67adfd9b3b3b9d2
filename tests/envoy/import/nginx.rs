//! What `envoy-cors import` makes of an `Ingress`, beside nginx with what the template of
//! ingress-nginx makes of it: `nginx.conf` of each folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::compare::{
    ACAC, ACAH, ACAM, ACAO, ACMA, Difference, Exchange, Finding, Known, is_ambiguous, path_of,
};
use super::requests::{matches, serialized};
use super::{Case, Replies, exchanges, folders};
use crate::bootstrap::of_listeners;
use crate::client::Result;
use crate::process::Envoy;
use crate::{table, upstream};

pub fn trial() -> Trial {
    Trial::test("imported policies, beside nginx", || {
        let folders = folders("ingress-nginx");
        let cases = folders.iter().cloned().map(Case::of).collect::<Result<Vec<_>>>()?;
        let cases: Vec<Case> = cases.into_iter().flatten().collect();
        assert_eq!(cases.len(), folders.len());
        let replies = Replies::of(&cases);
        let listeners: Vec<Value> = cases.iter().map(Case::imported).collect();
        let port = upstream::start(replies.all.clone())?;
        let envoy = Envoy::start(of_listeners(&listeners, port), 1)?;
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let (mut unexplained, mut count) = (Vec::new(), 0);
        for (case, folder) in cases.iter().zip(&folders) {
            let nginx = Nginx::start(&folder.join("nginx.conf"), port)?;
            let ports = [nginx.port, envoy.port(&case.listener_name("imported"))];
            let mut exchanges = exchanges(ports, case.texts.requests(), &replies)?;
            let more = case.more(&exchanges);
            exchanges.extend(super::exchanges(ports, more, &replies)?);
            count += exchanges.len();
            let known = Known::of(&case.texts, &case.findings, &exchanges);
            let reasons = |exchange: &Exchange, difference: &Difference| {
                reasons(case, &known, exchange, difference)
            };
            unexplained.extend(case.unexplained(&exchanges, &mut seen, reasons));
        }
        super::conclude(&cases, count, &seen, &unexplained).map_err(Failed::from)
    })
}

/// What nginx has to do with CORS, in the words of Envoy's configuration: it tells what to ask.
pub fn read(file: &Path) -> Value {
    let text = fs::read_to_string(file).unwrap();
    let (mut hosts, mut said) = (Vec::new(), Vec::new());
    for line in text.lines().map(str::trim) {
        let quoted = || line.split('"').skip(1).step_by(2);
        if line.starts_with("server_name ") {
            let domains: Vec<String> = quoted().filter_map(domain).collect();
            hosts.push(json!({ "domains": domains, "routes": [] }));
        } else if let Some(rest) = line.strip_prefix("location ") {
            let routes = hosts.last_mut().unwrap()["routes"].as_array_mut().unwrap();
            let text = quoted().next().unwrap();
            routes.push(json!({ "match": location(rest.split('"').next().unwrap(), text) }));
        } else if let Some(rest) = line.strip_prefix("if ($http_origin ~* (") {
            let origin = rest.split(")$ )").next().unwrap();
            let matcher = json!({ "regex": format!(".*({origin})") });
            let matcher = json!({ "safe_regex": matcher, "ignore_case": true });
            said.push(json!({ "allow_origin_string_match": [matcher] }));
        } else if line == "set $http_origin *;" {
            said.push(json!({ "allow_origin_string_match": [{ "exact": "*" }] }));
        } else if let Some(rest) = line.strip_prefix("more_set_headers 'Access-Control-Allow-") {
            let (name, value) = rest.trim_end_matches("';").split_once(": ").unwrap();
            if ["Methods", "Headers"].contains(&name) {
                said.push(json!({ format!("allow_{}", name.to_lowercase()): value }));
            }
        }
    }
    json!({ "virtual_hosts": hosts, "said": said })
}

/// How a location compares a path.
fn location(modifier: &str, text: &str) -> Value {
    let text = text.replace(r"\\", r"\");
    match modifier.trim() {
        "=" => json!({ "path": text }),
        "~*" if text.contains(['(', '[']) => {
            json!({ "safe_regex": { "regex": format!("{text}.*") } })
        }
        _ => json!({ "prefix": text.trim_start_matches('^') }),
    }
}

/// A host, or a wildcard; no other expression.
fn domain(name: &str) -> Option<String> {
    let Some(expression) = name.strip_prefix('~') else {
        return Some(if name == "_" { "*" } else { name }.to_owned());
    };
    let below = expression.strip_prefix(r"^(?<subdomain>[\w-]+)\.")?;
    Some(format!("*.{}", below.trim_end_matches('$').replace('\\', "")))
}

/// A running nginx, ended whatever happens.
struct Nginx {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Nginx {
    /// Debian's, with the servers of a file.
    fn start(servers: &Path, upstream: u16) -> Result<Self> {
        let program = unpacked("nginx")?.join("usr/sbin/nginx");
        let module = unpacked("libnginx-mod-http-headers-more-filter")?
            .join("usr/lib/nginx/modules/ngx_http_headers_more_filter_module.so");
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let at = |name: &str| folder.path().join(name);
        fs::copy(servers, at("servers.conf"))?;
        fs::write(at("listen.conf"), format!("listen 127.0.0.1:{port} http2;\n"))?;
        let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {};", at(name).display()));
        let config = format!(
            "load_module {};\ndaemon off;\nmaster_process off;\npid {};\nevents {{}}\nhttp {{\n\
             access_log off;\nkeepalive_requests 1000000;\n{}\nupstream upstream {{ server 127.0.0.1:{upstream}; }}\n\
             include servers.conf;\n}}\n",
            module.display(),
            at("pid").display(),
            paths.join("\n"),
        );
        fs::write(at("nginx.conf"), config)?;
        let log = File::create(at("log"))?;
        let mut child = Command::new(program)
            .arg("-c")
            .arg(at("nginx.conf"))
            .args(["-e", "stderr"])
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let start = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if child.try_wait()?.is_some() || start.elapsed() > Duration::from_secs(30) {
                drop(child.kill());
                let log = fs::read_to_string(at("log"))?;
                return Err(format!("nginx does not start:\n{log}").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Self { child, port, _folder: folder })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The folder of a Debian package.
fn unpacked(package: &str) -> Result<PathBuf> {
    let script = table::tests().join("install-deb");
    let output = Command::new(script).arg(package).output()?;
    if !output.status.success() {
        return Err(format!("{package}: {}", output.stderr.escape_ascii()).into());
    }
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim_end()))
}

/// The ids that say why both answers differ so; one, if all is well.
fn reasons<'k>(
    case: &'k Case,
    known: &Known<'k>,
    exchange: &Exchange,
    difference: &Difference,
) -> BTreeSet<&'k str> {
    let (asked, field) = (&exchange.asked, difference.field);
    let native = &exchange.native;
    let by_nginx = !native.is_from_upstream();
    let is_far_below = |domain: &String| {
        let wildcard = domain.strip_prefix('*').filter(|rest| !rest.is_empty());
        let label = wildcard.and_then(|rest| asked.target.host.strip_suffix(rest));
        label.is_some_and(|label| label.contains('.'))
    };
    if field == "vary" && known.is_vary(exchange) {
        return ["vary"].into();
    }
    if is_ambiguous(path_of(&asked.target)) {
        return ["ambiguous-paths"].into();
    }
    if case.texts.sites.iter().flat_map(|it| &it.domains).any(is_far_below) {
        return case.rules(["one-label"]);
    }
    if by_nginx && native.status() == 404 {
        return ["unrouted-requests"].into();
    }
    if by_nginx && asked.method == "OPTIONS" && !asked.is_preflight() {
        return ["options-requests"].into();
    }
    if field == "access-control-allow-private-network" {
        return case.rules(["snippet"]);
    }
    let bare = known.bare(asked);
    match (bare.native.grants(), bare.ours.grants()) {
        (true, false) => {
            let by_place = known.by_place(exchange);
            if by_place.is_empty() { by_origin(case, exchange) } else { by_place }
        }
        (true, true) if [ACAM, ACAH, ACMA].contains(&field) && !asked.is_preflight() => {
            ["actual-lists"].into()
        }
        (true, true) if field == ACAC && native.header(ACAO).as_deref() == Some("*") => {
            case.rules(["dead-credentials"])
        }
        (true, true) if field == ACMA && native.header(ACMA).as_deref() == Some("-1") => {
            case.rules(["wrong-value"])
        }
        (true, true) => {
            let by_defaults = by_defaults(case, known, exchange, difference);
            if by_defaults.is_empty() { known.by_form(exchange, difference) } else { by_defaults }
        }
        (false, true) => known.by_place(exchange),
        (false, false) if by_nginx => known.by_place(exchange),
        (false, false) => {
            let by_refusal = known.by_refusal(exchange, difference);
            if by_refusal.is_empty() { known.by_place(exchange) } else { by_refusal }
        }
    }
}

/// Why an answer has less than nginx's own values, of which browsers do not take all.
fn by_defaults<'k>(
    case: &'k Case,
    known: &Known<'k>,
    exchange: &Exchange,
    difference: &Difference,
) -> BTreeSet<&'k str> {
    let (native, acrh) = (&exchange.native, exchange.asked.acrh.as_deref().unwrap_or_default());
    let idle = |name: &str| ["dnt", "keep-alive"].contains(&name.trim());
    // Lists that are written can have the idle names too, and this one tells them from nginx's own.
    let own = "If-Modified-Since";
    let is_own = || native.header(ACAH).is_some_and(|list| list.contains(own));
    let age = native.header(ACMA).unwrap_or_default();
    let value = match (difference.field, exchange.ours.header(ACMA).as_deref()) {
        (ACAH, _) if idle(&difference.native) && is_own() => own,
        (ACMA, Some("86400")) if age.parse::<u64>().is_ok_and(|age| age > 86_400) => &age,
        (ACMA, None)
            if acrh.split(',').any(idle)
                && is_own()
                && !known.by_names_asked(exchange).contains("checked-preflights") =>
        {
            own
        }
        _ => return BTreeSet::new(),
    };
    let about = case.findings.iter().find(|it| it.message.contains(value));
    about.map(|it| &*it.rule).into_iter().collect()
}

/// Why an origin is allowed no longer.
fn by_origin<'k>(case: &'k Case, exchange: &Exchange) -> BTreeSet<&'k str> {
    let origin = exchange.asked.origin.first().map_or("", String::as_str);
    if exchange.native.header(ACAO).as_deref() == Some("*") {
        return case.rules(["open-to-all"]);
    }
    if exchange.asked.origin.len() > 1
        || origin != "null" && serialized(origin).as_deref() != Some(origin)
    {
        return ["unsendable-origins"].into();
    }
    let concerns = |it: &&Finding| {
        let told = it.message.split('"').nth(1).unwrap_or_default();
        let listed = told.replace('.', r"\.").replace('*', "[A-Za-z0-9-]+");
        it.rule != "open-start"
            && it.field.ends_with("cors-allow-origin")
            && matches(&listed, origin)
    };
    let about: BTreeSet<&str> = case.findings.iter().filter(concerns).map(|it| &*it.rule).collect();
    if about.is_empty() { case.rules(["open-start"]) } else { about }
}
