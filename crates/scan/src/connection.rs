//! Passwords and keys inside connection strings and addresses: `scheme://user:password@host`, `Server=...;Password=...`,
//! `host=... password=...`, parameters of an address, and headers.

use crate::placeholder::is_reference;
use crate::{Finding, Kind};
use regex::bytes::{Regex, RegexBuilder};
use std::sync::LazyLock;

/// A pattern whose first group is the password, and what must stand beside it.
struct Pattern {
    what: &'static str,
    text: &'static str,
    beside: Option<&'static str>,
}

/// A key of a connection string that is not the password.
const OTHER_KEY: &str = r"(?i)\b(?:server|data source|host|hostaddr|hostname|dbname|database|initial catalog|user id|uid|user|username|addr|address|driver|endpoint|bootstrap\.servers|accountname)\s*=";

const PATTERNS: &[Pattern] = &[
    Pattern {
        what: "an address with a password",
        text: r#"(?i)\b[a-z][a-z0-9+.-]{1,30}://[^\s:/?#@"']*:([^\s/?#@"']+)@[^\s@/]"#,
        beside: None,
    },
    Pattern {
        what: "a connection string with a password",
        text: r#"(?i)(?:^|[\s;,?&"'])(?:password|passwd|pwd)\s*=\s*("[^"]+"|'[^']+'|[^;\s&,"']+)"#,
        beside: Some(OTHER_KEY),
    },
    Pattern {
        what: "a connection string with a key",
        text: r"\b(?:AccountKey|SharedAccessKey|SharedSecretKey)\s*=\s*([A-Za-z0-9+/]{40,}={0,2})",
        beside: None,
    },
    Pattern {
        what: "a JAAS configuration with a password",
        text: r#"(?i)LoginModule\s[^;]*\bpassword\s*=\s*\\?"([^"\\]+)"#,
        beside: None,
    },
    Pattern {
        what: "an address with a credential among its parameters",
        text: r"(?i)://[^\s?]+\?(?:[^\s#]*&)?(?:password|passwd|pwd|access_token|auth_token|api_key|apikey|client_secret|sig)=([^&\s#]{6,})",
        beside: None,
    },
    Pattern {
        what: "an Authorization header",
        text: r#"(?i)\b(?:proxy-)?authorization["']?\s*[:=]\s*["']?(?:basic|bearer|token)\s+([A-Za-z0-9+/=._~-]{8,})"#,
        beside: None,
    },
    Pattern {
        // As `user/password@//host:port/service`, `@host:port:SID` and `@(DESCRIPTION=...)` (Oracle's easy connect).
        what: "an Oracle connection with a password",
        text: r#"(?i)(?:^|[\s"'=:])[a-z][a-z0-9_$\#.-]{0,127}(?:\[[a-z0-9_$\#]+\])?/("[^"]+"|[^\s/@"':]+)@(?://[a-z0-9\[]|[a-z0-9.-]+:\d{2,5}[/:][a-z]|\(description\s*=)"#,
        beside: None,
    },
    Pattern {
        what: "a MySQL connection with a password",
        text: r"(?:^|[^A-Za-z0-9_.-])[A-Za-z0-9_.-]{1,64}:([^\s@/]+)@(?:tcp|unix)\(",
        beside: None,
    },
    Pattern {
        what: "a line of .netrc with a password",
        text: r"(?i)\bmachine\s+\S+\s+login\s+\S+\s+password\s+(\S+)",
        beside: None,
    },
    Pattern {
        what: "a database connection with a password",
        text: r"(?i)\b(?:mysql|psql|mongo|sqlcmd|redis-cli)\b[^\n]*\s--?(?:password|pass|p)[= ]?([^\s-][^\s]{5,})",
        beside: Some(r"(?i)\s-{1,2}(?:h|host|u|user|username)\b"),
    },
];

type Compiled = (&'static str, Regex, Option<Regex>);

static TABLE: LazyLock<Vec<Compiled>> = LazyLock::new(|| {
    let compile = |text: &str| RegexBuilder::new(text).unicode(false).build().ok();
    let line = |pattern: &Pattern| {
        let beside = match pattern.beside {
            Some(text) => Some(compile(text)?),
            None => None,
        };
        Some((pattern.what, compile(pattern.text)?, beside))
    };
    PATTERNS.iter().filter_map(line).collect()
});

/// What is found as part of a connection.
pub(crate) fn find(bytes: &[u8]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (what, pattern, beside) in TABLE.iter() {
        for found in pattern.captures_iter(bytes) {
            let (Some(whole), Some(password)) = (found.get(0), found.get(1)) else { continue };
            let is_there = std::str::from_utf8(password.as_bytes()).is_ok_and(|text| !is_reference(text));
            if is_there && beside.as_ref().is_none_or(|beside| beside.is_match(bytes)) {
                findings.push(Finding { kind: Kind::ConnectionString, what, range: whole.range() });
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_of_the_table_is_one() {
        assert_eq!(TABLE.len(), PATTERNS.len());
    }
}
