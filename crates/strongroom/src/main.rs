//! The binary: command line, configuration, wiring. The only place that reads arguments and the environment.

mod cli;
mod config;
mod server;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(std::env::args_os(), cli::Env::of_process())
}
