//! Writes out what is counted: in the text format of Prometheus (version 0.0.4), and in Vault's JSON.
//!
//! Numbers are counted since the start of the server; Vault's JSON gives those of the last ten seconds.

use super::Vault;
use super::answer::{self, Body};
use super::request::Parsed;
use crate::host;
use arc_swap::ArcSwap;
use http_body_util::Full;
use hyper::Response;
use hyper::http::StatusCode;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use strongroom_core::census::{Counts, class_of};
use strongroom_core::lease::Granted;
use strongroom_core::metrics::{BOUNDS_US, Counter, Labels, Metrics, Timing};
use strongroom_core::mount::{Mount, MountClass};
use strongroom_core::{Auth, CoreError, Fields, Operation, RawBody, State};
use strongroom_model::TokenType;

/// The media type of the text format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The timing of requests by what was done and how it ended.
const REQUESTS: &str = "strongroom.http.request.duration.seconds";
/// Bytes of request bodies that were read.
const BODY_BYTES: &str = "strongroom.http.request.body.bytes.total";
/// The timing of requests on a mount; written out under one name for each.
const ROUTES: &str = "vault.route";

/// Served to anybody, in every state, on listeners whose operator said so; elsewhere it needs a token.
pub(super) const PATH: &str = "sys/metrics";

/// What every request touches, found once.
pub(super) struct Instruments {
    check_token: Arc<Timing>,
    request: Arc<Timing>,
    login: Arc<Timing>,
    log_request: Arc<Timing>,
    log_request_failure: Arc<Counter>,
    log_response: Arc<Timing>,
    log_response_failure: Arc<Counter>,
    /// Bytes of bodies that were read.
    pub(super) body_bytes: Arc<Counter>,
    /// Requests by what was done and how it ended.
    requests: [[OnceLock<Arc<Timing>>; ENDS.len()]; OPERATIONS],
    /// Requests by mount and what was done.
    routes: ArcSwap<HashMap<String, [Option<Arc<Timing>>; OPERATIONS]>>,
}

/// How many kinds of operations there are.
const OPERATIONS: usize = 5;
/// How requests end.
const ENDS: [&str; 6] = ["ok", "denied", "not_found", "limited", "invalid", "failed"];
/// Mounts whose timings are kept at hand; when there are more, all are looked for again.
const MOST_ROUTES: usize = 1_024;

impl Instruments {
    pub(super) fn of(metrics: &Metrics) -> Self {
        let timing = |name| metrics.timing(name, Labels::new());
        // One span here, which Vault measures in three places: the token is looked up, and its policies are asked.
        let check_token = timing("vault.core.check_token");
        metrics.also_name(&check_token, "vault.core.fetch_acl_and_token");
        metrics.also_name(&check_token, "vault.token.lookup");
        Self {
            check_token,
            request: timing("vault.core.handle_request"),
            login: timing("vault.core.handle_login_request"),
            log_request: timing("vault.audit.log_request"),
            log_request_failure: metrics.counter("vault.audit.log_request_failure", Labels::new()),
            log_response: timing("vault.audit.log_response"),
            log_response_failure: metrics.counter("vault.audit.log_response_failure", Labels::new()),
            body_bytes: metrics.counter(BODY_BYTES, Labels::new()),
            requests: Default::default(),
            routes: ArcSwap::default(),
        }
    }

    /// The timing of requests that did this and ended so.
    fn request_of(&self, metrics: &Metrics, operation: Operation, end: usize) -> Option<&Arc<Timing>> {
        let timing = self.requests.get(operation as usize)?.get(end)?;
        let found = || {
            let (op, outcome) =
                (super::request::word(operation).to_owned(), ENDS.get(end).copied().unwrap_or_default());
            let labels = vec![("api", "vault".to_owned()), ("op", op), ("outcome", outcome.to_owned())];
            metrics.timing(REQUESTS, labels)
        };
        Some(timing.get_or_init(found))
    }

    /// The timing of requests that did this on a mount.
    fn route_of(&self, metrics: &Metrics, operation: Operation, mount: &str) -> Arc<Timing> {
        let at_hand = |routes: &HashMap<String, [Option<Arc<Timing>>; OPERATIONS]>| {
            routes.get(mount).and_then(|each| each.get(operation as usize)).and_then(Clone::clone)
        };
        if let Some(timing) = at_hand(&self.routes.load()) {
            return timing;
        }
        let labels = vec![("op", super::request::word(operation).to_owned()), ("mount", mount.to_owned())];
        let timing = metrics.timing(ROUTES, labels);
        self.routes.rcu(|routes| {
            let mut routes = if routes.len() < MOST_ROUTES { HashMap::clone(routes) } else { HashMap::new() };
            if let Some(place) = routes.entry(mount.to_owned()).or_default().get_mut(operation as usize) {
                *place = Some(Arc::clone(&timing));
            }
            routes
        });
        timing
    }
}

