//! Reads `.env` files, of which there is no standard: what shells, Docker Compose and the usual libraries agree on is
//! taken, and where they do not agree the line is refused by its number and told why. Nothing is filled in: `$NAME` stays
//! as it is written, and is reported. Pure; errors never hold a value.

use std::iter::Peekable;
use std::str::CharIndices;

/// What one assignment became.
pub(super) struct Entry {
    /// The line it begins at, from 1 on.
    pub(super) line: usize,
    /// The name, where there is one; it may be wrong.
    pub(super) key: String,
    /// The value, or why it cannot be taken.
    pub(super) value: Result<String, &'static str>,
    /// Whether other programs would fill something in.
    pub(super) has_dollar: bool,
}

/// Every assignment, and everything that is meant to be one and is not.
pub(super) fn read(text: &str) -> Vec<Entry> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader { text, rest: text.char_indices().peekable(), line: 1 };
    let mut entries = Vec::new();
    while reader.rest.peek().is_some() {
        entries.extend(reader.statement());
    }
    entries
}

struct Reader<'a> {
    text: &'a str,
    rest: Peekable<CharIndices<'a>>,
    line: usize,
}

const NO_NAME: &str = "is no assignment: write NAME=value";
const BAD_NAME: &str = "is no name: letters, digits and _.- are, and a digit is not first";
const UNENDED: &str = "has a quote that is never closed, so everything after it is in doubt";
const AFTER_QUOTE: &str = "goes on after its closing quote; put the whole value into one pair of quotes";
const NUL: &str = "holds a character that no environment can hold (NUL)";

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<char> {
        let (_, c) = self.rest.next()?;
        self.line += usize::from(c == '\n');
        Some(c)
    }

    fn peek(&mut self) -> Option<char> {
        self.rest.peek().map(|(_, c)| *c)
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\r')) {
            self.next();
        }
    }

    fn at(&mut self) -> usize {
        self.rest.peek().map_or(self.text.len(), |(at, _)| *at)
    }

    /// The rest of the line, without its end.
    fn rest_of_line(&mut self) -> &'a str {
        let from = self.at();
        while !matches!(self.peek(), None | Some('\n')) {
            self.next();
        }
        let to = self.at();
        self.next();
        self.text.get(from..to).unwrap_or_default()
    }

    fn statement(&mut self) -> Option<Entry> {
        self.skip_blanks();
        let line = self.line;
        match self.peek()? {
            '\n' | '#' => {
                self.rest_of_line();
                return None;
            }
            _ => {}
        }
        let key = self.name();
        if self.peek() != Some('=') {
            self.rest_of_line();
            // What stands there may be a part of a secret whose quotes are missing, so it is not repeated.
            return Some(Entry { line, key: String::new(), value: Err(NO_NAME), has_dollar: false });
        }
        self.next();
        let (value, has_dollar) = self.value();
        let fault = match (is_name(&key), &value) {
            (false, _) => Some(BAD_NAME),
            (true, Ok(value)) if value.contains('\0') => Some(NUL),
            _ => None,
        };
        let key = if is_name(&key) { key } else { String::new() };
        Some(Entry { line, key, value: fault.map_or(value, Err), has_dollar })
    }

    /// What stands before the `=` on this line, less `export`.
    fn name(&mut self) -> String {
        let from = self.at();
        while !matches!(self.peek(), None | Some('\n' | '=')) {
            self.next();
        }
        let to = self.at();
        let text = self.text.get(from..to).unwrap_or_default().trim();
        let exported = text.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t']));
        exported.unwrap_or(text).trim().to_owned()
    }

    fn value(&mut self) -> (Result<String, &'static str>, bool) {
        let before = self.at();
        self.skip_blanks();
        let apart = self.at() > before;
        match self.peek() {
            Some(quote @ ('\'' | '`')) => (self.quoted(quote), false),
            Some('"') => self.double_quoted(),
            Some('#') if apart => {
                self.rest_of_line();
                (Ok(String::new()), false)
            }
            _ => {
                let value = without_comment(self.rest_of_line());
                (Ok(value.to_owned()), value.contains('$'))
            }
        }
    }

    /// Between quotes in which nothing has a meaning.
    fn quoted(&mut self, quote: char) -> Result<String, &'static str> {
        self.next();
        let mut value = String::new();
        loop {
            match self.next() {
                None => return Err(UNENDED),
                Some(c) if c == quote => return self.after_quote().map(|()| value),
                Some(c) => value.push(c),
            }
        }
    }

    fn double_quoted(&mut self) -> (Result<String, &'static str>, bool) {
        self.next();
        let (mut value, mut has_dollar) = (String::new(), false);
        loop {
            match self.next() {
                None => return (Err(UNENDED), false),
                Some('"') => return (self.after_quote().map(|()| value), has_dollar),
                Some('\\') => match self.next() {
                    None => return (Err(UNENDED), false),
                    Some('n') => value.push('\n'),
                    Some('r') => value.push('\r'),
                    Some('t') => value.push('\t'),
                    Some('\n') => {}
                    Some(c @ ('"' | '\\' | '$' | '`')) => value.push(c),
                    Some(c) => value.extend(['\\', c]),
                },
                Some(c) => {
                    has_dollar |= c == '$';
                    value.push(c);
                }
            }
        }
    }

    /// Only blanks and a comment may follow.
    fn after_quote(&mut self) -> Result<(), &'static str> {
        let rest = self.rest_of_line();
        let bare = rest.trim_start();
        if bare.is_empty() || (bare.starts_with('#') && bare.len() < rest.len()) { Ok(()) } else { Err(AFTER_QUOTE) }
    }
}

