use super::HclError;

/// A place in a text, with its line. Moves forward only.
pub(super) struct Cursor<'a> {
    rest: &'a str,
    line: u32,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        Self { rest: source, line: 1 }
    }

    pub(super) fn line(&self) -> u32 {
        self.line
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub(super) fn looks_at(&self, text: &str) -> bool {
        self.rest.starts_with(text)
    }

    pub(super) fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.skip(c.len_utf8());
        Some(c)
    }

    /// Takes the character if it comes next.
    pub(super) fn eat(&mut self, wanted: char) -> bool {
        let comes = self.peek() == Some(wanted);
        if comes {
            self.skip(wanted.len_utf8());
        }
        comes
    }

    /// Takes the longest run of such characters.
    pub(super) fn take_while(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !fits(c)).unwrap_or(self.rest.len());
        self.skip(end)
    }

    /// Takes everything up to the text and the text too; `None` when it does not come.
    pub(super) fn take_past(&mut self, end: &str) -> Option<&'a str> {
        let length = self.rest.find(end)? + end.len();
        Some(self.skip(length))
    }

    /// Takes the rest of the line with its end.
    pub(super) fn take_line(&mut self) -> &'a str {
        let end = self.rest.find('\n').map_or(self.rest.len(), |at| at + 1);
        self.skip(end)
    }

    pub(super) fn error(&self, what: impl Into<String>) -> HclError {
        HclError::new(self.line, what)
    }

    /// Takes that many bytes, which must end between two characters.
    fn skip(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        let lines = taken.bytes().filter(|byte| *byte == b'\n').count();
        self.line = self.line.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
        self.rest = rest;
        taken
    }
}
