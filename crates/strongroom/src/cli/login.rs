//! Logging in: turns what a person knows into a token and keeps it in the token file. Methods differ in which fields
//! they send where; a method unknown here gets its fields as they are, at `auth/PATH/login`.
//!
//! Passwords and tokens are asked for without echo, or taken from standard input. A login never sends an old token.

use super::args::read_texts;
use super::error::{CliError, Doing};
use super::format::Format;
use super::grammar::{Command, Exit, MANY, switch, valued};
use super::path::trimmed;
use super::request::{Bearer, Request};
use super::secret::Secret;
use super::session::Session;
use super::token_file::TokenFile;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use strongroom_model::SecretString;

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[Command {
    words: "login",
    usage: "[flags] [TOKEN | K=V...]",
    about: "Log in and keep the token",
    details: "\nWith a token, asked for when it is not given; - reads it from standard input:\n\n    $ strongroom login\n\n\
              With another method and its fields; a password is asked for:\n\n\
              \x20   $ strongroom login -method=userpass username=bob\n\
              \x20   $ strongroom login -method=approle role_id=... secret_id=-",
    flags: &[
        valued(
            "method",
            "type",
            "token, userpass, ldap, approle, jwt, kubernetes, cert, or any other that logs in with fields",
        ),
        valued("path", "path", "Where the method is enabled; its type when not given"),
        switch("no-store", "Do not keep the token"),
        switch("no-print", "Do not print the token"),
        switch("token-only", "Print nothing but the token, and do not keep it"),
    ],
    count: (0, MANY),
    run: login,
}];

/// Where a pod finds the token of its service account (Kubernetes documentation, "Configure Service Accounts").
const POD_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

type Fields = BTreeMap<String, String>;

fn login(session: &mut Session) -> Result<Exit, CliError> {
    let token_only = session.parsed.is_on("token-only");
    let keep = !token_only && !session.parsed.is_on("no-store");
    let print = !session.parsed.is_on("no-print");
    if !keep && !print {
        return Err(CliError::usage("-no-store and -no-print cannot be used together: the token would be lost"));
    }
    if token_only {
        session.settings.field = Some("token".to_owned());
    }
    let method = trimmed(session.parsed.text("method").unwrap_or("token")).to_owned();
    let mut secret = if method == "token" { with_token(session, token_only)? } else { with_method(session, &method)? };
    if secret.wrap_info.is_some() {
        if !keep {
            let wrapped = token_only.then(|| "wrapping_token".to_owned());
            session.settings.field = wrapped.or(session.settings.field.take());
            return session.show(&secret);
        }
        secret = unwrap(session, &secret)?;
    }
    finish(session, &secret, keep, print)
}

fn finish(session: &mut Session, secret: &Secret, keep: bool, print: bool) -> Result<Exit, CliError> {
    let Some(token) = secret.field("token").and_then(|token| token.as_str().map(str::to_owned)) else {
        if secret.auth.as_ref().is_some_and(|auth| auth.contains_key("mfa_requirement")) {
            session.out.say("The login needs a second factor: send it to sys/mfa/validate.");
            return session.show(secret);
        }
        return Err(CliError::Answer("it has no token in it".to_owned()));
    };
    if keep && let Err(error) = store(session, &SecretString::new(token)) {
        session.out.say("The login went well, but the token could not be kept. It is printed below.");
        session.show(secret)?;
        return Err(error);
    }
    if !print {
        return Ok(Exit::Good);
    }
    if session.settings.format == Format::Table && session.settings.field.is_none() {
        if keep {
            session
                .out
                .line("Success! You are now authenticated. The token below is kept, and further commands use it.\n");
        } else {
            session.out.say("The token is not kept. Set VAULT_TOKEN to the one below to use it.\n");
        }
    }
    session.show(secret)
}

fn store(session: &mut Session, token: &SecretString) -> Result<(), CliError> {
    let file = TokenFile::of(&session.env).ok_or_else(|| {
        CliError::usage("there is no home to keep the token in; set VAULT_TOKEN_PATH, or use -no-store")
    })?;
    file.write(token)?;
    if let Some((name, _)) = session.env.named("TOKEN") {
        session.out.say(&format!("WARNING! {name} is set in the environment and goes before the token just kept. Unset it to use the new one.\n"));
    }
    Ok(())
}

