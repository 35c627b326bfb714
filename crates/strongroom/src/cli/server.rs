//! The flags of `server`, read into a value for the part that serves. Decides nothing about serving.

use super::env::Env;
use super::error::CliError;
use super::grammar::{Command, Exit, Parsed, switch, valued};
use super::token_file::TokenFile;
use std::path::PathBuf;
use strongroom_model::SecretString;

/// What `strongroom server` was told. Not `Debug`: it may hold the root token of a development server.
pub(crate) struct ServerArgs {
    /// Files or folders of configuration, in order; later ones win.
    pub(crate) config: Vec<PathBuf>,
    /// Whether to look at the configuration only.
    pub(crate) check: bool,
    /// Whether to run unsealed at once, with nothing kept.
    pub(crate) dev: bool,
    /// The root token of a development server (`VAULT_DEV_ROOT_TOKEN_ID`); chosen at random when absent.
    pub(crate) dev_root_token_id: Option<SecretString>,
    /// Where a development server listens (`VAULT_DEV_LISTEN_ADDRESS`), as `127.0.0.1:8200`.
    pub(crate) dev_listen_address: Option<String>,
    /// Id, secret and account of the access key of a development server; made up where not given.
    pub(crate) dev_aws: DevAws,
    /// A folder in which a development server keeps its data after all.
    pub(crate) dev_data: Option<PathBuf>,
    /// Whether a development server leaves the user's token file alone.
    pub(crate) dev_no_store_token: bool,
    /// The user's token file, for a development server to write; `None` when there is no home.
    pub(crate) token_file: Option<PathBuf>,
    /// `trace`, `debug`, `info`, `warn`, `error`; wins over the configuration.
    pub(crate) log_level: Option<String>,
    /// `standard` or `json`; wins over the configuration.
    pub(crate) log_format: Option<String>,
    /// Whether to start although the storage is older than the trail says it was.
    pub(crate) accept_rollback: bool,
}

/// What a development server is told about its AWS door.
#[derive(Default)]
pub(crate) struct DevAws {
    /// The id of its access key.
    pub(crate) key_id: Option<String>,
    /// The secret half.
    pub(crate) secret: Option<SecretString>,
    /// The account.
    pub(crate) account: Option<String>,
}

/// The command; what it does is in `crate::server`.
pub(crate) const COMMAND: Command = Command {
    words: "server",
    usage: "[flags]",
    about: "Start a server",
    details: "\nFor a try, with everything in memory and the root token printed:\n\n    $ strongroom server -dev\n\n\
              With a configuration in HCL or JSON:\n\n    $ strongroom server -config=/etc/strongroom.hcl\n\n\
              Before a restart or a reload, to see whether it is good:\n\n    \
              $ strongroom server -check -config=/etc/strongroom.hcl",
    flags: &[
        valued("config", "path", "File or folder of configuration; may be repeated, later ones win"),
        switch("check", "Read the configuration and the files it names, say what is wrong, and start nothing"),
        switch("dev", "Run in memory, initialised and unsealed, without TLS; never for secrets that matter"),
        valued("dev-root-token-id", "token", "Root token of a -dev server. Env: VAULT_DEV_ROOT_TOKEN_ID"),
        valued(
            "dev-listen-address",
            "address",
            "Where a -dev server listens. Env: VAULT_DEV_LISTEN_ADDRESS. Default: 127.0.0.1:8200",
        ),
        valued("dev-aws-access-key-id", "id", "Id of the access key that a -dev server makes for AWS clients"),
        valued(
            "dev-aws-secret-access-key",
            "secret",
            "Its secret half; other programs may see it among the arguments. Env: VAULT_DEV_AWS_SECRET_ACCESS_KEY",
        ),
        valued("dev-aws-account-id", "number", "The account that ARNs of a -dev server name. Default: 000000000000"),
        valued("dev-data", "folder", "Keep the data of a -dev server in this folder"),
        switch("dev-no-store-token", "Do not write the root token of a -dev server to ~/.vault-token"),
        valued("log-level", "level", "trace, debug, info, warn or error. Env: VAULT_LOG_LEVEL"),
        valued("log-format", "format", "standard or json. Env: VAULT_LOG_FORMAT"),
        switch(
            "accept-rollback",
            "Start although the storage is older than the audit trail says, or the trail than the storage",
        ),
    ],
    count: (0, 0),
    run: |_| Ok(Exit::Good),
};

