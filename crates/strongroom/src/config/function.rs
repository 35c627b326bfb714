//! The `rotation_function` and `rotation_hook` blocks: programs that rotate secrets. They can be declared here and
//! nowhere else.

use super::ConfigError;
use super::reader::Reader;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use strongroom_model::hcl::{Block, Item};

/// One program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RotationFunction {
    /// The name that ARNs and plans call it by.
    pub(crate) name: String,
    /// A Python file with a `lambda_handler`; without one `command` is started.
    pub(crate) python: Option<PathBuf>,
    /// The interpreter for it.
    pub(crate) interpreter: PathBuf,
    /// A program with its arguments.
    pub(crate) command: Vec<String>,
    /// Where it is, when it runs elsewhere.
    pub(crate) url: Option<String>,
    /// A file with the key that messages to it are signed with.
    pub(crate) key_file: Option<PathBuf>,
    /// As whom it runs: a name, or numbers as `1000:1000`.
    pub(crate) user: Option<String>,
    /// How long a step may take (one minute).
    pub(crate) timeout: Duration,
    /// This server's address, as the program is to call it.
    pub(crate) endpoint: Option<String>,
    /// A certificate authority that it is to trust.
    pub(crate) ca_file: Option<PathBuf>,
    /// What it finds in its environment besides.
    pub(crate) environment: BTreeMap<String, String>,
}

/// As AWS ends a function.
const LONGEST: Duration = Duration::from_secs(900);

impl RotationFunction {
    pub(super) fn read(block: &Block<'_>, reader: &mut Reader<'_>) -> Result<Self, ConfigError> {
        let mut function = Self {
            name: block.label.to_owned(),
            python: None,
            interpreter: PathBuf::from("python3"),
            command: Vec::new(),
            url: None,
            key_file: None,
            user: None,
            timeout: Duration::from_secs(60),
            endpoint: None,
            ca_file: None,
            environment: BTreeMap::new(),
        };
        reader.warn_repeated(block.body);
        for item in block.body {
            function.take(item, reader)?;
        }
        check_name(block, reader)?;
        let ways = [function.python.is_some(), !function.command.is_empty(), function.url.is_some()];
        if ways.into_iter().filter(|way| *way).count() != 1 {
            let what = "a rotation_function needs one of `python`, `command` and `url`, and not both";
            return Err(reader.wrong(block.line, what));
        }
        if function.url.is_some() != function.key_file.is_some() {
            let what = "`url` and `key_file` of a rotation_function belong together: messages are signed";
            return Err(reader.wrong(block.line, what));
        }
        Ok(function)
    }

    fn take(&mut self, item: &Item, reader: &mut Reader<'_>) -> Result<(), ConfigError> {
        match item.name.as_str() {
            "python" => self.python = Some(PathBuf::from(reader.text(item)?)),
            "interpreter" => self.interpreter = PathBuf::from(reader.text(item)?),
            "command" => self.command = reader.texts(item)?,
            "url" => self.url = Some(reader.text(item)?),
            "key_file" => self.key_file = Some(PathBuf::from(reader.text(item)?)),
            "user" => self.user = Some(reader.text(item)?).filter(|user| !user.is_empty()),
            "timeout" => self.timeout = timeout(item, reader)?,
            "endpoint" => self.endpoint = Some(reader.text(item)?),
            "ca_file" => self.ca_file = Some(PathBuf::from(reader.text(item)?)),
            "environment" => {
                for body in item.bodies().map_err(|error| reader.syntax(error))? {
                    for inner in body {
                        self.environment.insert(inner.name.clone(), reader.text(inner)?);
                    }
                }
            }
            // Ours alone, so there is no foreign file to be kind to.
            other => {
                let what = format!(
                    "`{other}` is not a key of rotation_function; there are: ca_file, command, endpoint, environment, \
                     interpreter, key_file, python, timeout, url, user"
                );
                return Err(reader.wrong(item.line, what));
            }
        }
        Ok(())
    }
}

/// One hook: a program that is told of each phase, and makes new values good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RotationHook {
    /// The name that plans call it by.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) url: String,
    /// A file with the key that messages to it are signed with.
    pub(crate) key_file: PathBuf,
    /// Who vouches for it; the machine's authorities when not given.
    pub(crate) ca_file: Option<PathBuf>,
    /// How long a phase may take (half a minute).
    pub(crate) timeout: Duration,
}

