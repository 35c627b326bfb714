//! Fills an operator's statement with a name, a password, a moment, so that none of them can leave the place it is put
//! into, and takes a text of several statements apart.
//!
//! A value is written by the rules of the quotes around its placeholder: inside `'...'` quotes are doubled, inside
//! `"..."` those are, and so on. Without quotes only letters, digits and underscores may stand. Placeholders in comments
//! stay as they are. What is in the statement besides is the operator's and is not judged.

use crate::ConnectorError;
use strongroom_model::{SecretString, Timestamp};
use zeroize::Zeroizing;

/// Whose rules of quoting hold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// With `standard_conforming_strings` on.
    Postgres,
    /// With neither `ANSI_QUOTES` nor `NO_BACKSLASH_ESCAPES`.
    Mysql,
}

/// What placeholders stand for. `{{name}}` and `{{username}}` are the same.
pub(crate) struct Values<'a> {
    pub(crate) name: &'a str,
    pub(crate) password: Option<&'a SecretString>,
    pub(crate) expires: Option<Timestamp>,
}

/// Where in a statement a piece of it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Bare,
    /// Inside this quote, with or without backslash as an escape.
    Quoted(char, bool),
    Comment,
}

#[derive(Debug, PartialEq, Eq)]
struct Piece<'a> {
    place: Place,
    /// Inside PostgreSQL's `$tag$`; the body is read as code, as that of a DO block is.
    dollar: bool,
    text: &'a str,
}

/// Puts the values into one statement.
pub(crate) fn fill(
    dialect: Dialect,
    statement: &str,
    values: &Values<'_>,
) -> Result<Zeroizing<String>, ConnectorError> {
    let expires = values.expires.map(moment).transpose()?.map(Zeroizing::new);
    let mut filled = Zeroizing::new(String::with_capacity(statement.len() + 256));
    for piece in pieces(dialect, statement) {
        if piece.place == Place::Comment {
            filled.push_str(piece.text);
            continue;
        }
        let mut rest = piece.text;
        while let Some((before, key, after)) = next_placeholder(rest) {
            filled.push_str(before);
            match key {
                "name" | "username" => filled.push_str(&written(&piece, key, values.name)?),
                "password" => match values.password {
                    Some(password) => filled.push_str(&written(&piece, key, password.expose())?),
                    None => filled.push_str("{{password}}"),
                },
                _ => filled.push_str(expires.as_ref().map_or("{{expiration}}", |text| text.as_str())),
            }
            rest = after;
        }
        filled.push_str(rest);
    }
    Ok(filled)
}

/// The statements of a text, parted by semicolons that stand outside of quotes, comments and bodies.
pub(crate) fn split(dialect: Dialect, text: &str) -> Vec<String> {
    let mut statements = vec![String::new()];
    for piece in pieces(dialect, text) {
        let mut parts = piece.text.split(|c| c == ';' && piece.place == Place::Bare && !piece.dollar);
        if let (Some(first), Some(last)) = (parts.next(), statements.last_mut()) {
            last.push_str(first);
        }
        statements.extend(parts.map(str::to_owned));
    }
    statements.retain(|statement| !statement.trim().is_empty());
    statements
}

/// `'text'` as a literal of that system.
pub(crate) fn literal(dialect: Dialect, text: &str) -> Zeroizing<String> {
    Zeroizing::new(format!("'{}'", *escaped('\'', dialect == Dialect::Mysql, text)))
}

/// `"text"` or `` `text` `` as a name of that system.
pub(crate) fn identifier(dialect: Dialect, text: &str) -> String {
    let quote = if dialect == Dialect::Mysql { '`' } else { '"' };
    format!("{quote}{}{quote}", *escaped(quote, false, text))
}

/// A moment as SQL has it, in UTC.
pub(crate) fn moment(moment: Timestamp) -> Result<String, ConnectorError> {
    let far =
        || ConnectorError::Config { what: "the login would expire after the year 9999: use a shorter ttl".into() };
    let secs = i64::try_from(moment.secs()).map_err(|_| far())?;
    let moment = jiff::Timestamp::from_second(secs).map_err(|_| far())?;
    Ok(moment.strftime("%Y-%m-%d %H:%M:%S+0000").to_string())
}

fn next_placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    while let Some(start) = text.get(from..)?.find("{{").map(|at| at + from) {
        let inner = text.get(start + 2..)?;
        for key in ["name", "username", "password", "expiration"] {
            if let Some(after) = inner.strip_prefix(key).and_then(|rest| rest.strip_prefix("}}")) {
                return Some((text.get(..start)?, key, after));
            }
        }
        from = start + 2;
    }
    None
}