impl ServerArgs {
    /// Reads them from flags and environment.
    pub(crate) fn new(parsed: &Parsed, env: &Env) -> Result<Self, CliError> {
        let either = |flag: &str, name: &str| parsed.text(flag).or_else(|| env.setting(name)).map(str::to_owned);
        let args = Self {
            config: parsed.each("config").iter().map(PathBuf::from).collect(),
            check: parsed.is_on("check"),
            dev: parsed.is_on("dev"),
            dev_root_token_id: either("dev-root-token-id", "DEV_ROOT_TOKEN_ID").map(SecretString::new),
            dev_listen_address: either("dev-listen-address", "DEV_LISTEN_ADDRESS"),
            dev_aws: DevAws {
                key_id: either("dev-aws-access-key-id", "DEV_AWS_ACCESS_KEY_ID"),
                secret: either("dev-aws-secret-access-key", "DEV_AWS_SECRET_ACCESS_KEY").map(SecretString::new),
                account: either("dev-aws-account-id", "DEV_AWS_ACCOUNT_ID"),
            },
            dev_data: parsed.text("dev-data").map(PathBuf::from),
            dev_no_store_token: parsed.is_on("dev-no-store-token"),
            token_file: TokenFile::of(env).map(|file| file.path().to_owned()),
            log_level: either("log-level", "LOG_LEVEL"),
            log_format: either("log-format", "LOG_FORMAT"),
            accept_rollback: parsed.is_on("accept-rollback"),
        };
        if args.dev_aws.key_id.is_some() != args.dev_aws.secret.is_some() {
            return Err(CliError::usage(
                "an access key has two halves: give -dev-aws-access-key-id and its secret, or neither",
            ));
        }
        if args.dev && args.check {
            return Err(CliError::usage(
                "a development server has no configuration to check: leave out -dev or -check",
            ));
        }
        if !args.dev && args.config.is_empty() {
            return Err(CliError::usage("no configuration: give -config=FILE, or -dev for a try"));
        }
        Ok(args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::flags::GLOBAL;

    fn args(line: &[&str], env: &[(&str, &str)]) -> Result<ServerArgs, CliError> {
        let argv: Vec<String> = line.iter().map(|item| (*item).to_owned()).collect();
        let env: Env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        ServerArgs::new(&Parsed::read(&COMMAND, GLOBAL, &argv)?, &env)
    }

    #[test]
    fn flags_come_before_the_environment() {
        let env =
            [("VAULT_DEV_ROOT_TOKEN_ID", "a"), ("STRONGROOM_DEV_LISTEN_ADDRESS", "127.0.0.1:1"), ("HOME", "/home/x")];
        let got = args(&["-dev", "-dev-root-token-id=root"], &env).unwrap();
        assert_eq!(got.dev_root_token_id.unwrap().expose(), "root");
        assert_eq!(got.dev_listen_address.as_deref(), Some("127.0.0.1:1"));
        assert_eq!(got.token_file, Some("/home/x/.vault-token".into()));
    }

    #[test]
    fn several_configurations_keep_their_order() {
        let got = args(&["-config=a.hcl", "-config", "b", "-log-level=debug"], &[]).unwrap();
        assert_eq!((got.config, got.log_level.as_deref()), (vec!["a.hcl".into(), "b".into()], Some("debug")));
    }

    #[test]
    fn a_server_without_configuration_is_refused() {
        assert!(args(&[], &[]).err().unwrap().to_string().contains("-dev"));
        assert!(args(&["-dev", "extra"], &[]).is_err());
        assert!(args(&["-dev", "-check"], &[]).err().unwrap().to_string().contains("-check"));
    }
}
