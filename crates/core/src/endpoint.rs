use std::fmt;

/// What a caller wants done, as the foreign API spells it. Whether a write creates or updates is found out by the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// Give back.
    Read,
    /// Create or update.
    Write,
    /// Change parts.
    Patch,
    /// Remove.
    Delete,
    /// Name what is below.
    List,
}

/// Who may come to an endpoint at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody, without a token; one that is sent is not looked at.
    Open,
    /// Anybody; a token that is sent must be valid, and the handler answers within its policies.
    Optional,
    /// Anybody; a token that is sent counts if it is good, and is as none if not: for who may have lost every token.
    Lenient,
    /// Who has a token whose policies allow the path.
    Token,
    /// As `Token`, and the policies must give `sudo` on the path too.
    Sudo,
}

/// One line of a route table: the only way for a path to be served. Feeds routing, path help, and the test that walks
/// every route without credentials.
#[derive(Debug)]
pub struct Endpoint {
    /// Segments below the mount: `role/{name}/secret-id`; `{path..}` takes all remaining segments, less a literal that
    /// follows it (`mounts/{path..}/tune`). What an engine or an auth method calls `{name}` is lower-cased before policy,
    /// trail and leases see the path; a part whose case counts must be called otherwise.
    pub pattern: &'static str,
    /// What it takes.
    pub operations: &'static [Operation],
    /// Who may come.
    pub access: Access,
    /// One sentence for path help.
    pub help: &'static str,
}

/// The parts of a path that a pattern's `{...}` took.
#[derive(Clone, Default)]
pub struct Captures(Vec<(&'static str, String)>);

impl Captures {
    /// The part with this name; empty when the pattern has no such part.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// Lower-cases the part with this name (ASCII, as names without case are read); `false` when that changed nothing.
    pub fn lower(&mut self, name: &str) -> bool {
        let part =
            self.0.iter_mut().find(|(known, value)| *known == name && value.bytes().any(|b| b.is_ascii_uppercase()));
        part.map(|(_, value)| value.make_ascii_lowercase()).is_some()
    }

    /// Puts another text in place of the part with this name; `false` when there is no such part or it is that already.
    pub fn replace(&mut self, name: &str, text: String) -> bool {
        let part = self.0.iter_mut().find(|(known, value)| *known == name && *value != text);
        part.map(|(_, value)| *value = text).is_some()
    }
}

impl Endpoint {
    /// The path below the mount that these parts make of the pattern: the reverse of [`route`].
    pub fn path(&self, captures: &Captures) -> String {
        let fill = |part: &'static str| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(name) => captures.get(name.trim_end_matches("..")).to_owned(),
            None => part.to_owned(),
        };
        self.pattern.split('/').map(fill).collect::<Vec<_>>().join("/")
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.pattern)
    }
}

/// Finds the endpoint for what follows the mount in a path. Among several that fit, the one whose earliest differing
/// segment is literal wins, so the order of the table does not matter.
pub fn route<E: AsRef<Endpoint>>(table: &'static [E], path: &str) -> Option<(&'static E, Captures)> {
    let near = table.iter().filter(|line| may_fit(line.as_ref().pattern, path));
    let fits = near.filter_map(|line| Some((line, captures(line.as_ref().pattern, path)?)));
    // Most paths fit one line, which then need not be weighed.
    let weigh = |fit: &(&'static E, Captures)| specificity(fit.0.as_ref().pattern);
    fits.reduce(|best, next| if weigh(&next) >= weigh(&best) { next } else { best })
}

impl AsRef<Endpoint> for Endpoint {
    fn as_ref(&self) -> &Endpoint {
        self
    }
}

/// Whether the path begins as the pattern does: most lines of a table do not, and need not be taken apart to know it.
fn may_fit(pattern: &str, path: &str) -> bool {
    let literal = pattern.bytes().position(|byte| byte == b'{');
    match literal {
        Some(length) => path.as_bytes().starts_with(pattern.as_bytes().get(..length).unwrap_or_default()),
        None => path == pattern,
    }
}

fn captures(pattern: &'static str, path: &str) -> Option<Captures> {
    let mut taken = Captures::default();
    let mut rest = Some(path);
    for part in pattern.split('/') {
        let remaining = rest?;
        if let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix("..}")) {
            let after = pattern.split_once("..}").map_or("", |(_, after)| after);
            let whole = remaining.strip_suffix(after)?;
            taken.0.push((name, whole.to_owned()));
            return (!whole.is_empty()).then_some(taken);
        }
        let (segment, next) = match remaining.split_once('/') {
            Some((segment, next)) => (segment, Some(next)),
            None => (remaining, None),
        };
        match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(name) if !segment.is_empty() => taken.0.push((name, segment.to_owned())),
            None if part == segment => {}
            _ => return None,
        }
        rest = next;
    }
    rest.is_none().then_some(taken)
}

/// Literal segments count more than captures, and earlier ones more than later ones.
fn specificity(pattern: &str) -> Vec<u8> {
    let weigh = |part: &str| match (part.starts_with('{'), part.ends_with("..}")) {
        (false, _) => 2,
        (true, false) => 1,
        (true, true) => 0,
    };
    pattern.split('/').map(weigh).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Endpoint] = &[
        Endpoint { pattern: "role/{name}", operations: &[], access: Access::Token, help: "" },
        Endpoint { pattern: "role/{name}/secret-id", operations: &[], access: Access::Token, help: "" },
        Endpoint { pattern: "role/special", operations: &[], access: Access::Token, help: "" },
        Endpoint { pattern: "data/{path..}/tune", operations: &[], access: Access::Token, help: "" },
        Endpoint { pattern: "data/{path..}", operations: &[], access: Access::Token, help: "" },
        Endpoint { pattern: "{path..}", operations: &[], access: Access::Token, help: "" },
        Endpoint { pattern: "", operations: &[], access: Access::Token, help: "" },
    ];

    fn found(path: &str) -> (&'static str, String, String) {
        let (endpoint, captures) = route(TABLE, path).unwrap();
        (endpoint.pattern, captures.get("name").to_owned(), captures.get("path").to_owned())
    }

    #[test]
    fn the_more_literal_pattern_wins() {
        assert_eq!(found("role/a"), ("role/{name}", "a".into(), "".into()));
        assert_eq!(found("role/special"), ("role/special", "".into(), "".into()));
        assert_eq!(found("role/special/secret-id"), ("role/{name}/secret-id", "special".into(), "".into()));
        assert_eq!(found("data/a/b"), ("data/{path..}", "".into(), "a/b".into()));
        assert_eq!(found("data/a/b/tune"), ("data/{path..}/tune", "".into(), "a/b".into()));
        assert_eq!(found("data/tune"), ("data/{path..}", "".into(), "tune".into()));
        assert_eq!(found("role/a/other"), ("{path..}", "".into(), "role/a/other".into()));
        assert_eq!(found("data"), ("{path..}", "".into(), "data".into()));
        assert_eq!(found("").0, "");
    }

    #[test]
    fn a_path_is_made_of_a_pattern_and_its_parts() {
        for path in ["role/a", "role/special/secret-id", "data/a/b/tune", "data/a/b", "data/tune", "x", ""] {
            let (endpoint, captures) = route(TABLE, path).unwrap();
            assert_eq!(endpoint.path(&captures), path);
        }
        let (endpoint, mut captures) = route(TABLE, "role/AdMin/secret-id").unwrap();
        assert!(captures.lower("name") && !captures.lower("name") && !captures.lower("path"));
        assert_eq!(endpoint.path(&captures), "role/admin/secret-id");
    }
}
