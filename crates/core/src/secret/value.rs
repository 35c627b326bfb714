use crate::{CoreError, Fields};
use serde_json::{Map, Value};
use std::io::{self, Write};
use strongroom_model::{SecretBytes, SecretString, Wiped};

/// What one version holds. The Vault dialect writes objects; others write text or bytes. No `Debug`: it is the secret.
pub enum SecretValue {
    /// Named fields of any JSON kind. Numbers come back as they were written.
    Object(Fields),
    /// Text.
    Text(SecretString),
    /// Bytes that mean nothing to us.
    Bytes(SecretBytes),
}

/// The first byte of an encoded value says what it is. Numbers that were once given mean the same for ever.
const OBJECT: u8 = 1;
const TEXT: u8 = 2;
const BYTES: u8 = 3;

/// The longest value as it is kept, in bytes: what the storage engines of this machine take for one record (1 MiB), less
/// what two layers of sealing add. An engine that takes less refuses a value by itself.
const LONGEST: usize = 1024 * 1024 - 1024;

impl SecretValue {
    /// The bytes to be sealed. Fails with `TooLarge` before anything is copied.
    pub(super) fn encode(&self) -> Result<Wiped, CoreError> {
        let size = self.size()?;
        if size > LONGEST {
            return Err(CoreError::TooLarge(format!(
                "the secret is {size} bytes long, written as JSON, and at most {LONGEST} are kept: split it, or keep the file elsewhere and its key here"
            )));
        }
        // Of the exact size, because a buffer that grows leaves copies of the secret behind.
        let mut bytes = Wiped::with_capacity(size);
        match self {
            SecretValue::Object(fields) => {
                bytes.push(OBJECT);
                serde_json::to_writer(&mut bytes, fields.map()).map_err(|_| unwritable())?;
            }
            SecretValue::Text(text) => {
                bytes.push(TEXT);
                bytes.extend_from_slice(text.expose().as_bytes());
            }
            SecretValue::Bytes(raw) => {
                bytes.push(BYTES);
                bytes.extend_from_slice(raw.expose());
            }
        }
        Ok(bytes)
    }

    /// Whether what [`SecretValue::encode`] wrote is an object, whose JSON stands behind the first byte.
    pub(super) fn is_object(bytes: &[u8]) -> bool {
        bytes.first() == Some(&OBJECT)
    }

    /// Reads what [`SecretValue::encode`] wrote.
    pub(super) fn decode(bytes: &SecretBytes) -> Result<Self, CoreError> {
        let unreadable = || CoreError::Unreadable { kind: "secret-version" };
        let (tag, rest) = bytes.expose().split_first().ok_or_else(unreadable)?;
        match *tag {
            OBJECT => {
                let map: Map<String, Value> = serde_json::from_slice(rest).map_err(|_| unreadable())?;
                Ok(SecretValue::Object(Fields::new(map)))
            }
            TEXT => {
                let text = std::str::from_utf8(rest).map_err(|_| unreadable())?;
                Ok(SecretValue::Text(SecretString::new(text.to_owned())))
            }
            BYTES => Ok(SecretValue::Bytes(SecretBytes::new(rest.to_vec()))),
            _ => Err(unreadable()),
        }
    }

    /// The value as named fields: an object as it is, and text that is a JSON object. Other text and bytes come back as
    /// they are. A name that stands twice in such a text counts as the last one says.
    pub fn into_object(self) -> Result<Fields, SecretValue> {
        match self {
            SecretValue::Object(fields) => Ok(fields),
            SecretValue::Text(text) => match serde_json::from_str::<Value>(text.expose()) {
                Ok(Value::Object(map)) => Ok(Fields::new(map)),
                _ => Err(SecretValue::Text(text)),
            },
            bytes @ SecretValue::Bytes(_) => Err(bytes),
        }
    }

    fn size(&self) -> Result<usize, CoreError> {
        let content = match self {
            SecretValue::Object(fields) => {
                let mut count = Count(0);
                serde_json::to_writer(&mut count, fields.map()).map_err(|_| unwritable())?;
                count.0
            }
            SecretValue::Text(text) => text.expose().len(),
            SecretValue::Bytes(raw) => raw.len(),
        };
        Ok(content + 1)
    }
}

fn unwritable() -> CoreError {
    CoreError::Internal("a secret could not be written as JSON")
}

/// Counts what is written to it.
struct Count(usize);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use strongroom_model::{Kind, Kinded};

    fn again(value: &SecretValue) -> SecretValue {
        SecretValue::decode(&SecretBytes::new(value.encode().unwrap().to_vec())).unwrap()
    }

    #[test]
    fn each_kind_of_value_comes_back_as_it_was() {
        let map: Map<String, Value> =
            serde_json::from_str(r#"{"n": 1.10, "big": 123456789012345678901234567890, "t": "ü\""}"#).unwrap();
        let SecretValue::Object(object) = again(&SecretValue::Object(Fields::new(map.clone()))) else {
            panic!("not an object")
        };
        assert_eq!(*object.map(), map);
        assert_eq!(object.map()["n"].to_string(), "1.10");
        let SecretValue::Text(text) = again(&SecretValue::Text(SecretString::new("a b".into()))) else {
            panic!("not text")
        };
        assert_eq!(text.expose(), "a b");
        let SecretValue::Bytes(bytes) = again(&SecretValue::Bytes(SecretBytes::new(vec![0, 255, 1]))) else {
            panic!("not bytes")
        };
        assert_eq!(bytes.expose(), [0, 255, 1]);
    }

    #[test]
    fn text_that_is_an_object_reads_as_one_and_other_text_stays() {
        let text = |text: &str| SecretValue::Text(SecretString::new(text.to_owned()));
        let fields = text(" {\"a\": 1.0, \"b\": {\"c\": null}}\n").into_object().ok().unwrap();
        assert_eq!(json!(fields.map()).to_string(), r#"{"a":1.0,"b":{"c":null}}"#);
        for other in ["", "hunter2", "[1]", "\"x\"", "{\"a\":", "{} {}"] {
            let Err(SecretValue::Text(kept)) = text(other).into_object() else { panic!("{other}") };
            assert_eq!(kept.expose(), other);
        }
        assert!(SecretValue::Bytes(SecretBytes::new(b"{}".to_vec())).into_object().is_err());
    }

    #[test]
    fn bytes_that_nobody_encoded_are_refused() {
        for bytes in [vec![], vec![0], vec![9, 1], vec![OBJECT, b'['], vec![OBJECT, b'1'], vec![TEXT, 0xff]] {
            assert!(SecretValue::decode(&SecretBytes::new(bytes)).is_err());
        }
    }

    #[test]
    fn a_value_over_the_limit_is_refused_with_both_sizes() {
        let fits = SecretValue::Bytes(SecretBytes::new(vec![7; LONGEST - 1]));
        assert_eq!(fits.encode().unwrap().len(), LONGEST);
        let fields = [("k".to_owned(), json!("x".repeat(LONGEST)))].into_iter().collect();
        let Err(error) = SecretValue::Object(fields).encode() else { panic!("taken") };
        assert_eq!(error.kind(), Kind::TooLarge);
        assert!(error.to_string().contains(&LONGEST.to_string()), "{error}");
        assert!(!error.to_string().contains("xxx"));
    }
}
