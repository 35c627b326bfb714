//! Reads request bodies within bounds of memory, and JSON within bounds of complexity.

use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use serde_json::{Map, Value};
use std::sync::Arc;
use strongroom_core::{CoreError, Fields};
use strongroom_model::Wiped;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How deep JSON may nest. Vault's own limit is higher; no client comes near either.
const DEEPEST: usize = 64;
/// How many values JSON may hold.
const MOST_VALUES: usize = 100_000;
/// What a value costs once parsed, in bytes beyond its text: a node, a key, an allocation or two.
const PER_VALUE: usize = 128;

/// Memory that all bodies together may take, counted in KiB.
#[derive(Clone)]
pub(crate) struct Budget(Arc<Semaphore>);

impl Budget {
    /// A budget of that many bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes / 1024)))
    }

    /// A share of it, of no bytes yet.
    pub(crate) fn open(&self) -> Memory {
        Memory { budget: self.clone(), permit: None, kib: 0 }
    }
}

/// What one request takes of the budget; given back when dropped.
pub(crate) struct Memory {
    budget: Budget,
    permit: Option<OwnedSemaphorePermit>,
    kib: usize,
}

impl Memory {
    /// Takes what is missing to that many bytes in all, so that a body in many small pieces costs no more than in one.
    fn grow_to(&mut self, bytes: usize) -> Result<(), CoreError> {
        let missing = bytes.div_ceil(1024).saturating_sub(self.kib);
        if missing == 0 {
            return Ok(());
        }
        let busy = || CoreError::Busy("too many large requests at once; try again in a moment");
        let permits = u32::try_from(missing).map_err(|_| busy())?;
        let more = Arc::clone(&self.budget.0).try_acquire_many_owned(permits).map_err(|_| busy())?;
        self.kib += missing;
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }
}

/// A body in memory, wiped when dropped, with what it takes of the budget.
pub(crate) struct Held {
    bytes: Wiped,
    memory: Memory,
}

/// Reads a whole body of at most `limit` bytes. A declared length over the limit is refused before a byte is read.
pub(crate) async fn read(mut body: Incoming, limit: usize, budget: &Budget) -> Result<Held, CoreError> {
    let too_large = || CoreError::TooLarge(format!("the request body is larger than {limit} bytes"));
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let mut held = Held::none(budget);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| CoreError::Invalid("the request body ended early".to_owned()))?;
        let Ok(data) = frame.into_data() else { continue };
        if held.bytes.len() + data.len() > limit {
            return Err(too_large());
        }
        held.memory.grow_to(held.bytes.len() + data.len())?;
        held.bytes.append(&data);
        // Its length was declared, and it is all here: waiting to be told so takes another turn of the connection's task.
        if body.is_end_stream() {
            break;
        }
    }
    Ok(held)
}

/// Reads bytes that are at hand as [`Held::json_object`] reads a body.
pub(crate) fn parse_object(bytes: &[u8], budget: &Budget) -> Result<Fields, CoreError> {
    Held { bytes: Wiped::new(bytes.to_vec()), memory: budget.open() }.json_object()
}

impl Held {
    /// No body.
    pub(crate) fn none(budget: &Budget) -> Self {
        Self { bytes: Wiped::default(), memory: budget.open() }
    }

    /// The body as a JSON object; an empty body is an empty object. The error says where, never what.
    pub(crate) fn json_object(&mut self) -> Result<Fields, CoreError> {
        if self.bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Fields::default());
        }
        let values = check_complexity(&self.bytes)?;
        self.memory.grow_to(self.bytes.len() + values * PER_VALUE)?;
        match serde_json::from_slice::<Value>(&self.bytes) {
            Ok(Value::Object(map)) => Ok(Fields::new(map)),
            Ok(Value::Null) => Ok(Fields::default()),
            Ok(_) => Err(CoreError::Invalid("failed to parse JSON input: the body must be a JSON object".to_owned())),
            Err(error) => Err(CoreError::Invalid(format!(
                "failed to parse JSON input: not valid JSON at line {} column {}",
                error.line(),
                error.column()
            ))),
        }
    }

    /// The body as a form (`a=1&b=2`).
    pub(crate) fn form(&self) -> Result<Fields, CoreError> {
        let text =
            std::str::from_utf8(&self.bytes).map_err(|_| CoreError::Invalid("the form is not UTF-8".to_owned()))?;
        pairs(text)
    }

    /// The bytes as they came.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many bytes there are.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Wipes the bytes and keeps the share of the budget, for what was parsed from them.
    pub(crate) fn into_memory(self) -> Memory {
        self.memory
    }

    /// The first byte that is not blank.
    pub(crate) fn first(&self) -> Option<u8> {
        self.bytes.iter().copied().find(|byte| !byte.is_ascii_whitespace())
    }
}

