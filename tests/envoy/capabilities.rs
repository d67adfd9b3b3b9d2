//! The filter in a VM that is allowed no more than `envoy/capabilities.yaml` says.

use libtest_mimic::{Failed, Trial};
use serde_json::{Map, Value};

use crate::bootstrap::manager;
use crate::live::until;
use crate::module::Module;
use crate::rows::{Table, check, protocols_of};
use crate::table;

const RESTRICTION: &str = "capability_restriction_config";

const COUNTER: &str = "wasmcustom.envoy_cors.policy.default.actual_allowed";

/// Without these an operator sees less, and traffic is decided all the same.
const FOR_OPERATORS: [&str; 9] = [
    "proxy_define_metric",
    "proxy_get_current_time_nanoseconds",
    "proxy_get_property",
    "proxy_get_shared_data",
    "proxy_increment_metric",
    "proxy_on_tick",
    "proxy_set_property",
    "proxy_set_shared_data",
    "proxy_set_tick_period_milliseconds",
];

pub fn trials() -> [Trial; 3] {
    [
        Trial::test("capabilities: there are no others", || {
            let Table(envoy) = decides_all(&allowed())?;
            until("the counts are out", || Ok(envoy.stat(COUNTER)? > 0))?;
            let log = envoy.log();
            let refused: Vec<_> = log.lines().filter(|it| it.contains("restricted")).collect();
            if refused.is_empty() { Ok(()) } else { Err(refused.join("\n").into()) }
        }),
        Trial::test("capabilities: traffic needs none of those for operators", || {
            let mut allowed = allowed();
            for name in FOR_OPERATORS {
                allowed.remove(name).ok_or_else(|| format!("{name} is not in the list"))?;
            }
            decides_all(&allowed).map(drop)
        }),
        Trial::test("capabilities: every callback is in the list", || {
            let in_list = allowed();
            let module = Module::read()?;
            // What Envoy calls by this name is not restricted.
            let callbacks = module
                .exports
                .iter()
                .filter(|it| it.starts_with("proxy_on_") && *it != "proxy_on_memory_allocate");
            let mut missing = callbacks.filter(|it| !in_list.contains_key(*it));
            match missing.next() {
                Some(name) => Err(format!("{name} is missing: Envoy would never call it").into()),
                None => Ok(()),
            }
        }),
    ]
}

fn allowed() -> Map<String, Value> {
    let mut file: Value = table::read(&table::tests().join("../envoy/capabilities.yaml"));
    match file[RESTRICTION]["allowed_capabilities"].take() {
        Value::Object(allowed) => allowed,
        _ => panic!("no list of capabilities"),
    }
}

/// Runs every row of `tests/cases` in VMs that are allowed no more than that.
fn decides_all(allowed: &Map<String, Value>) -> Result<Table, Failed> {
    let groups = table::load();
    let table = Table::changed(&groups, 1, |config| {
        for listener in config["static_resources"]["listeners"].as_array_mut().expect("a list") {
            let filter = &mut manager(listener)["http_filters"][0]["typed_config"]["config"];
            filter[RESTRICTION]["allowed_capabilities"] = allowed.clone().into();
        }
    })?;
    for (index, group) in groups.iter().enumerate() {
        for case in &group.cases {
            if let Some(protocol) = protocols_of(case).next() {
                check(table.port(index, case), case, protocol)?;
            }
        }
    }
    Ok(table)
}
