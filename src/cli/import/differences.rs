//! What is different whatever the policy says. Every policy that Istio, Envoy
//! Gateway and others write for Envoy's own CORS filter is imported with the same
//! differences, and so is every Ingress of ingress-nginx. Each is seen in a real
//! Envoy, and in a real nginx (`tests/envoy/import.rs`).

use std::io::{self, Write};

use serde_json::{Value, json};

/// How the same policy is answered.
pub struct Difference {
    /// Its name, for programs.
    id: &'static str,
    /// What is different, and why.
    sentence: &'static str,
}

const CHECKED_PREFLIGHTS: Difference = Difference {
    id: "checked-preflights",
    sentence: "Preflights that ask for a method or a header that is not allowed get no Access-Control-Max-Age; the lists tell the browser why, as before.",
};

const UPSTREAM_HEADERS: Difference = Difference {
    id: "upstream-headers",
    sentence: "Upstream's own Access-Control-Allow-Origin, -Allow-Credentials and -Expose-Headers are removed or replaced, so that the policy alone decides; upstreamHeaders: keep leaves them.",
};

const VARY: Difference = Difference {
    id: "vary",
    sentence: "Vary names Origin, so that caches keep responses for different origins apart.",
};

const AMBIGUOUS_PATHS: Difference = Difference {
    id: "ambiguous-paths",
    sentence: "A path that servers may read differently, as /api/../x, is treated as if no origin were allowed, where policies are for paths.",
};

const UNSENDABLE_ORIGINS: Difference = Difference {
    id: "unsendable-origins",
    sentence: "An Origin that no browser sends, such as two of them or one with a path, matches nothing but *.",
};

/// From Envoy's own filter.
static ENVOY: [Difference; 11] = [
    Difference {
        id: "preflight-answers",
        sentence: "Preflights are answered with 204 instead of 200, and without Access-Control-Expose-Headers, which means nothing there.",
    },
    Difference {
        id: "refused-preflights",
        sentence: "Preflights from other origins are answered with 403 and without any CORS header, so that strangers learn nothing of the policy.",
    },
    CHECKED_PREFLIGHTS,
    Difference {
        id: "any-origin",
        sentence: "Where every origin is allowed, Access-Control-Allow-Origin is * instead of the origin that asked, and stands on every response, so that caches need not tell origins apart.",
    },
    Difference {
        id: "any-name",
        sentence: "Without credentials, * in allowMethods and allowHeaders is sent as it stands, instead of what was asked for or stands beside it; names that no page can send are never allowed.",
    },
    UPSTREAM_HEADERS,
    VARY,
    Difference {
        id: "replies-without-route",
        sentence: "Redirects, direct responses and 404s of Envoy itself are covered by the policy too.",
    },
    Difference {
        id: "host-form",
        sentence: "A port, or a dot at the end, of the host that a request names is ignored.",
    },
    AMBIGUOUS_PATHS,
    UNSENDABLE_ORIGINS,
];

/// From nginx with what ingress-nginx writes for it.
static NGINX: [Difference; 10] = [
    Difference {
        id: "preflight-answers",
        sentence: "Preflights are answered without Access-Control-Expose-Headers, which means nothing there.",
    },
    CHECKED_PREFLIGHTS,
    Difference {
        id: "options-requests",
        sentence: "OPTIONS requests that are no preflights go to upstream, also from allowed origins.",
    },
    Difference {
        id: "actual-lists",
        sentence: "Access-Control-Allow-Methods, -Allow-Headers and -Max-Age stand on answers to preflights alone, where they mean something.",
    },
    UPSTREAM_HEADERS,
    VARY,
    Difference {
        id: "any-name",
        sentence: "* in exposeHeaders is sent alone, without the names that stand beside it.",
    },
    UNSENDABLE_ORIGINS,
    Difference {
        id: "unrouted-requests",
        sentence: "Requests that no rule takes are left alone; the controller answers them, with the CORS headers of the first Ingress for the host.",
    },
    AMBIGUOUS_PATHS,
];

/// What is different from what policies come from.
pub fn of(envoy: bool, nginx: bool) -> Vec<&'static Difference> {
    let mut differences: Vec<&Difference> = Vec::new();
    for difference in ENVOY.iter().filter(|_| envoy).chain(NGINX.iter().filter(|_| nginx)) {
        if !differences.iter().any(|known| known.sentence == difference.sentence) {
            differences.push(difference);
        }
    }
    differences
}

impl Difference {
    /// The difference as an object.
    pub fn json(&self) -> Value {
        json!({ "id": self.id, "message": self.sentence })
    }
}

/// Writes one a line, if there are any.
///
/// # Errors
///
/// What the writer says.
pub fn write_text(differences: &[&Difference], to: &mut impl Write) -> io::Result<()> {
    if differences.is_empty() {
        return Ok(());
    }
    writeln!(to, "What else changes, whatever the policy:")?;
    differences.iter().try_for_each(|it| writeln!(to, "- {}", it.sentence))
}
