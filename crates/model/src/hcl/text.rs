//! The grammar proper. Line ends mean nothing except at the end of a comment and of a heredoc; a comma after an item
//! of a block is allowed and means nothing either.

use super::cursor::Cursor;
use super::{DEEPEST, HclError, Item, Node, Value};
use serde_json::Number;

/// Reads a whole text.
pub(super) fn document(mut cursor: Cursor<'_>) -> Result<Vec<Item>, HclError> {
    let items = items(&mut cursor, 0)?;
    match cursor.peek() {
        None => Ok(items),
        Some(_) => Err(cursor.error("a `}` that closes nothing")),
    }
}

/// Items up to a closing brace or the end, neither of which is taken.
fn items(cursor: &mut Cursor<'_>, depth: usize) -> Result<Vec<Item>, HclError> {
    let mut items = Vec::new();
    loop {
        blank(cursor)?;
        if matches!(cursor.peek(), None | Some('}')) {
            return Ok(items);
        }
        items.push(item(cursor, depth)?);
        blank(cursor)?;
        cursor.eat(',');
    }
}

fn item(cursor: &mut Cursor<'_>, depth: usize) -> Result<Item, HclError> {
    let line = cursor.line();
    let name = key(cursor)?;
    let mut labels = Vec::new();
    loop {
        blank(cursor)?;
        match cursor.peek() {
            Some('{') => return Ok(Item { line, name, labels, value: value(cursor, depth)? }),
            Some('=') if labels.is_empty() => {
                cursor.bump();
                let equals = cursor.line();
                blank(cursor)?;
                if !value_comes(cursor, equals) {
                    return Err(HclError::new(line, format!("a value belongs here, after `{name} =`: {VALUES}")));
                }
                return Ok(Item { line, name, labels, value: value(cursor, depth)? });
            }
            Some('=') => return Err(cursor.error(format!("a block has no `=`: write `{name} \"...\" {{`"))),
            Some(c) if c == '"' || begins_word(c) => labels.push(key(cursor)?),
            _ => {
                return Err(
                    // The word is not repeated: most likely it is a value that has lost its quotes.
                    cursor.error("a word stands for nothing: write `key = ...` or `key { ... }`"),
                );
            }
        }
    }
}

/// What a value may be.
const VALUES: &str = "text in double quotes, a number, true, false, `[` or `{`";

/// Whether what follows an `=` may be its value. A word on a later line is the next key and not a value that lacks its
/// quotes, so the mistake is where the `=` is.
fn value_comes(cursor: &Cursor<'_>, equals: u32) -> bool {
    match cursor.peek() {
        Some('"' | '<' | '[' | '{' | '-') => true,
        Some(c) if begins_word(c) => cursor.line() == equals || cursor.looks_at("true") || cursor.looks_at("false"),
        next => next.is_some_and(|c| c.is_ascii_digit()),
    }
}

fn key(cursor: &mut Cursor<'_>) -> Result<String, HclError> {
    match cursor.peek() {
        Some('"') => string(cursor),
        Some(c) if begins_word(c) => Ok(word(cursor).to_owned()),
        _ => Err(cursor.error("a key belongs here: letters, digits, `_`, `-` and `.`, or text in double quotes")),
    }
}

fn begins_word(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn word<'a>(cursor: &mut Cursor<'a>) -> &'a str {
    cursor.take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

fn value(cursor: &mut Cursor<'_>, depth: usize) -> Result<Node, HclError> {
    let line = cursor.line();
    let value = match cursor.peek() {
        Some('"') => Value::Text(string(cursor)?),
        Some('<') => Value::Text(heredoc(cursor)?),
        Some('[') => list(cursor, deeper(cursor, depth)?)?,
        Some('{') => block(cursor, deeper(cursor, depth)?)?,
        Some(c) if c.is_ascii_digit() || c == '-' => Value::Number(number(cursor)?),
        Some(c) if begins_word(c) => truth(cursor)?,
        _ => return Err(cursor.error(format!("a value belongs here: {VALUES}"))),
    };
    Ok(Node { line, value })
}

/// One level further down, or an error: recursion stops here, not at the end of the stack.
pub(super) fn deeper(cursor: &Cursor<'_>, depth: usize) -> Result<usize, HclError> {
    if depth < DEEPEST {
        Ok(depth + 1)
    } else {
        Err(cursor.error(format!("more than {DEEPEST} brackets are open: write it flatter")))
    }
}

fn block(cursor: &mut Cursor<'_>, depth: usize) -> Result<Value, HclError> {
    let opened = cursor.line();
    cursor.bump();
    let items = items(cursor, depth)?;
    if cursor.eat('}') { Ok(Value::Object(items)) } else { Err(never_closed(cursor, "{", opened)) }
}

fn list(cursor: &mut Cursor<'_>, depth: usize) -> Result<Value, HclError> {
    let opened = cursor.line();
    cursor.bump();
    let mut nodes = Vec::new();
    loop {
        blank(cursor)?;
        // A comma without an item before it is taken, as in Vault.
        while cursor.eat(',') {
            blank(cursor)?;
        }
        match cursor.peek() {
            None => return Err(never_closed(cursor, "[", opened)),
            Some(']') => break,
            Some(_) => nodes.push(value(cursor, depth)?),
        }
        blank(cursor)?;
        if !matches!(cursor.peek(), None | Some(',' | ']')) {
            return Err(cursor.error("a `,` or `]` belongs here"));
        }
    }
    cursor.bump();
    Ok(Value::List(nodes))
}

fn never_closed(cursor: &Cursor<'_>, bracket: &str, opened: u32) -> HclError {
    cursor.error(format!("the `{bracket}` of line {opened} is never closed"))
}

