//! `Ingress` with the annotations of ingress-nginx
//! ([`nginx.ingress.kubernetes.io/enable-cors`](https://kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/annotations/#enable-cors)).
//!
//! What is not written has a value all the same, and so has what is invalid
//! (`internal/ingress/annotations/cors/main.go`). nginx compares an origin without
//! case and from its end, adds all headers of CORS to every response, and answers
//! every `OPTIONS` request of an origin that it lets in (`rootfs/etc/nginx/template/nginx.tmpl`).

mod annotations;
mod rules;

use std::cmp::Reverse;
use std::collections::HashSet;

use super::account::{Account, Field};
use super::remark::Remark;
use super::scope::Stated;
use annotations::{annotation, annotations, boolean, cors, is_true};
use rules::{has_expressions, named, rules};

/// Reads all Ingresses: those with CORS, and where those without stand.
pub fn read<'d>(resources: &[Field<'d>], account: &mut Account) -> Vec<Stated<'d>> {
    let mut all: Vec<&Field<'d>> = resources
        .iter()
        .filter(|resource| resource.text_at(&["kind"]) == Some("Ingress"))
        .collect();
    // The first counts: the oldest, or else the last by name.
    all.sort_by_key(|ingress| {
        let text = |name| ingress.text_at(&["metadata", name]);
        (text("creationTimestamp"), Reverse((text("namespace"), text("name"))))
    });
    let is_canary = |one: &&Field<'_>| is_true(one, "canary");
    let (canaries, mains): (Vec<_>, Vec<_>) = all.into_iter().partition(is_canary);
    for canary in canaries {
        let why = "a canary takes what the Ingress says that it stands beside";
        ignore(canary, &Remark::Ignored { why }, account);
    }
    let expressions: HashSet<&str> =
        mains.iter().filter(|one| has_expressions(one)).flat_map(|one| named(one)).collect();
    let mut stated = Vec::new();
    for ingress in mains {
        for name in ["configuration-snippet", "server-snippet"] {
            if let Some((field, text)) = annotation(ingress, name)
                && text.to_ascii_lowercase().contains("access-control-")
            {
                account.remark(&field, &Remark::Snippet);
            }
        }
        let enable = annotation(ingress, "enable-cors").map(|(field, _)| field);
        let enable = enable.filter(|_| is_true(ingress, "enable-cors"));
        let mut of_ingress = rules(ingress, enable.is_some(), &expressions, account);
        match enable {
            None => {
                let why = "enable-cors is not \"true\"";
                ignore(ingress, &Remark::Ignored { why }, account);
            }
            Some(_) if of_ingress.is_empty() => {
                let why = "none of its hosts and paths is carried over";
                ignore(ingress, &Remark::Ignored { why }, account);
            }
            Some(enable) => {
                let cors = cors(ingress, &enable, account);
                for one in &mut of_ingress {
                    one.cors = Some(cors.clone());
                    one.inherited = annotations(ingress);
                    one.inherited.push(enable.clone());
                }
            }
        }
        stated.extend(of_ingress);
    }
    stated
}

fn ignore(ingress: &Field<'_>, remark: &Remark, account: &mut Account) {
    for field in annotations(ingress) {
        account.remark(&field, remark);
    }
    if let Some((field, text)) = annotation(ingress, "enable-cors") {
        match boolean(&text) {
            Some(true) => account.remark(&field, remark),
            Some(false) => account.leave(&field),
            None => {
                account.remark(&field, &Remark::Invalid { text, instead: "false".to_owned() });
            }
        }
    }
}
