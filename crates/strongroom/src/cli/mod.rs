//! The command line: reads the arguments, finds the command, runs it, and turns what happened into text and an exit
//! code. Speaks Vault's: the same words, flags, environment, output and exit codes, also when it is installed under the
//! name `vault`. Knows the server only by its HTTP API; `server` hands over to the part that serves.

mod access_key;
mod address;
mod advice;
mod alert;
mod args;
mod audit;
mod audit_absent;
mod audit_archive;
mod audit_index;
mod audit_query;
mod auth;
mod bulk;
mod can;
mod client;
mod commands;
mod complete;
mod diff;
mod doctor;
mod drill;
mod env;
mod error;
mod find;
mod flags;
mod format;
mod glob;
mod grammar;
mod hcl;
mod help;
mod history;
mod import;
mod incident;
mod input;
mod kv;
mod lease;
mod listing;
mod logical;
mod login;
mod man;
mod moment;
mod mounts;
mod operator;
mod operator_generate_root;
mod operator_rekey;
mod operator_rotate;
mod operator_snapshot;
mod operator_verify;
mod output;
mod path;
mod path_help;
mod policy;
mod pool;
mod request;
mod review;
mod revoke;
mod rotate;
mod secret;
mod secrets;
mod server;
mod session;
mod shipping;
mod status;
mod tls;
mod token;
mod token_file;
mod version;
mod walk;
mod watch;
mod who_reads;
mod yaml;

pub(crate) use env::Env;
pub(crate) use server::ServerArgs;

use error::CliError;
use flags::Settings;
use grammar::{Command, Exit, Parsed};
use input::Input;
use output::Output;
use session::Session;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// Runs the command that the arguments name; the first argument is the name the program was called by. Ends with 0, with
/// 1 when the mistake is on this side, with 2 when the server refused, was not reached, or has nothing there.
pub(crate) fn run(argv: impl IntoIterator<Item = OsString>, env: Env) -> ExitCode {
    let mut argv = argv.into_iter();
    let program =
        argv.next().and_then(|path| Path::new(&path).file_name()?.to_str().map(str::to_owned)).unwrap_or_default();
    let mut out = Output::of_process();
    let Some(argv) = argv.map(|item| item.into_string().ok()).collect::<Option<Vec<String>>>() else {
        out.say("an argument is not UTF-8 text; give such a value with key=@file or key=-");
        return ExitCode::from(1);
    };
    if complete::answer(&argv, &env, &mut out) {
        return end(out, 0);
    }
    match commands::find(&argv) {
        Found::Installs(wanted) => return install_completion(out, &env, wanted),
        Found::Version => version::print(&mut out, &program),
        Found::Help(text) => out.line(&text),
        Found::Nothing(text) => {
            out.say(&text);
            return ExitCode::from(1);
        }
        Found::Command(command, rest) => return run_command(command, rest, env, out),
    }
    end(out, 0)
}

/// What an argument list begins with.
enum Found<'a> {
    /// A command and what follows it.
    Command(&'static Command, &'a [String]),
    /// The version was asked for.
    Version,
    /// Completion is to be put into the shells' start files, or taken out.
    Installs(bool),
    /// Help was asked for.
    Help(String),
    /// No command; the text says what there is.
    Nothing(String),
}

fn run_command(command: &'static Command, argv: &[String], env: Env, mut out: Output) -> ExitCode {
    let parsed = match Parsed::read(command, flags::GLOBAL, argv) {
        Ok(parsed) => parsed,
        Err(error) => return end_with(out, command, &error),
    };
    if command.words == server::COMMAND.words {
        return match ServerArgs::new(&parsed, &env) {
            Ok(args) => crate::server::run(args),
            Err(error) => end_with(out, command, &error),
        };
    }
    let settings = match Settings::resolve(&parsed, &env) {
        Ok(settings) => settings,
        Err(error) => return end_with(out, command, &error),
    };
    let mut session = Session::new(parsed, settings, env, out, Input::of_process());
    let ended = (command.run)(&mut session);
    out = session.out;
    match ended {
        Ok(Exit::Good) => end(out, 0),
        Ok(Exit::Negative) => end(out, 2),
        Ok(Exit::Nothing) => end(out, 3),
        Err(error) => end_with(out, command, &error),
    }
}

fn install_completion(mut out: Output, env: &Env, wanted: bool) -> ExitCode {
    match complete::install(env, wanted) {
        Ok(said) => said.iter().for_each(|text| out.line(text)),
        Err(error) => {
            out.say(&error.to_string());
            return end(out, error.exit_code());
        }
    }
    end(out, 0)
}

fn end_with(mut out: Output, command: &Command, error: &CliError) -> ExitCode {
    match error {
        CliError::Help => out.line(&help::of_command(command)),
        CliError::Printed => {}
        error => out.say(&error.to_string()),
    }
    end(out, error.exit_code())
}

fn end(mut out: Output, code: u8) -> ExitCode {
    match out.finish() {
        Some(error) if code == 0 => {
            out.say(&format!("the result could not be written: {error}"));
            ExitCode::from(1)
        }
        _ => ExitCode::from(code),
    }
}
