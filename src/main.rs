//! `envoy-cors`: what can be known of a CORS policy before Envoy loads it.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{ColorChoice, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

mod cli {
    pub mod audit;
    pub mod diff;
    pub mod document;
    pub mod embedded;
    pub mod explain;
    #[cfg(test)]
    pub mod hostile;
    pub mod import;
    pub mod input;
    pub mod lint;
    pub mod output;
    pub mod policy;
    pub mod probe;
    pub mod render;
    pub mod report;
    pub mod sarif;
    pub mod site;
    pub mod tree;
}

/// Finds out why CORS fails, before and after deploying the Envoy filter
/// envoy-cors.
///
/// Exit status: 0 if nothing is wrong, 1 if something was found, 2 if the
/// arguments are wrong or a file cannot be read.
#[derive(Parser)]
#[command(version, long_version = LONG_VERSION, after_long_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// When to use colours. `auto`: on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,
}

/// The public suffix list that `lint` asks is as old as the crate that holds it.
const LONG_VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), "\npublic suffix list: 2026-11-05 (psl 2.1.247)");

const EXAMPLES: &str = "\
Examples:
  envoy-cors lint cors.yaml
  envoy-cors lint --environment production plugin.yaml
  kubectl get wasmplugins -A -o yaml | envoy-cors lint -
  curl -s http://localhost:9901/config_dump | envoy-cors lint -
  envoy-cors explain --rule filter-before-cors
  envoy-cors explain cors.yaml -- curl https://api.example.com -H 'Origin: https://app.example.com'
  envoy-cors render cors.yaml --to envoy --url /etc/envoy/envoy_cors.wasm --wasm envoy_cors.wasm";

#[derive(Subcommand)]
enum Command {
    /// Check policies, wherever they are written
    ///
    /// Reports all errors and warnings of the filter itself, and what else a
    /// reviewer would want to know. Policies are found in bare files (YAML or
    /// JSON), in Istio's WasmPlugin, in Envoy Gateway's EnvoyExtensionPolicy, and
    /// in an Envoy configuration or config_dump; one file may hold several YAML
    /// documents.
    ///
    /// Errors: Envoy refuses the policy, or it lets strangers in. Warnings: it
    /// does something else than it seems to mean. Notes: worth knowing. Exit
    /// status: 0 if there are notes at most, 1 if there is an error or a warning,
    /// 2 if a file cannot be read.
    ///
    /// A finding can be allowed where it is meant, by a comment on its line or
    /// right above: `# envoy-cors: allow RULE: REASON`. JSON has no comments; use
    /// --allow there. What the filter refuses cannot be allowed.
    Lint(cli::lint::Arguments),
    /// Explain what a policy says of a request, or a rule of lint
    ///
    /// Plays the request through: which policy it falls under and why, the
    /// preflight that the browser sends, every check with what it compares, the
    /// headers of the answers, what the browser makes of them, and the smallest
    /// change of the policy that would allow the request, tried out. Upstream is
    /// taken to say nothing about CORS itself.
    ///
    /// Exit status: 0 if the page can read the response, 1 if it cannot, 2 if the
    /// policy or the request cannot be read.
    Explain(cli::explain::Arguments),
    /// Ask a live endpoint as browsers do, and say what pages can do with it
    ///
    /// Sends the preflight where one is due, then the request, for pages of the
    /// given origins, and the same for origins that nobody means to allow: a
    /// stranger, null, and look-alikes of the given ones. Says what pages can do,
    /// and names the cause if they cannot; each finding comes with the exchange
    /// that shows it.
    ///
    /// Asks no host that is not named: redirects to other hosts are reported, and
    /// proxies of the environment (HTTP_PROXY ...) are not used. Requests that may
    /// change something are not sent unless --send-unsafe says so. Cookies and the values of headers stand in no report.
    ///
    /// Exit status: 0 if there are notes at most, 1 if there is an error or a
    /// warning, 2 if a URL gives no answer or the arguments are wrong.
    Probe(Box<cli::probe::Arguments>),
    /// Say what the requests of access logs come to under a policy
    ///
    /// Decides on every request again. Names the entries of allowlists that nobody
    /// used, the origins that are blocked with the entry that each is closest to,
    /// the methods and headers that preflights asked for in vain, and where the
    /// decisions differ from those that the log tells of: so it also answers what a
    /// new policy would have done with last week's traffic.
    ///
    /// Logs are JSON lines as Envoy writes them with the json_format of
    /// envoy/envoy.yaml; other lines are counted and left out. Memory does not grow
    /// with the log.
    ///
    /// Exit status: 0, or with --deny-new-refusals 1 if a request is refused that
    /// was not; 2 if a log cannot be read to its end, or has no request, and for
    /// --deny-new-refusals also if it does not say what was decided, or lacks a key
    /// that --field names.
    Audit(cli::audit::Arguments),
    /// Say what a change of a policy grants and takes away
    ///
    /// For review: `envoy-cors diff <(git show main:cors.yaml) cors.yaml`. Compares
    /// what requests get, not texts: an entry that a wildcard covers grants nothing
    /// new, and a host that moves to another policy is compared by that. Every
    /// environment is compared, and what is in force where CORS_ENVIRONMENT is unset.
    /// Each line comes with a request that shows it.
    ///
    /// Exit status: 0, or with --deny-widening 1 if anything is granted; 2 if a
    /// file cannot be read or the filter would refuse it. What only waits for
    /// CORS_ENVIRONMENT allows nothing where that is unset.
    Diff(cli::diff::Arguments),
    /// Make one policy of those of other systems
    ///
    /// Reads Istio's VirtualService, Envoy's route configuration, Gateway API's
    /// HTTPRoute, Envoy Gateway's SecurityPolicy, and Ingress with annotations of
    /// ingress-nginx: several files, several resources in a file. Hosts and path
    /// prefixes go along. A field that cannot be carried over, or that was unsafe, is
    /// found with its line and what to write instead; none is dropped in silence.
    ///
    /// Exit status: 0 if there are notes at most, 1 if there is an error or a
    /// warning, 2 if a file cannot be read or holds no CORS policy.
    Import(cli::import::Arguments),
    /// Write a policy into the manifest that deploys it
    ///
    /// Prints Istio's WasmPlugin, Envoy Gateway's EnvoyExtensionPolicy with its
    /// EnvoyProxy, or an entry of Envoy's http_filters, with the policy and its
    /// comments in their place, the module's location and its SHA-256. The policy
    /// may stand in a bare file or in any manifest that holds one.
    ///
    /// What lint finds is printed to standard error. Warnings do not stop it; a
    /// policy with errors is refused, since Envoy would refuse it, or it lets
    /// strangers in.
    ///
    /// Exit status: 0 if the manifest was printed, 1 if the policy is refused, 2 if
    /// a file cannot be read or the arguments do not fit.
    Render(cli::render::Arguments),
    /// Print a script that completes commands in a shell
    ///
    /// As in `envoy-cors completions bash > /etc/bash_completion.d/envoy-cors`.
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, in troff
    ///
    /// As in `envoy-cors man > /usr/local/share/man/man1/envoy-cors.1`, and
    /// `envoy-cors man lint` for the page envoy-cors-lint.1.
    Man {
        /// The command whose page it is; without, the page of all
        command: Option<String>,
    },
}

