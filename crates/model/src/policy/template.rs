//! Templates in patterns: `secret/data/{{identity.entity.id}}/*` is another rule for every caller.
//!
//! A filled-in value can only ever be one segment's worth of plain text: what is missing, or could reach into another
//! path, is not filled in. Published weaknesses of this kind: a `/`, `+` or `*` in a name or in metadata that the
//! caller could choose widened the rule.

use super::parse::{Policy, Rule};
use crate::{Capabilities, Capability, RequestPath};

/// What a template can ask about the caller. `None` when the caller has no such thing.
pub trait IdentityView {
    /// The id of the caller's entity.
    fn entity_id(&self) -> Option<String>;
    /// The name of the caller's entity.
    fn entity_name(&self) -> Option<String>;
    /// One value of the entity's metadata.
    fn entity_metadata(&self, key: &str) -> Option<String>;
    /// The id of the entity's alias on the auth mount with this accessor.
    fn alias_id(&self, accessor: &str) -> Option<String>;
    /// The name of that alias.
    fn alias_name(&self, accessor: &str) -> Option<String>;
    /// One value of the metadata that the auth method gave to that alias.
    fn alias_metadata(&self, accessor: &str, key: &str) -> Option<String>;

    /// One value of the metadata that an operator gave to that alias.
    fn alias_custom_metadata(&self, _accessor: &str, _key: &str) -> Option<String> {
        None
    }

    /// The id of the group with this name, if the caller is a member.
    fn group_id(&self, _name: &str) -> Option<String> {
        None
    }

    /// The name of the group with this id, if the caller is a member.
    fn group_name(&self, _id: &str) -> Option<String> {
        None
    }

    /// One value of the metadata of the group with this id, if the caller is a member.
    fn group_metadata_by_id(&self, _id: &str, _key: &str) -> Option<String> {
        None
    }

    /// One value of the metadata of the group with this name, if the caller is a member.
    fn group_metadata_by_name(&self, _name: &str, _key: &str) -> Option<String> {
        None
    }
}

/// A pattern taken apart: plain text and what is to be filled in between.
pub(super) struct Template<'a> {
    first: &'a str,
    filled: Vec<(Selector<'a>, &'a str)>,
}

/// One thing that can be asked of an [`IdentityView`].
enum Selector<'a> {
    EntityId,
    EntityName,
    EntityMetadata(&'a str),
    Alias { accessor: &'a str, field: Field<'a> },
    GroupById { id: &'a str, field: Field<'a> },
    GroupByName { name: &'a str, field: Field<'a> },
}

