//! `envoy-cors diff`: what a change of a configuration grants and takes away.

mod compare;
mod print;
mod request;
mod scopes;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use envoy_cors::diagnostic::{Diagnostics, Problem, Severity};
use envoy_cors::{Policies, Policy, decide};

use super::output;
use super::policy::PolicyFile;
use compare::{Grant, Side, beyond};
use scopes::{Region, Scopes, regions};

/// What to compare, and how to say it.
#[derive(clap::Args)]
pub struct Arguments {
    /// The file before the change; `-` is standard input
    old: PathBuf,
    /// The file after it
    new: PathBuf,
    /// Compare this environment only, not all that the files name
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Exit with 1 if anything is granted
    #[arg(long)]
    deny_widening: bool,
    /// How to print the changes
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people: + is granted, - is taken away, ~ is neither
    Text,
    /// For programs
    Json,
}

/// What changes for some requests in some environments.
struct Section {
    /// `None` is where `CORS_ENVIRONMENT` is unset. Empty if the files name none.
    environments: Vec<Option<String>>,
    /// Which requests, one of them in each.
    regions: Vec<String>,
    /// The policies before and after; `None` where there is none.
    policies: [Option<String>; 2],
    /// Whether the configuration loads, before and after.
    loads: [bool; 2],
    changes: Changes,
}

#[derive(Clone, PartialEq, Eq)]
struct Changes {
    granted: Vec<Example>,
    taken: Vec<Example>,
    /// Neither grants nor takes away, in words.
    other: Vec<String>,
    /// Neither policy is in force: this is what would change if they were.
    shadow: bool,
}

/// A grant, what became of its example before the change, and what will.
#[derive(Clone, PartialEq, Eq)]
struct Example {
    grant: Grant,
    credentials: bool,
    outcomes: [Option<&'static str>; 2],
}

/// Two configurations in every environment.
struct Views {
    all: Vec<View>,
    /// Whether a file sets `CORS_ENVIRONMENT` beside its policy.
    chosen: bool,
}

/// Two configurations in one environment.
struct View {
    /// `None` for the one that each file chooses, if it does.
    environment: Option<String>,
    /// `None` if it does not load there.
    policies: [Option<Policies>; 2],
}

/// Compares two files and prints what changed.
///
/// # Errors
///
/// What the operating system says, and a sentence on a file without a policy.
pub fn run(arguments: &Arguments) -> io::Result<ExitCode> {
    let files = [PolicyFile::read(&arguments.old)?, PolicyFile::read(&arguments.new)?];
    let views = match views(&files, arguments.environment.as_deref()) {
        Ok(views) => views,
        Err((file, problems)) => {
            output::even_unread(file.write(&problems, &mut anstream::stderr().lock()))?;
            return Ok(ExitCode::from(2));
        }
    };
    let sections = sections(&files, &views);
    let widens = arguments.deny_widening && print::widens(&sections);
    output::even_unread(arguments.print(&sections, &views))?;
    Ok(ExitCode::from(u8::from(widens)))
}

impl Arguments {
    fn print(&self, sections: &[Section], views: &Views) -> io::Result<()> {
        let mut stdout = anstream::stdout().lock();
        match self.format {
            Format::Text => print::text(sections, views, &mut stdout)?,
            Format::Json => writeln!(stdout, "{:#}", print::json(sections))?,
        }
        stdout.flush()
    }
}

/// What changes, with the environments in which it is the same put together.
fn sections(files: &[PolicyFile; 2], views: &Views) -> Vec<Section> {
    let [old, new] = files.each_ref().map(|file| {
        let mut scopes = Scopes::default();
        file.each_policy(|policy| scopes.add(policy));
        scopes
    });
    let regions = regions(&old, &new);
    let mut sections: Vec<Section> = Vec::new();
    for view in &views.all {
        for section in view.sections(&regions, views.all.len() > 1) {
            let same = |known: &&mut Section| {
                (&known.regions, &known.policies, &known.loads, &known.changes)
                    == (&section.regions, &section.policies, &section.loads, &section.changes)
            };
            match sections.iter_mut().find(same) {
                Some(known) => known.environments.extend(section.environments),
                None => sections.push(section),
            }
        }
    }
    sections
}

/// The configurations in every environment.
///
/// # Errors
///
/// The first file that the filter would refuse wherever it is deployed, or in
/// the environment that it chooses, and why.
fn views<'f>(
    files: &'f [PolicyFile; 2],
    only: Option<&str>,
) -> Result<Views, (&'f PolicyFile, Diagnostics)> {
    let mut names = files[0].environments();
    let more = files[1].environments();
    names.extend(more.into_iter().filter(|name| !files[0].environments().contains(name)));
    if let Some(only) = only {
        names = vec![only.to_owned()];
    }
    let view = |environment: Option<&str>| {
        let mut policies = [None, None];
        for (policies, file) in policies.iter_mut().zip(files) {
            let mut problems = Diagnostics::default();
            *policies = file.compile(environment, &mut problems);
            let elsewhere = only.is_none() && is_for_others(&problems, environment.is_some());
            if policies.is_none() && !elsewhere {
                return Err((file, problems));
            }
        }
        Ok(View { environment: environment.map(str::to_owned), policies })
    };
    let mut all = names.iter().map(|name| view(Some(name))).collect::<Result<Vec<View>, _>>()?;
    if only.is_none() {
        let written = view(None)?;
        let [old, new] = written.policies.each_ref().map(|p| p.as_ref().map(Policies::environment));
        // Where both choose the same, or leave the choice to the VM, that is
        // compared already.
        if names.is_empty() || old != new {
            all.push(written);
        }
    }
    let sets = |file: &PolicyFile| file.configuration().is_some_and(|c| c.vm.name().is_some());
    Ok(Views { all, chosen: files.iter().any(sets) })
}