/// A number that goes up and down.
pub(super) struct Gauge {
    pub(super) name: &'static str,
    pub(super) labels: Labels,
    pub(super) value: f64,
}

impl Vault {
    /// Notes how long it took to let a request in, and how much of that to record a change before it is made.
    pub(super) fn note_check(&self, took: Duration, recording: Option<Duration>) {
        let checking = took.saturating_sub(recording.unwrap_or_default());
        self.instruments.check_token.note(checking);
        if let Some(recording) = recording {
            self.instruments.log_request.note(recording);
        }
    }

    /// Notes a request that was turned away because it could not be recorded.
    pub(super) fn note_unrecorded(&self, error: &CoreError) {
        self.instruments.log_request_failure.add(u64::from(matches!(error, CoreError::Trail(_))));
    }

    /// Notes how long it took to record an outcome, and whether it could be recorded.
    pub(super) fn note_recording(&self, took: Duration, recorded: bool) {
        self.instruments.log_response.note(took);
        self.instruments.log_response_failure.add(u64::from(!recorded));
    }

    /// Notes a request on a mount that has been served.
    pub(super) fn note_route(&self, operation: Operation, mount: &str, is_login: bool, took: Duration) {
        if is_login {
            self.instruments.login.note(took)
        } else {
            self.instruments.request.note(took)
        }
        self.instruments.route_of(self.strongroom.metrics(), operation, mount).note(took);
    }

    /// Notes a token that was made.
    pub(super) fn note_token(&self, mount: &Mount, auth: &Auth) {
        let kind = match auth.token_type {
            TokenType::Service => "service",
            TokenType::Batch => "batch",
        };
        let labels = vec![
            ("cluster", self.identity.cluster_name.clone()),
            ("namespace", "root".to_owned()),
            ("auth_method", mount.kind.clone()),
            ("mount_point", mount.path.with_slash()),
            ("creation_ttl", class_of(auth.ttl).to_owned()),
            ("token_type", kind.to_owned()),
        ];
        self.strongroom.metrics().counter("vault.token.creation", labels).add(1);
    }

    /// Notes a credential that was made with a lease.
    pub(super) fn note_lease(&self, mount: &Mount, lease: &Granted) {
        let labels = vec![
            ("cluster", self.identity.cluster_name.clone()),
            ("namespace", "root".to_owned()),
            ("secret_engine", mount.kind.clone()),
            ("mount_point", mount.path.with_slash()),
            ("creation_ttl", class_of(lease.ttl).to_owned()),
        ];
        self.strongroom.metrics().counter("vault.secret.lease.creation", labels).add(1);
    }

    /// Notes a request whose head could be read, whatever became of it.
    pub(super) fn note_request(&self, operation: Operation, status: StatusCode, took: Duration) {
        let end = match status.as_u16() {
            200..400 => 0,
            403 => 1,
            404 => 2,
            429 => 3,
            400..500 => 4,
            _ => 5,
        };
        if let Some(timing) = self.instruments.request_of(self.strongroom.metrics(), operation, end) {
            timing.note(took);
        }
    }

    /// What `sys/metrics` answers.
    pub(super) fn metrics(&self, fields: &Fields) -> Result<RawBody, CoreError> {
        match fields.text_or_empty("format")?.as_str() {
            "prometheus" if !self.prometheus => Err(CoreError::Invalid("prometheus is not enabled".to_owned())),
            "prometheus" => Ok(RawBody { media_type: PROMETHEUS, text: self.prometheus() }),
            "" | "json" => Ok(RawBody { media_type: "application/json", text: self.metrics_json().to_string() }),
            _ => Err(CoreError::Invalid("unsupported metrics format: use prometheus or json".to_owned())),
        }
    }

    /// Answers it without a gate, and records that.
    pub(super) async fn serve_metrics(&self, parsed: Box<Parsed>) -> Response<Full<Body>> {
        if parsed.visit.operation != Operation::Read {
            return self.refuse(&parsed, CoreError::Unsupported).await;
        }
        let result = self.metrics(&parsed.fields);
        let noted = self.strongroom.note(&parsed.visit, super::request::word(Operation::Read), &result).await;
        match noted.and(result) {
            Ok(raw) => answer::raw(raw, parsed.head),
            Err(error) => answer::error(&error),
        }
    }