enum Field<'a> {
    Id,
    Name,
    Metadata(&'a str),
    CustomMetadata(&'a str),
}

/// Why a template could not be filled in.
enum Gap {
    /// The caller has no such value.
    Missing,
    /// The value could reach into another path.
    Unsafe,
}

const FORMS: &str = "identity.entity.id, identity.entity.name, identity.entity.metadata.KEY, \
                     identity.entity.aliases.ACCESSOR.(id|name|metadata.KEY|custom_metadata.KEY), \
                     identity.groups.ids.ID.(name|metadata.KEY), identity.groups.names.NAME.(id|metadata.KEY)";

impl<'a> Template<'a> {
    /// Takes a pattern apart; the error says what to write instead.
    pub(super) fn parse(pattern: &'a str) -> Result<Self, String> {
        let unbalanced = || "a template begins with `{{` and ends with `}}`, and one of the two is missing".to_owned();
        let mut pieces = pattern.split("{{");
        let first = pieces.next().unwrap_or_default();
        if first.contains("}}") {
            return Err(unbalanced());
        }
        let mut filled = Vec::new();
        for piece in pieces {
            let (selector, text) = piece.split_once("}}").ok_or_else(unbalanced)?;
            if text.contains("}}") {
                return Err(unbalanced());
            }
            let selector = selector.trim();
            let known = Selector::parse(selector);
            filled.push((known.ok_or_else(|| format!("`{selector}` is not a template; there are: {FORMS}"))?, text));
        }
        Ok(Self { first, filled })
    }

    fn fill(&self, view: &dyn IdentityView) -> Result<String, Gap> {
        let mut pattern = self.first.to_owned();
        for (selector, text) in &self.filled {
            let value = selector.ask(view).filter(|value| !value.is_empty()).ok_or(Gap::Missing)?;
            if !is_plain(&value) {
                return Err(Gap::Unsafe);
            }
            pattern.push_str(&value);
            pattern.push_str(text);
        }
        Ok(pattern)
    }
}

/// Whether a value is plain text inside one segment. Braces are out too, so that rendering twice changes nothing.
fn is_plain(value: &str) -> bool {
    !value.contains(['/', '+', '*', '{', '}']) && !value.contains("..") && RequestPath::parse(value).is_ok()
}

impl<'a> Selector<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let text = text.strip_prefix("identity.")?;
        if let Some(entity) = text.strip_prefix("entity.") {
            return match entity {
                "id" => Some(Selector::EntityId),
                "name" => Some(Selector::EntityName),
                _ => Self::parse_deep(entity),
            };
        }
        let (by, rest) = text.strip_prefix("groups.")?.split_once('.')?;
        let (group, field) = rest.split_once('.')?;
        let field = Field::parse(field).filter(|field| !matches!(field, Field::CustomMetadata(_)))?;
        match by {
            _ if group.is_empty() => None,
            "ids" => Some(Selector::GroupById { id: group, field }),
            "names" => Some(Selector::GroupByName { name: group, field }),
            _ => None,
        }
    }

    fn parse_deep(entity: &'a str) -> Option<Self> {
        if let Some(key) = entity.strip_prefix("metadata.") {
            return (!key.is_empty()).then_some(Selector::EntityMetadata(key));
        }
        let (accessor, field) = entity.strip_prefix("aliases.")?.split_once('.')?;
        let field = Field::parse(field)?;
        (!accessor.is_empty()).then_some(Selector::Alias { accessor, field })
    }

    fn ask(&self, view: &dyn IdentityView) -> Option<String> {
        match self {
            Selector::EntityId => view.entity_id(),
            Selector::EntityName => view.entity_name(),
            Selector::EntityMetadata(key) => view.entity_metadata(key),
            Selector::Alias { accessor, field } => match field {
                Field::Id => view.alias_id(accessor),
                Field::Name => view.alias_name(accessor),
                Field::Metadata(key) => view.alias_metadata(accessor, key),
                Field::CustomMetadata(key) => view.alias_custom_metadata(accessor, key),
            },
            Selector::GroupById { id, field } => match field {
                // Being asked for by a caller who is no member must not answer, so membership is looked up.
                Field::Id => view.group_name(id).map(|_| (*id).to_owned()),
                Field::Name => view.group_name(id),
                Field::Metadata(key) | Field::CustomMetadata(key) => view.group_metadata_by_id(id, key),
            },
            Selector::GroupByName { name, field } => match field {
                Field::Id => view.group_id(name),
                Field::Name => view.group_id(name).map(|_| (*name).to_owned()),
                Field::Metadata(key) | Field::CustomMetadata(key) => view.group_metadata_by_name(name, key),
            },
        }
    }
}

impl<'a> Field<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let field = match text {
            "id" => Field::Id,
            "name" => Field::Name,
            _ => match text.split_once('.')? {
                (_, "") => return None,
                ("metadata", key) => Field::Metadata(key),
                ("custom_metadata", key) => Field::CustomMetadata(key),
                _ => return None,
            },
        };
        Some(field)
    }
}