fn truth(cursor: &mut Cursor<'_>) -> Result<Value, HclError> {
    let wrong = cursor.error("a word stands where a value belongs: write text in double quotes");
    match word(cursor) {
        "true" => Ok(Value::Bool(true)),
        "false" => Ok(Value::Bool(false)),
        _ => Err(wrong),
    }
}

/// Decimal, `0x` hexadecimal or `0` octal, as Go's `ParseInt(text, 0, 64)` reads them.
fn number(cursor: &mut Cursor<'_>) -> Result<Number, HclError> {
    let wrong = cursor.error("this is not a number: write digits, or text in double quotes");
    let sign = if cursor.eat('-') { "-" } else { "" };
    let digits = cursor.take_while(|c| c.is_ascii_alphanumeric() || c == '.');
    // The sign of an exponent ends the run of letters and digits.
    let exponent = match cursor.peek() {
        Some('-' | '+') if digits.ends_with(['e', 'E']) => {
            cursor.bump().into_iter().chain(cursor.take_while(|c| c.is_ascii_digit()).chars()).collect()
        }
        _ => String::new(),
    };
    let hexadecimal = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let octal = digits.strip_prefix('0').filter(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()));
    let text = match (hexadecimal, octal) {
        (Some(digits), _) => i64::from_str_radix(digits, 16).map_err(|_| wrong.clone())?.to_string(),
        (None, Some(digits)) => i64::from_str_radix(digits, 8).map_err(|_| wrong.clone())?.to_string(),
        (None, None) => format!("{digits}{exponent}"),
    };
    serde_json::from_str(&format!("{sign}{text}")).map_err(|_| wrong)
}

/// A quoted string. Inside `${ }` quotes and line ends do not end it, and nothing is unescaped.
fn string(cursor: &mut Cursor<'_>) -> Result<String, HclError> {
    let opened = cursor.error("the string that begins here is never closed: end it with `\"` on the same line");
    cursor.bump();
    let mut text = String::new();
    let mut braces = 0_usize;
    while let Some(c) = cursor.bump() {
        match c {
            '"' if braces == 0 => return Ok(text),
            '\n' if braces == 0 => return Err(opened),
            '\\' if braces == 0 => text.push(escape(cursor)?),
            '$' if braces == 0 && cursor.eat('{') => {
                text.push_str("${");
                braces = 1;
            }
            _ => {
                match c {
                    '{' if braces > 0 => braces += 1,
                    '}' if braces > 0 => braces -= 1,
                    _ => {}
                }
                text.push(c);
            }
        }
    }
    Err(opened)
}

fn escape(cursor: &mut Cursor<'_>) -> Result<char, HclError> {
    let wrong = cursor.error("an escape that does not exist: there are \\\" \\\\ \\n \\r \\t \\uXXXX");
    let c = match cursor.bump() {
        Some('"') => '"',
        Some('\\') => '\\',
        Some('a') => '\u{07}',
        Some('b') => '\u{08}',
        Some('f') => '\u{0C}',
        Some('n') => '\n',
        Some('r') => '\r',
        Some('t') => '\t',
        Some('v') => '\u{0B}',
        Some('x') => return code(cursor, 2, 16).filter(char::is_ascii).ok_or(wrong),
        Some('u') => return code(cursor, 4, 16).ok_or(wrong),
        Some('U') => return code(cursor, 8, 16).ok_or(wrong),
        Some('0') => return code(cursor, 2, 8).ok_or(wrong),
        Some('1') => return code(cursor, 2, 8).and_then(|low| char::from_u32(64 + u32::from(low))).ok_or(wrong),
        _ => return Err(wrong),
    };
    Ok(c)
}

fn code(cursor: &mut Cursor<'_>, digits: usize, radix: u32) -> Option<char> {
    let mut code = 0_u32;
    for _ in 0..digits {
        code = code.checked_mul(radix)?.checked_add(cursor.peek()?.to_digit(radix)?)?;
        cursor.bump();
    }
    char::from_u32(code)
}

/// `<<END` up to a line that is `END`; with `<<-END` the closing line may be indented, and its indent is taken from
/// every line if every line has it.
fn heredoc(cursor: &mut Cursor<'_>) -> Result<String, HclError> {
    let opened = cursor.error("the heredoc that begins here is never closed: end it with its word alone on a line");
    let wrong = cursor.error("a heredoc begins with `<<WORD` and ends with a line that is only `WORD`");
    cursor.bump();
    if !cursor.eat('<') {
        return Err(wrong);
    }
    let indented = cursor.eat('-');
    let end = cursor.take_line().trim_end();
    if end.is_empty() || !end.chars().all(char::is_alphanumeric) {
        return Err(wrong);
    }
    let mut lines = Vec::new();
    loop {
        let line = cursor.take_line();
        let bare = line.trim_end_matches(['\n', '\r']);
        let found = if indented { bare.trim_start() } else { bare };
        if found == end {
            let indent = bare.strip_suffix(end).unwrap_or_default();
            return Ok(unindent(&lines, indent));
        }
        if !line.ends_with('\n') {
            return Err(opened);
        }
        lines.push(line);
    }
}

fn unindent(lines: &[&str], indent: &str) -> String {
    let stripped: Option<String> = lines.iter().map(|line| line.strip_prefix(indent)).collect();
    stripped.unwrap_or_else(|| lines.concat())
}

/// Skips blanks and comments.
fn blank(cursor: &mut Cursor<'_>) -> Result<(), HclError> {
    loop {
        cursor.take_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
        if cursor.looks_at("#") || cursor.looks_at("//") {
            cursor.take_line();
        } else if cursor.looks_at("/*") {
            let opened = cursor.error("the comment that begins here is never closed: end it with `*/`");
            cursor.take_past("*/").ok_or(opened)?;
        } else {
            return Ok(());
        }
    }
}