/// Reads `a=1&b=2`; the last of several equal names counts.
pub(crate) fn pairs(text: &str) -> Result<Fields, CoreError> {
    let decode = |part: &str| {
        let spaced = part.replace('+', " ");
        let decoded = percent_encoding::percent_decode_str(&spaced).decode_utf8();
        decoded
            .map(|text| text.into_owned())
            .map_err(|_| CoreError::Invalid("a query parameter is not UTF-8".to_owned()))
    };
    let mut map = Map::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()).take(1_000) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        map.insert(decode(name)?, Value::String(decode(value)?));
    }
    Ok(Fields::new(map))
}

/// One pass over the bytes before parsing: parsing allocates for every value, so a small body of many tiny values would
/// take fifty times its size (CVE-2025-6203).
fn check_complexity(bytes: &[u8]) -> Result<usize, CoreError> {
    let (mut depth, mut values, mut in_string, mut escaped) = (0_usize, 1_usize, false, false);
    for byte in bytes {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' | b':' => values += 1,
            _ => {}
        }
        if depth > DEEPEST {
            return Err(CoreError::Invalid(format!("the JSON body nests deeper than {DEEPEST} levels")));
        }
        if values > MOST_VALUES {
            return Err(CoreError::TooLarge(format!("the JSON body holds more than {MOST_VALUES} values")));
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Fields, CoreError> {
        let memory = Budget::new(64 * 1024 * 1024).open();
        Held { bytes: Wiped::new(text.as_bytes().to_vec()), memory }.json_object()
    }

    fn error(text: &str) -> String {
        parsed(text).err().unwrap().to_string()
    }

    #[test]
    fn json_is_taken_as_it_is_written() {
        assert!(parsed("").unwrap().map().is_empty());
        assert!(parsed(" \n").unwrap().map().is_empty());
        let fields = parsed(r#"{"big": 12345678901234567890123, "tiny": 1e999, "one": 1.0}"#).unwrap();
        let text = serde_json::to_string(fields.map()).unwrap();
        assert!(text.contains("12345678901234567890123") && text.contains("1e+999") && text.contains("1.0"), "{text}");
    }

    #[test]
    fn bombs_are_refused_before_they_are_parsed() {
        assert!(error(&"[".repeat(100_000)).contains("deeper"));
        assert!(error(&format!("{{\"a\":[{}0]}}", "0,".repeat(200_000))).contains("more than"));
        assert!(parsed(&format!("{{\"a\":\"{}\"}}", "[".repeat(1_000))).is_ok(), "brackets in a string do not nest");
    }

    #[test]
    fn an_error_does_not_repeat_what_was_sent() {
        for text in [r#"{"password": "hunter2",}"#, r#"{"password": hunter2}"#, r#""hunter2""#, "hunter2"] {
            assert!(!error(text).contains("hunter2"), "{}", error(text));
        }
    }

    #[test]
    fn a_budget_is_shared_and_given_back() {
        let budget = Budget::new(4 * 1024);
        let (mut first, mut second) = (budget.open(), budget.open());
        first.grow_to(3 * 1024).unwrap();
        assert!(second.grow_to(2 * 1024).is_err());
        drop(first);
        assert!(second.grow_to(2 * 1024).is_ok());
    }

    #[test]
    fn a_body_in_single_bytes_costs_no_more_than_in_one_piece() {
        let budget = Budget::new(4 * 1024);
        let mut memory = budget.open();
        for bytes in 0..=4 * 1024 {
            memory.grow_to(bytes).unwrap();
        }
        assert!(memory.grow_to(4 * 1024 + 1).is_err());
    }

    #[test]
    fn parsed_values_count_as_memory_too() {
        let budget = Budget::new(1024 * 1024);
        let text = format!("{{\"a\":[{}0]}}", "0,".repeat(50_000));
        let mut held = Held { bytes: Wiped::new(text.into_bytes()), memory: budget.open() };
        assert!(matches!(held.json_object(), Err(CoreError::Busy(_))));
    }
}
