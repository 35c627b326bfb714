use serde::{Deserialize, Serialize};
use strongroom_model::{RequestPath, Ttl};

/// One rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RateLimit {
    /// Empty for all paths; `mount/` for a mount; `mount/a/b` for one path; `mount/a*` for all that begin so.
    pub path: String,
    /// Requests in an interval.
    pub rate: f64,
    /// The interval.
    pub interval: Ttl,
    /// When set, a client over the limit is turned away for this long, whatever it does.
    pub block_interval: Ttl,
    /// Kept and given back; this version has no child namespaces.
    pub inheritable: bool,
}

impl RateLimit {
    /// Whole requests in an interval; at least one, since a rule that allows none locks everybody out, its maker too.
    pub(super) fn limit(&self) -> u64 {
        (self.rate.round() as u64).max(1)
    }

    /// Whether the rule is about this path. Case does not count, so that spelling a name otherwise is no way around it.
    pub(super) fn fits(&self, path: &RequestPath) -> bool {
        fits(&self.path, path)
    }

    /// Orders rules that fit the same path: the longer path wins, and a whole path over one that ends in `*`.
    pub(super) fn specificity(&self) -> (usize, bool) {
        specificity(&self.path)
    }
}

pub(super) fn fits(rule: &str, path: &RequestPath) -> bool {
    let (rule, path) = (rule.as_bytes(), path.as_str().as_bytes());
    let begins = |with: &[u8]| path.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    match rule.split_last() {
        None => true,
        Some((b'*', start)) => begins(start),
        Some((b'/', mount)) => begins(rule) || path.eq_ignore_ascii_case(mount),
        Some(_) => path.eq_ignore_ascii_case(rule),
    }
}

pub(super) fn specificity(rule: &str) -> (usize, bool) {
    let start = rule.trim_end_matches('*');
    (start.len(), start.len() == rule.len())
}

/// How rules are applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaConfig {
    /// Paths that no rule is about; a `*` at the end stands for anything.
    pub exempt_paths: Vec<String>,
    /// Whether requests that were turned away stand in the trail.
    pub audit_logging: bool,
    /// Whether answers tell how much is left.
    pub response_headers: bool,
}

/// Without these an operator could not unseal, and monitors could not see, a server under a flood (Vault:
/// `defaultExemptPaths`).
const ALWAYS_OPEN: [&str; 7] = [
    "sys/generate-recovery-token/attempt",
    "sys/generate-recovery-token/update",
    "sys/generate-root/attempt",
    "sys/generate-root/update",
    "sys/health",
    "sys/seal-status",
    "sys/unseal",
];

impl Default for QuotaConfig {
    fn default() -> Self {
        let exempt_paths = ALWAYS_OPEN.map(str::to_owned).to_vec();
        Self { exempt_paths, audit_logging: false, response_headers: false }
    }
}

impl QuotaConfig {
    pub(super) fn exempts(&self, path: &RequestPath) -> bool {
        self.exempt_paths.iter().any(|exempt| match exempt.strip_suffix('*') {
            Some(start) => path.as_str().starts_with(start),
            None => path.as_str() == exempt.trim_matches('/'),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(path: &str) -> RateLimit {
        let (interval, block_interval) = (Ttl::from_secs(1), Ttl::from_secs(0));
        RateLimit { path: path.to_owned(), rate: 1.0, interval, block_interval, inheritable: false }
    }

    fn fits(pattern: &str, path: &str) -> bool {
        rule(pattern).fits(&RequestPath::parse(path).unwrap())
    }

    #[test]
    fn a_rule_is_about_everything_a_mount_a_path_or_a_beginning() {
        assert!(fits("", "secret/a"));
        assert!(fits("secret/", "secret/a") && fits("secret/", "secret") && !fits("secret/", "secrets/a"));
        assert!(fits("secret/data/a", "secret/data/a") && !fits("secret/data/a", "secret/data/a/b"));
        assert!(fits("secret/data/a*", "secret/data/ab/c") && !fits("secret/data/a*", "secret/data/b"));
        assert!(fits("auth/userpass/login/ann", "auth/userpass/login/ANN"));
    }

    #[test]
    fn the_most_specific_rule_wins() {
        let order = ["", "secret/", "secret/data/*", "secret/data/a*", "secret/data/ab"];
        assert!(order.map(|path| rule(path).specificity()).is_sorted());
        assert!(rule("secret/a").specificity() > rule("secret/a*").specificity());
    }

    #[test]
    fn health_and_unsealing_are_exempt_until_an_operator_says_otherwise() {
        let exempts = |config: &QuotaConfig, path: &str| config.exempts(&RequestPath::parse(path).unwrap());
        let config = QuotaConfig::default();
        assert!(exempts(&config, "sys/health") && exempts(&config, "sys/unseal") && !exempts(&config, "sys/mounts"));
        let config = QuotaConfig { exempt_paths: vec!["sys/internal/ui/*".to_owned()], ..config };
        assert!(exempts(&config, "sys/internal/ui/mounts") && !exempts(&config, "sys/health"));
    }
}
