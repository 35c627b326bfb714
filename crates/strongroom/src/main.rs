//! The binary: command line, configuration, wiring. The only place that reads arguments and the environment.

mod cli;
mod config;
mod server;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Clients hold tokens and secrets too. Where the system refuses, a client still serves; a server does not start.
    let _ = strongroom_memory::harden_process();
    cli::run(std::env::args_os(), cli::Env::of_process())
}
