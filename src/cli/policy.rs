//! The one policy of a file, for commands that put it to work.

use std::io::{self, Write};
use std::path::Path;

use envoy_cors::Policies;
use envoy_cors::config::{Config, OriginsConfig};
use envoy_cors::diagnostic::Diagnostics;

use super::document::{Configuration, Document};
use super::report::Findings;
use super::{input, lint};

/// A file that holds one configuration of the filter.
pub struct PolicyFile {
    /// What was read.
    pub document: Document,
}

impl PolicyFile {
    /// Reads a file, or standard input for `-`.
    ///
    /// # Errors
    ///
    /// What the operating system says, and a sentence on a file that is not YAML
    /// or JSON, or does not hold one configuration.
    pub fn read(path: &Path) -> io::Result<Self> {
        let place = |error: io::Error| {
            io::Error::new(error.kind(), format!("{}: {error}", input::name(path)))
        };
        let bytes = input::read(path).map_err(place)?;
        Self::parse(input::name(path), bytes).map_err(|sentence| place(io::Error::other(sentence)))
    }

    /// Reads the bytes of a file.
    ///
    /// # Errors
    ///
    /// A sentence on what is not YAML or JSON, or does not hold one configuration.
    pub fn parse(name: String, bytes: Vec<u8>) -> Result<Self, String> {
        let document = Document::parse(name, bytes).map_err(|(document, error)| {
            let line = document.text.get(..error.at).unwrap_or_default().matches('\n').count() + 1;
            format!("line {line}: {}", error.message)
        })?;
        match document.configurations().len() {
            1 => Ok(Self { document }),
            0 => Err("holds no policy of this filter".to_owned()),
            n => Err(format!("holds {n} policies; cut out the one that is meant")),
        }
    }

    /// Compiles what the file holds. Without `environment` the one that is
    /// written in the file is in force.
    pub fn compile(
        &self,
        environment: Option<&str>,
        problems: &mut Diagnostics,
    ) -> Option<Policies> {
        let configuration = self.configuration()?;
        let config = configuration.read(problems)?;
        Policies::compile(config, environment.or(configuration.vm.name()), problems)
    }

    /// Writes the errors among some problems, each with its line.
    pub fn write(&self, problems: &Diagnostics, to: &mut impl Write) -> io::Result<()> {
        let Some(configuration) = self.configuration() else { return Ok(()) };
        let findings = lint::filter::errors(&configuration, problems);
        let Document { name, text, .. } = &self.document;
        Findings { name, text, findings: &findings }.write_text(to)
    }

    /// The names of all environments that origins are listed for, in the order
    /// of the file.
    pub fn environments(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        self.each_policy(|policy| {
            if let Some(OriginsConfig::PerEnvironment { lists, .. }) = &policy.allow_origins {
                for (name, _) in lists {
                    if !names.contains(name) {
                        names.push(name.clone());
                    }
                }
            }
        });
        names
    }

    /// Shows every policy as it is written, those with a `match` before the one
    /// without: the order of [`Policies::iter`].
    pub fn each_policy(&self, mut show: impl FnMut(&envoy_cors::config::PolicyConfig<'_>)) {
        let Some(configuration) = self.configuration() else { return };
        let config: Option<Config<'_>> = configuration.read(&mut Diagnostics::default());
        let Some(config) = config else { return };
        config.policies.iter().chain(&config.default).for_each(&mut show);
    }

    /// The one configuration.
    pub fn configuration(&self) -> Option<Configuration<'_>> {
        self.document.configurations().into_iter().next()
    }
}
