//! One request as a command states it: the verb, the path below `/v1/`, a query, a body, and whose token goes with it.
//! Knows how it is written for curl and as a policy; does not send itself.

use super::error::CliError;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use std::fmt::Write as _;
use strongroom_api::{native_needs_sudo, needs_sudo};
use strongroom_model::SecretString;

/// What stays as it is in a path: RFC 3986's `pchar` and the slash.
const PATH: &AsciiSet = &UNRESERVED
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@')
    .remove(b'/');
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const VAULT: &str = "/v1/";
/// An endpoint of the native API stands for the path of policies with `sys/` in front.
const NATIVE: &str = "/api/v1/";

/// Whose token goes with a request.
pub(crate) enum Bearer {
    /// The user's, from the environment or the token file.
    Own,
    /// This one.
    Given(SecretString),
    /// None: a login must not depend on an old token.
    Nobody,
}

/// One request. Not `Debug`: the body may be a secret.
pub(crate) struct Request {
    /// GET, PUT, POST, PATCH or DELETE.
    pub(crate) method: &'static str,
    /// Below `root`, unescaped.
    pub(crate) path: String,
    /// `/v1/`, or `/api/v1/` for the native API.
    pub(crate) root: &'static str,
    /// In order.
    pub(crate) query: Vec<(String, String)>,
    /// Sent as JSON.
    pub(crate) body: Option<Value>,
    /// Whose token.
    pub(crate) bearer: Bearer,
    /// Whether it only prepares the request that the user asked for, so that it is sent even if that one is printed.
    pub(crate) preliminary: bool,
    /// Whether it goes to the user's namespace; seal and unseal exist in the root only.
    pub(crate) namespaced: bool,
}

