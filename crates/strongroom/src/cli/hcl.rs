//! The usual shape of an HCL or JSON file: an item per line, two blanks per level, `=` of neighbouring lines under each
//! other. Invariants: takes whatever the server takes, changes blanks and line ends only, and what comes out means what
//! went in, which is compared; lists on one line, comments, here-documents and text in quotes stay as they are.

mod json;
mod token;

use strongroom_model::hcl::{self, Item, Value};
use token::{Sort, Token, tokens};

/// The text in its usual shape, or where it is not HCL.
pub(crate) fn reshape(text: &str) -> Result<String, String> {
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let before = hcl::parse(text).map_err(|error| format!("not HCL: {error}"))?;
    let shaped = if text.trim_start().starts_with('{') { json::shape(text) } else { shape(text) };
    // Another meaning would be a defect of ours; better no change than another policy.
    match hcl::parse(&shaped) {
        Ok(after) if same_items(&before, &after) => Ok(shaped),
        _ => Err("it holds something this command cannot reshape".to_owned()),
    }
}

fn shape(text: &str) -> String {
    let mut printer = Printer { tokens: tokens(text), at: 0, lines: Vec::new() };
    printer.body(0);
    align(printer.lines)
}

fn same_items(one: &[Item], other: &[Item]) -> bool {
    let same = |(one, other): (&Item, &Item)| {
        one.name == other.name && one.labels == other.labels && same_value(&one.value.value, &other.value.value)
    };
    one.len() == other.len() && one.iter().zip(other).all(same)
}

fn same_value(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => same_items(one, other),
        (Value::List(one), Value::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same_value(&one.value, &other.value))
        }
        (Value::Object(_) | Value::List(_), _) | (_, Value::Object(_) | Value::List(_)) => false,
        (one, other) => one.to_json() == other.to_json(),
    }
}

/// One line of the result, or several when it holds a here-document or a comment of several lines.
struct Line {
    depth: usize,
    /// What stands before the `=`, when the line sets one name.
    name: Option<String>,
    text: String,
    /// Whether something of the same item follows on the next lines.
    opens: bool,
}

/// Writes the tokens down again, line by line.
struct Printer<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
    lines: Vec<Line>,
}

