//! How answers are printed: tables laid out as Vault's, JSON, YAML, or a single field. Turns values into text and knows
//! neither the network nor the terminal. Numbers keep the text they had in the answer.

use super::error::CliError;
use super::secret::Secret;
use super::yaml;
use serde_json::{Map, Value};
use std::fmt::Write as _;

/// The way results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// Indented by two.
    Json,
    /// Block style.
    Yaml,
    /// The server's bytes, for `read`.
    Raw,
    /// Comma-separated, for spreadsheets (RFC 4180).
    Csv,
    /// For a page or a ticket.
    Markdown,
}

impl Format {
    /// Reads the name.
    pub(crate) fn parse(text: &str) -> Result<Self, CliError> {
        match text.to_ascii_lowercase().as_str() {
            "table" | "" | "pretty" => Ok(Format::Table),
            "json" => Ok(Format::Json),
            "yaml" | "yml" => Ok(Format::Yaml),
            "raw" => Ok(Format::Raw),
            "csv" => Ok(Format::Csv),
            "markdown" | "md" => Ok(Format::Markdown),
            _ => Err(CliError::usage(format!("Invalid output format: {text}; it is table, json, yaml or raw"))),
        }
    }

    /// A value as JSON or YAML; `None` for a table, which each command lays out itself.
    pub(crate) fn render(self, value: &Value) -> Result<Option<String>, CliError> {
        match self {
            Format::Table => Ok(None),
            Format::Json => Ok(Some(json(value))),
            Format::Yaml => Ok(Some(yaml::render(value)?)),
            Format::Raw => Err(CliError::usage("This command does not support the -format=raw option; `read` does")),
            Format::Csv | Format::Markdown => Err(CliError::usage(
                "this command prints table, json or yaml; csv and markdown are for rows, as of `audit query`",
            )),
        }
    }
}

/// JSON indented by two.
pub(crate) fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// The warnings of a native answer.
pub(crate) fn warnings(body: &Value) -> Vec<String> {
    let warnings = body.get("warnings").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    warnings.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Rows under a heading that is underlined, columns four spaces apart; an empty cell reads `n/a`.
pub(crate) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let heading: Vec<String> = heading.iter().map(|cell| (*cell).to_owned()).collect();
    let rule = heading.iter().map(|cell| "-".repeat(cell.chars().count())).collect();
    let mut all = vec![heading, rule];
    all.extend(rows.iter().cloned());
    columns(&all)
}

/// Rows under a heading in the form that was asked for; `None` for the forms that want the value itself.
pub(crate) fn rows(format: Format, heading: &[&str], rows: &[Vec<String>]) -> Option<String> {
    match format {
        Format::Table => Some(table(heading, rows)),
        Format::Csv => Some(csv(heading, rows)),
        Format::Markdown => Some(markdown(heading, rows)),
        Format::Json | Format::Yaml | Format::Raw => None,
    }
}

/// RFC 4180, but for the line ends, which are those of the system.
fn csv(heading: &[&str], rows: &[Vec<String>]) -> String {
    let cell = |text: &str| match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    };
    let head = heading.iter().map(|text| cell(text)).collect::<Vec<_>>().join(",");
    let lines = rows.iter().map(|row| row.iter().map(|text| cell(text)).collect::<Vec<_>>().join(","));
    std::iter::once(head).chain(lines).collect::<Vec<_>>().join("\n")
}

fn markdown(heading: &[&str], rows: &[Vec<String>]) -> String {
    let cell = |text: &str| text.replace('|', "\\|").replace(['\n', '\r'], " ");
    let line = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
    let head = line(heading.iter().map(|text| cell(text)).collect());
    let rule = format!("|{}", "---|".repeat(heading.len()));
    let lines = rows.iter().map(|row| line(row.iter().map(|text| cell(text)).collect()));
    [head, rule].into_iter().chain(lines).collect::<Vec<_>>().join("\n")
}

/// Rows as columns without heading.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    let cell = |text: &String| match text.trim() {
        "" => "n/a".to_owned(),
        text => text.to_owned(),
    };
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(cell).collect()).collect();
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &Vec<String>| {
        let mut line = String::new();
        for (n, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let last = n + 1 == row.len();
            let _ = if last { write!(line, "{cell}") } else { write!(line, "{cell:<width$}    ") };
        }
        line
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Two columns `Key` and `Value`; `None` when there is nothing to show.
pub(crate) fn key_values(rows: Vec<(String, String)>) -> Option<String> {
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(key, value)| vec![key, value]).collect();
    (!rows.is_empty()).then(|| table(&["Key", "Value"], &rows))
}

