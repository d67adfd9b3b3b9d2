//! Several plugins in one VM, as Istio runs those of one image: they do not see each other.

use std::ops::Range;

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::bootstrap::{filter, listener, manager, of_listeners, string_value};
use crate::client::Protocol;
use crate::live::{Resources, equal, of_resources, until};
use crate::process::Envoy;
use crate::rows::{check, replies};
use crate::table::{self, Group};
use crate::upstream;

/// A listener for each.
const TWO_LISTENERS: &str = "
- policy: { allowOrigins: [https://a.example.com], exposeHeaders: [x-first], allowCredentials: true }
  cases:
    - case: the first allows its own
      send: { origin: https://a.example.com }
      get: { status: 200, from: upstream, acao: https://a.example.com, acac: true, aceh: x-first, vary: Origin }
    - case: the first refuses the second's
      send: { origin: https://b.example.com }
      get: { status: 200, from: upstream, vary: Origin }
- policy: { allowOrigins: [https://b.example.com], exposeHeaders: [x-second], disallowedRequests: reject }
  cases:
    - case: the second allows its own
      send: { origin: https://b.example.com }
      get: { status: 200, from: upstream, acao: https://b.example.com, aceh: x-second, vary: Origin }
    - case: the second refuses the first's
      send: { origin: https://a.example.com }
      outcome: actual_rejected
      get: { status: 403, from: filter, vary: Origin }
";

/// The policies of the filters in one chain, from the outermost: requests pass it first, responses
/// last.
const CHAINS: &str = r#"
- policy:
  - { mode: shadow, allowOrigins: [https://a.example.com], exposeHeaders: [x-shadow] }
  - { allowOrigins: [https://b.example.com], exposeHeaders: [x-enforced] }
  cases:
    - case: "shadow first: the origin of the shadow"
      send: { origin: https://a.example.com }
      upstream: { acao: "*" }
      get: { status: 200, from: upstream, vary: Origin }
    - case: "shadow first: the origin that is enforced"
      send: { origin: https://b.example.com }
      get: { status: 200, from: upstream, acao: https://b.example.com, aceh: x-enforced, vary: Origin }
    - case: "shadow first: a preflight from the origin of the shadow"
      send: { method: OPTIONS, origin: https://a.example.com, acrm: PUT }
      outcome: preflight_denied_origin
      get: { status: 403, from: filter, vary: "Origin, Access-Control-Request-Method, Access-Control-Request-Headers" }
- policy:
  - { allowOrigins: [https://b.example.com], exposeHeaders: [x-enforced] }
  - { mode: shadow, allowOrigins: [https://a.example.com], exposeHeaders: [x-shadow] }
  cases:
    - case: "shadow last: the origin of the shadow"
      send: { origin: https://a.example.com }
      upstream: { acao: "*" }
      get: { status: 200, from: upstream, vary: Origin }
    - case: "shadow last: the origin that is enforced"
      send: { origin: https://b.example.com }
      get: { status: 200, from: upstream, acao: https://b.example.com, aceh: x-enforced, vary: Origin }
    - case: "shadow last: a preflight from the origin of the shadow"
      send: { method: OPTIONS, origin: https://a.example.com, acrm: PUT }
      outcome: preflight_denied_origin
      get: { status: 403, from: filter, vary: "Origin, Access-Control-Request-Method, Access-Control-Request-Headers" }
- policy:
  - { allowOrigins: [https://a.example.com], exposeHeaders: [x-outer] }
  - { allowOrigins: [https://a.example.com, https://b.example.com], exposeHeaders: [x-inner], allowCredentials: true }
  cases:
    - case: "both enforced: allowed by both, the outer one has the last word"
      send: { origin: https://a.example.com }
      get: { status: 200, from: upstream, acao: https://a.example.com, aceh: x-outer, vary: Origin }
    - case: "both enforced: allowed by the inner one"
      send: { origin: https://b.example.com }
      get: { status: 200, from: upstream, vary: Origin }
    - case: "both enforced: the outer one answers a preflight"
      send: { method: OPTIONS, origin: https://a.example.com, acrm: GET }
      outcome: preflight_allowed
      get:
        status: 204
        from: filter
        acao: https://a.example.com
        vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers
- policy:
  - &same { allowOrigins: [https://a.example.com] }
  - *same
  cases:
    - case: "the same twice"
      send: { origin: https://a.example.com }
      get: { status: 200, from: upstream, acao: https://a.example.com, vary: Origin }
"#;

pub fn trials() -> [Trial; 2] {
    [
        Trial::test("reload: listeners come and go, others in the same VM stay", listeners),
        Trial::test("filters of one chain in the same VM", chains),
    ]
}

fn listeners() -> Result<(), Failed> {
    let groups = table::parse(TWO_LISTENERS);
    let listeners: Vec<_> = groups.iter().enumerate().map(with_name).collect();
    let resources = Resources::new()?;
    resources.put_listeners(&listeners[..1])?;
    let upstream = upstream::start(replies(&groups))?;
    let mut envoy = Envoy::start(of_resources(&resources, upstream), 2)?;
    answer(&envoy, &groups, 0..1)?;
    let vms = envoy.vms()?;
    for there in [0..2, 0..1, 0..2, 1..2, 0..2] {
        resources.put_listeners(&listeners[there.clone()])?;
        until(&format!("the listeners are {there:?}"), || {
            let stats = envoy.stats()?;
            let [active, draining] = ["active", "draining"]
                .map(|it| stats[&format!("listener_manager.total_listeners_{it}")]);
            Ok(active == there.len() as u64 && draining == 0)
        })?;
        envoy.reread_ports()?;
        answer(&envoy, &groups, there)?;
        equal("VMs", vms, envoy.vms()?)?;
    }
    Ok(())
}

fn chains() -> Result<(), Failed> {
    let groups = table::parse(CHAINS);
    let listeners: Vec<_> = groups.iter().enumerate().map(with_name).collect();
    let upstream = upstream::start(replies(&groups))?;
    let one = Envoy::start(
        of_listeners(&[listener("alone", Some(&plugin(&json!({"allowOrigins": []}))))], upstream),
        2,
    )?;
    let vms = one.vms()?;
    drop(one);
    let envoy = Envoy::start(of_listeners(&listeners, upstream), 2)?;
    equal("VMs", vms, envoy.vms()?)?;
    answer(&envoy, &groups, 0..groups.len())
}

fn with_name((index, group): (usize, &Group)) -> Value {
    let policy = group.policy.clone().expect("a policy");
    let policies = match policy {
        Value::Array(policies) => policies,
        policy => vec![policy],
    };
    let mut listener = listener(&index.to_string(), None);
    let filters = policies.iter().map(plugin);
    manager(&mut listener)["http_filters"].as_array_mut().expect("a list").splice(..0, filters);
    listener
}

fn plugin(policy: &Value) -> Value {
    filter(&string_value(&policy.to_string()), None)
}

/// Each listener by its own policies, so often that each worker is asked.
fn answer(envoy: &Envoy, groups: &[Group], there: Range<usize>) -> Result<(), Failed> {
    for index in there {
        for case in &groups[index].cases {
            let port = envoy.port(&index.to_string());
            (0..8).try_for_each(|_| check(port, case, Protocol::Http1))?;
        }
    }
    Ok(())
}
