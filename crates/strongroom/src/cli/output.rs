//! The one door to standard output and standard error: results go out of the first, messages out of the second. When a
//! stream is a terminal, control characters in what is printed are spelled out, because a stored value must not be able
//! to move the cursor, recolour the screen or hide text; a pipe or a file gets the bytes as they are.
//!
//! A reader that went away (`| head -1`) is no error; any other failure to write is remembered, so that a full disk
//! does not end as success.

use std::io::{self, IsTerminal, Write};

/// Where results and messages go.
pub(crate) struct Output {
    results: Stream,
    messages: Stream,
}

struct Stream {
    to: Box<dyn Write>,
    terminal: bool,
    failure: Option<io::Error>,
}

impl Output {
    /// The process's own streams.
    pub(crate) fn of_process() -> Self {
        let (results, messages) = (io::stdout(), io::stderr());
        Self {
            results: Stream { terminal: results.is_terminal(), to: Box::new(results), failure: None },
            messages: Stream { terminal: messages.is_terminal(), to: Box::new(messages), failure: None },
        }
    }

    /// A result and a line end.
    pub(crate) fn line(&mut self, text: &str) {
        self.results.write(text, true);
    }

    /// A single field: a line end on a terminal only, so that a pipe gets the value and nothing else.
    pub(crate) fn field(&mut self, text: &str) {
        let terminal = self.results.terminal;
        self.results.write(text, terminal);
    }

    /// Bytes as they are, whatever reads them.
    pub(crate) fn bytes(&mut self) -> &mut dyn Write {
        &mut *self.results.to
    }

    /// A message and a line end.
    pub(crate) fn say(&mut self, text: &str) {
        self.messages.write(text, true);
    }

    /// Flushes, and gives the first failure to write a result.
    pub(crate) fn finish(&mut self) -> Option<io::Error> {
        let flushed = self.results.to.flush();
        self.results.note(flushed);
        self.results.failure.take()
    }
}

impl Stream {
    fn write(&mut self, text: &str, line_end: bool) {
        let shown = if self.terminal { spell_out(text) } else { text.to_owned() };
        let mut written = self.to.write_all(shown.as_bytes());
        if line_end {
            written = written.and_then(|()| self.to.write_all(b"\n"));
        }
        self.note(written);
    }

    fn note(&mut self, written: io::Result<()>) {
        if let Err(error) = written
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            self.failure.get_or_insert(error);
        }
    }
}

/// The text with everything a terminal might obey replaced by its spelling, except line end and tab.
pub(crate) fn spell_out(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            c if c.is_control() || is_reordering(c) => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

/// Unicode's bidirectional controls, with which text can be shown in another order than it is stored.
fn is_reordering(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    #[derive(Clone, Default)]
    struct Kept(Rc<RefCell<Vec<u8>>>, Option<io::ErrorKind>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.1 {
                Some(kind) => Err(kind.into()),
                None => self.0.borrow_mut().write(bytes),
            }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn output(terminal: bool, fails: Option<io::ErrorKind>) -> (Output, Kept) {
        let kept = Kept(Rc::default(), fails);
        let stream = |terminal| Stream { to: Box::new(kept.clone()), terminal, failure: None };
        (Output { results: stream(terminal), messages: stream(terminal) }, kept.clone())
    }

    #[test]
    fn a_field_ends_its_line_on_a_terminal_only() {
        for (terminal, expected) in [(true, "x\n"), (false, "x")] {
            let (mut out, kept) = output(terminal, None);
            out.field("x");
            assert_eq!(kept.0.borrow().as_slice(), expected.as_bytes());
        }
    }

    #[test]
    fn a_terminal_is_not_moved_by_what_is_stored() {
        let (mut out, kept) = output(true, None);
        out.line("a\u{1b}[2J\u{9b}\r\u{202e}b\tc");
        assert_eq!(kept.0.borrow().as_slice(), b"a\\u{1b}[2J\\u{9b}\\r\\u{202e}b\tc\n");
        let (mut out, kept) = output(false, None);
        out.field("a\u{1b}\r\n");
        assert_eq!(kept.0.borrow().as_slice(), b"a\x1b\r\n");
    }

    #[test]
    fn a_reader_that_left_is_no_failure_but_a_full_disk_is() {
        let (mut out, _) = output(false, Some(io::ErrorKind::BrokenPipe));
        out.line("x");
        assert!(out.finish().is_none());
        let (mut out, _) = output(false, Some(io::ErrorKind::StorageFull));
        out.line("x");
        assert!(out.finish().is_some());
    }
}