    pub(super) fn gauges(&self) -> Vec<Gauge> {
        let cluster = || vec![("cluster", self.identity.cluster_name.clone())];
        let plain = |name, value: f64| Gauge { name, labels: Labels::new(), value };
        let state = self.strongroom.state();
        let is_open = f64::from(u8::from(matches!(state, State::Open(_))));
        let trail = self.strongroom.trail_health();
        let mut gauges = vec![
            Gauge { name: "vault.core.active", labels: cluster(), value: is_open },
            Gauge { name: "vault.core.unsealed", labels: cluster(), value: is_open },
            plain("vault.core.in_flight_requests", self.running.count() as f64),
            plain("strongroom.seal.state", 1.0 - is_open),
            plain("strongroom.audit.chain.height", trail.entries as f64),
            plain("strongroom.audit.writable", f64::from(u8::from(trail.writable))),
        ];
        gauges.extend(host::process().into_iter().map(|(name, value)| plain(name, value)));
        if let State::Open(open) = state {
            let table = open.mounts.table();
            let mounts = |class, word: &str| Gauge {
                name: "vault.core.mount_table.num_entries",
                labels: vec![("type", word.to_owned()), ("local", "false".to_owned())],
                value: table.of(class).len() as f64,
            };
            gauges.push(mounts(MountClass::Auth, "auth"));
            gauges.push(mounts(MountClass::Secret, "logical"));
            let leases = open.leases.gauges();
            gauges.push(plain("vault.expire.num_leases", leases.leases as f64));
            gauges.push(plain("vault.expire.num_irrevocable_leases", leases.failing as f64));
            gauges.push(plain("strongroom.lease.lanes", leases.lanes as f64));
            gauges.push(plain("strongroom.lease.lanes.down", leases.lanes_down as f64));
            for shipper in open.shipping.status() {
                let labels = vec![("shipper", shipper.name)];
                let (behind, lag) = (shipper.behind as f64, shipper.lag_seconds as f64);
                gauges.push(Gauge { name: "strongroom.shipping.behind", labels: labels.clone(), value: behind });
                gauges.push(Gauge { name: "strongroom.shipping.lag_seconds", labels, value: lag });
            }
            gauges.push(plain("strongroom.store.generation", open.health().generation as f64));
            gauges.extend(open.census.latest().iter().flat_map(|counts| usage(counts, &self.identity.cluster_name)));
        }
        gauges
    }

    /// Everything, for Prometheus.
    fn prometheus(&self) -> String {
        let metrics = self.strongroom.metrics();
        let mut pages: BTreeMap<String, (&str, String)> = BTreeMap::new();
        for gauge in self.gauges() {
            let name = underscored(gauge.name);
            let line = format!("{name}{} {}\n", braced(&gauge.labels), gauge.value);
            pages.entry(name).or_insert(("gauge", String::new())).1.push_str(&line);
        }
        for (name, labels, value) in metrics.counters() {
            let name = underscored(name);
            let line = format!("{name}{} {value}\n", braced(&labels));
            pages.entry(name).or_insert(("counter", String::new())).1.push_str(&line);
        }
        for (name, labels, timing) in metrics.timings() {
            let (name, labels) = shown_timing(name, labels);
            let name = underscored(&name);
            let is_histogram = name.ends_with("_seconds");
            let kind = if is_histogram { "histogram" } else { "summary" };
            let page = &mut pages.entry(name.clone()).or_insert((kind, String::new())).1;
            if is_histogram { histogram(page, &name, &labels, &timing) } else { summary(page, &name, &labels, &timing) }
        }
        let mut text = String::new();
        for (name, (kind, lines)) in pages {
            let _ = write!(text, "# TYPE {name} {kind}\n{lines}");
        }
        text
    }

    /// Everything, in Vault's JSON.
    fn metrics_json(&self) -> Value {
        let metrics = self.strongroom.metrics();
        let map = |labels: &Labels| Value::Object(labels.iter().map(|(k, v)| ((*k).to_owned(), json!(v))).collect());
        let gauges = self.gauges();
        let gauges = gauges.iter().map(|g| json!({ "Name": g.name, "Value": g.value, "Labels": map(&g.labels) }));
        let counters = metrics.counters();
        let counters = counters
            .iter()
            .map(|(name, labels, value)| json!({ "Name": name, "Count": value, "Sum": value, "Labels": map(labels) }));
        let samples = metrics.timings().into_iter().map(|(name, labels, timing)| {
            let (name, labels) = shown_timing(name, labels);
            let (count, sum) = (timing.count(), timing.sum_us() as f64 / 1_000.0);
            let mean = if count == 0 { 0.0 } else { sum / count as f64 };
            json!({ "Name": name, "Count": count, "Sum": sum, "Mean": mean, "Labels": map(&labels) })
        });
        json!({
            "Timestamp": self.strongroom.clock().now(),
            "Gauges": gauges.collect::<Vec<_>>(), "Points": [],
            "Counters": counters.collect::<Vec<_>>(), "Samples": samples.collect::<Vec<_>>(),
        })
    }
}

