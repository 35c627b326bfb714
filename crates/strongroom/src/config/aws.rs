//! The `aws` block: how the AWS dialect is served.

use super::ConfigError;
use super::reader::Reader;
use std::collections::BTreeMap;
use std::time::Duration;
use strongroom_api::PlainCredentials;
use strongroom_model::MountPath;
use strongroom_model::hcl::Item;

/// What the block says; what is `None` is as without it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Aws {
    /// The number of the account that ARNs name.
    pub(crate) account_id: Option<String>,
    /// The region of requests that name none.
    pub(crate) default_region: Option<String>,
    /// The mounts that regions stand for.
    pub(crate) regions: BTreeMap<String, MountPath>,
    /// The mounts where the parameters of regions are.
    pub(crate) parameter_regions: BTreeMap<String, MountPath>,
    /// What is done with a credential in a parameter that is no secret.
    pub(crate) plain_credentials: Option<PlainCredentials>,
    /// How far a client's clock may be off.
    pub(crate) clock_skew: Option<Duration>,
}

impl Aws {
    /// Reads the block over what earlier ones said.
    pub(super) fn read(&mut self, item: &Item, reader: &mut Reader<'_>) -> Result<(), ConfigError> {
        for body in item.bodies().map_err(|error| reader.syntax(error))? {
            reader.warn_repeated(body);
            for item in body {
                match item.name.as_str() {
                    "account_id" => self.account_id = Some(account(item, reader)?),
                    "default_region" => self.default_region = Some(region(&reader.text(item)?, item, reader)?),
                    "clock_skew" => self.clock_skew = Some(skew(item, reader)?),
                    "plain_credentials" => self.plain_credentials = Some(plain_credentials(item, reader)?),
                    "region" => self.read_regions(item, reader)?,
                    // Ours alone, so there is no foreign file to be kind to.
                    other => {
                        let what = format!(
                            "`{other}` is not a key of aws; there are: account_id, clock_skew, default_region, \
                             plain_credentials, region"
                        );
                        return Err(reader.wrong(item.line, what));
                    }
                }
            }
        }
        Ok(())
    }

    fn read_regions(&mut self, item: &Item, reader: &mut Reader<'_>) -> Result<(), ConfigError> {
        for block in reader.blocks(item)? {
            let name = region(block.label, item, reader)?;
            let (mut mount, mut parameters) = (None, None);
            for inner in block.body {
                match inner.name.as_str() {
                    "mount" => mount = Some(reader.text(inner)?),
                    "parameter_mount" => parameters = Some(parameter_mount(inner, reader)?),
                    other => {
                        let what = format!("`{other}` is not a key of region; there are: mount, parameter_mount");
                        return Err(reader.wrong(inner.line, what));
                    }
                }
            }
            let mount = mount.as_deref().map(MountPath::parse).and_then(Result::ok);
            let mount = mount.ok_or_else(|| {
                reader.wrong(block.line, "a region needs the path of a KV version 2 mount: write `mount = \"secret\"`")
            })?;
            if let Some(parameters) = parameters {
                self.parameter_regions.insert(name.clone(), parameters);
            }
            self.regions.insert(name, mount);
        }
        Ok(())
    }
}

fn parameter_mount(item: &Item, reader: &Reader<'_>) -> Result<MountPath, ConfigError> {
    MountPath::parse(&reader.text(item)?).map_err(|_| {
        let what =
            "`parameter_mount` must be the path of a KV version 2 mount: write `parameter_mount = \"parameter\"`";
        reader.wrong(item.line, what)
    })
}

fn plain_credentials(item: &Item, reader: &Reader<'_>) -> Result<PlainCredentials, ConfigError> {
    match reader.text(item)?.as_str() {
        "refuse" => Ok(PlainCredentials::Refuse),
        "record" => Ok(PlainCredentials::Record),
        _ => Err(reader.wrong(item.line, "`plain_credentials` must be \"refuse\" or \"record\"")),
    }
}

fn account(item: &Item, reader: &Reader<'_>) -> Result<String, ConfigError> {
    let text = reader.text(item)?;
    if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(text);
    }
    Err(reader.wrong(item.line, "`account_id` must have twelve digits: write `account_id = \"123456789012\"`"))
}

fn region(text: &str, item: &Item, reader: &Reader<'_>) -> Result<String, ConfigError> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !text.is_empty() && text.len() <= 64 && text.bytes().all(fits) {
        return Ok(text.to_owned());
    }
    Err(reader.wrong(item.line, "a region is written in small letters, digits and hyphens, as `us-east-1`"))
}

fn skew(item: &Item, reader: &Reader<'_>) -> Result<Duration, ConfigError> {
    let span = reader.span(item)?;
    if (1..=3_600).contains(&span.as_secs()) {
        return Ok(span);
    }
    Err(reader.wrong(item.line, "`clock_skew` must lie between 1 s and 1 h: a signature can be replayed for that long"))
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn load(text: &str) -> Result<Config, String> {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("c.hcl");
        let whole = format!("storage \"inmem\" {{}}\nlistener \"tcp\" {{ tls_disable = 1 }}\n{text}");
        std::fs::write(&path, whole).unwrap();
        Config::load(&[path], &|_| None).map(|loaded| loaded.config).map_err(|error| error.to_string())
    }

    #[test]
    fn regions_stand_for_mounts() {
        let aws = load(
            "aws {\n account_id = \"123456789012\"\n clock_skew = \"5m\"\n region \"eu-west-1\" { mount = \"team/kv/\" }\n \
             region \"us-east-1\" { mount = \"secret\" }\n}",
        )
        .unwrap()
        .aws;
        assert_eq!(aws.account_id.as_deref(), Some("123456789012"));
        assert_eq!(aws.clock_skew.map(|skew| skew.as_secs()), Some(300));
        let mounts: Vec<_> = aws.regions.iter().map(|(name, mount)| (name.as_str(), mount.as_str())).collect();
        assert_eq!(mounts, [("eu-west-1", "team/kv"), ("us-east-1", "secret")]);
        let aws = load(
            "aws {\n plain_credentials = \"record\"\n region \"eu-west-1\" {\n mount = \"kv\"\n parameter_mount = \"ssm/\"\n }\n}",
        );
        let aws = aws.unwrap().aws;
        assert_eq!(aws.plain_credentials, Some(strongroom_api::PlainCredentials::Record));
        assert_eq!(aws.parameter_regions.get("eu-west-1").unwrap().as_str(), "ssm");
        assert_eq!(load("").unwrap().aws, super::Aws::default());
    }

    #[test]
    fn what_would_not_be_served_as_written_is_refused() {
        for (text, named) in [
            ("aws { account_id = \"12\" }", "twelve digits"),
            ("aws { clock_skew = \"2h\" }", "clock_skew"),
            ("aws { region \"US\" { mount = \"secret\" } }", "small letters"),
            ("aws { region \"us-east-1\" {} }", "mount"),
            ("aws { region \"us-east-1\" { path = \"x\" } }", "`path`"),
            ("aws { regions = 1 }", "`regions`"),
            ("aws { plain_credentials = \"ignore\" }", "plain_credentials"),
            ("aws { region \"us-east-1\" { mount = \"secret\" parameter_mount = \"//\" } }", "parameter_mount"),
        ] {
            let error = load(text).err().unwrap();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