/// The entries of an object as rows, spans of time readable.
pub(crate) fn rows_of(data: &Map<String, Value>) -> Vec<(String, String)> {
    data.iter().map(|(key, value)| (key.clone(), span_or_text(key, value))).collect()
}

/// The keys of a listing under their heading.
pub(crate) fn keys_table(keys: &[Value]) -> Option<String> {
    let mut keys: Vec<Vec<String>> = keys.iter().map(|key| vec![go_text(key)]).collect();
    keys.sort();
    (!keys.is_empty()).then(|| table(&["Keys"], &keys))
}

/// A whole answer as Vault's table shows it; `None` when there is nothing in it.
pub(crate) fn secret_table(secret: &Secret) -> Option<String> {
    let mut rows: Vec<(String, String)> = Vec::new();
    let mut add = |key: &str, value: String| rows.push((key.to_owned(), value));
    if secret.lease_duration > 0 {
        let span = human_span(secret.lease_duration);
        if secret.lease_id.is_empty() {
            add("refresh_interval", span);
        } else {
            add("lease_id", secret.lease_id.clone());
            add("lease_duration", span);
            add("lease_renewable", secret.renewable.to_string());
        }
    }
    if let Some(auth) = &secret.auth {
        rows.extend(auth_rows(auth));
    }
    if let Some(wrap) = &secret.wrap_info {
        rows.extend(wrap_rows(wrap));
    }
    rows.extend(secret.data.as_ref().map(rows_of).unwrap_or_default());
    key_values(rows)
}

fn auth_rows(auth: &Map<String, Value>) -> Vec<(String, String)> {
    let text = |name: &str| auth.get(name).map(go_text).unwrap_or_default();
    let quoted = |name: &str| quoted_list(auth.get(name));
    if let Some(mfa) = auth.get("mfa_requirement").and_then(Value::as_object) {
        return vec![("mfa_request_id".to_owned(), mfa.get("mfa_request_id").map(go_text).unwrap_or_default())];
    }
    let span = match auth.get("lease_duration").and_then(Value::as_u64) {
        None | Some(0) => "∞".to_owned(),
        Some(secs) => human_span(secs),
    };
    let mut rows = vec![
        ("token".to_owned(), text("client_token")),
        ("token_accessor".to_owned(), text("accessor")),
        ("token_duration".to_owned(), span),
        ("token_renewable".to_owned(), text("renewable")),
        ("token_policies".to_owned(), quoted("token_policies")),
        ("identity_policies".to_owned(), quoted("identity_policies")),
        ("policies".to_owned(), quoted("policies")),
    ];
    let metadata = auth.get("metadata").and_then(Value::as_object);
    rows.extend(metadata.into_iter().flatten().map(|(key, value)| (format!("token_meta_{key}"), go_text(value))));
    rows
}

fn wrap_rows(wrap: &Map<String, Value>) -> Vec<(String, String)> {
    let names = [
        ("wrapping_token:", "token"),
        ("wrapping_accessor:", "accessor"),
        ("wrapping_token_ttl:", "ttl"),
        ("wrapping_token_creation_time:", "creation_time"),
        ("wrapping_token_creation_path:", "creation_path"),
        ("wrapped_accessor:", "wrapped_accessor"),
    ];
    let row = |(shown, name): (&str, &str)| {
        let value = wrap.get(name).filter(|value| !matches!(value.as_str(), Some("")))?;
        Some((shown.to_owned(), span_or_text(name, value)))
    };
    names.into_iter().filter_map(row).collect()
}

/// The heading of a section, padded with equals signs to about the width of what follows.
pub(crate) fn section(title: &str, width: usize) -> String {
    let fill = match width.saturating_sub(title.chars().count() + 2) {
        0 => 4,
        fill => fill + fill % 2,
    };
    let side = "=".repeat(fill / 2);
    format!("{side} {title} {side}")
}

/// The heading of a section that shows an object as a table.
pub(crate) fn section_of(title: &str, data: &Map<String, Value>) -> String {
    let longest = data.keys().map(|key| key.chars().count()).max().unwrap_or(0);
    section(title, longest + "    Value".len())
}

