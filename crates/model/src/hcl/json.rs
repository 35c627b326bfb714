//! The JSON form. Strict JSON, but a repeated key is kept: `{"path": {..}, "path": {..}}` is two sets of rules, and
//! dropping one could drop a `deny`.

use super::cursor::Cursor;
use super::text::deeper;
use super::{HclError, Item, Node, Value};

/// Reads a whole text, which must be one object.
pub(super) fn document(mut cursor: Cursor<'_>) -> Result<Vec<Item>, HclError> {
    blank(&mut cursor);
    let Node { value: Value::Object(items), .. } = value(&mut cursor, 0)? else {
        return Err(cursor.error("the text must be one JSON object"));
    };
    blank(&mut cursor);
    if cursor.peek().is_some() { Err(cursor.error("something follows the JSON object")) } else { Ok(items) }
}

fn value(cursor: &mut Cursor<'_>, depth: usize) -> Result<Node, HclError> {
    let line = cursor.line();
    let value = match cursor.peek() {
        Some('"') => Value::Text(string(cursor)?),
        Some('{') => object(cursor, deeper(cursor, depth)?)?,
        Some('[') => list(cursor, deeper(cursor, depth)?)?,
        _ => scalar(cursor)?,
    };
    Ok(Node { line, value })
}

fn object(cursor: &mut Cursor<'_>, depth: usize) -> Result<Value, HclError> {
    cursor.bump();
    let mut items = Vec::new();
    blank(cursor);
    if cursor.eat('}') {
        return Ok(Value::Object(items));
    }
    loop {
        blank(cursor);
        let line = cursor.line();
        if cursor.peek() != Some('"') {
            return Err(cursor.error("a key in double quotes belongs here"));
        }
        let name = string(cursor)?;
        blank(cursor);
        if !cursor.eat(':') {
            return Err(cursor.error("a `:` belongs here"));
        }
        blank(cursor);
        items.push(Item { line, name, labels: Vec::new(), value: value(cursor, depth)? });
        if !another(cursor, '}')? {
            return Ok(Value::Object(items));
        }
    }
}

fn list(cursor: &mut Cursor<'_>, depth: usize) -> Result<Value, HclError> {
    cursor.bump();
    let mut nodes = Vec::new();
    blank(cursor);
    if cursor.eat(']') {
        return Ok(Value::List(nodes));
    }
    loop {
        blank(cursor);
        nodes.push(value(cursor, depth)?);
        if !another(cursor, ']')? {
            return Ok(Value::List(nodes));
        }
    }
}

/// Whether a comma, and so another member, follows; takes the closing bracket otherwise.
fn another(cursor: &mut Cursor<'_>, close: char) -> Result<bool, HclError> {
    blank(cursor);
    if cursor.eat(',') {
        Ok(true)
    } else if cursor.eat(close) {
        Ok(false)
    } else {
        Err(cursor.error(format!("a `,` or `{close}` belongs here")))
    }
}

fn scalar(cursor: &mut Cursor<'_>) -> Result<Value, HclError> {
    let wrong = cursor.error("a value belongs here: text in double quotes, a number, true, false, null, `[` or `{`");
    match cursor.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.')) {
        "true" => Ok(Value::Bool(true)),
        "false" => Ok(Value::Bool(false)),
        "null" => Ok(Value::Null),
        number => serde_json::from_str(number).map(Value::Number).map_err(|_| wrong),
    }
}

/// A quoted string; finding its end is ours, unescaping it is `serde_json`'s.
fn string(cursor: &mut Cursor<'_>) -> Result<String, HclError> {
    let wrong = cursor.error("the string that begins here is not a JSON string: check its quotes and escapes");
    let mut quoted = String::from("\"");
    cursor.bump();
    loop {
        quoted.push_str(cursor.take_while(|c| c != '"' && c != '\\'));
        match cursor.bump() {
            Some('"') => break,
            Some('\\') => quoted.extend(['\\'].into_iter().chain(cursor.bump())),
            _ => return Err(wrong),
        }
    }
    quoted.push('"');
    serde_json::from_str(&quoted).map_err(|_| wrong)
}

fn blank(cursor: &mut Cursor<'_>) {
    cursor.take_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
}
