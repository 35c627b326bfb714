//! The parts of an HCL text that parses, each as it stands there: nothing is unescaped and nothing is lost but blanks.

/// What a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// A word, a number, or text in quotes.
    Key,
    /// A here-document up to its last line, without the end of that.
    Heredoc,
    /// `{` or `[`.
    Open,
    /// `}` or `]`.
    Close,
    /// `=`.
    Equals,
    /// `,`.
    Comma,
    /// A comment up to the end of its line.
    LineComment,
    /// A comment between `/*` and `*/`.
    BlockComment,
}

/// One part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) sort: Sort,
    pub(super) text: &'a str,
    /// Line ends between the part before and this one.
    pub(super) breaks: usize,
    source: &'a str,
    start: usize,
}

impl<'a> Token<'a> {
    /// The source from this part to the other, both with it.
    pub(super) fn up_to(&self, last: &Token<'a>) -> Option<&'a str> {
        self.source.get(self.start..last.start + last.text.len())
    }
}

/// All parts in order.
pub(super) fn tokens(source: &str) -> Vec<Token<'_>> {
    let (mut found, mut rest) = (Vec::new(), source);
    loop {
        let bare = rest.trim_start_matches([' ', '\t', '\n', '\r']);
        let breaks = rest.len() - bare.len();
        let breaks = rest.get(..breaks).unwrap_or_default().matches('\n').count();
        if bare.is_empty() {
            return found;
        }
        let (sort, length) = first(bare);
        let Some((text, after)) = bare.split_at_checked(length.max(1)) else { return found };
        let text = if sort == Sort::LineComment { text.trim_end() } else { text };
        found.push(Token { sort, text, breaks, source, start: source.len() - bare.len() });
        rest = after;
    }
}

/// What the text begins with, and how long that is in bytes.
fn first(text: &str) -> (Sort, usize) {
    match text.as_bytes().first() {
        Some(b'{' | b'[') => (Sort::Open, 1),
        Some(b'}' | b']') => (Sort::Close, 1),
        Some(b'=') => (Sort::Equals, 1),
        Some(b',') => (Sort::Comma, 1),
        Some(b'"') => (Sort::Key, quoted(text)),
        Some(b'#') => (Sort::LineComment, line(text)),
        _ if text.starts_with("//") => (Sort::LineComment, line(text)),
        _ if text.starts_with("/*") => (Sort::BlockComment, text.find("*/").map_or(text.len(), |end| end + 2)),
        _ if text.starts_with("<<") => (Sort::Heredoc, heredoc(text)),
        _ => (Sort::Key, word(text)),
    }
}

fn line(text: &str) -> usize {
    text.find('\n').unwrap_or(text.len())
}

fn word(text: &str) -> usize {
    let ends = |c: char| c.is_whitespace() || matches!(c, '{' | '}' | '[' | ']' | '=' | ',' | '"' | '#' | '/' | '<');
    text.find(ends).unwrap_or(text.len())
}

/// The length of the quoted text that begins here; within `${...}` nothing ends it and nothing is escaped.
fn quoted(text: &str) -> usize {
    let (mut escaped, mut braces, mut before) = (false, 0_usize, ' ');
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if braces == 0 => escaped = true,
            '{' if braces > 0 || before == '$' => braces += 1,
            '}' if braces > 0 => braces -= 1,
            '"' if braces == 0 => return at + 1,
            _ => {}
        }
        before = if escaped { ' ' } else { c };
    }
    text.len()
}

fn heredoc(text: &str) -> usize {
    let first = line(text);
    let word = text.get(2..first).unwrap_or_default();
    let (word, indented) = word.strip_prefix('-').map_or((word, false), |word| (word, true));
    let word = word.trim_end();
    let mut at = (first + 1).min(text.len());
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let length = line(rest);
        let bare = rest.get(..length).unwrap_or_default().trim_end_matches('\r');
        if (if indented { bare.trim_start() } else { bare }) == word {
            return at + bare.len();
        }
        at += length + 1;
    }
    text.len()
}
