//! `find`: the names of all secrets that the caller may list, in every engine. Shows no value and reads none, and says
//! which folders it could not look into, so that nobody takes a part for the whole.

use super::error::{CliError, Doing};
use super::format::table;
use super::glob::{Glob, fits_segment};
use super::grammar::{Command, Exit, valued};
use super::path::trimmed;
use super::pool::Pool;
use super::session::Session;
use super::walk::{Engine, Spot, Walked, inside, walk, walk_below};
use serde_json::{Value, json};

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[Command {
    words: "find",
    usage: "[flags] [PATTERN]",
    about: "Find secrets by their names, in every engine",
    details: "\nPATTERN is a path, and everything at and below it is found; or it has wildcards: * and ?\n\
              within one segment, ** for any number of segments. Quote it for the shell.\n\
              Only names are looked at. Folders that you may not list are named on standard error\n\
              (with -format=json or yaml: under `refused`).\n\
              Ends with 2 when nothing was found.\n\n    $ strongroom find -name='*db*'\n    \
              $ strongroom find 'secret/**/prod/*'",
    flags: &[valued("name", "glob", "Only secrets whose last segment fits")],
    count: (0, 1),
    run: find,
}];

fn find(session: &mut Session) -> Result<Exit, CliError> {
    session.refuse_single_request_flags("find")?;
    let pattern = trimmed(session.parsed.arg(0)).to_owned();
    let last: Option<Vec<char>> = session.parsed.text("name").map(|name| name.chars().collect());
    let mounts = session.read(&Engine::request()).doing(|| "Error listing the engines".to_owned())?;
    let engines = Engine::of_mounts(&mounts);
    let mut pool = session.pool()?;
    let mut walked = if Glob::is_pattern(&pattern) {
        by_pattern(session, &mut pool, &engines, &pattern)?
    } else {
        walk_below(&mut pool, &session.settings, &engines, &pattern).doing(|| "Error listing secrets".to_owned())?
    };
    let named = |spot: &Spot| match (&last, spot.name.rsplit('/').next()) {
        (Some(glob), Some(name)) => fits_segment(glob, name),
        _ => true,
    };
    walked.secrets.retain(named);
    show(session, &walked)
}

/// From the folders where the first wildcard can begin.
fn by_pattern(session: &Session, pool: &mut Pool, engines: &[Engine], pattern: &str) -> Result<Walked, CliError> {
    let glob = Glob::new(pattern);
    let literal: Vec<&str> = pattern.split('/').take_while(|segment| !Glob::is_pattern(segment)).collect();
    let literal = literal.join("/");
    let starts = engines.iter().filter(|engine| glob.reaches_below(&engine.path));
    let starts = starts.map(|engine| Spot { engine: engine.clone(), name: inside(&literal, engine) }).collect();
    let mut walked = walk(pool, &session.settings, starts, |folder| glob.reaches_below(folder))
        .doing(|| "Error listing secrets".to_owned())?;
    walked.secrets.retain(|spot| glob.fits(&spot.path()));
    Ok(walked)
}

fn show(session: &mut Session, walked: &Walked) -> Result<Exit, CliError> {
    let paths: Vec<String> = walked.secrets.iter().map(Spot::path).collect();
    let found = !paths.is_empty();
    if session.settings.format == super::format::Format::Table {
        if found {
            let rows: Vec<Vec<String>> = paths.iter().map(|path| vec![path.clone()]).collect();
            session.out.line(&table(&["Path"], &rows));
        } else {
            session.out.say("No secret found among those that you may list.");
        }
        if !walked.refused.is_empty() {
            let list: String = walked.refused.iter().map(|folder| format!("\n  {folder}")).collect();
            session.out.say(&format!("Not looked into, because you may not list there:{list}"));
        }
    } else {
        let value: Value = json!({ "paths": paths, "refused": walked.refused });
        session.show_value(&value, String::new)?;
    }
    Ok(if found { Exit::Good } else { Exit::Negative })
}
