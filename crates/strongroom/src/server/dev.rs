//! The development server: initialised, unsealed, without TLS; in memory, or in a folder with the key beside the data.

use super::plan::{Keep, LogPlan, Plan, identity};
use super::{Running, log};
use crate::cli::ServerArgs;
use anyhow::Context;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use strongroom_api::{AwsSettings, Bind, Limits};
use strongroom_audit::{Options as TrailOptions, Place};
use strongroom_barrier::SystemEntropy;
use strongroom_core::access_key::MadeKey;
use strongroom_core::{Init, Settings, Share, SlotSpec, State};
use strongroom_engines::rotation::Hosts;
use strongroom_model::{Entropy, SecretBytes, SecretString};
use zeroize::Zeroizing;

const ADDRESS: &str = "127.0.0.1:8200";

/// The plan of a development server.
pub(super) fn plan(args: &ServerArgs) -> anyhow::Result<Plan> {
    let address = args.dev_listen_address.clone().unwrap_or_else(|| ADDRESS.to_owned());
    let (keep, trail, storage) = match &args.dev_data {
        None => (Keep::Memory, Place::Memory, "inmem"),
        Some(folder) => (Keep::File(folder.join("strongroom.db")), Place::Folder(folder.join("trail")), "sqlite"),
    };
    let static_key = args.dev_data.as_deref().map(key_file).transpose()?;
    Ok(Plan {
        keep,
        trail,
        off_limits: args.dev_data.clone().into_iter().collect(),
        trail_options: TrailOptions::default(),
        identity: identity(None, format!("http://{address}"), storage),
        binds: vec![Bind { address, ..Bind::default() }],
        settings: Settings::default(),
        limits: Limits::default(),
        static_keys: static_key.into_iter().collect(),
        accept_rollback: args.accept_rollback,
        prometheus: true,
        collectors: Vec::new(),
        log: LogPlan {
            level: args.log_level.clone().unwrap_or_else(|| "warn".to_owned()),
            json: args.log_format.as_deref() == Some("json"),
            file: None,
        },
        aws: aws(args)?,
        functions: Vec::new(),
        hooks: Vec::new(),
        hosts: Hosts::default(),
        pid_file: None,
    })
}

/// Initialises on the first start, makes sure of a root token, and prints how to go on.
pub(super) async fn open(running: &Running, args: &ServerArgs) -> anyhow::Result<()> {
    let chosen = args.dev_root_token_id.as_ref().map(SecretString::duplicate);
    let kept = args.dev_data.as_ref().map(|folder| folder.join("root.token"));
    let mut share = None;
    let root = match running.strongroom.state() {
        State::Uninitialised(_) => {
            let slot = match key_of(args)? {
                Some(key) => SlotSpec::Static { key },
                None => SlotSpec::Shamir { shares: 1, threshold: 1 },
            };
            let made = running.strongroom.init_dev(Init { slots: vec![slot] }, chosen).await?;
            share = made.shares.first().map(Share::to_base64);
            made.root.client_token
        }
        State::Open(_) => match (chosen, kept.as_deref().map(read_secret).transpose()?.flatten()) {
            (Some(chosen), _) => running.strongroom.dev_root(Some(chosen)).await?,
            (None, Some(known)) => running.strongroom.dev_root(Some(known)).await?,
            (None, None) => running.strongroom.dev_root(None).await?,
        },
        State::Sealed(_) => anyhow::bail!(
            "the data in this folder is sealed by another key than the `unseal.key` beside it; put the right key file back"
        ),
    };
    if let Some(path) = &kept {
        write_secret(path, root.expose().as_bytes())?;
    }
    if let (Some(path), false) = (&args.token_file, args.dev_no_store_token) {
        // A home that cannot be written is no reason not to serve: the token is printed as well.
        if let Err(error) = write_secret(path, root.expose().as_bytes()) {
            tracing::warn!("the root token was not written to the token file: {error:#}");
        }
    }
    let key = access_key(running, args).await?;
    banner(&running.url(), args, &root, &key, share);
    Ok(())
}

fn aws(args: &ServerArgs) -> anyhow::Result<AwsSettings> {
    let usual = AwsSettings::default();
    let account = args.dev_aws.account.clone().unwrap_or(usual.account.clone());
    let fits = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    anyhow::ensure!(fits, "-dev-aws-account-id must have twelve digits, as 000000000000");
    Ok(AwsSettings { account, makes_parameter_mount: true, ..usual })
}

