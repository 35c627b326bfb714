use super::login::Login;
use strongroom_core::CoreError;

/// Where rotation may log in, as the operator allowed it. Whoever may write a secret and start its rotation names the
/// host otherwise, and could have the server knock at any door that it can reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(Option<Vec<Pattern>>);

/// `host`, `host:port`, `*.domain` or `*.domain:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    host: String,
    port: Option<u16>,
}

impl Hosts {
    /// These only. An empty list allows none.
    pub fn only(patterns: &[String]) -> Result<Self, CoreError> {
        patterns.iter().map(|text| Pattern::parse(text)).collect::<Result<_, _>>().map(|list| Self(Some(list)))
    }

    /// Refuses a place that is not among them.
    pub(super) fn admit(&self, login: &Login) -> Result<(), CoreError> {
        let Some(patterns) = &self.0 else { return Ok(()) };
        let host = login.host.trim_end_matches('.').to_ascii_lowercase();
        if patterns.iter().any(|pattern| pattern.fits(&host, login.port)) {
            return Ok(());
        }
        Err(CoreError::DeniedBecause(format!(
            "rotation may not log in at {}: `rotation_hosts` in the server's configuration names others; ask the operator",
            login.place()
        )))
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, CoreError> {
        let wrong = || {
            CoreError::Invalid(format!(
                "\"{text}\" is no host: write db.example, db.example:5432, *.example or [::1]:5432"
            ))
        };
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':').filter(|_| !rest.is_empty())),
            None if text.matches(':').count() > 1 => (text, None),
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map(|port| port.parse().map_err(|_| wrong())).transpose()?;
        let plain = host.strip_prefix("*.").unwrap_or(host);
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if plain.is_empty() || !plain.chars().all(fits) {
            return Err(wrong());
        }
        Ok(Self { host: host.trim_end_matches('.').to_ascii_lowercase(), port })
    }

    fn fits(&self, host: &str, port: u16) -> bool {
        let same = match self.host.strip_prefix('*') {
            Some(end) => host.len() > end.len() && host.ends_with(end),
            None => host == self.host,
        };
        same && self.port.is_none_or(|wanted| wanted == port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strongroom_model::SecretString;

    fn admits(patterns: &[&str], host: &str, port: u16) -> bool {
        let patterns: Vec<String> = patterns.iter().map(|text| (*text).to_owned()).collect();
        let login = Login {
            host: host.to_owned(),
            port,
            username: String::new(),
            password: SecretString::new(String::new()),
            database: String::new(),
            tls: false,
        };
        Hosts::only(&patterns).unwrap().admit(&login).is_ok()
    }

    #[test]
    fn only_places_that_the_operator_named_are_logged_in_at() {
        assert!(Hosts::default().0.is_none());
        assert!(admits(&["db.example"], "DB.example.", 5432) && admits(&["db.example:5432"], "db.example", 5432));
        assert!(!admits(&["db.example:5432"], "db.example", 5433) && !admits(&[], "db.example", 5432));
        assert!(admits(&["*.example"], "db.example", 1) && admits(&["*.example"], "a.db.example", 1));
        assert!(!admits(&["*.example"], "example", 1) && !admits(&["*.example"], "badexample", 1));
        assert!(admits(&["[::1]:5432"], "::1", 5432) && admits(&["::1"], "::1", 9) && !admits(&["[::1]:1"], "::1", 2));
        for wrong in ["", "*", "*.", "a b", "host:port", "https://x"] {
            assert!(Hosts::only(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}
