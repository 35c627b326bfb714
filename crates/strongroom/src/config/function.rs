//! The `rotation_function` blocks: programs that rotate secrets. They can be declared here and nowhere else.

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
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if function.name.is_empty() || function.name.len() > 64 || !function.name.chars().all(fits) {
            return Err(
                reader.wrong(block.line, "the name of a rotation_function has 1 to 64 letters, digits, - and _")
            );
        }
        if function.python.is_some() != function.command.is_empty() {
            return Err(reader.wrong(block.line, "a rotation_function needs `python` or `command`, and not both"));
        }
        Ok(function)
    }

    fn take(&mut self, item: &Item, reader: &mut Reader<'_>) -> Result<(), ConfigError> {
        match item.name.as_str() {
            "python" => self.python = Some(PathBuf::from(reader.text(item)?)),
            "interpreter" => self.interpreter = PathBuf::from(reader.text(item)?),
            "command" => self.command = reader.texts(item)?,
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
                     interpreter, python, timeout, user"
                );
                return Err(reader.wrong(item.line, what));
            }
        }
        Ok(())
    }
}

fn timeout(item: &Item, reader: &Reader<'_>) -> Result<Duration, ConfigError> {
    let span = reader.span(item)?;
    if span.is_zero() || span > LONGEST {
        return Err(reader.wrong(item.line, "`timeout` of a rotation_function must lie between 1 s and 15 m"));
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
        ] {
            let error = load(text).map(|_| ()).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