impl RotationHook {
    pub(super) fn read(block: &Block<'_>, reader: &mut Reader<'_>) -> Result<Self, ConfigError> {
        let (mut url, mut key_file, mut ca_file, mut longest) = (None, None, None, Duration::from_secs(30));
        reader.warn_repeated(block.body);
        for item in block.body {
            match item.name.as_str() {
                "url" => url = Some(reader.text(item)?),
                "key_file" => key_file = Some(PathBuf::from(reader.text(item)?)),
                "ca_file" => ca_file = Some(PathBuf::from(reader.text(item)?)),
                "timeout" => longest = timeout(item, reader)?,
                // Ours alone, so there is no foreign file to be kind to.
                other => {
                    let what =
                        format!("`{other}` is not a key of rotation_hook; there are: ca_file, key_file, timeout, url");
                    return Err(reader.wrong(item.line, what));
                }
            }
        }
        check_name(block, reader)?;
        let (Some(url), Some(key_file)) = (url, key_file) else {
            return Err(reader.wrong(block.line, "a rotation_hook needs `url` and `key_file`"));
        };
        Ok(Self { name: block.label.to_owned(), url, key_file, ca_file, timeout: longest })
    }
}

fn check_name(block: &Block<'_>, reader: &Reader<'_>) -> Result<(), ConfigError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if (1..=64).contains(&block.label.len()) && block.label.chars().all(fits) {
        return Ok(());
    }
    Err(reader
        .wrong(block.line, "the name of a rotation_function or rotation_hook has 1 to 64 letters, digits, - and _"))
}

fn timeout(item: &Item, reader: &Reader<'_>) -> Result<Duration, ConfigError> {
    let span = reader.span(item)?;
    if span.is_zero() || span > LONGEST {
        return Err(
            reader.wrong(item.line, "`timeout` of a rotation_function or rotation_hook must lie between 1 s and 15 m")
        );
    }
    Ok(span)
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
    fn hooks_and_hosts_are_read() {
        let text = "rotation_hook \"billing\" {\n url = \"https://billing/rotate\"\n key_file = \"/k\"\n}\n\
                    rotation_function \"far\" {\n url = \"https://far\"\n key_file = \"/k\"\n}\n\
                    rotation_hosts = [\"db.example:5432\", \"*.internal\"]";
        let config = load(text).unwrap();
        assert_eq!(config.rotation_hooks[0].name, "billing");
        assert_eq!(config.rotation_hooks[0].timeout.as_secs(), 30);
        assert_eq!(config.rotation_functions[0].url.as_deref(), Some("https://far"));
        assert_eq!(config.rotation_hosts.unwrap(), ["db.example:5432", "*.internal"]);
        assert_eq!(load("").unwrap().rotation_hosts, None);
    }

    #[test]
    fn functions_are_read_and_mistakes_are_said() {
        let text = "rotation_function \"pg\" {\n python = \"/srv/pg.py\"\n timeout = \"2m\"\n user = \"nobody\"\n \
                    environment { PASSWORD_LENGTH = 40 }\n}\nrotation_function \"other\" { command = [\"/srv/run\", \"-x\"] }";
        let functions = load(text).unwrap().rotation_functions;
        assert_eq!(functions.len(), 2);
        assert_eq!(functions[0].timeout.as_secs(), 120);
        assert_eq!(functions[0].environment["PASSWORD_LENGTH"], "40");
        assert_eq!(functions[1].command, ["/srv/run", "-x"]);
        for (text, said) in [
            ("rotation_function \"a b\" { python = \"x\" }", "letters"),
            ("rotation_function \"a\" { }", "and not both"),
            ("rotation_function \"a\" {\n python = \"x\"\n command = [\"y\"]\n}", "and not both"),
            ("rotation_function \"a\" {\n python = \"x\"\n timeout = \"1h\"\n}", "15 m"),
            ("rotation_function \"a\" { shell = \"x\" }", "not a key"),
            ("rotation_function \"a\" { url = \"https://x\" }", "belong together"),
            ("rotation_function \"a\" {\n python = \"x\"\n url = \"https://x\"\n key_file = \"k\"\n}", "and not both"),
            ("rotation_hook \"a\" { url = \"https://x\" }", "needs `url` and `key_file`"),
            ("rotation_hook \"a b\" {\n url = \"https://x\"\n key_file = \"k\"\n}", "letters"),
            ("rotation_hook \"a\" { key = \"s3cret\" }", "not a key"),
        ] {
            let error = load(text).map(|_| ()).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