fn written(piece: &Piece<'_>, key: &str, value: &str) -> Result<Zeroizing<String>, ConnectorError> {
    let refuse = |why: &str| Err(ConnectorError::Config { what: format!("{{{{{key}}}}} {why}") });
    if value.contains('\0') {
        return refuse("would be given a zero byte, which no database takes: use another one");
    }
    if piece.dollar && value.contains('$') {
        return refuse("stands inside of $$ and would be given a dollar sign, which could end it: use another value");
    }
    match piece.place {
        Place::Quoted(quote, backslash) => Ok(escaped(quote, backslash, value)),
        _ if value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => Ok(Zeroizing::new(value.to_owned())),
        _ => refuse("stands outside of quotes, where it can hold letters, digits and _ only: put quotes round it"),
    }
}

fn escaped(quote: char, backslash: bool, text: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(text.len() * 2));
    for c in text.chars() {
        if c == quote || (backslash && c == '\\') {
            out.push(c);
        }
        out.push(c);
    }
    out
}

fn pieces(dialect: Dialect, text: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    take_apart(dialect, text, false, &mut found);
    found
}

fn take_apart<'a>(dialect: Dialect, text: &'a str, dollar: bool, found: &mut Vec<Piece<'a>>) {
    let mut start = 0;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let before = text.get(..at).unwrap_or_default();
        let Some((place, length)) = special(dialect, before, rest, dollar) else {
            at += rest.chars().next().map_or(1, char::len_utf8);
            continue;
        };
        let bare = text.get(start..at).unwrap_or_default();
        let whole = rest.get(..length).unwrap_or(rest);
        found.push(Piece { place: Place::Bare, dollar, text: bare });
        match place {
            Some(place) => found.push(Piece { place, dollar, text: whole }),
            None => body(dialect, whole, found),
        }
        at += whole.len();
        start = at;
    }
    found.push(Piece { place: Place::Bare, dollar, text: text.get(start..).unwrap_or_default() });
}

/// A text between two `$tag$`. The marks themselves stand as pieces that are never split.
fn body<'a>(dialect: Dialect, whole: &'a str, found: &mut Vec<Piece<'a>>) {
    let tag = dollar_tag(whole).unwrap_or_default();
    let inner = whole.strip_prefix(tag).unwrap_or_default();
    let (inner, end) = inner.strip_suffix(tag).map_or((inner, ""), |inner| (inner, tag));
    found.push(Piece { place: Place::Comment, dollar: true, text: tag });
    take_apart(dialect, inner, true, found);
    found.push(Piece { place: Place::Comment, dollar: true, text: end });
}

/// What begins at `rest`, if it is more than bare text, and its length; no place means a body between dollars.
fn special(dialect: Dialect, before: &str, rest: &str, dollar: bool) -> Option<(Option<Place>, usize)> {
    let mysql = dialect == Dialect::Mysql;
    let first = rest.chars().next()?;
    if first == '\'' || first == '"' || (mysql && first == '`') {
        let backslash = if mysql { first != '`' } else { has_escape_prefix(before) };
        return Some((Some(Place::Quoted(first, backslash)), quoted_length(rest, first, backslash)));
    }
    let line = rest.starts_with("--")
        && (!mysql || rest.get(2..).is_none_or(|r| r.is_empty() || r.starts_with(char::is_whitespace)));
    if line || (mysql && first == '#') {
        return Some((Some(Place::Comment), rest.find('\n').map_or(rest.len(), |end| end + 1)));
    }
    if rest.starts_with("/*") {
        return Some((Some(Place::Comment), comment_length(rest, !mysql)));
    }
    if mysql || dollar || before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
        return None;
    }
    let tag = dollar_tag(rest)?;
    let inner = rest.get(tag.len()..)?;
    Some((None, inner.find(tag).map_or(rest.len(), |end| end + 2 * tag.len())))
}

/// `E'...'` and `U&'...'` take backslashes as escapes (PostgreSQL documentation, 4.1.2.2 and 4.1.2.3).
fn has_escape_prefix(before: &str) -> bool {
    let word =
        before.strip_suffix(['e', 'E']).or_else(|| before.strip_suffix("u&")).or_else(|| before.strip_suffix("U&"));
    word.is_some_and(|word| !word.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$'))
}

fn quoted_length(rest: &str, quote: char, backslash: bool) -> usize {
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if backslash && c == '\\' {
            chars.next();
        } else if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return at + quote.len_utf8();
        }
    }
    rest.len()
}

