//! Which entries of the allowlists allowed somebody, so that those of old
//! partners and demos can be removed.

use std::fmt::Write;

use hashbrown::HashSet;

use crate::fingerprint::fingerprint;
use crate::pattern::OriginPattern;
use crate::policy::Policy;
use crate::scope::Policies;

/// How many unused entries of one policy are named in a report.
pub const REPORTED: usize = 50;

/// The entries that allowed somebody. It grows with them, not with requests.
#[derive(Default)]
pub struct Usage {
    /// Fingerprints: the same in all VMs, whatever the place in memory.
    used: HashSet<u64>,
}

impl Usage {
    /// Notes that a policy allows an origin, and tells whether its entry was
    /// unused before.
    pub fn mark(&mut self, policy: &Policy, origin: &[u8]) -> bool {
        policy.origins.allowing(origin).is_some_and(|entry| self.used.insert(id(policy, &entry)))
    }

    /// Adds the entries that [`Usage::to_bytes`] wrote elsewhere.
    pub fn merge(&mut self, bytes: &[u8]) {
        self.used.extend(
            bytes.chunks_exact(8).filter_map(|id| id.try_into().ok()).map(u64::from_le_bytes),
        );
    }

    /// The entries in a form that another VM can read.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.used.iter().flat_map(|id| id.to_le_bytes()).collect()
    }

    /// The entries of a policy that allowed nobody, in no order.
    pub fn unused<'p>(&self, policy: &'p Policy) -> impl Iterator<Item = OriginPattern<'p>> {
        policy.origins.patterns().filter(|entry| !self.used.contains(&id(policy, entry)))
    }

    /// The report: one line of JSON for each policy that has unused entries.
    pub fn report<'u>(&'u self, policies: &'u Policies) -> impl Iterator<Item = String> {
        policies.iter().filter_map(|policy| {
            let mut unused: Vec<_> = self.unused(policy).map(|entry| entry.to_string()).collect();
            unused.sort_unstable();
            (!unused.is_empty()).then(|| line(policy, &unused))
        })
    }
}

fn id(policy: &Policy, entry: &OriginPattern<'_>) -> u64 {
    fingerprint(format!("{} {entry}", policy.name()).as_bytes())
}

fn line(policy: &Policy, unused: &[String]) -> String {
    let mut line = format!(
        "{{\"envoy_cors\":\"unused\",\"policy\":\"{}\",\"unused\":{},\"of\":{},\"allowOrigins\":[",
        policy.name(),
        unused.len(),
        policy.origins.len(),
    );
    for (index, entry) in unused.iter().take(REPORTED).enumerate() {
        // Neither names nor patterns have anything to escape.
        let _ = write!(line, "{}\"{entry}\"", if index == 0 { "" } else { "," });
    }
    line.push_str("]}");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_that_allowed_nobody_are_named() {
        let json = br#"{
            "policies": [
                { "name": "open", "match": { "pathPrefixes": ["/open"] }, "allowOrigins": ["*"] },
                { "name": "used", "match": { "pathPrefixes": ["/used"] }, "allowOrigins": ["https://a.example"] }
            ],
            "allowOrigins": [
                "https://a.example", "https://b.example", "https://x.c.example", "https://*.c.example",
                "https://*.c.example:*", "http://localhost:*", "http://localhost:3000",
                "https://*.d.example:8443", "https://*.d.example:8444", "null"
            ]
        }"#;
        let policies = Policies::from_json(json, None).0.unwrap();
        let [open, used, default] = &policies.iter().collect::<Vec<_>>()[..] else { panic!() };
        let mut workers = [Usage::default(), Usage::default()];
        for (worker, policy, origin, new) in [
            (0, used, "https://a.example", true),
            (0, used, "https://a.example", false),
            (1, used, "https://a.example", true),
            (0, default, "https://x.c.example", true),
            (1, default, "https://y.c.example", true),
            (0, default, "http://localhost:3000", true),
            (1, default, "https://x.d.example:8443", true),
            (1, default, "https://unknown.example", false),
        ] {
            assert_eq!(workers[worker].mark(policy, origin.as_bytes()), new, "{origin}");
        }
        let [mut all, other] = workers;
        all.merge(&other.to_bytes());
        let lines: Vec<_> = all.report(&policies).collect();
        assert_eq!(
            lines,
            [
                r#"{"envoy_cors":"unused","policy":"open","unused":1,"of":1,"allowOrigins":["*"]}"#,
                r#"{"envoy_cors":"unused","policy":"default","unused":6,"of":10,"allowOrigins":["http://localhost:*","https://*.c.example","https://*.d.example:8444","https://a.example","https://b.example","null"]}"#,
            ]
        );
        assert!(all.mark(open, b"anything"));
        assert_eq!(all.report(&policies).count(), 1);
    }
}