impl Request {
    fn new(method: &'static str, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            root: VAULT,
            query: Vec::new(),
            body: None,
            bearer: Bearer::Own,
            preliminary: false,
            namespaced: true,
        }
    }

    /// Reads.
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new("GET", path)
    }

    /// Reads from the native API.
    pub(crate) fn native(path: impl Into<String>) -> Self {
        Self { root: NATIVE, ..Self::new("GET", path) }
    }

    /// Lists; sent as GET with `list=true`, because proxies refuse the verb LIST.
    pub(crate) fn list(path: impl Into<String>) -> Self {
        Self::get(path).query("list", "true")
    }

    /// Writes.
    pub(crate) fn put(path: impl Into<String>, body: Value) -> Self {
        Self { body: Some(body), ..Self::new("PUT", path) }
    }

    /// Creates, where Vault's client sends POST.
    pub(crate) fn post(path: impl Into<String>, body: Value) -> Self {
        Self { body: Some(body), ..Self::new("POST", path) }
    }

    /// Writes without a body.
    pub(crate) fn put_nothing(path: impl Into<String>) -> Self {
        Self::new("PUT", path)
    }

    /// Sends what is no JSON: the body is given apart.
    pub(crate) fn post_nothing(path: impl Into<String>) -> Self {
        Self::new("POST", path)
    }

    /// Changes a part (RFC 7396).
    pub(crate) fn patch(path: impl Into<String>, body: Value) -> Self {
        Self { body: Some(body), ..Self::new("PATCH", path) }
    }

    /// Deletes.
    pub(crate) fn delete(path: impl Into<String>) -> Self {
        Self::new("DELETE", path)
    }

    /// Adds to the query.
    pub(crate) fn query(mut self, key: &str, value: impl Into<String>) -> Self {
        self.query.push((key.to_owned(), value.into()));
        self
    }

    /// With another token, or none.
    pub(crate) fn bearer(self, bearer: Bearer) -> Self {
        Self { bearer, ..self }
    }

    /// Only prepares the main request.
    pub(crate) fn preliminary(self) -> Self {
        Self { preliminary: true, ..self }
    }

    /// In the root namespace whatever the user's is.
    pub(crate) fn in_root(self) -> Self {
        Self { namespaced: false, ..self }
    }

    /// Whether it lists.
    pub(crate) fn is_list(&self) -> bool {
        self.query.iter().any(|(key, _)| key == "list")
    }

    /// `/v1/...` escaped, with the query.
    pub(crate) fn target(&self) -> String {
        let mut target = format!("{}{}", self.root, utf8_percent_encode(&self.path, PATH));
        for (n, (key, value)) in self.query.iter().enumerate() {
            let joint = if n == 0 { '?' } else { '&' };
            let (key, value) = (utf8_percent_encode(key, UNRESERVED), utf8_percent_encode(value, UNRESERVED));
            let _ = write!(target, "{joint}{key}={value}");
        }
        target
    }

    /// `/v1/...` as an error shows it: of the query nothing but that it lists.
    pub(crate) fn shown(&self) -> String {
        let list = if self.is_list() { "?list=true" } else { "" };
        format!("{}{}{list}", self.root, utf8_percent_encode(&self.path, PATH))
    }

    /// As a curl command. The token is fetched when it runs, so that the printed line can be shown to others; the body
    /// is what the user typed and stands in it.
    pub(crate) fn curl(&self, base: &str, namespace: &str, headers: &[(String, String)]) -> String {
        let mut line = match self.method {
            "GET" => "curl".to_owned(),
            method => format!("curl -X {method}"),
        };
        let mut header = |text: String| {
            let _ = write!(line, " -H {}", shell_quote(&text));
        };
        for (name, value) in headers {
            header(format!("{name}: {value}"));
        }
        if self.method == "PATCH" {
            header("Content-Type: application/merge-patch+json".to_owned());
        }
        header("X-Vault-Request: true".to_owned());
        if self.namespaced && !namespace.is_empty() {
            header(format!("X-Vault-Namespace: {namespace}/"));
        }
        if !matches!(self.bearer, Bearer::Nobody) {
            line.push_str(" -H \"X-Vault-Token: $(strongroom print token)\"");
        }
        if let Some(body) = &self.body {
            let _ = write!(line, " -d {}", shell_quote(&body.to_string()));
        }
        let _ = write!(line, " {}", shell_quote(&format!("{base}{}", self.target())));
        line
    }

    /// The secret whose rotation this is about, and whether its value is to be written (otherwise it is about what is known
    /// beside the value): policies speak of that secret.
    pub(crate) fn rotated(&self) -> Option<(&str, bool)> {
        let (verb, secret) = self.path.strip_prefix("rotation/").filter(|_| self.root == NATIVE)?.split_once('/')?;
        Some((secret, matches!(verb, "start" | "schedule")))
    }

    /// As the policy it needs.
    pub(crate) fn policy(&self) -> Result<String, CliError> {
        let mut needed = match self.method {
            "GET" if self.is_list() => vec!["list"],
            "GET" => vec!["read"],
            "DELETE" => vec!["delete"],
            "PATCH" => vec!["patch"],
            _ if self.only_updates() => vec!["update"],
            _ => vec!["create", "update"],
        };
        let is_kept = if self.root == NATIVE { native_needs_sudo } else { needs_sudo };
        if is_kept(&self.path) {
            needed.push("sudo");
        }
        rule(&self.policy_path(), &needed)
    }

    /// The path that policies speak of; a rotation is about its secret.
    pub(crate) fn policy_path(&self) -> String {
        match self.rotated() {
            Some((secret, _)) => secret.to_owned(),
            None if self.root == NATIVE => format!("sys/{}", self.path),
            None => self.path.clone(),
        }
    }

    /// Whether writing there is never making something in the eyes of policies. Elsewhere it depends on what is there.
    fn only_updates(&self) -> bool {
        let ours = ["sys/", "identity/", "auth/token/"].iter().any(|place| self.path.starts_with(place));
        self.root == NATIVE || (ours && !self.path.starts_with("auth/token/roles/"))
    }
}

/// Something that a command of several requests needs.
pub(crate) struct Need {
    path: String,
    words: &'static [&'static str],
    /// Whether the path is meant as a pattern.
    is_pattern: bool,
}

impl Need {
    /// On just this path.
    pub(crate) fn at(path: impl Into<String>, words: &'static [&'static str]) -> Self {
        Self { path: path.into(), words, is_pattern: false }
    }

    /// On each path that fits: for what has an id that nobody knows before.
    pub(crate) fn each(pattern: &str, words: &'static [&'static str]) -> Self {
        Self { path: pattern.to_owned(), words, is_pattern: true }
    }

    /// As a rule of a policy.
    pub(crate) fn rule(&self) -> Result<String, CliError> {
        if self.is_pattern { Ok(written(&self.path, self.words)) } else { rule(&self.path, self.words) }
    }
}