impl<'a> Printer<'a> {
    fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.at).copied()
    }

    fn sort(&self) -> Option<Sort> {
        self.peek().map(|token| token.sort)
    }

    fn next(&mut self) -> Option<Token<'a>> {
        let token = self.peek()?;
        self.at += 1;
        Some(token)
    }

    fn begin(&mut self, depth: usize, text: &str) {
        self.lines.push(Line { depth, name: None, text: text.to_owned(), opens: false });
    }

    /// Adds to the line under way, after a blank.
    fn add(&mut self, text: &str) {
        if let Some(line) = self.lines.last_mut() {
            if !line.text.is_empty() {
                line.text.push(' ');
            }
            line.text.push_str(text);
        }
    }

    /// Adds to the line under way without a blank.
    fn attach(&mut self, text: &str) {
        if let Some(line) = self.lines.last_mut() {
            line.text.push_str(text);
        }
    }

    /// Empty lines of the source are kept between items, not at the beginning of a block.
    fn leave_blank(&mut self, breaks: usize, is_first: bool) {
        for _ in 1..breaks {
            if !is_first {
                self.begin(0, "");
            }
        }
    }

    /// The items of a block, or of the file, up to what closes it.
    fn body(&mut self, depth: usize) {
        let mut is_first = true;
        while let Some(token) = self.peek().filter(|token| token.sort != Sort::Close) {
            let continues = token.breaks == 0 && !self.lines.is_empty();
            match token.sort {
                Sort::LineComment | Sort::BlockComment if continues => self.add(token.text),
                Sort::LineComment | Sort::BlockComment => {
                    self.leave_blank(token.breaks, is_first);
                    self.begin(depth, token.text);
                }
                Sort::Comma => self.comma(depth),
                _ => {
                    self.leave_blank(token.breaks, is_first);
                    self.item(depth);
                    is_first = false;
                    continue;
                }
            }
            self.at += 1;
            is_first = false;
        }
    }

    /// A comma after what is written; after the end of a here-document only on a line of its own.
    fn comma(&mut self, depth: usize) {
        let last = self.at.checked_sub(1).and_then(|before| self.tokens.get(before)).map(|token| token.sort);
        match last {
            Some(Sort::Heredoc | Sort::LineComment) | None => self.begin(depth, ","),
            _ => self.attach(","),
        }
    }

    fn item(&mut self, depth: usize) {
        self.begin(depth, "");
        let mut keys = 0;
        while let Some(token) = self.peek() {
            match token.sort {
                Sort::Open => break,
                Sort::Equals => {
                    self.at += 1;
                    self.equals(keys);
                    self.comments(depth + 1);
                    break;
                }
                Sort::Key => {
                    keys += 1;
                    self.add(token.text);
                    self.at += 1;
                    self.comments(depth + 1);
                }
                _ => break,
            }
        }
        self.value(depth);
    }

    fn equals(&mut self, keys: usize) {
        let Some(line) = self.lines.last_mut() else { return };
        if keys == 1 && line.name.is_none() && !line.text.contains("/*") {
            line.name = Some(std::mem::take(&mut line.text));
        } else {
            line.text.push_str(" =");
        }
    }

    /// Comments in the middle of an item. What follows one that ends its line goes on a level further in.
    fn comments(&mut self, depth: usize) {
        while let Some(token) = self.peek() {
            match token.sort {
                Sort::BlockComment => self.add(token.text),
                Sort::LineComment => {
                    self.add(token.text);
                    self.begin(depth, "");
                }
                _ => return,
            }
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) {
        let Some(token) = self.next() else { return };
        match (token.sort, token.text) {
            (Sort::Open, "{") if self.sort() == Some(Sort::Close) => {
                self.at += 1;
                self.add("{}");
            }
            (Sort::Open, "{") => {
                self.add("{");
                self.open();
                self.body(depth + 1);
                self.close(depth);
            }
            (Sort::Open, _) => self.list(token, depth),
            _ => self.add(token.text),
        }
    }

    fn open(&mut self) {
        if let Some(line) = self.lines.last_mut() {
            line.opens = true;
        }
    }

    fn close(&mut self, depth: usize) {
        if let Some(token) = self.next() {
            self.begin(depth, token.text);
        }
    }

    fn list(&mut self, open: Token<'a>, depth: usize) {
        if let Some((raw, after)) = self.on_one_line(open) {
            self.add(raw);
            self.at = after;
            return;
        }
        self.add("[");
        self.open();
        while let Some(token) = self.peek().filter(|token| token.sort != Sort::Close) {
            let continues = token.breaks == 0;
            match token.sort {
                Sort::LineComment | Sort::BlockComment if continues => self.add(token.text),
                Sort::LineComment | Sort::BlockComment => self.begin(depth + 1, token.text),
                Sort::Comma => self.comma(depth + 1),
                _ => {
                    self.begin(depth + 1, "");
                    self.value(depth + 1);
                    continue;
                }
            }
            self.at += 1;
        }
        self.close(depth);
    }

    /// The list as it is, and where it ends, when it holds nothing that takes lines of its own.
    fn on_one_line(&self, open: Token<'a>) -> Option<(&'a str, usize)> {
        let mut depth = 1_usize;
        for (index, token) in self.tokens.iter().enumerate().skip(self.at) {
            match token.sort {
                _ if token.breaks > 0 => return None,
                Sort::LineComment | Sort::Heredoc => return None,
                Sort::Open if token.text == "{" => return None,
                Sort::Open => depth += 1,
                Sort::Close => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return open.up_to(token).map(|raw| (raw, index + 1));
            }
        }
        None
    }
}

/// Puts the `=` of neighbouring lines of the same depth under each other.
fn align(lines: Vec<Line>) -> String {
    let mut shaped = String::new();
    let mut run: Vec<Line> = Vec::new();
    for line in lines {
        if line.name.is_none() || run.last().is_some_and(|last| last.depth != line.depth || last.opens) {
            flush(&mut run, &mut shaped);
        }
        run.push(line);
    }
    flush(&mut run, &mut shaped);
    match shaped.trim_end_matches('\n') {
        "" => String::new(),
        shaped => format!("{shaped}\n"),
    }
}

fn flush(run: &mut Vec<Line>, shaped: &mut String) {
    let names = run.iter().filter_map(|line| line.name.as_ref());
    let width = names.map(|name| name.chars().count()).max().unwrap_or(0);
    for line in run.drain(..) {
        let blanks = if line.text.is_empty() { String::new() } else { "  ".repeat(line.depth) };
        match line.name {
            Some(name) => shaped.push_str(&format!("{blanks}{name:<width$} = {}\n", line.text)),
            None => shaped.push_str(&format!("{blanks}{}\n", line.text)),
        }
    }
}

#[cfg(test)]
mod tests;