fn is_name(text: &str) -> bool {
    let first = text.chars().next();
    first.is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

/// A `#` begins a comment only after a blank: `a#b` is a value.
fn without_comment(line: &str) -> &str {
    let mut before = ' ';
    let found = line.char_indices().skip(1).find(|(at, c)| {
        before = line.get(..*at).and_then(|head| head.chars().next_back()).unwrap_or(' ');
        *c == '#' && (before == ' ' || before == '\t')
    });
    line.get(..found.map_or(line.len(), |(at, _)| at)).unwrap_or(line).trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(text: &str) -> Vec<(String, Result<String, &'static str>)> {
        read(text).into_iter().map(|entry| (entry.key, entry.value)).collect()
    }

    fn one(text: &str) -> Result<String, &'static str> {
        let mut entries = read(text);
        assert_eq!(entries.len(), 1, "{text}");
        entries.remove(0).value
    }

    #[test]
    fn values_are_plain_quoted_exported_and_of_many_lines() {
        for (text, value) in [
            ("A=x", "x"),
            ("  export A = x y  # why\r\n", "x y"),
            ("A=", ""),
            ("A= # nothing", ""),
            ("A=#fff", "#fff"),
            ("A=a#b", "a#b"),
            ("A='x # \"y\" $Z \\n' # said", "x # \"y\" $Z \\n"),
            ("A=\"x\\n\\t\\\"y\\\" \\\\ \\q\"", "x\n\t\"y\" \\ \\q"),
            ("A=\"one\ntwo\n\"", "one\ntwo\n"),
            ("A='one\ntwo'", "one\ntwo"),
            ("A=\"one \\\ntwo\"", "one two"),
            ("A=`b'\"b`", "b'\"b"),
            ("\u{feff}A=x=y=", "x=y="),
            ("A=it's", "it's"),
        ] {
            assert_eq!(one(text), Ok(value.to_owned()), "{text}");
        }
    }

    #[test]
    fn comments_and_empty_lines_are_nothing_and_lines_are_counted() {
        let entries = read("# a=b\n\n  # c\nA='1\n2'\n\nB=3");
        let lines: Vec<_> = entries.iter().map(|entry| (entry.line, entry.key.as_str())).collect();
        assert_eq!(lines, [(4, "A"), (7, "B")]);
    }

    #[test]
    fn what_cannot_be_taken_is_told_and_its_text_is_not_repeated() {
        for (text, why) in [
            ("hunter2", NO_NAME),
            ("export A", NO_NAME),
            ("1A=x", BAD_NAME),
            ("A B=x", BAD_NAME),
            ("=x", BAD_NAME),
            ("A='x", UNENDED),
            ("A=\"x\\", UNENDED),
            ("A='x''y'", AFTER_QUOTE),
            ("A=\"x\"#y", AFTER_QUOTE),
            ("A=x\0y", NUL),
        ] {
            assert_eq!(one(text), Err(why), "{text}");
        }
        assert!(read("hunter2\nhunter 3=x").iter().all(|entry| entry.key.is_empty()));
    }

    #[test]
    fn a_dollar_is_kept_and_noticed_where_others_fill_in() {
        let noticed = |text: &str| read(text).iter().any(|entry| entry.has_dollar);
        assert!(noticed("A=$B") && noticed("A=\"${B:-x}\"") && noticed("A=$(date)"));
        assert!(!noticed("A='$B'") && !noticed("A=\"\\$B\"") && !noticed("A=b # $C"));
        assert_eq!(one("A=\"${B}$C\""), Ok("${B}$C".to_owned()));
    }

    proptest! {
        #[test]
        fn whatever_is_quoted_comes_back(pairs in proptest::collection::vec(("[A-Z_][A-Z0-9_]{0,8}", "[^\0]{0,40}"), 0..6)) {
            let quote = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$");
            let text: String = pairs.iter().map(|(key, value)| format!("{key}=\"{}\"\n", quote(value))).collect();
            let expected: Vec<_> = pairs.into_iter().map(|(key, value)| (key, Ok(value))).collect();
            prop_assert_eq!(values(&text), expected);
        }

        #[test]
        fn whatever_is_between_single_quotes_comes_back(value in "[^\0']{0,60}") {
            prop_assert_eq!(one(&format!("export KEY='{value}' # end")), Ok(value));
        }

        #[test]
        fn every_line_that_says_something_is_an_entry_or_inside_one(text in "[a-zA-Z=#'\"$\\\\ \n]{0,80}") {
            let entries = read(&text);
            let first = text.lines().position(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
            prop_assert_eq!(entries.first().map(|entry| entry.line), first.map(|line| line + 1));
            prop_assert!(entries.windows(2).all(|pair| pair[0].line < pair[1].line));
        }

        #[test]
        fn no_input_is_too_strange(text in any::<String>()) {
            for entry in read(&text) {
                prop_assert!(entry.key.is_empty() || is_name(&entry.key));
            }
        }
    }
}