fn main() -> ExitCode {
    let Arguments { command, color } = Arguments::parse();
    // Whoever prints colours strips them again where they are not wanted.
    match color {
        ColorChoice::Always => anstream::ColorChoice::Always.write_global(),
        ColorChoice::Never => anstream::ColorChoice::Never.write_global(),
        ColorChoice::Auto => {}
    }
    let done = match command {
        Command::Lint(arguments) => cli::lint::run(&arguments),
        Command::Explain(arguments) => cli::explain::run(&arguments),
        Command::Probe(arguments) => cli::probe::run(&arguments),
        Command::Audit(arguments) => cli::audit::run(&arguments),
        Command::Diff(arguments) => cli::diff::run(&arguments),
        Command::Import(arguments) => cli::import::run(&arguments),
        Command::Render(arguments) => cli::render::run(&arguments),
        Command::Completions { shell } => complete(shell),
        Command::Man { command } => manual(command.as_deref()),
    };
    match done {
        Ok(code) => code,
        // Whoever read the output has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell where this fails too.
            let _ = writeln!(io::stderr(), "envoy-cors: {error}");
            ExitCode::from(2)
        }
    }
}

fn complete(shell: Shell) -> io::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "envoy-cors", &mut script);
    io::stdout().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

fn manual(command: Option<&str>) -> io::Result<ExitCode> {
    let mut all = Arguments::command();
    all.build();
    let page = match command {
        None => &all,
        Some(name) => all.find_subcommand(name).ok_or_else(|| {
            io::Error::other(format!("there is no command {name:?}; `envoy-cors help` lists them"))
        })?,
    };
    clap_mangen::Man::new(page.clone()).render(&mut io::stdout())?;
    Ok(ExitCode::SUCCESS)
}
