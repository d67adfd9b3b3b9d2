//! The gateway that is shipped, `envoy/envoy.yaml`, with the rows of `gateway.yaml`.

use std::sync::Arc;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::client::{self, Protocol, Result};
use crate::process::Envoy;
use crate::rows::{Lazy, check, name, protocols_of, replies};
use crate::table::{self, Case, Group, Reply};
use crate::{bootstrap, upstream};

struct Gateways {
    /// In front of `envoy/upstream.yaml`.
    shipped: Envoy,
    _upstream: Envoy,
    /// In front of the harness's own upstream, for rows that say what it answers.
    ours: Envoy,
}

impl Gateways {
    fn start(groups: &[Group]) -> Result<Self> {
        let upstream = shipped_upstream()?;
        let ours = upstream::start(replies(groups))?;
        Ok(Self {
            shipped: Envoy::start(in_front_of(upstream.port("upstream")), 1)?,
            _upstream: upstream,
            ours: Envoy::start(in_front_of(ours), 1)?,
        })
    }

    fn port(&self, case: &Case) -> u16 {
        let gateway = if case.upstream == Reply::default() { &self.shipped } else { &self.ours };
        gateway.port("gateway")
    }
}

pub fn trials() -> Vec<Trial> {
    let groups: Vec<Group> = table::checked(table::read(&table::tests().join("gateway.yaml")));
    let groups = Arc::new(groups);
    let gateways = Arc::new(Lazy::default());
    let cases = groups.iter().flat_map(|group| &group.cases);
    let runs =
        cases.flat_map(|case| protocols_of(case).map(move |protocol| (case.clone(), protocol)));
    let trial = |(case, protocol): (Case, Protocol)| {
        let (groups, gateways) = (Arc::clone(&groups), Arc::clone(&gateways));
        Trial::test(format!("gateway, {}", name(&case, protocol)), move || {
            let port = gateways.get(|| Gateways::start(&groups))?.port(&case);
            if case.send.path == b"/limited" {
                spend_the_token(port, &case)?;
            }
            check(port, &case, protocol)
        })
    };
    runs.map(trial).collect()
}

/// There is one token a minute.
fn spend_the_token(port: u16, case: &Case) -> Result<()> {
    let request = client::request(&case.send, &case.name, Protocol::Http1)?;
    client::send(port, Protocol::Http1, request).map(drop)
}

/// What is shipped for the gateway to forward to.
pub fn shipped_upstream() -> Result<Envoy> {
    let mut config = read("upstream.yaml");
    *listener_address(&mut config) = bootstrap::loopback(0);
    Envoy::start(config, 1)
}

/// A file of the folder `envoy`.
pub fn read(file: &str) -> Value {
    table::read(&table::tests().join("../envoy").join(file))
}

fn listener_address(config: &mut Value) -> &mut Value {
    &mut config["static_resources"]["listeners"][0]["address"]
}

/// The shipped gateway, but for its ports, the path of the filter and the header that tells who
/// answered.
pub fn in_front_of(upstream: u16) -> Value {
    let mut config = read("envoy.yaml");
    *listener_address(&mut config) = bootstrap::loopback(0);
    let cluster = &mut config["static_resources"]["clusters"][0];
    assert_eq!(cluster["name"], "upstream");
    cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"] =
        bootstrap::loopback(upstream);
    let manager = bootstrap::manager(&mut config["static_resources"]["listeners"][0]);
    assert!(manager["local_reply_config"].is_null(), "it must not be overwritten");
    manager["local_reply_config"] = bootstrap::details_in_a_header();
    let filter = &mut manager["http_filters"][0]["typed_config"]["config"];
    filter["vm_config"]["code"]["local"]["filename"] = bootstrap::wasm().unwrap().to_str().into();
    config
}
