use super::operation::Service;
use super::parameter::PlainCredentials;
use std::collections::BTreeMap;
use std::time::Duration;
use strongroom_model::{MountPath, RequestPath};

/// How the AWS dialect is served.
#[derive(Clone, Debug)]
pub struct AwsSettings {
    /// The number of the account that ARNs name: twelve digits.
    pub account: String,
    /// The region of requests that name none.
    pub default_region: String,
    /// The KV version 2 mount that a region stands for. Empty: every region stands for `secret/`; otherwise those that
    /// are not named are not served.
    pub regions: BTreeMap<String, MountPath>,
    /// The KV version 2 mount where the parameters of a region are; `parameter/` where nothing is said. Only regions that
    /// are served count.
    pub parameter_regions: BTreeMap<String, MountPath>,
    /// What is done with a credential in a parameter that is no secret.
    pub plain_credentials: PlainCredentials,
    /// Whether the mount of parameters is made when a client first needs it: on a development server.
    pub makes_parameter_mount: bool,
    /// How far a client's clock may be off (AWS: fifteen minutes).
    pub clock_skew: Duration,
}

impl Default for AwsSettings {
    fn default() -> Self {
        Self {
            account: "000000000000".to_owned(),
            default_region: "us-east-1".to_owned(),
            regions: BTreeMap::new(),
            parameter_regions: BTreeMap::new(),
            plain_credentials: PlainCredentials::default(),
            makes_parameter_mount: false,
            clock_skew: Duration::from_secs(900),
        }
    }
}

impl AwsSettings {
    /// Whether a region is served.
    pub(crate) fn serves(&self, region: &str) -> bool {
        self.regions.is_empty() || self.regions.contains_key(region)
    }

    /// The mount that a region stands for, if the region is served.
    pub(crate) fn mount(&self, region: &str) -> Option<RequestPath> {
        match self.regions.get(region) {
            Some(mount) => RequestPath::parse(mount.as_str()).ok(),
            None if self.regions.is_empty() => Some(self.default_mount()),
            None => None,
        }
    }

    /// The mount where the parameters of a region are, if the region is served.
    pub(crate) fn parameter_mount(&self, region: &str) -> Option<RequestPath> {
        self.mount(region)?;
        let mount = self.parameter_regions.get(region).map_or("parameter", MountPath::as_str);
        RequestPath::parse(mount).ok()
    }

    /// The mount that a service of a region works on.
    pub(super) fn mount_of(&self, region: &str, service: Option<Service>) -> Option<RequestPath> {
        match service {
            Some(Service::Parameters) => self.parameter_mount(region),
            _ => self.mount(region),
        }
    }

    /// The mount of a server without a setting, and the path in the trail of requests for no region of ours.
    #[allow(clippy::unwrap_used, reason = "the constant is a path; a test says so")]
    pub(super) fn default_mount(&self) -> RequestPath {
        RequestPath::parse("secret").unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_that_are_named_shut_out_the_others() {
        let mut settings = AwsSettings::default();
        assert_eq!(settings.mount("eu-west-1").unwrap().as_str(), "secret");
        settings.regions.insert("us-east-1".to_owned(), MountPath::parse("team/kv").unwrap());
        assert_eq!(settings.mount("us-east-1").unwrap().as_str(), "team/kv");
        assert!(settings.mount("eu-west-1").is_none());
        assert_eq!(settings.parameter_mount("us-east-1").unwrap().as_str(), "parameter");
        settings.parameter_regions.insert("us-east-1".to_owned(), MountPath::parse("team/ssm").unwrap());
        assert_eq!(settings.parameter_mount("us-east-1").unwrap().as_str(), "team/ssm");
        assert!(settings.parameter_mount("eu-west-1").is_none());
    }
}
