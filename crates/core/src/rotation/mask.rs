//! Takes secrets out of what somebody else said: nobody knows what a foreign program puts into its errors.
//!
//! Each secret is looked for as it is, as JSON and as Python write it, line by line where it has lines, and cut off at the
//! end, since long texts are cut before they come here. Other codings of text are not looked for: a program that wants to
//! tell its secret can.

use crate::secret::SecretValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// Fields whose values tell where a login is, and are worth reading in an error.
const PLAIN: &[&str] = &["engine", "host", "port", "username", "dbname", "masterarn", "ssl"];
/// What stands in the place of a secret.
const STARS: &str = "***";
/// The shortest line of a longer secret, and the shortest beginning of one that was cut off, that is told from other text.
const TELLING: usize = 4;

/// What must not be repeated. No `Debug`: it holds secrets.
#[derive(Default)]
pub(super) struct Mask {
    forms: Vec<Zeroizing<String>>,
}

impl Mask {
    /// Adds every part of a value.
    pub(super) fn add(&mut self, value: &SecretValue) {
        match value {
            SecretValue::Object(fields) => self.add_fields(fields.map()),
            SecretValue::Text(whole) => {
                self.add_text(whole.expose());
                if let Ok(map) = serde_json::from_str(whole.expose()) {
                    self.add_fields(crate::Fields::new(map).map());
                }
            }
            SecretValue::Bytes(bytes) => {
                self.add_text(&Zeroizing::new(STANDARD.encode(bytes.expose())));
                std::str::from_utf8(bytes.expose()).into_iter().for_each(|text| self.add_text(text));
            }
        }
    }

    /// Adds a secret text.
    pub(super) fn add_text(&mut self, text: &str) {
        let written = Zeroizing::new(Value::from(text).to_string());
        let json = written.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or_default();
        // As Python's json writes it, and as its repr does.
        let ascii = json.chars().map(in_ascii).collect();
        let repr = text.replace('\\', "\\\\").replace('\'', "\\'");
        self.forms.extend([text.to_owned(), json.to_owned(), ascii, repr].map(Zeroizing::new));
        if text.contains('\n') {
            let lines = text.lines().map(str::trim).filter(|line| line.len() >= TELLING);
            self.forms.extend(lines.map(|line| Zeroizing::new(line.to_owned())));
        }
    }

    fn add_fields(&mut self, fields: &Map<String, Value>) {
        let secret = fields.iter().filter(|(name, _)| !PLAIN.contains(&name.as_str()));
        secret.for_each(|(_, value)| self.add_json(value));
    }

    fn add_json(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.add_text(text),
            Value::Array(all) => all.iter().for_each(|value| self.add_json(value)),
            Value::Object(fields) => fields.values().for_each(|value| self.add_json(value)),
            Value::Number(_) => self.add_text(&Zeroizing::new(value.to_string())),
            // Two or three words that everybody knows.
            Value::Bool(_) | Value::Null => {}
        }
    }

    /// The text without any of them.
    pub(super) fn apply(mut self, text: &str) -> String {
        // One may be part of another, of which nothing is to stay.
        self.forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        let mut text = Zeroizing::new(text.to_owned());
        if let Some(length) = self.forms.iter().filter_map(|form| cut_off(&text, form)).max() {
            text = Zeroizing::new(format!("{}{STARS}", text.get(..text.len() - length).unwrap_or_default()));
        }
        for form in self.forms.iter().filter(|form| !form.is_empty()) {
            if text.contains(form.as_str()) {
                text = Zeroizing::new(text.replace(form.as_str(), STARS));
            }
        }
        text.as_str().to_owned()
    }
}

/// Takes every part of a value out of a text that somebody else said.
pub fn hide(text: &mut String, value: &SecretValue) {
    let mut mask = Mask::default();
    mask.add(value);
    *text = mask.apply(text);
}

/// How much of the text's end is a secret or the beginning of one.
fn cut_off(text: &str, secret: &str) -> Option<usize> {
    let ends = secret.char_indices().map(|(at, _)| at).chain([secret.len()]).rev();
    let mut told = ends.take_while(|end| *end >= TELLING);
    told.find(|end| secret.get(..*end).is_some_and(|beginning| text.ends_with(beginning)))
}

/// A character as JSON in ASCII has it.
fn in_ascii(c: char) -> String {
    match c.is_ascii() {
        true => c.to_string(),
        false => c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fields;
    use serde_json::json;
    use strongroom_model::{SecretBytes, SecretString};

    fn masked(value: &SecretValue, said: &str) -> String {
        let mut said = said.to_owned();
        hide(&mut said, value);
        said
    }

    fn text(text: &str) -> SecretValue {
        SecretValue::Text(SecretString::new(text.to_owned()))
    }

    #[test]
    fn no_spelling_of_a_secret_stays() {
        let secret = text("pä\"s's\\w");
        let written = serde_json::to_string("pä\"s's\\w").unwrap();
        for said in ["no pä\"s's\\w.", &format!("no {written}."), "no p\\u00e4\\\"s's\\\\w.", "no pä\"s\\'s\\\\w."] {
            assert_eq!(masked(&secret, said).replace('"', ""), "no ***.", "{said}");
        }
        let lines = text("-----BEGIN-----\nc4nary\nof-two\n");
        assert_eq!(masked(&lines, "-----BEGIN----- c4nary of-two"), "*** *** ***");
        let bytes = SecretValue::Bytes(SecretBytes::new(b"c4nary-bytes".to_vec()));
        assert_eq!(masked(&bytes, "c4nary-bytes YzRuYXJ5LWJ5dGVz"), "*** ***");
    }

    #[test]
    fn every_part_of_a_value_goes_and_where_it_is_for_stays() {
        let Value::Object(fields) = json!({
            "host": "db.example", "password": "c4nary", "token": "c4nary-and-more", "pin": 4711,
            "deep": {"list": ["in-the-deep"]}, "empty": "", "on": true,
        }) else {
            unreachable!()
        };
        let said = "db.example true: c4nary c4nary-and-more 4711 [\"in-the-deep\"] c4nary-an";
        let clean = "db.example true: *** *** *** [\"***\"] ***";
        assert_eq!(masked(&SecretValue::Object(Fields::new(fields.clone())), said), clean);
        assert_eq!(masked(&text(&Value::Object(fields).to_string()), said), clean);
    }

    #[test]
    fn a_secret_that_was_cut_off_at_the_end_goes_too() {
        let secret = text("wJalrXUtnFEMI");
        assert_eq!(masked(&secret, "key: wJalrXUtnFEM"), "key: ***");
        assert_eq!(masked(&secret, "key: wJal"), "key: ***");
        assert_eq!(masked(&text("c4nary-c4nary"), "key: c4nary-c4nary"), "key: ***");
        assert_eq!(masked(&secret, "a cow"), "a cow");
        assert_eq!(masked(&text(""), "nothing"), "nothing");
    }
}