/// A rule of a policy for just this path. Refuses a path that is more than itself in a policy, where an asterisk at the end
/// stands for anything, a plus for any part, and double braces for something about the caller.
pub(crate) fn rule(path: &str, needed: &[&str]) -> Result<String, CliError> {
    if path.ends_with('*') || path.contains("{{") || path.split('/').any(|part| part == "+") {
        return Err(CliError::usage(format!(
            "a policy cannot name {path} without allowing others: `*` at the end, `+` as a part and `{{{{` mean more than \
             themselves there; rename what is at it, or decide yourself how wide the rule may be"
        )));
    }
    Ok(written(path, needed))
}

fn written(path: &str, needed: &[&str]) -> String {
    let list = needed.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ");
    format!("path \"{}\" {{\n  capabilities = [{list}]\n}}", path.escape_debug())
}

/// For a POSIX shell.
fn shell_quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~/:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// An object from pairs, without those that are absent.
pub(crate) fn object<const N: usize>(pairs: [(&str, Option<Value>); N]) -> Map<String, Value> {
    pairs.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_and_queries_are_escaped() {
        let request = Request::get("secret/data/a b?c#d%/é").query("version", "1&2");
        assert_eq!(request.target(), "/v1/secret/data/a%20b%3Fc%23d%25/%C3%A9?version=1%262");
        assert_eq!(Request::list("sys/policies/acl").target(), "/v1/sys/policies/acl?list=true");
    }

    #[test]
    fn a_curl_line_survives_the_shell_and_names_no_token() {
        let request = Request::put("secret/x", json!({"a": "it's"}));
        let headers = [("X-Own".to_owned(), "1".to_owned())];
        assert_eq!(
            request.curl("http://127.0.0.1:8200", "team", &headers),
            "curl -X PUT -H 'X-Own: 1' -H 'X-Vault-Request: true' -H 'X-Vault-Namespace: team/' \
             -H \"X-Vault-Token: $(strongroom print token)\" -d '{\"a\":\"it'\\''s\"}' http://127.0.0.1:8200/v1/secret/x"
        );
    }

    #[test]
    fn a_policy_names_the_capabilities() {
        assert_eq!(Request::get("secret/x").policy().unwrap(), "path \"secret/x\" {\n  capabilities = [\"read\"]\n}");
        assert!(Request::list("x").policy().unwrap().contains("[\"list\"]"));
        assert!(Request::put("x", json!({})).policy().unwrap().contains("[\"create\", \"update\"]"));
        assert!(Request::put_nothing("sys/seal").policy().unwrap().contains("\"sudo\""));
        assert!(Request::post("sys/auth/x/tune", json!({})).policy().unwrap().contains("[\"update\", \"sudo\"]"));
        assert!(Request::put("auth/token/roles/x", json!({})).policy().unwrap().contains("[\"create\", \"update\"]"));
        assert!(!Request::put("auth/token/create", json!({})).policy().unwrap().contains("\"create\""));
        assert!(!Request::list("sys/leases/count").policy().unwrap().contains("sudo"));
        assert!(Request::get("sys/leases").policy().unwrap().contains("[\"read\", \"sudo\"]"));
        assert!(Request::native("trail/query").policy().unwrap().contains("\"sys/trail/query\""));
        assert!(Request::native("alerts").policy().unwrap().contains("[\"read\", \"sudo\"]"));
    }

    #[test]
    fn a_path_that_a_policy_would_take_for_a_pattern_is_not_printed_as_one() {
        for path in ["secret/data/a*", "secret/data/+/x", "secret/data/{{identity.entity.id}}", "+", "*"] {
            assert!(matches!(Request::get(path).policy(), Err(CliError::Usage(_))), "{path}");
        }
        for path in ["secret/data/a*b", "secret/data/a+b", "secret/data/{x}"] {
            assert!(Request::get(path).policy().unwrap().contains(path), "{path}");
        }
    }

    #[test]
    fn a_rotation_is_about_a_secret_or_what_is_known_of_it() {
        assert_eq!(Request::native("rotation/start/secret/a/b").rotated(), Some(("secret/a/b", true)));
        assert_eq!(Request::native("rotation/status/secret/a/b").rotated(), Some(("secret/a/b", false)));
        assert_eq!(Request::get("rotation/start/secret/a").rotated(), None);
        assert_eq!(Request::native("trail/query").rotated(), None);
    }
}
