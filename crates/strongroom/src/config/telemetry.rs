//! The `telemetry` block. Unlike elsewhere an unknown key is an error: a dashboard that stays empty is noticed late.

use super::ConfigError;
use super::reader::Reader;
use std::time::Duration;
use strongroom_model::hcl::Item;

/// What is done with what is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Telemetry {
    /// Whether `sys/metrics` gives the format of Prometheus (`prometheus_retention_time` above zero).
    pub(crate) prometheus: bool,
    /// How often tokens and entities are counted; `None`: never.
    pub(crate) usage_gauges: Option<Duration>,
    /// `host:port` that gets StatsD's datagrams.
    pub(crate) statsd: Option<String>,
    /// `host:port` that gets StatsD's lines over a connection.
    pub(crate) statsite: Option<String>,
    /// `host:port` that gets datagrams of DogStatsD, which have labels.
    pub(crate) dogstatsd: Option<String>,
    /// Labels for all that goes there, as `name:value`.
    pub(crate) dogstatsd_tags: Vec<String>,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            prometheus: true,
            usage_gauges: Some(Duration::from_secs(600)),
            statsd: None,
            statsite: None,
            dogstatsd: None,
            dogstatsd_tags: Vec::new(),
        }
    }
}

/// Keys that are known and do nothing here.
pub(super) const UNUSED: &[&str] = &[
    "add_lease_metrics_namespace_labels",
    "add_mount_point_rollback_metrics",
    "circonus_api_app",
    "circonus_api_token",
    "circonus_api_url",
    "circonus_broker_id",
    "circonus_broker_select_tag",
    "circonus_check_display_name",
    "circonus_check_force_metric_activation",
    "circonus_check_id",
    "circonus_check_instance_id",
    "circonus_check_search_tag",
    "circonus_check_tags",
    "circonus_submission_interval",
    "circonus_submission_url",
    "enable_hostname_label",
    "filter_default",
    "lease_metrics_epsilon",
    "maximum_gauge_cardinality",
    "metrics_prefix",
    "num_lease_metrics_buckets",
    "prefix_filter",
    "rollback_metrics_include_mount_point",
    "stackdriver_debug_logs",
    "stackdriver_location",
    "stackdriver_namespace",
    "stackdriver_project_id",
];

/// The keys that are served.
pub(super) const SERVED: &[&str] = &[
    "disable_hostname",
    "dogstatsd_addr",
    "dogstatsd_tags",
    "prometheus_retention_time",
    "statsd_address",
    "statsite_address",
    "usage_gauge_period",
];

impl Telemetry {
    /// Takes what one block says.
    pub(super) fn take(&mut self, item: &Item, reader: &mut Reader<'_>) -> Result<(), ConfigError> {
        for body in item.bodies().map_err(|error| reader.syntax(error))? {
            reader.warn_repeated(body);
            for item in body {
                self.take_key(item, reader)?;
            }
        }
        Ok(())
    }

    fn take_key(&mut self, item: &Item, reader: &mut Reader<'_>) -> Result<(), ConfigError> {
        match item.name.as_str() {
            // What was counted is kept as long as the server runs.
            "prometheus_retention_time" => self.prometheus = !reader.span(item)?.is_zero(),
            // No name carries the host's, so both values describe what is.
            "disable_hostname" => {
                reader.switch(item)?;
            }
            "usage_gauge_period" => self.usage_gauges = period(item, reader)?,
            "statsd_address" => self.statsd = Some(address(item, reader)?),
            "statsite_address" => self.statsite = Some(address(item, reader)?),
            "dogstatsd_addr" => self.dogstatsd = Some(address(item, reader)?),
            "dogstatsd_tags" => self.dogstatsd_tags = tags(item, reader)?,
            name if UNUSED.contains(&name) => reader.warn_unused(item),
            name => {
                let mut known: Vec<&str> = SERVED.iter().chain(UNUSED).copied().collect();
                known.sort_unstable();
                let what = format!("`{name}` is not a key of telemetry; there are: {}", known.join(", "));
                return Err(reader.wrong(item.line, what));
            }
        }
        Ok(())
    }
}

/// Counting goes through all tokens, so not all the time.
fn period(item: &Item, reader: &Reader<'_>) -> Result<Option<Duration>, ConfigError> {
    if reader.text(item).is_ok_and(|text| text == "none") {
        return Ok(None);
    }
    match reader.span(item)? {
        period if period < Duration::from_secs(1) => {
            Err(reader.wrong(item.line, "`usage_gauge_period` must be at least a second, or none".to_owned()))
        }
        period => Ok(Some(period)),
    }
}

/// What means something on the wire cannot stand in a label.
fn tags(item: &Item, reader: &Reader<'_>) -> Result<Vec<String>, ConfigError> {
    let tags = reader.texts(item)?;
    match tags.iter().find(|tag| tag.is_empty() || tag.contains([',', '|', '#', '\n'])) {
        None => Ok(tags),
        Some(_) => {
            let what = "`dogstatsd_tags` are words such as \"team:payments\", without `,`, `|` and `#`";
            Err(reader.wrong(item.line, what.to_owned()))
        }
    }
}

/// Looked up when something is sent, since a collector may move.
fn address(item: &Item, reader: &Reader<'_>) -> Result<String, ConfigError> {
    let text = reader.text(item)?;
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) => Ok(text),
        _ => Err(reader.wrong(item.line, format!("`{}` must be host:port, as 127.0.0.1:8125", item.name))),
    }
}
