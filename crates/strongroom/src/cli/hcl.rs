//! The usual shape of an HCL file: two blanks per level, `=` of neighbouring lines under each other, no blanks at line
//! ends. Changes blanks only, and only in a file that parses before and after; here-documents and text in quotes stay
//! as they are.

/// The text in its usual shape, or where it is not HCL.
pub(crate) fn reshape(text: &str) -> Result<String, String> {
    parse(text)?;
    let lines = indent(text);
    let shaped = align(lines);
    // A shape that cannot be read again would be a defect of ours; better no change than a broken policy.
    parse(&shaped).map(|()| shaped).map_err(|_| "it holds something this command cannot reshape".to_owned())
}

fn parse(text: &str) -> Result<(), String> {
    text.parse::<hcl_edit::structure::Body>().map(|_| ()).map_err(|error| {
        let place = error.location();
        format!("not HCL at line {}, column {}", place.line(), place.column())
    })
}

/// One line of the result; `fixed` ones are inside here-documents and comments.
struct Line {
    text: String,
    fixed: bool,
}

/// What a line leaves open for the next ones.
#[derive(Default)]
struct Open {
    brackets: usize,
    comment: bool,
    heredoc: Option<String>,
}

fn indent(text: &str) -> Vec<Line> {
    let mut open = Open::default();
    text.lines()
        .map(|line| {
            let fixed = open.comment || open.heredoc.is_some();
            let depth = open.brackets.saturating_sub(closing_first(line));
            open.read(line);
            if fixed {
                return Line { text: line.to_owned(), fixed };
            }
            let bare = line.trim();
            let text = if bare.is_empty() { String::new() } else { format!("{}{bare}", "  ".repeat(depth)) };
            // The first line of a comment or here-document may end in blanks that are no concern of ours.
            Line { text, fixed: false }
        })
        .collect()
}

/// How many brackets a line closes before it does anything else.
fn closing_first(line: &str) -> usize {
    line.trim_start().chars().take_while(|c| matches!(c, '}' | ']' | ')')).count()
}

impl Open {
    fn read(&mut self, line: &str) {
        if let Some(end) = &self.heredoc {
            if line.trim() == end {
                self.heredoc = None;
            }
            return;
        }
        let mut rest = line;
        while let Some(c) = rest.chars().next() {
            let skip = if self.comment { self.in_comment(rest) } else { self.in_code(c, rest) };
            rest = rest.get(skip.max(1)..).unwrap_or_default();
            while !rest.is_empty() && !line.is_char_boundary(line.len() - rest.len()) {
                rest = rest.get(1..).unwrap_or_default();
            }
        }
    }

    fn in_comment(&mut self, rest: &str) -> usize {
        let end = rest.find("*/");
        self.comment = end.is_none();
        end.map_or(rest.len(), |at| at + 2)
    }

    /// Reads one thing at the beginning of `rest` and gives its length in bytes.
    fn in_code(&mut self, c: char, rest: &str) -> usize {
        match c {
            '"' => quoted(rest),
            '#' => rest.len(),
            '/' if rest.starts_with("//") => rest.len(),
            '/' if rest.starts_with("/*") => {
                self.comment = true;
                2
            }
            '<' if rest.starts_with("<<") => {
                let word = rest.trim_start_matches(['<', '-']).trim();
                self.heredoc = (!word.is_empty()).then(|| word.to_owned());
                rest.len()
            }
            '{' | '[' | '(' => {
                self.brackets += 1;
                1
            }
            '}' | ']' | ')' => {
                self.brackets = self.brackets.saturating_sub(1);
                1
            }
            c => c.len_utf8(),
        }
    }
}

/// The length of the quoted text that begins here; templates in it (`${...}`) may hold quotes of their own.
fn quoted(text: &str) -> usize {
    let (mut escaped, mut depth, mut before) = (false, 0_usize, ' ');
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '{' if depth > 0 || matches!(before, '$' | '%') => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '"' if depth == 0 => return at + 1,
            _ => {}
        }
        before = c;
    }
    text.len()
}

/// Puts the `=` of neighbouring `name = value` lines of the same depth under each other.
fn align(lines: Vec<Line>) -> String {
    let mut shaped = String::new();
    let mut run: Vec<(String, String)> = Vec::new();
    for line in lines {
        match if line.fixed { None } else { attribute(&line.text) } {
            Some((name, value)) => {
                let begins_block = value.ends_with(['{', '[', '(']) || value.starts_with("<<");
                if depth_of(&name) != run.last().map_or(depth_of(&name), |(last, _)| depth_of(last)) {
                    flush(&mut run, &mut shaped);
                }
                run.push((name, value));
                if begins_block {
                    flush(&mut run, &mut shaped);
                }
            }
            None => {
                flush(&mut run, &mut shaped);
                shaped.push_str(&line.text);
                shaped.push('\n');
            }
        }
    }
    flush(&mut run, &mut shaped);
    format!("{}\n", shaped.trim_end())
}

fn depth_of(name: &str) -> usize {
    name.len() - name.trim_start().len()
}

fn flush(run: &mut Vec<(String, String)>, shaped: &mut String) {
    let width = run.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, value) in run.drain(..) {
        shaped.push_str(&format!("{name:<width$} = {value}\n"));
    }
}

/// Name and value of a line that sets an attribute, blanks before the name kept.
fn attribute(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once('=')?;
    let name = name.trim_end();
    let bare = name.trim_start();
    let plain = !bare.is_empty() && bare.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
    let is_comparison = value.starts_with(['=', '>']);
    (plain && !is_comparison).then(|| (name.to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_gets_its_usual_shape_and_keeps_it() {
        let ragged = "path \"secret/*\" {\n capabilities=[\"read\",\"list\"]   \n      max_wrapping_ttl   = \"1h\"\n\tallowed_parameters = {\n\"a\" = [ ]\n}\n}\n\n\n# end\n\n";
        let shaped = "path \"secret/*\" {\n  capabilities     = [\"read\",\"list\"]\n  max_wrapping_ttl = \"1h\"\n  allowed_parameters = {\n    \"a\" = [ ]\n  }\n}\n\n\n# end\n";
        let got = reshape(ragged).unwrap();
        assert_eq!(reshape(&got).unwrap(), got);
        assert_eq!(got.lines().next(), shaped.lines().next());
        for line in ["    \"a\" = [ ]", "  }", "}", "# end"] {
            assert!(got.lines().any(|got| got == line), "{line}\n{got}");
        }
        assert!(got.contains("  max_wrapping_ttl   = \"1h\"\n"), "{got}");
    }

    #[test]
    fn brackets_in_text_and_comments_do_not_indent() {
        let text = "path \"a{\" {\n  # { [\n  policy = \"x[\" // {\n  /* {\n   kept */\n}\n";
        assert_eq!(reshape(text).unwrap(), text);
    }

    #[test]
    fn here_documents_stay_as_they_are() {
        let text = "a = <<EOT\n   x {\n     y = 1\nEOT\nb = 1\n";
        assert_eq!(reshape(text).unwrap(), text);
    }

    #[test]
    fn what_is_not_hcl_is_refused_with_its_place() {
        assert!(reshape("path \"x\" {").unwrap_err().contains("line"));
    }
}