fn unwrap(session: &mut Session, wrapped: &Secret) -> Result<Secret, CliError> {
    let token = wrapped.field("wrapping_token").and_then(|token| token.as_str().map(str::to_owned)).unwrap_or_default();
    session.stop_wrapping();
    let request = Request::put_nothing("sys/wrapping/unwrap").bearer(Bearer::Given(SecretString::new(token)));
    let secret = session.ask(&request).doing(|| "Error extracting token".to_owned())?;
    secret.ok_or_else(|| CliError::Answer("there is nothing in the wrapped login".to_owned()))
}

/// A token is its own login: it is looked up, so that a wrong one is not kept.
fn with_token(session: &mut Session, unseen: bool) -> Result<Secret, CliError> {
    let given = session.parsed.args();
    let fields = given.iter().any(|item| item.starts_with("token="));
    let token = match given {
        [] => session.input.ask("Token", "give it as `login -` from standard input")?.to_string(),
        [one] if one == "-" => session.input.ask("Token", "write it to standard input")?.to_string(),
        [_] if !fields => session.parsed.arg(0).to_owned(),
        _ => fields_of(session)?.remove("token").unwrap_or_default(),
    };
    let token = token.trim().to_owned();
    if token.is_empty() {
        return Err(CliError::usage("the token is empty"));
    }
    if unseen {
        return Ok(login_of(&Map::new(), &token));
    }
    let request = Request::get("auth/token/lookup-self").bearer(Bearer::Given(SecretString::new(token.clone())));
    session.stop_wrapping();
    let looked_up = session.read(&request).doing(|| "Error authenticating: error looking up token".to_owned())?;
    Ok(login_of(looked_up.data.as_ref().unwrap_or(&Map::new()), &token))
}

/// What a lookup says about a token, as a login would have said it.
fn login_of(data: &Map<String, Value>, token: &str) -> Secret {
    let get = |name: &str| data.get(name).cloned().unwrap_or_default();
    let auth = json!({
        "client_token": token,
        "accessor": get("accessor"),
        "policies": get("policies"),
        "token_policies": get("policies"),
        "identity_policies": get("identity_policies"),
        "metadata": get("meta"),
        "entity_id": get("entity_id"),
        "lease_duration": get("ttl"),
        "renewable": get("renewable").as_bool().unwrap_or(false),
    });
    let auth = auth.as_object().cloned();
    Secret { auth, data: None, ..Secret::of_data(Map::new()) }
}

fn with_method(session: &mut Session, method: &str) -> Result<Secret, CliError> {
    let mut fields = fields_of(session)?;
    let path = fields.remove("mount").or_else(|| session.parsed.text("path").map(str::to_owned));
    let path = path.as_deref().map(trimmed).filter(|path| !path.is_empty()).unwrap_or(method).to_owned();
    let below = match method {
        "userpass" | "ldap" | "okta" | "radius" => with_password(session, &mut fields)?,
        "kubernetes" => {
            if !fields.contains_key("jwt") {
                let token = session.input.file(Path::new(POD_TOKEN))?;
                fields.insert("jwt".to_owned(), String::from_utf8_lossy(&token).trim().to_owned());
            }
            "login".to_owned()
        }
        "github" if !fields.contains_key("token") => {
            let token = session.input.ask("GitHub personal access token", "give token=-")?.to_string();
            fields.insert("token".to_owned(), token);
            "login".to_owned()
        }
        "oidc" => {
            return Err(CliError::usage("login through a browser is not available; use -method=jwt role=... jwt=-"));
        }
        _ => "login".to_owned(),
    };
    let request = Request::put(format!("auth/{path}/{below}"), json!(fields)).bearer(Bearer::Nobody);
    let secret = session.ask(&request).doing(|| "Error authenticating".to_owned())?;
    secret.ok_or_else(|| CliError::Answer("it is empty, though a login was expected".to_owned()))
}

fn with_password(session: &mut Session, fields: &mut Fields) -> Result<String, CliError> {
    let Some(user) = fields.remove("username").filter(|user| !user.is_empty()) else {
        return Err(CliError::usage("'username' must be specified: username=NAME"));
    };
    if fields.get("password").is_none_or(String::is_empty) {
        let password = session.input.ask("Password", "give password=- or password=@file")?.to_string();
        fields.insert("password".to_owned(), password);
    } else if let Some(password) = fields.get_mut("password") {
        // `password=-` from `echo` ends with a line end that nobody meant.
        password.truncate(password.trim_end_matches(['\r', '\n']).len());
    }
    Ok(format!("login/{user}"))
}

fn fields_of(session: &mut Session) -> Result<Fields, CliError> {
    Ok(read_texts(session.parsed.args(), &mut session.input)?.into_iter().collect())
}
