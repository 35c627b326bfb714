//! Rate limits at the door: asks the core before a body is read, and tells the client how it stands.

use super::answer::Body;
use super::one_spelling;
use http_body_util::Full;
use hyper::Response;
use hyper::http::{HeaderName, HeaderValue};
use std::time::Duration;
use strongroom_core::quota::Verdict;
use strongroom_core::{CoreError, Strongroom, Visit};

/// What the rules say about one request.
#[derive(Default)]
pub(crate) struct Limit {
    verdict: Option<Verdict>,
    shows_headers: bool,
    records_refusals: bool,
}

impl Limit {
    /// Counts the request. A sealed server has no rules.
    pub(crate) fn take(&mut self, strongroom: &Strongroom, visit: &Visit) -> Result<(), CoreError> {
        let Ok(open) = strongroom.open() else { return Ok(()) };
        let one = one_spelling(&open, &visit.path);
        let path = one.as_ref().unwrap_or(&visit.path);
        let Some(verdict) = open.quotas.count(path, &visit.source, visit.arrived) else { return Ok(()) };
        let config = open.quotas.config.current();
        (self.shows_headers, self.records_refusals) = (config.response_headers, config.audit_logging);
        let verdict = self.verdict.insert(verdict);
        if verdict.allowed {
            return Ok(());
        }
        let labels = vec![("name", verdict.rule.clone())];
        strongroom.metrics().counter("vault.quota.rate_limit.violation", labels).add(1);
        Err(CoreError::Limited(format!("request path \"{}\": rate limit quota exceeded", visit.path)))
    }

    /// Whether the request was refused and does not stand in the trail: as in Vault, unless the operator wants it to. A
    /// flood that filled the trail would have reached what the rule is there to prevent.
    pub(crate) fn refused_silently(&self) -> bool {
        !self.records_refusals && self.verdict.as_ref().is_some_and(|verdict| !verdict.allowed)
    }

    /// Tells the client how it stands. When to try again is told in any case.
    pub(crate) fn mark(&self, response: &mut Response<Full<Body>>) {
        let Some(verdict) = &self.verdict else { return };
        let mut put = |name: &'static str, number: u64| {
            response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from(number));
        };
        if self.shows_headers {
            put("x-ratelimit-limit", verdict.limit);
            put("x-ratelimit-remaining", verdict.remaining);
            put("x-ratelimit-reset", whole_seconds(verdict.reset));
        }
        if !verdict.allowed {
            put("retry-after", whole_seconds(verdict.retry_after));
        }
    }
}

/// Rounded up, so that who waits this long does not come too early.
fn whole_seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}