impl Policy {
    /// The policy for one caller. A rule that cannot be filled in is dropped. If it was to deny, dropping it would
    /// widen access; then the whole policy denies everything, and, if a value tried to reach into another path, all
    /// below the fixed beginning of that rule as well.
    pub fn render(&self, view: &dyn IdentityView) -> Policy {
        let mut rules = Vec::with_capacity(self.rules.len());
        let mut refusing = Vec::new();
        for rule in &self.rules {
            match fill(rule, view) {
                Ok(pattern) => rules.push(Rule { pattern, ..rule.clone() }),
                Err(gap) if rule.capabilities.contains(Capability::Deny) => refusing.extend(refusals(rule, &gap)),
                Err(_) => {}
            }
        }
        let rules = if refusing.is_empty() { rules } else { refusing };
        Policy { name: self.name.clone(), rules, source: self.source.clone() }
    }
}

fn fill(rule: &Rule, view: &dyn IdentityView) -> Result<String, Gap> {
    // A pattern that no longer parses was not made by `Policy::parse`; it matches nothing.
    Template::parse(&rule.pattern).map_err(|_| Gap::Missing)?.fill(view)
}

/// The rules that stand for a `deny` which could not be filled in.
fn refusals(rule: &Rule, gap: &Gap) -> Vec<Rule> {
    let deny = |pattern: String| {
        let capabilities = Capabilities::only(Capability::Deny);
        Rule { capabilities, ..Rule::empty(pattern, rule.line) }
    };
    let fixed = rule.pattern.split("{{").next().unwrap_or_default();
    match gap {
        Gap::Missing => vec![deny("*".to_owned())],
        Gap::Unsafe => vec![deny("*".to_owned()), deny(format!("{fixed}*"))],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PolicyName;

    struct Ann(&'static str);

    impl IdentityView for Ann {
        fn entity_id(&self) -> Option<String> {
            Some("7d2e3179-f69b-450c-7179-ac8ee8bd8ca9".to_owned())
        }
        fn entity_name(&self) -> Option<String> {
            Some(self.0.to_owned())
        }
        fn entity_metadata(&self, key: &str) -> Option<String> {
            (key == "team.sub").then(|| "web".to_owned())
        }
        fn alias_id(&self, accessor: &str) -> Option<String> {
            (accessor == "auth_k8s_1").then(|| "a-1".to_owned())
        }
        fn alias_name(&self, accessor: &str) -> Option<String> {
            (accessor == "auth_k8s_1").then(|| "ann@example.com".to_owned())
        }
        fn alias_metadata(&self, accessor: &str, key: &str) -> Option<String> {
            (accessor == "auth_k8s_1" && key == "ns").then(|| "prod".to_owned())
        }
        fn group_name(&self, id: &str) -> Option<String> {
            (id == "g-1").then(|| "ops".to_owned())
        }
    }

    fn policy(source: &str) -> Policy {
        Policy::parse(PolicyName::parse("p").unwrap(), source).unwrap()
    }

    fn rendered(pattern: &str, name: &'static str) -> Vec<String> {
        let policy = policy(&format!("path \"{pattern}\" {{ capabilities = [\"read\"] }}"));
        policy.render(&Ann(name)).rules.into_iter().map(|rule| rule.pattern).collect()
    }

    #[test]
    fn every_documented_template_is_filled_in() {
        let cases = [
            ("u/{{identity.entity.id}}/*", "u/7d2e3179-f69b-450c-7179-ac8ee8bd8ca9/*"),
            ("u/{{ identity.entity.name }}", "u/ann"),
            ("u/{{identity.entity.metadata.team.sub}}-x", "u/web-x"),
            ("u/{{identity.entity.aliases.auth_k8s_1.id}}", "u/a-1"),
            ("u/{{identity.entity.aliases.auth_k8s_1.name}}", "u/ann@example.com"),
            ("{{identity.entity.aliases.auth_k8s_1.metadata.ns}}/{{identity.entity.name}}/*", "prod/ann/*"),
            ("g/{{identity.groups.ids.g-1.name}}", "g/ops"),
            ("g/{{identity.groups.ids.g-1.id}}", "g/g-1"),
            ("plain/*", "plain/*"),
        ];
        for (pattern, expected) in cases {
            assert_eq!(rendered(pattern, "ann"), [expected], "{pattern}");
        }
    }

    #[test]
    fn a_rule_with_a_missing_value_is_dropped() {
        for pattern in [
            "u/{{identity.entity.metadata.none}}",
            "u/{{identity.entity.aliases.other.name}}",
            "u/{{identity.entity.aliases.auth_k8s_1.custom_metadata.x}}",
            "u/{{identity.groups.ids.g-2.name}}",
            "u/{{identity.groups.ids.g-2.id}}",
            "u/{{identity.groups.names.ops.id}}",
            "u/{{identity.groups.names.ops.metadata.x}}",
        ] {
            assert!(rendered(pattern, "ann").is_empty(), "{pattern}");
        }
    }

    /// The values that published weaknesses used, and their neighbours.
    const REACHING: [&str; 14] =
        ["", "a/b", "+", "a+", "*", "a*", "..", "a..b", ".", "a\0", "a\nb", "a\u{202E}", "{{identity.entity.id}}", "/"];

    #[test]
    fn a_value_that_reaches_into_another_path_drops_the_rule() {
        for name in REACHING {
            assert!(rendered("secret/{{identity.entity.name}}/*", name).is_empty(), "{name:?}");
        }
        assert!(rendered("x/{{identity.entity.name}}", Box::leak("n".repeat(4_096).into_boxed_str())).is_empty());
        assert_eq!(rendered("x/{{identity.entity.name}}", "john.doe@example.com"), ["x/john.doe@example.com"]);
        // Percent signs are plain text past the door: nothing decodes a second time.
        assert_eq!(rendered("x/{{identity.entity.name}}", "%2f"), ["x/%2f"]);
    }

    #[test]
    fn a_deny_that_cannot_be_filled_in_makes_the_policy_deny_everything() {
        let source = r#"
            path "secret/*" { capabilities = ["read"] }
            path "secret/{{identity.entity.name}}/private" { capabilities = ["deny"] }
        "#;
        let patterns = |name| policy(source).render(&Ann(name)).rules;
        assert_eq!(patterns("ann").len(), 2);
        for name in REACHING {
            let rules = patterns(name);
            assert!(rules.iter().all(|rule| rule.capabilities == Capabilities::only(Capability::Deny)), "{name:?}");
            assert!(rules.iter().any(|rule| rule.pattern == "*" && rule.line == 3), "{name:?}");
        }
        assert!(patterns("a/b").iter().any(|rule| rule.pattern == "secret/*"));
    }

    #[test]
    fn a_template_that_does_not_exist_is_refused_with_those_that_do() {
        for (pattern, expected) in [
            ("{{identity.entity.shoe}}", "`identity.entity.shoe` is not a template"),
            ("{{identity.entity.metadata}}", "is not a template"),
            ("{{identity.entity.metadata.}}", "is not a template"),
            ("{{identity.entity.aliases.x}}", "is not a template"),
            ("{{identity.entity.groups.names}}", "is not a template"),
            ("{{identity.groups.ids.x}}", "is not a template"),
            ("{{identity.groups.ids..name}}", "is not a template"),
            ("{{time.now}}", "there are: identity.entity.id"),
            ("{{}}", "is not a template"),
            ("a/{{identity.entity.id", "one of the two is missing"),
            ("a/identity.entity.id}}", "one of the two is missing"),
            ("a/{{identity.entity.id}}/}}", "one of the two is missing"),
            ("a/{{ {{identity.entity.id}} }}", "one of the two is missing"),
        ] {
            let error = Template::parse(pattern).err().unwrap_or_else(|| panic!("{pattern} was taken"));
            assert!(error.contains(expected), "{pattern}: {error}");
        }
    }
}