/// Whether a configuration is refused for nothing but an environment that it
/// does not choose itself: `named` by another file, or by the VM alone.
fn is_for_others(problems: &Diagnostics, named: bool) -> bool {
    let mut errors = problems.iter().filter(|problem| problem.severity() == Severity::Error);
    errors.all(|error| match error.problem {
        Problem::UnknownEnvironment { .. } => named,
        Problem::NoEnvironment => true,
        _ => false,
    })
}

/// Requests on which the same two policies decide.
struct Group<'r> {
    /// The index of the policy, and whether its paths are ambiguous.
    deciding: [Option<(usize, bool)>; 2],
    regions: Vec<&'r Region>,
}

impl View {
    /// What changes, under the environment's name if it is `named`.
    fn sections<'v>(
        &'v self,
        regions: &'v [Region],
        named: bool,
    ) -> impl Iterator<Item = Section> + 'v {
        self.groups(regions).into_iter().filter_map(move |group| {
            let changes = self.compare(&group)?;
            let environment = self.environment.clone().filter(|name| !name.is_empty());
            let environments = (named || environment.is_some()).then_some(environment);
            Some(Section {
                environments: environments.into_iter().collect(),
                regions: print::regions(&group.regions, regions),
                policies: [0, 1]
                    .map(|side| self.policy(&group, side).map(|policy| policy.name().to_owned())),
                loads: self.policies.each_ref().map(Option::is_some),
                changes,
            })
        })
    }

    fn groups<'r>(&self, regions: &'r [Region]) -> Vec<Group<'r>> {
        let mut groups: Vec<Group<'r>> = Vec::new();
        for region in regions {
            let (host, path) = &region.example;
            let header = |name: &str| match name {
                ":authority" => Some(host.as_bytes().to_vec()),
                ":path" => Some(path.as_bytes().to_vec()),
                _ => None,
            };
            let deciding = [0, 1].map(|side: usize| {
                let policies = self.policies.get(side)?.as_ref()?;
                let decision = decide(policies, header)?;
                let ambiguous = region.ambiguous.get(side).is_some_and(|ambiguous| *ambiguous);
                Some((decision.policy().index(), ambiguous))
            });
            match groups.iter_mut().find(|group| group.deciding == deciding) {
                Some(group) => group.regions.push(region),
                None => groups.push(Group { deciding, regions: vec![region] }),
            }
        }
        groups
    }

    fn policy(&self, group: &Group<'_>, side: usize) -> Option<&Policy> {
        let (index, _) = (*group.deciding.get(side)?)?;
        self.policies.get(side)?.as_ref()?.deciding().nth(index)
    }

    fn side(&self, group: &Group<'_>, side: usize) -> Side<'_> {
        let loads = self.policies.get(side).is_some_and(Option::is_some);
        match (self.policy(group, side), group.deciding.get(side)) {
            (Some(policy), Some(Some((_, ambiguous)))) => {
                Side::Policy { policy, ambiguous: *ambiguous }
            }
            _ if loads => Side::Upstream,
            _ => Side::Refused,
        }
    }

    /// What changes for a group, if anything does.
    fn compare(&self, group: &Group<'_>) -> Option<Changes> {
        let [old, new] = [self.side(group, 0), self.side(group, 1)];
        let (host, path) = &group.regions.first()?.example;
        let shadow = old.is_shadow() && new.is_shadow();
        let [old_force, new_force] = [old, new].map(|side| side.in_force(shadow));
        let grants = |from: &Side<'_>, to: &Side<'_>| -> Vec<Example> {
            let credentials = matches!(to, Side::Policy { policy, .. } if policy.credentials());
            let grants = beyond(from, to, host, path);
            grants.into_iter().map(|grant| self.example(grant, credentials)).collect()
        };
        let changes = Changes {
            granted: grants(&old_force, &new_force),
            taken: grants(&new_force, &old_force),
            other: print::other(&old, &new),
            shadow,
        };
        let any = !changes.granted.is_empty() || !changes.taken.is_empty();
        (any || !changes.other.is_empty()).then_some(changes)
    }

    fn example(&self, grant: Grant, credentials: bool) -> Example {
        let outcomes =
            self.policies.each_ref().map(|policies| grant.example.outcome(policies.as_ref()?));
        Example { grant, credentials, outcomes }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::cli::hostile;

    const POLICIES: [&str; 5] = [
        "allowOrigins: [https://a.example, 'https://*.b.example:*', 'null']\nallowMethods: [PUT]\nmaxAge: 5",
        "allowOrigins: ['*']\nallowHeaders: ['*', x-a]\nexposeHeaders: ['*']\nupstreamHeaders: keep",
        "policies:\n- {name: a, match: {hosts: [a.example, '*.b.example'], pathPrefixes: [/a, /a/b]}, \
         allowOrigins: ['http://localhost:*'], unmatchedPreflights: forward}",
        "allowOrigins: {one: [https://a.example], two: []}\nenvironment: one\nallowCredentials: true\n\
         disallowedRequests: reject",
        "allowOrigins: []\npolicies: [{name: a, match: {pathPrefixes: [/a]}, mode: shadow, \
         allowOrigins: [https://*.b.example], allowMethods: ['*'], allowCredentials: true}]",
    ];

    /// What is granted and what is taken away, in words.
    fn told(files: &[PolicyFile; 2]) -> Option<[Vec<String>; 2]> {
        let views = views(files, None).ok()?;
        let sections = sections(files, &views);
        let mut text = Vec::new();
        print::text(&sections, &views, &mut text).unwrap();
        hostile::check_shown(&text);
        let json = print::json(&sections);
        Some(["granted", "taken"].map(|effect| {
            let changes = json["changes"].as_array().unwrap().iter();
            let told = changes.filter(|change| change["effect"] == effect).flat_map(|change| {
                let words = ["requests", "shadow", "kind", "value"].map(|field| &change[field]);
                let environments = change["environments"].as_array().unwrap();
                // What is put together there depends on the examples.
                let each =
                    environments.iter().chain(environments.is_empty().then_some(&Value::Null));
                each.map(move |environment| format!("{environment} {words:?}"))
            });
            let mut told: Vec<_> = told.collect();
            told.sort();
            told
        }))
    }

    #[test]
    fn a_change_never_panics() {
        const BETWEEN: &str = "\n===\n";
        const WORDS: &[&str] = &[
            "mode: shadow\n",
            "environment: two\n",
            "allowCredentials: true\n",
            "https://*.com",
            "*.a.example",
            "[::1]",
            "127.0.0.1",
            "/a/",
            ":8080",
            ", '*'",
            "any",
        ];
        let pairs =
            POLICIES.iter().flat_map(|old| POLICIES.map(|new| [old, BETWEEN, new].concat()));
        let samples = hostile::samples(pairs);
        hostile::each(&samples, WORDS, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let (old, new) = text.split_once(BETWEEN).unwrap_or((&text, &text));
            let read = |text: &str| PolicyFile::parse("cors.yaml".into(), text.into());
            let [Ok(old), Ok(new)] = [read(old), read(new)] else { return false };
            let files = [old, new];
            let Some([granted, taken]) = told(&files) else { return false };
            let [old, new] = files;
            let back = told(&[new, old]).unwrap();
            assert_eq!(back, [taken, granted]);
            true
        });
    }
}
