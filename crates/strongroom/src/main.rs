//! The binary: command line, configuration, wiring. The only place that reads arguments and the environment.

mod cli;
mod config;
mod server;

use mimalloc::MiMalloc;
use std::process::ExitCode;

#[global_allocator]
static MEMORY: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // Clients hold tokens and secrets too. Where the system refuses, a client still serves; a server does not start.
    let _ = strongroom_memory::harden_process();
    cli::run(std::env::args_os(), cli::Env::of_process())
}