/// PostgreSQL's comments nest, MySQL's do not.
fn comment_length(rest: &str, nests: bool) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(tail) = rest.get(at..).filter(|tail| !tail.is_empty()) {
        if tail.starts_with("*/") {
            depth = depth.saturating_sub(1);
            at += 2;
            if depth == 0 {
                return at;
            }
        } else if tail.starts_with("/*") {
            depth = if nests { depth + 1 } else { 1 };
            at += 2;
        } else {
            at += tail.chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

fn dollar_tag(rest: &str) -> Option<&str> {
    let name = rest.strip_prefix('$')?;
    let end = name.find('$')?;
    let tag = name.get(..end)?;
    let word = !tag.starts_with(|c: char| c.is_ascii_digit()) && tag.chars().all(|c| c.is_alphanumeric() || c == '_');
    if word { rest.get(..end + 2) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filled(dialect: Dialect, statement: &str, name: &str, password: &str) -> Result<String, String> {
        let password = SecretString::new(password.to_owned());
        let values = Values { name, password: Some(&password), expires: Some(Timestamp::from_secs(1_800_000_000)) };
        fill(dialect, statement, &values).map(|text| text.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_value_is_written_by_the_rules_of_the_quotes_around_it() {
        let cases = [
            (Dialect::Postgres, r#"CREATE ROLE "{{name}}""#, r#"CREATE ROLE "a""b'c\d""#),
            (Dialect::Postgres, "SELECT '{{username}}', $1", r#"SELECT 'a"b''c\d', $1"#),
            (Dialect::Postgres, "SELECT E'{{name}}' -- {{name}}", r#"SELECT E'a"b''c\\d' -- {{name}}"#),
            (Dialect::Postgres, "SELECT 'E' '{{name}}'", r#"SELECT 'E' 'a"b''c\d'"#),
            (Dialect::Postgres, "DO $x$ SELECT '{{name}}'; $x$", r#"DO $x$ SELECT 'a"b''c\d'; $x$"#),
            (Dialect::Mysql, "SELECT '{{name}}' # {{name}}", r#"SELECT 'a"b''c\\d' # {{name}}"#),
            (Dialect::Mysql, r#"SELECT "{{name}}""#, r#"SELECT "a""b'c\\d""#),
            (Dialect::Mysql, "SELECT `{{name}}`", r#"SELECT `a"b'c\d`"#),
            (Dialect::Postgres, "'{{expiration}}' '{{other}}'", "'2027-01-15 08:00:00+0000' '{{other}}'"),
        ];
        for (dialect, statement, expected) in cases {
            assert_eq!(filled(dialect, statement, r#"a"b'c\d"#, "p").unwrap(), expected);
        }
    }

    #[test]
    fn what_could_leave_its_place_is_refused_without_showing_it() {
        for (statement, password) in [
            ("ALTER USER x PASSWORD {{password}}", "s3cret; DROP"),
            ("DO $$ SELECT '{{password}}' $$", "s3cret$$"),
            ("SELECT '{{password}}'", "s3cret\0"),
        ] {
            let error = filled(Dialect::Postgres, statement, "a", password).unwrap_err();
            assert!(error.contains("{{password}}") && !error.contains("s3cret"), "{error}");
        }
        assert_eq!(filled(Dialect::Postgres, "CREATE USER {{name}}", "v_app_1", "p").unwrap(), "CREATE USER v_app_1");
    }

    #[test]
    fn statements_are_parted_only_at_semicolons_that_part_them() {
        let text = "A 'x;''y' ; B \"p;q\"; -- c;\n DO $f$ one; 'two $f'; $f$ ; /* a; /* b; */ c; */ C;; ";
        let parts = split(Dialect::Postgres, text);
        let parts: Vec<&str> = parts.iter().map(|part| part.trim()).collect();
        assert_eq!(parts, ["A 'x;''y'", "B \"p;q\"", "-- c;\n DO $f$ one; 'two $f'; $f$", "/* a; /* b; */ c; */ C"]);
        assert_eq!(split(Dialect::Mysql, "A `x;`; B 'y\\';'; # z;\nC -- d;\n").len(), 3);
    }

    proptest! {
        #[test]
        fn a_filled_place_is_still_one_place_with_that_value(value in "[\\PC'\"`\\\\$;\n/*-]{0,20}", mysql: bool) {
            let dialect = if mysql { Dialect::Mysql } else { Dialect::Postgres };
            for quote in if mysql { vec!['\'', '"', '`'] } else { vec!['\'', '"'] } {
                let text = filled(dialect, &format!("A {quote}{{{{name}}}}{quote} B"), &value, "p").unwrap();
                let pieces = pieces(dialect, &text);
                prop_assert_eq!(pieces.len(), 3);
                prop_assert_eq!(pieces[2].text, " B");
                prop_assert_eq!(split(dialect, &text).len(), 1);
            }
        }

        #[test]
        fn taking_apart_loses_nothing(text in "[\\PC'\"`\\\\$;\n/*-]{0,60}", mysql: bool) {
            let dialect = if mysql { Dialect::Mysql } else { Dialect::Postgres };
            let joined: String = pieces(dialect, &text).iter().map(|piece| piece.text).collect();
            prop_assert_eq!(joined, text);
        }
    }
}