fn span_or_text(key: &str, value: &Value) -> String {
    match value.as_u64() {
        Some(secs) if is_span(key) => human_span(secs),
        _ => go_text(value),
    }
}

/// Whether a key names seconds, by the endings Vault's command line goes by.
fn is_span(key: &str) -> bool {
    ["period", "ttl", "duration"]
        .iter()
        .any(|word| key == *word || key.strip_suffix(word).is_some_and(|before| before.ends_with('_')))
        || matches!(key, "lease_max" | "ttl_max")
}

/// Seconds as `768h` or `1h2m3s`.
pub(crate) fn human_span(secs: u64) -> String {
    let (hours, minutes, secs) = (secs / 3600, secs / 60 % 60, secs % 60);
    let part = |n: u64, unit: &str| if n > 0 { format!("{n}{unit}") } else { String::new() };
    match (hours, minutes, secs) {
        (0, 0, secs) => format!("{secs}s"),
        (h, 0, s) if h > 0 && s > 0 => format!("{h}h0m{s}s"),
        (h, m, s) => format!("{}{}{}", part(h, "h"), part(m, "m"), part(s, "s")),
    }
}

/// A value as Go's `%v` prints it, because scripts cut such output apart: `[a b]`, `map[k:v]`, `<nil>`.
pub(crate) fn go_text(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(go_text).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let entry = |(key, value): (&String, &Value)| format!("{key}:{}", go_text(value));
            format!("map[{}]", map.iter().map(entry).collect::<Vec<_>>().join(" "))
        }
    }
}

fn quoted_list(value: Option<&Value>) -> String {
    let items = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    format!("[{}]", items.iter().map(Value::to_string).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn secret(value: &Value) -> Secret {
        Secret::from_value(value.clone()).unwrap()
    }

    #[test]
    fn a_table_has_a_ruled_heading_and_columns_four_apart() {
        let rows = vec![("password".to_owned(), "x".to_owned()), ("a".to_owned(), String::new())];
        assert_eq!(key_values(rows).unwrap(), "Key         Value\n---         -----\npassword    x\na           n/a");
    }

    #[test]
    fn a_login_is_shown_with_its_token_and_policies() {
        let answer = json!({"auth": {"client_token": "hvs.x", "accessor": "acc", "lease_duration": 2764800, "renewable": true,
            "token_policies": ["default", "web"], "policies": ["default", "web"], "metadata": {"user": "bob"}}});
        let shown = secret_table(&secret(&answer)).unwrap();
        let expected = "Key                  Value\n---                  -----\ntoken                hvs.x\n\
                        token_accessor       acc\ntoken_duration       768h\ntoken_renewable      true\n\
                        token_policies       [\"default\" \"web\"]\nidentity_policies    []\n\
                        policies             [\"default\" \"web\"]\ntoken_meta_user      bob";
        assert_eq!(shown, expected);
    }

    #[test]
    fn seconds_are_readable_and_numbers_keep_their_text() {
        let answer: Value = serde_json::from_str(
            r#"{"lease_duration": 60, "data": {"ttl": 3600, "big": 1e400, "pi": 3.140, "n": null}}"#,
        )
        .unwrap();
        let shown = secret_table(&secret(&answer)).unwrap();
        for line in [
            "refresh_interval    1m",
            "ttl                 1h",
            "big                 1e+400",
            "pi                  3.140",
        ] {
            assert!(shown.contains(line), "{line}\n{shown}");
        }
        assert!(shown.contains("n                   <nil>"));
    }

    #[test]
    fn spans_read_as_go_writes_them_without_the_zeros() {
        for (secs, text) in
            [(0, "0s"), (59, "59s"), (60, "1m"), (61, "1m1s"), (3600, "1h"), (3661, "1h1m1s"), (3601, "1h0m1s")]
        {
            assert_eq!(human_span(secs), text);
        }
    }

    #[test]
    fn sections_are_as_wide_as_their_content() {
        assert_eq!(section("Secret Path", 19), "=== Secret Path ===");
        assert_eq!(section("Secret Path", 5), "== Secret Path ==");
        let data = json!({"created_time": "x"});
        assert_eq!(section_of("Metadata", data.as_object().unwrap()), "====== Metadata ======");
    }

    #[test]
    fn nested_values_read_as_gos() {
        assert_eq!(go_text(&json!({"b": [1, "x"], "a": {"c": null}})), "map[a:map[c:<nil>] b:[1 x]]");
    }
}