/// The access key of the root token's holder: as chosen, else as the last time, else a new one.
async fn access_key(running: &Running, args: &ServerArgs) -> anyhow::Result<MadeKey> {
    let kept = args.dev_data.as_ref().map(|folder| folder.join("aws.key"));
    let chosen = match (&args.dev_aws.key_id, &args.dev_aws.secret) {
        (Some(id), Some(secret)) => Some((id.clone(), secret.duplicate())),
        _ => kept.as_deref().map(read_secret).transpose()?.flatten().and_then(|text| {
            let (id, secret) = text.expose().split_once(' ')?;
            Some((id.to_owned(), SecretString::new(secret.to_owned())))
        }),
    };
    let key = running.strongroom.dev_access_key(chosen).await?;
    if let Some(path) = &kept {
        let text = Zeroizing::new(format!("{} {}", key.key.id, key.secret.expose()));
        write_secret(path, text.as_bytes())?;
    }
    Ok(key)
}

fn banner(url: &str, args: &ServerArgs, root: &SecretString, key: &MadeKey, share: Option<String>) {
    let place = match &args.dev_data {
        None => "in memory: everything is gone when it stops".to_owned(),
        Some(folder) => format!("in {}, with the key beside the data", folder.display()),
    };
    let share = share.map(|share| format!("Unseal Key: {share}\n")).unwrap_or_default();
    let share = Zeroizing::new(share);
    let token = root.expose();
    let text = Zeroizing::new(format!(
        "==> Strongroom development server, {place}. Never use it for secrets that matter.\n\n\
         {}Root Token: {token}\n\n\
         In another terminal:\n\n    export VAULT_ADDR='{url}'\n    export VAULT_TOKEN='{token}'\n\n\
         Three lines to try:\n\n    \
         strongroom kv put secret/database/config username=dbadmin host=db.example.com\n    \
         strongroom kv get -field=username secret/database/config\n    \
         curl -H \"X-Vault-Token: $VAULT_TOKEN\" $VAULT_ADDR/v1/secret/data/database/config\n\n\
         Try it with the AWS CLI:\n\n    \
         export AWS_ENDPOINT_URL='{url}' AWS_DEFAULT_REGION='us-east-1'\n    \
         export AWS_ACCESS_KEY_ID='{}' AWS_SECRET_ACCESS_KEY='{}'\n    \
         aws secretsmanager create-secret --name prod/db --secret-string hunter2\n    \
         aws secretsmanager get-secret-value --secret-id prod/db --query SecretString --output text\n\n\
         ==> Listening on {url}\n",
        *share,
        key.key.id,
        key.secret.expose(),
    ));
    log::say(&text);
}

fn key_of(args: &ServerArgs) -> anyhow::Result<Option<SecretBytes>> {
    args.dev_data.as_deref().map(key_file).transpose()
}

/// The key beside the data, drawn on the first start.
fn key_file(folder: &Path) -> anyhow::Result<SecretBytes> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(folder).with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    let path = folder.join("unseal.key");
    if let Some(kept) = read_secret(&path)? {
        let bytes = Zeroizing::new(hex::decode(kept.expose().trim()).unwrap_or_default());
        anyhow::ensure!(bytes.len() == 32, "{} is not a key: 64 hexadecimal digits", path.display());
        return Ok(SecretBytes::new(bytes.to_vec()));
    }
    anyhow::ensure!(
        !folder.join("strongroom.db").exists(),
        "{} holds data but no `unseal.key`; put the key file back, or choose an empty folder",
        folder.display()
    );
    let entropy: &dyn Entropy = &SystemEntropy;
    let key: Zeroizing<[u8; 32]> = Zeroizing::new(entropy.array());
    write_secret(&path, Zeroizing::new(hex::encode(*key)).as_bytes())?;
    Ok(SecretBytes::new(key.to_vec()))
}

fn read_secret(path: &Path) -> anyhow::Result<Option<SecretString>> {
    let mut text = Zeroizing::new(String::new());
    match fs::File::open(path) {
        Ok(mut file) => file.read_to_string(&mut text).with_context(|| format!("{} cannot be read", path.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
    };
    Ok(Some(SecretString::new(text.trim().to_owned())))
}

/// Writes beside the target and renames, so that no reader sees half of it; readable by the owner only.
fn write_secret(path: &Path, secret: &[u8]) -> anyhow::Result<()> {
    let beside: PathBuf = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let _ = fs::remove_file(&beside);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(secret)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().with_context(|| format!("{} cannot be written", path.display()))
}
