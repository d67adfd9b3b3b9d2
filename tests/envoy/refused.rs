//! Envoy does not start with a configuration that the filter refuses, and does not change to it. Its
//! log says why.

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::bootstrap::{filter, listener, of_listeners, string_value};
use crate::client::{self, Protocol};
use crate::live::{By, Live, equal, until};
use crate::process::Process;
use crate::rows::check;
use crate::table::{self, Diagnosed, Group};
use crate::upstream;

#[derive(Clone)]
struct Refused {
    case: String,
    configuration: Value,
    says: Vec<String>,
}

pub fn trials() -> Vec<Trial> {
    let refused = refused();
    let mut trials: Vec<_> = refused.iter().cloned().map(at_start).collect();
    for by in [By::Lds, By::Ecds] {
        let refused = refused.clone();
        let name = format!("reload: {by:?}, refused configurations");
        trials.push(Trial::test(name, move || while_it_runs(by, &refused)));
        let name = format!("reload: {by:?}, nothing but a refused configuration");
        trials.push(Trial::test(name, move || from_the_start(by)));
    }
    trials
}

fn refused() -> Vec<Refused> {
    let rows: Vec<Diagnosed> = table::read(&table::tests().join("diagnostics.yaml"));
    let of_row = |row: Diagnosed| {
        let configuration = string_value(&row.config);
        Refused { case: row.case, configuration, says: row.says }
    };
    let mut refused: Vec<_> = rows.into_iter().filter(|row| row.envoy).map(of_row).collect();
    assert!(!refused.is_empty(), "no row of diagnostics.yaml is meant for Envoy");
    let value = json!({ "allowOrigins": ["https://app.example.com"] });
    refused.push(Refused {
        case: "a Struct".into(),
        configuration: json!({ "@type": "type.googleapis.com/google.protobuf.Struct", "value": value }),
        says: vec!["google.protobuf.StringValue".into()],
    });
    refused.push(Refused {
        case: "no configuration".into(),
        configuration: Value::Null,
        says: vec!["write a policy as JSON text".into()],
    });
    refused
}

fn at_start(refused: Refused) -> Trial {
    Trial::test(format!("refused: {}", refused.case), move || {
        let nobody = 1;
        let listeners = [listener("refused", Some(&filter(&refused.configuration, None)))];
        let mut envoy = Process::spawn(of_listeners(&listeners, nobody), 1)?;
        let ended = envoy.exit()?;
        let log = envoy.log();
        match ended {
            None => Err(Failed::from("Envoy runs with it")),
            Some(status) if status.success() => Err("Envoy ended as if all were well".into()),
            Some(_) => told(&log, &refused.says),
        }
    })
}

fn told(log: &str, says: &[String]) -> Result<(), Failed> {
    let lines: Vec<_> = log.lines().filter(|line| !line.contains("[info]")).collect();
    let is_error = |line: &&&str| line.contains("[error]") && line.contains("wasm log");
    let errors: Vec<_> = lines.iter().filter(is_error).collect();
    let is_said = |text: &String| errors.iter().any(|line| line.contains(text));
    if errors.len() == says.len() && says.iter().all(is_said) {
        return Ok(());
    }
    Err(format!("the log should say {says:#?}, and says\n{}", lines.join("\n")).into())
}

const TWO_POLICIES: &str = "
- policy: { allowOrigins: [https://app.example.com], exposeHeaders: [x-first] }
  cases:
    - case: the first policy
      send: { origin: https://app.example.com }
      get: { status: 200, from: upstream, acao: https://app.example.com, aceh: x-first, vary: Origin }
- policy: { allowOrigins: [https://app.example.com], exposeHeaders: [x-second] }
  cases:
    - case: the second policy
      send: { origin: https://app.example.com }
      get: { status: 200, from: upstream, acao: https://app.example.com, aceh: x-second, vary: Origin }
";

/// How often one configuration is pushed in other bytes. A verdict that depended on more than the
/// bytes would have to hold each time.
const TIMES: usize = 20;

fn while_it_runs(by: By, refused: &[Refused]) -> Result<(), Failed> {
    let mut gateway = Gateway::start(by)?;
    // To Envoy 1.36 no configuration and an empty text are one, and it asks the filter once.
    for refused in refused.iter().filter(|it| !it.configuration.is_null()) {
        gateway.refuses(&refused.configuration, &refused.says)?;
    }
    gateway.takes(1)?;
    // Envoy remembers the verdict, and does not ask the filter again.
    gateway.refuses(&refused[0].configuration, &[])?;
    for spaces in 1..=TIMES {
        let text = format!("{{\"maxAge\": -1}}{}", " ".repeat(spaces));
        let says = ["maxAge: ".into(), "allowOrigins: ".into()];
        gateway.refuses(&string_value(&text), &says)?;
    }
    gateway.takes(0)
}

fn from_the_start(by: By) -> Result<(), Failed> {
    let good = &table::parse(TWO_POLICIES)[0];
    let mut live = Live::start(by, &string_value("{}"), upstream::start([].into())?)?;
    equal("refused", 1, live.updates("update_rejected")?)?;
    if by == By::Ecds {
        let request = client::request(&good.cases[0].send, "any", Protocol::Http1)?;
        equal("status", 500, client::send(live.port(), Protocol::Http1, request)?.status)?;
    } else {
        equal("listeners", 0, live.envoy.stat("listener_manager.total_listeners_active")?)?;
    }
    live.push(&configuration(good))?;
    until("it is taken", || Ok(live.updates("update_success")? == 1))?;
    live.envoy.reread_ports()?;
    until("it is in force", || Ok(check(live.port(), &good.cases[0], Protocol::Http1).is_ok()))?;
    Ok(())
}

/// A gateway with one of the two policies, and what happened to other configurations.
struct Gateway {
    live: Live,
    policies: Vec<Group>,
    in_force: usize,
    refused: u64,
    said: Vec<String>,
}

impl Gateway {
    fn start(by: By) -> Result<Self, Failed> {
        let policies = table::parse(TWO_POLICIES);
        let live = Live::start(by, &configuration(&policies[0]), upstream::start([].into())?)?;
        let gateway = Self { live, policies, in_force: 0, refused: 0, said: Vec::new() };
        gateway.answers()?;
        Ok(gateway)
    }

    fn refuses(&mut self, configuration: &Value, says: &[String]) -> Result<(), Failed> {
        self.live.push(configuration)?;
        self.refused += 1;
        until("it is refused", || Ok(self.live.updates("update_rejected")? == self.refused))?;
        self.said.extend_from_slice(says);
        let told = || told(&self.live.envoy.log(), &self.said);
        // That of a container arrives a little later.
        if until("the log tells why", || Ok(told().is_ok())).is_err() {
            return told();
        }
        self.answers()
    }

    fn takes(&mut self, policy: usize) -> Result<(), Failed> {
        self.live.push(&configuration(&self.policies[policy]))?;
        self.in_force = policy;
        until("it is in force", || Ok(self.answers().is_ok()))?;
        Ok(())
    }

    /// By the policy in force. Asked so often that each worker is.
    fn answers(&self) -> Result<(), Failed> {
        let case = &self.policies[self.in_force].cases[0];
        (0..8).try_for_each(|_| check(self.live.port(), case, Protocol::Http1))
    }
}

fn configuration(group: &Group) -> Value {
    string_value(&group.policy.as_ref().expect("a policy").to_string())
}
