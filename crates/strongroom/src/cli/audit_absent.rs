//! What an answer of the trail lacks, and says so: archived, missing, or not in the index yet.

use super::format::go_text;
use super::session::Session;
use serde_json::{Map, Value};

/// The fields of an answer that tell of it.
pub(super) const FIELDS: [&str; 2] = ["absent", "behind"];

/// Says it beside the answer, where a pipe does not carry it on.
pub(super) fn say(session: &mut Session, answer: &Map<String, Value>) {
    for text in remarks(answer) {
        session.out.say(&text);
    }
}

/// The same in words, one sentence each.
pub(super) fn remarks(answer: &Map<String, Value>) -> Vec<String> {
    let absent = answer.get("absent").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut said: Vec<String> = absent.iter().map(absence).collect();
    if let Some(behind) = answer.get("behind") {
        let text = |name: &str| behind.get(name).map(go_text).unwrap_or_default();
        said.push(format!(
            "This answer is as of {}: it is behind by {} entries, {} s.",
            text("reached"),
            text("entries"),
            text("seconds")
        ));
    }
    said
}

fn absence(gap: &Value) -> String {
    let text = |name: &str| gap.get(name).map(go_text).unwrap_or_default();
    let number = |name: &str| gap.get(name).and_then(Value::as_u64).unwrap_or_default();
    let (first, last) = (number("first"), number("next").saturating_sub(1));
    if gap.get("archived") != Some(&Value::Bool(true)) {
        return format!(
            "Lines {first} to {last} are missing from the trail, and no archive of them is known: they are not in this \
             answer. `strongroom audit verify` tells more."
        );
    }
    match first {
        0 => format!("Entries up to {} are archived (lines 0 to {last}): they are not in this answer.", text("to")),
        _ => format!(
            "Entries from {} to {} are archived (lines {first} to {last}): they are not in this answer.",
            text("from"),
            text("to")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_an_answer_lacks_is_said_in_words() {
        let answer = json!({
            "absent": [
                {"first": 0, "next": 10, "from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z", "archived": true},
                {"first": 20, "next": 30, "archived": false},
            ],
            "behind": {"entries": 1200, "seconds": 0.25, "reached": "2026-04-10T14:00:00Z"},
        });
        let [archived, missing, behind] = &remarks(answer.as_object().unwrap())[..] else { panic!("three remarks") };
        assert!(archived.contains("up to 2026-01-02T00:00:00Z are archived (lines 0 to 9)"), "{archived}");
        assert!(missing.contains("Lines 20 to 29 are missing"), "{missing}");
        assert!(behind.contains("as of 2026-04-10T14:00:00Z: it is behind by 1200 entries, 0.25 s"), "{behind}");
        assert_eq!(remarks(&Map::new()), Vec::<String>::new());
    }
}
