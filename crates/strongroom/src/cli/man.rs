//! Manual pages, written from the table of commands: one for the program, one for each command. Text of the table is
//! escaped for the formatter, in which a dot or a quote at the beginning of a line, a backslash and a dash have meanings.

use super::commands::all;
use super::error::CliError;
use super::flags::GLOBAL;
use super::grammar::{Command, Exit, Flag, valued};
use super::session::Session;
use std::fmt::Write as _;
use std::path::Path;

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[Command {
    words: "man",
    usage: "[flags] [COMMAND...]",
    about: "Print a manual page, or write all of them into a folder",
    details: "\n    $ strongroom man kv get | man -l -\n    $ strongroom man -dir=/usr/local/share/man/man1",
    flags: &[valued("dir", "folder", "Write every page into this folder")],
    count: (0, 3),
    run: man,
}];

fn man(session: &mut Session) -> Result<Exit, CliError> {
    if let Some(folder) = session.parsed.text("dir") {
        let count = write_all(Path::new(folder))?;
        let text = format!("Success! Wrote {count} pages into {folder}");
        session.success(&text);
        return Ok(Exit::Good);
    }
    let words = session.parsed.args().join(" ");
    if words.is_empty() {
        session.out.line(page_of_all().trim_end());
        return Ok(Exit::Good);
    }
    match all().find(|command| command.words == words) {
        Some(command) => session.out.line(page_of(command).trim_end()),
        None => return Err(CliError::usage(format!("there is no command `{words}`; see `strongroom -h`"))),
    }
    Ok(Exit::Good)
}

fn write_all(folder: &Path) -> Result<usize, CliError> {
    std::fs::create_dir_all(folder).map_err(|source| CliError::File {
        what: "cannot make",
        path: folder.to_owned(),
        source,
    })?;
    let pages = all().map(|command| (page_name(command), page_of(command)));
    let mut count = 0;
    for (name, page) in pages.chain([("strongroom".to_owned(), page_of_all())]) {
        let path = folder.join(format!("{name}.1"));
        std::fs::write(&path, page).map_err(|source| CliError::File { what: "cannot write", path, source })?;
        count += 1;
    }
    Ok(count)
}

fn page_name(command: &Command) -> String {
    format!("strongroom-{}", command.words.replace(' ', "-"))
}

fn heading(name: &str, about: &str) -> String {
    let title = name.to_uppercase();
    let name = plain(name);
    let version = env!("CARGO_PKG_VERSION");
    format!(
        ".TH \"{title}\" 1 \"2026-11-21\" \"Strongroom {version}\" \"Strongroom\"\n.SH NAME\n{name} \\- {}\n",
        plain(about)
    )
}

fn page_of(command: &Command) -> String {
    let mut page = heading(&page_name(command), command.about);
    let _ = write!(page, ".SH SYNOPSIS\n\\fBstrongroom {}\\fR {}\n", plain(command.words), plain(command.usage));
    let _ = write!(page, ".SH DESCRIPTION\n{}.\n", line(command.about));
    describe(&mut page, command.details);
    if !command.flags.is_empty() {
        page.push_str(".SH OPTIONS\n");
        command.flags.iter().for_each(|flag| option(&mut page, flag));
    }
    page.push_str(".SH SEE ALSO\n\\fBstrongroom\\fR(1), which has the flags of every command and the environment\n");
    page
}

fn page_of_all() -> String {
    let mut page = heading("strongroom", "a secrets manager that speaks Vault's API, and its command line");
    page.push_str(".SH SYNOPSIS\n\\fBstrongroom\\fR \\fIcommand\\fR [flags] [args]\n.SH COMMANDS\n");
    let mut commands: Vec<&Command> = all().collect();
    commands.sort_by_key(|command| command.words);
    for command in commands {
        let usage = plain(command.usage);
        let _ = write!(page, ".TP\n\\fB{}\\fR {usage}\n{}.\n", plain(command.words), line(command.about));
    }
    page.push_str(".SH FLAGS OF EVERY COMMAND\n");
    GLOBAL.iter().for_each(|flag| option(&mut page, flag));
    page.push_str(ENDING);
    page
}

const ENDING: &str = r".SH ENVIRONMENT
Each \fBVAULT_\fR\fIX\fR is also read as \fBSTRONGROOM_\fR\fIX\fR, which wins over it. A flag wins over both.
.SH EXIT STATUS
.TP
.B 0
It went well.
.TP
.B 1
A mistake on this side: the line, a file, a field that is absent.
.TP
.B 2
The server refused, was not reached, or has nothing there.
.SH FILES
.TP
.I ~/.vault\-token
The token of the last login.
";

/// Details: lines that begin with four blanks are examples and stay as they are.
fn describe(page: &mut String, details: &str) {
    let mut in_example = false;
    for text in details.lines() {
        let example = text.starts_with("    ");
        match (in_example, example) {
            (false, true) => page.push_str(".PP\n.EX\n"),
            (true, false) => page.push_str(".EE\n"),
            _ => {}
        }
        in_example = example;
        match text.trim() {
            "" => page.push_str(".PP\n"),
            _ if example => drop(writeln!(page, "{}", line(text.get(2..).unwrap_or(text)))),
            text => drop(writeln!(page, "{}", line(text))),
        }
    }
    if in_example {
        page.push_str(".EE\n");
    }
    // A paragraph before an example or at the end would be an empty one.
    while page.contains(".PP\n.PP\n") {
        *page = page.replace(".PP\n.PP\n", ".PP\n");
    }
    if let Some(rest) = page.strip_suffix(".PP\n") {
        *page = rest.to_owned();
    }
}

fn option(page: &mut String, flag: &Flag) {
    let value = if flag.value.is_empty() { String::new() } else { format!("=\\fI{}\\fR", plain(flag.value)) };
    let alias = if flag.alias.is_empty() { String::new() } else { format!(", \\fB\\-{}\\fR", plain(flag.alias)) };
    let _ = write!(page, ".TP\n\\fB\\-{}\\fR{value}{alias}\n{}.\n", plain(flag.name), line(flag.about));
}

/// Within a line.
fn plain(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq").replace('`', "\\(ga").replace('~', "\\(ti")
}

/// A line of its own.
fn line(text: &str) -> String {
    let text = plain(text);
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_formatter_would_obey_is_escaped() {
        assert_eq!(line(".env a\\b -x"), "\\&.env a\\eb \\-x");
        assert_eq!(line("'quoted'"), "\\(aqquoted\\(aq");
    }

    #[test]
    fn every_command_has_a_page_and_a_line_in_the_first() {
        let first = page_of_all();
        for command in all() {
            assert!(first.contains(&format!("\\fB{}\\fR", plain(command.words))), "{}", command.words);
            let page = page_of(command);
            assert!(page.starts_with(".TH \"STRONGROOM-") && !page.contains(".PP\n.SH"), "{page}");
            assert_eq!(page.matches(".EX\n").count(), page.matches(".EE\n").count(), "{page}");
        }
    }
}
