//! `envoy-cors`: what can be known of a CORS policy before Envoy loads it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod cli {
    pub mod document;
    pub mod lint;
}

/// Checks CORS policies of the Envoy filter envoy-cors.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Report what the filter would say about a configuration
    ///
    /// Exit status: 0 if the filter loads it, with warnings or without; 1 if it
    /// refuses it; 2 if the file cannot be read or the arguments are wrong.
    Lint {
        /// The configuration: JSON if its name ends in .json, else YAML
        file: PathBuf,
        /// The environment, as CORS_ENVIRONMENT would name it in the VM
        #[arg(long, value_name = "NAME")]
        environment: Option<String>,
    },
}

fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    match command {
        Command::Lint { file, environment } => cli::lint::run(&file, environment.as_deref()),
    }
}
