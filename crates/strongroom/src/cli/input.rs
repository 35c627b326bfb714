//! What comes in from outside the line: standard input, files, and questions on the terminal. Standard input can be
//! used up once. A question is asked without echo; when standard input is not a terminal its first line is the answer,
//! so that `echo "$KEY" | strongroom operator unseal` works and no secret needs to stand in the list of processes.

use super::error::CliError;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;
use zeroize::Zeroizing;

/// More than the server takes in one request.
const LONGEST: u64 = 64 << 20;
/// More than anybody types in one line.
const LONGEST_LINE: usize = 8_192;

/// The process's standard input and files.
pub(crate) struct Input {
    from: Box<dyn Read>,
    terminal: bool,
    used: bool,
    closed: bool,
}

impl Input {
    /// The process's own standard input; `closed` when asking is forbidden, and then it is empty as well.
    pub(crate) fn of_process() -> Self {
        let stdin = io::stdin();
        Self { terminal: stdin.is_terminal(), from: Box::new(stdin), used: false, closed: false }
    }

    /// From now on nothing is asked, and standard input reads as empty (`-non-interactive`).
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// For tests.
    #[cfg(test)]
    pub(crate) fn from_text(text: &str) -> Self {
        Self { from: Box::new(io::Cursor::new(text.to_owned())), terminal: false, used: false, closed: false }
    }

    /// All of standard input.
    pub(crate) fn all(&mut self) -> Result<Zeroizing<Vec<u8>>, CliError> {
        if self.closed {
            return Err(CliError::usage("standard input is not read with -non-interactive; use @file"));
        }
        if std::mem::replace(&mut self.used, true) {
            return Err(CliError::usage("standard input was read already: only one `-` can be used"));
        }
        read_limited(&mut self.from, Path::new("standard input"))
    }

    /// A whole file.
    pub(crate) fn file(&self, path: &Path) -> Result<Zeroizing<Vec<u8>>, CliError> {
        let mut file = File::open(path).map_err(|source| cannot_read(path, source))?;
        read_limited(&mut file, path)
    }

    /// Asks for a secret on the terminal, or takes the first line of standard input.
    pub(crate) fn ask(&mut self, question: &str, instead: &str) -> Result<Zeroizing<String>, CliError> {
        if self.closed {
            return Err(CliError::usage(format!("-non-interactive forbids asking; {instead}")));
        }
        if self.terminal {
            // The library writes the question before it turns the echo off; what is pasted in between would be seen.
            let _quiet = Quiet::begin().ok();
            let answer = rpassword::prompt_password(format!("{question} (will be hidden): "));
            return answer.map(Zeroizing::new).map_err(|source| cannot_read(Path::new("the terminal"), source));
        }
        let all = self.all()?;
        let line = all.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = std::str::from_utf8(line).map_err(|_| CliError::usage("standard input is not UTF-8 text"))?;
        match line.trim() {
            "" => Err(CliError::usage(format!("standard input is empty; {instead}"))),
            line => Ok(Zeroizing::new(line.to_owned())),
        }
    }

    /// Asks for what is no secret on the terminal, or takes the first line of standard input.
    pub(crate) fn line(&mut self, question: &str, instead: &str) -> Result<String, CliError> {
        if self.closed {
            return Err(CliError::usage(format!("-non-interactive forbids asking; {instead}")));
        }
        if self.terminal {
            let _ = write!(io::stderr(), "{question}: ");
        }
        let mut line = Vec::new();
        let mut byte = [0; 1];
        // Byte by byte: what follows the line may be for somebody else.
        while line.len() < LONGEST_LINE
            && self.from.read(&mut byte).map_err(|source| cannot_read(Path::new("standard input"), source))? == 1
            && byte != *b"\n"
        {
            line.extend(byte);
        }
        let line = String::from_utf8(line).map_err(|_| CliError::usage("standard input is not UTF-8 text"))?;
        match line.trim() {
            "" => Err(CliError::usage(format!("nothing was typed; {instead}"))),
            line => Ok(line.to_owned()),
        }
    }
}

/// The terminal without echo, as long as this lives.
struct Quiet {
    terminal: File,
    before: Termios,
}

impl Quiet {
    fn begin() -> io::Result<Self> {
        let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
        let before = tcgetattr(&terminal)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&terminal, OptionalActions::Now, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

fn read_limited(from: &mut dyn Read, path: &Path) -> Result<Zeroizing<Vec<u8>>, CliError> {
    let mut bytes = Zeroizing::new(Vec::new());
    from.take(LONGEST + 1).read_to_end(&mut bytes).map_err(|source| cannot_read(path, source))?;
    if bytes.len() as u64 > LONGEST {
        return Err(CliError::usage(format!("{} is longer than 64 MiB, more than a server takes", path.display())));
    }
    Ok(bytes)
}

fn cannot_read(path: &Path, source: io::Error) -> CliError {
    CliError::File { what: "cannot read", path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piped_answer_is_the_first_line_without_its_end() {
        assert_eq!(Input::from_text("key\r\nmore\n").ask("Unseal Key", "").unwrap().as_str(), "key");
        assert!(Input::from_text("\n").ask("Unseal Key", "give it").err().unwrap().to_string().contains("give it"));
    }

    #[test]
    fn nothing_is_asked_or_read_when_that_is_forbidden() {
        let mut input = Input::from_text("key");
        input.close();
        assert!(input.ask("x", "y").is_err() && input.all().is_err());
    }
}
