//! The `telemetry` block. Unlike elsewhere an unknown key is an error: a dashboard that stays empty is noticed late.

use super::ConfigError;
use super::reader::Reader;
use strongroom_model::hcl::Item;

/// What is done with what is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Telemetry {
    /// Whether `sys/metrics` gives the format of Prometheus (`prometheus_retention_time` above zero).
    pub(crate) prometheus: bool,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { prometheus: true }
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
    "disable_hostname",
    "dogstatsd_addr",
    "dogstatsd_tags",
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
    "statsd_address",
    "statsite_address",
    "usage_gauge_period",
];

/// The key that is served.
pub(super) const SERVED: &[&str] = &["prometheus_retention_time"];

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
            // Gauges of use are counted when they are asked for.
            "usage_gauge_period" => {
                if reader.text(item)? != "none" {
                    reader.span(item)?;
                }
            }
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