/// The gauges of use, as they were last counted. Vault's have cluster and namespace too; there is the root namespace only.
fn usage(counts: &Counts, cluster: &str) -> Vec<Gauge> {
    let root = |more: Labels| [vec![("cluster", cluster.to_owned()), ("namespace", "root".to_owned())], more].concat();
    let gauge = |name, labels, value: u64| Gauge { name, labels: root(labels), value: value as f64 };
    let by = |name: &'static str, label: &'static str, counted: Vec<(String, u64)>| {
        counted.into_iter().map(move |(value, count)| (name, vec![(label, value)], count))
    };
    let owned = |counted: &BTreeMap<String, u64>| counted.iter().map(|(k, v)| (k.clone(), *v)).collect::<Vec<_>>();
    let by_ttl = counts.tokens_by_ttl.iter().map(|(k, v)| ((*k).to_owned(), *v)).collect();
    let aliases = counts.aliases.iter().map(|((kind, path), count)| {
        let labels = vec![("auth_method", kind.clone()), ("mount_point", path.clone())];
        ("vault.identity.entity.alias.count", labels, *count)
    });
    [
        ("vault.token.count", Labels::new(), counts.tokens),
        ("vault.identity.entity.count", Labels::new(), counts.entities),
        ("vault.identity.num_entities", Labels::new(), counts.entities),
        ("vault.core.locked_users", Labels::new(), counts.shut_out),
    ]
    .into_iter()
    .chain(by("vault.token.count.by_auth", "auth_method", owned(&counts.tokens_by_auth)))
    .chain(by("vault.token.count.by_policy", "policy", owned(&counts.tokens_by_policy)))
    .chain(by("vault.token.count.by_ttl", "creation_ttl", by_ttl))
    .chain(by("vault.secret.kv.count", "mount_point", owned(&counts.secrets)))
    .chain(aliases)
    .map(|(name, labels, count)| gauge(name, labels, count))
    .collect()
}

/// Vault has mount and operation in the name: `vault.route.read.secret-`.
pub(super) fn shown_timing(name: &str, labels: Labels) -> (String, Labels) {
    if name != ROUTES {
        return (name.to_owned(), labels);
    }
    let parts: Map<String, Value> = labels.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
    let part = |name: &str| parts.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    (format!("{name}.{}.{}-", part("op"), part("mount").replace('/', "-")), Labels::new())
}

fn underscored(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

fn braced(labels: &[(&'static str, String)]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let escape = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let parts: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
    format!("{{{}}}", parts.join(","))
}

fn with(labels: &Labels, name: &'static str, value: String) -> String {
    let mut labels = labels.clone();
    labels.push((name, value));
    braced(&labels)
}

/// Vault's summaries are in milliseconds.
fn summary(page: &mut String, name: &str, labels: &Labels, timing: &Timing) {
    for share in [0.5, 0.9, 0.99] {
        let value = timing.quantile_us(share).map_or(f64::NAN, |us| us / 1_000.0);
        let _ = writeln!(page, "{name}{} {value}", with(labels, "quantile", share.to_string()));
    }
    let _ = writeln!(page, "{name}_sum{} {}", braced(labels), timing.sum_us() as f64 / 1_000.0);
    let _ = writeln!(page, "{name}_count{} {}", braced(labels), timing.count());
}

fn histogram(page: &mut String, name: &str, labels: &Labels, timing: &Timing) {
    let count = timing.count();
    for (bound, upto) in BOUNDS_US.into_iter().zip(timing.cumulated()) {
        let _ = writeln!(page, "{name}_bucket{} {upto}", with(labels, "le", (bound as f64 / 1e6).to_string()));
    }
    let _ = writeln!(page, "{name}_bucket{} {count}", with(labels, "le", "+Inf".to_owned()));
    let _ = writeln!(page, "{name}_sum{} {}", braced(labels), timing.sum_us() as f64 / 1e6);
    let _ = writeln!(page, "{name}_count{} {count}", braced(labels));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_cannot_break_out_of_their_quotes() {
        assert_eq!(braced(&[("mount", "a\"b\\c\nd".to_owned())]), "{mount=\"a\\\"b\\\\c\\nd\"}");
        assert_eq!(underscored("vault.route.read.my-kv-"), "vault_route_read_my_kv_");
    }
}
