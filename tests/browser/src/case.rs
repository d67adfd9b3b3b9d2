//! A case: a request of a page, and what servers answer at each step.

use std::fmt;

use envoy_cors::browser::{Credentials, Mode, Request, Response};

/// Header lines: names in any case, values as bytes.
pub type Lines = Vec<(String, Vec<u8>)>;

/// Three servers, which differ in their ports alone.
#[derive(Clone, Debug)]
pub struct Origins {
    /// Where the page comes from.
    pub page: String,
    pub other: String,
    pub third: String,
}

#[derive(Clone, Debug)]
pub struct Case {
    pub method: String,
    pub headers: Lines,
    pub mode: Mode,
    pub credentials: Credentials,
    /// The URL that is asked, and those that redirects lead to; never empty.
    pub hops: Vec<Hop>,
}

#[derive(Clone, Debug)]
pub struct Hop {
    /// The origin of its URL.
    pub origin: String,
    /// Whether its URL holds a user name.
    pub user_info: bool,
    pub preflight: Response,
    pub response: Response,
}

impl Case {
    pub fn request(&self, page: &str) -> Request {
        Request {
            page: page.to_owned(),
            target: self.hops[0].origin.clone(),
            method: self.method.clone(),
            headers: self.headers.clone(),
            mode: self.mode,
            credentials: self.credentials,
        }
    }
}

impl Hop {
    /// Its URL in the case of this number.
    pub fn url(&self, case: usize, hop: usize) -> String {
        let user_info = if self.user_info { "//user:secret@" } else { "//" };
        format!("{}/case/{case}/{hop}", self.origin.replacen("//", user_info, 1))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, headers, mode, credentials, hops } = self;
        writeln!(f, "{method:?}, mode {mode:?}, credentials {credentials:?}")?;
        write_lines(f, "    ", headers)?;
        for hop in hops {
            writeln!(
                f,
                "  {}{}",
                hop.origin,
                if hop.user_info { " with a user name" } else { "" }
            )?;
            writeln!(f, "    preflight: {}", hop.preflight.status)?;
            write_lines(f, "      ", &hop.preflight.headers)?;
            writeln!(f, "    response: {}", hop.response.status)?;
            write_lines(f, "      ", &hop.response.headers)?;
        }
        Ok(())
    }
}

fn write_lines(
    f: &mut fmt::Formatter<'_>,
    indent: &str,
    lines: &[(String, Vec<u8>)],
) -> fmt::Result {
    for (name, value) in lines {
        writeln!(f, "{indent}{}: {}", name.escape_debug(), value.escape_ascii())?;
    }
    Ok(())
}
