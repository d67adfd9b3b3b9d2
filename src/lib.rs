//! CORS at the gateway: a proxy-wasm filter for Envoy, and the core that it
//! shares with the `envoy-cors` command.
//!
//! Bytes of a configuration become [`Policies`], or a list of problems that says
//! where, why and what to write instead ([`diagnostic`]). Policies and the
//! headers of a request become a [`Decision`]; its [`reply`](Decision::reply)
//! answers the request, or its [`edits`](Decision::edits) change the response.
//!
//! ```
//! use envoy_cors::{Edit, Outcome, Policies, decide};
//!
//! let json = br#"{"allowOrigins": ["https://*.example.com"]}"#;
//! let (policies, problems) = Policies::from_json(json, None);
//! let policies = policies.ok_or("refused")?;
//! assert_eq!(problems.iter().count(), 0);
//!
//! let request = |name: &str| match name {
//!     ":method" => Some(b"GET".to_vec()),
//!     "origin" => Some(b"https://app.example.com".to_vec()),
//!     _ => None,
//! };
//! let decision = decide(&policies, request).ok_or("no policy")?;
//! assert_eq!(decision.outcome(), Outcome::ActualAllowed);
//! let grant = Edit::Set("access-control-allow-origin", b"https://app.example.com");
//! assert_eq!(decision.edits(|_| None).next(), Some(grant));
//! # Ok::<(), &str>(())
//! ```
//!
//! Modules depend on each other in one direction:
//!
//! ```text
//! method, header, origin -> pattern, allowlist -> config, diagnostic
//!     -> policy -> scope -> decision -> denials, usage
//!     -> filter (wasm) | the command (native)
//! method, header, origin -> browser (native)
//! ```

pub mod allowlist;
#[cfg(not(target_arch = "wasm32"))]
pub mod browser;
pub mod config;
pub mod decision;
pub mod denials;
pub mod diagnostic;
#[cfg(target_arch = "wasm32")]
mod filter;
mod fingerprint;
pub mod header;
pub mod method;
pub mod origin;
pub mod pattern;
pub mod policy;
pub mod scope;
pub mod usage;

pub use decision::{Decision, Edit, Outcome, Reply, decide};
pub use policy::Policy;
pub use scope::Policies;
