//! What is done to objects without looking at their values: merging a patch in, and leaving only the names.

use crate::Fields;
use serde_json::{Map, Value};

/// Applies a merge patch (RFC 7396): `null` removes, an object goes in field by field, anything else replaces.
/// What is removed or replaced is wiped.
pub(super) fn merge(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (name, change) in patch {
        match change {
            Value::Null => forget(target.remove(name)),
            Value::Object(inner) => match target.get_mut(name) {
                Some(Value::Object(nested)) => merge(nested, inner),
                _ => {
                    let mut fresh = Map::new();
                    merge(&mut fresh, inner);
                    forget(target.insert(name.clone(), Value::Object(fresh)));
                }
            },
            other => forget(target.insert(name.clone(), other.clone())),
        }
    }
}

/// Replaces every value by `null`, keeping objects down to `depth` levels (0: all of them). An empty object counts as a
/// value, as in Vault's subkeys.
pub(super) fn outline(object: &Map<String, Value>, depth: u64) -> Fields {
    Fields::new(outline_at(object, depth, 1))
}

fn outline_at(object: &Map<String, Value>, depth: u64, level: u64) -> Map<String, Value> {
    let within = depth == 0 || level < depth;
    let show = |value: &Value| match value {
        Value::Object(inner) if within && !inner.is_empty() => Value::Object(outline_at(inner, depth, level + 1)),
        _ => Value::Null,
    };
    object.iter().map(|(name, value)| (name.clone(), show(value))).collect()
}

/// Drops a value through `Fields`, which wipes its strings.
fn forget(value: Option<Value>) {
    drop(value.map(|value| Fields::from_iter([(String::new(), value)])));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(map) => map,
            _ => panic!("not an object"),
        }
    }

    fn merged(target: Value, patch: Value) -> Value {
        let mut target = map(target);
        merge(&mut target, &map(patch));
        Value::Object(target)
    }

    #[test]
    fn patches_as_the_examples_of_the_rfc_do() {
        // RFC 7396, appendix A, those whose target and patch are objects.
        for (target, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            assert_eq!(merged(target.clone(), patch.clone()), result, "{target} with {patch}");
        }
    }

    #[test]
    fn an_outline_keeps_names_and_no_value() {
        let object = map(json!({"a": "s", "b": {"c": 1, "d": {"e": true, "f": {}}}, "g": [{"h": 1}]}));
        let shown = |depth| Value::Object(outline(&object, depth).into_map());
        assert_eq!(shown(0), json!({"a": null, "b": {"c": null, "d": {"e": null, "f": null}}, "g": null}));
        assert_eq!(shown(1), json!({"a": null, "b": null, "g": null}));
        assert_eq!(shown(2), json!({"a": null, "b": {"c": null, "d": null}, "g": null}));
        assert_eq!(shown(9), shown(0));
    }
}
