//! The usual shape of JSON that parses: a member per line, lists of plain values on one line. A key that is there twice
//! stays there twice, since both count.

/// The text in its usual shape.
pub(super) fn shape(text: &str) -> String {
    let parts = parts(text);
    let (mut shaped, mut stack) = (String::new(), Vec::new());
    for (index, part) in parts.iter().enumerate() {
        let next = parts.get(index + 1).copied().unwrap_or_default();
        match *part {
            "{" | "[" => {
                let spread = !matches!(next, "}" | "]") && (*part == "{" || !is_plain(parts.get(index + 1..)));
                stack.push(spread);
                shaped.push_str(part);
                if spread {
                    end_line(&mut shaped, depth(&stack));
                }
            }
            "}" | "]" => {
                if stack.pop().unwrap_or_default() {
                    end_line(&mut shaped, depth(&stack));
                }
                shaped.push_str(part);
            }
            "," if stack.last().copied().unwrap_or_default() => {
                shaped.push(',');
                end_line(&mut shaped, depth(&stack));
            }
            "," | ":" => {
                shaped.push_str(part);
                shaped.push(' ');
            }
            other => shaped.push_str(other),
        }
    }
    shaped.push('\n');
    shaped
}

/// Levels that have lines of their own.
fn depth(stack: &[bool]) -> usize {
    stack.iter().filter(|spread| **spread).count()
}

fn end_line(shaped: &mut String, depth: usize) {
    shaped.push('\n');
    shaped.push_str(&"  ".repeat(depth));
}

/// Whether a list that begins before these parts holds no list and no object.
fn is_plain(parts: Option<&[&str]>) -> bool {
    let first = parts.unwrap_or_default().iter().find(|part| matches!(**part, "{" | "[" | "]"));
    first.is_some_and(|part| *part == "]")
}

fn parts(text: &str) -> Vec<&str> {
    let (mut found, mut rest) = (Vec::new(), text.trim());
    while !rest.is_empty() {
        let length = match rest.as_bytes().first() {
            Some(b'"') => quoted(rest),
            Some(b'{' | b'}' | b'[' | b']' | b',' | b':') => 1,
            _ => rest.find(['{', '}', '[', ']', ',', ':', '"', ' ', '\t', '\n', '\r']).unwrap_or(rest.len()),
        };
        let Some((part, after)) = rest.split_at_checked(length.max(1)) else { return found };
        found.push(part);
        rest = after.trim_start();
    }
    found
}

fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}
