//! One run of one command: its flags and arguments, the settings, and the ways in and out. Commands state requests and
//! show answers through it; it decides whose token goes along, and prints a request instead of sending it when asked to.
//!
//! The client is made and the token file read only when a request is sent, so that local commands need neither.

use super::bulk::Source;
use super::client::{Client, Reply};
use super::env::Env;
use super::error::CliError;
use super::flags::{Instead, Settings};
use super::format::{self, Format};
use super::grammar::{Exit, Parsed};
use super::input::Input;
use super::kv::Place;
use super::output::Output;
use super::pool::Pool;
use super::request::{Bearer, Need, Request, rule};
use super::secret::Secret;
use super::token_file::TokenFile;
use serde_json::{Map, Value};
use std::io::Write;
use strongroom_model::SecretString;

/// One run of one command.
pub(crate) struct Session {
    /// Its flags and arguments.
    pub(crate) parsed: Parsed,
    /// What the global flags and the environment decided.
    pub(crate) settings: Settings,
    /// Where results go.
    pub(crate) out: Output,
    /// Where more data comes from.
    pub(crate) input: Input,
    /// The environment.
    pub(crate) env: Env,
    client: Option<Client>,
    token: Option<SecretString>,
    token_sought: bool,
}

impl Session {
    /// Nothing is connected yet.
    pub(crate) fn new(parsed: Parsed, settings: Settings, env: Env, out: Output, mut input: Input) -> Self {
        if settings.non_interactive {
            input.close();
        }
        Self { parsed, settings, out, input, env, client: None, token: None, token_sought: false }
    }

    /// The user's token: from the environment, else from the token file.
    pub(crate) fn own_token(&mut self) -> Result<Option<&SecretString>, CliError> {
        if !self.token_sought {
            self.token = match &self.settings.token {
                Some(token) => Some(token.duplicate()),
                None => TokenFile::of(&self.env).map_or(Ok(None), |file| file.read())?,
            };
            self.token_sought = true;
        }
        Ok(self.token.as_ref())
    }

    /// From now on no answer is wrapped: a login that was wrapped is unwrapped by a request of its own.
    pub(crate) fn stop_wrapping(&mut self) {
        self.settings.wrap_ttl = None;
        self.client = None;
    }

    fn prepare(&mut self, request: &Request) -> Result<(), CliError> {
        if let Some(instead) = self.settings.instead
            && !request.preliminary
        {
            self.print_instead(instead, request)?;
            return Err(CliError::Printed);
        }
        if matches!(request.bearer, Bearer::Own) {
            self.own_token()?;
        }
        if self.client.is_none() {
            self.client = Some(Client::new(&self.settings)?);
        }
        Ok(())
    }

    fn print_instead(&mut self, instead: Instead, request: &Request) -> Result<(), CliError> {
        let text = match (instead, request.rotated()) {
            (Instead::Curl, _) => {
                let Settings { address, namespace, headers, .. } = &self.settings;
                request.curl(address.trim_end_matches('/'), namespace, headers)
            }
            (Instead::Policy, None) => request.policy()?,
            // Only the server knows where the mount ends and the secret begins.
            (Instead::Policy, Some((secret, writes))) => {
                let place = Place::of(self, secret)?;
                let path = if writes { place.data() } else { place.under("metadata") };
                // It acts on a secret that is there; a plan is removed by a change of what is known of it.
                rule(&path, &[if request.method == "GET" { "read" } else { "update" }])?
            }
        };
        self.out.line(&text);
        Ok(())
    }

    fn through<T>(
        &mut self,
        request: &Request,
        send: impl FnOnce(&Client, Option<&SecretString>) -> Result<T, CliError>,
    ) -> Result<T, CliError> {
        self.prepare(request)?;
        match &self.client {
            Some(client) => send(client, self.token.as_ref()),
            None => Err(CliError::usage("no server to send to")),
        }
    }

    /// Sends what does not fit into memory, and takes what does not; without a writer the answer goes to the results.
    pub(crate) fn transfer(
        &mut self,
        request: &Request,
        from: Source,
        to: Option<&mut dyn Write>,
    ) -> Result<(), CliError> {
        self.prepare(request)?;
        let Some(client) = &self.client else { return Err(CliError::usage("no server to send to")) };
        match to {
            Some(to) => client.transfer(request, self.token.as_ref(), from, to),
            None => client.transfer(request, self.token.as_ref(), from, self.out.bytes()),
        }
    }

    /// Sends; a status from 400 on is an error.
    pub(crate) fn send(&mut self, request: &Request) -> Result<Reply, CliError> {
        self.through(request, |client, token| client.send(request, token))
    }

    /// Sends, and reads the answer; `None` when there is nothing in it.
    pub(crate) fn ask(&mut self, request: &Request) -> Result<Option<Secret>, CliError> {
        let reply = self.send(request)?;
        let secret = if reply.status == 204 { None } else { Secret::parse(&reply.body)? };
        self.check_wrapped(request, secret.as_ref())?;
        Ok(secret)
    }

    /// Refuses an answer in clear where a wrapped one was asked for: it may be on its way into a log, or to somebody who
    /// must not see it. What is no envelope (`sys/health`) is never wrapped and no secret.
    pub(crate) fn check_wrapped(&self, request: &Request, secret: Option<&Secret>) -> Result<(), CliError> {
        let asked = self.settings.wrap_ttl.is_some() && !request.preliminary;
        match secret.filter(|secret| asked && !secret.request_id.is_empty()) {
            Some(secret) if secret.wrap_info.is_none() => {
                Err(CliError::Answer("it was to be wrapped (-wrap-ttl) and is not, so it is not printed".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Sends, and reads an answer that must say something.
    pub(crate) fn read(&mut self, request: &Request) -> Result<Secret, CliError> {
        let found = self.through(request, |client, token| client.look(request, token))?;
        self.check_wrapped(request, found.as_ref())?;
        found.ok_or_else(|| CliError::NoValue { path: request.path.clone(), note: String::new() })
    }

    /// Whether the policy that the command needs is to be printed: for those that send several requests.
    pub(crate) fn wants_policy(&self) -> bool {
        self.settings.instead == Some(Instead::Policy)
    }

    /// Prints the policy that several requests need together; they are not sent.
    pub(crate) fn print_needs(&mut self, needs: &[Need]) -> CliError {
        match needs.iter().map(Need::rule).collect::<Result<Vec<_>, _>>() {
            Ok(rules) => {
                self.out.line(&rules.join("\n\n"));
                CliError::Printed
            }
            Err(error) => error,
        }
    }

    /// For commands whose later requests depend on what the first one finds: no line of curl says what they do.
    pub(crate) fn refuse_curl(&self, command: &str) -> Result<(), CliError> {
        match self.settings.instead {
            Some(Instead::Curl) => self.refuse_single_request_flags(command),
            _ => Ok(()),
        }
    }

    /// For commands that send requests of their own making: what prints a request instead of sending it, or wraps one
    /// answer, has no meaning there.
    pub(crate) fn refuse_single_request_flags(&self, command: &str) -> Result<(), CliError> {
        let flag = match (self.settings.instead, &self.settings.wrap_ttl) {
            (Some(Instead::Curl), _) => "-output-curl-string",
            (Some(Instead::Policy), _) => "-output-policy",
            (None, Some(_)) => "-wrap-ttl (VAULT_WRAP_TTL)",
            (None, None) => return Ok(()),
        };
        Err(CliError::usage(format!("{flag} is about one request, and `{command}` sends several; leave it out")))
    }

    /// Several connections with the user's token.
    pub(crate) fn pool(&mut self) -> Result<Pool, CliError> {
        let token = self.own_token()?.map(SecretString::duplicate);
        Pool::new(&self.settings, token)
    }

    /// Prints an answer: one field, or all of it in the format asked for.
    pub(crate) fn show(&mut self, secret: &Secret) -> Result<Exit, CliError> {
        if self.settings.field.is_some() {
            return self.show_field(|field| secret.field(field), "secret");
        }
        match self.settings.format {
            Format::Table => {
                self.warn(secret);
                if let Some(table) = format::secret_table(secret) {
                    self.out.line(&table);
                }
            }
            Format::Json => self.out.line(&format::json(secret)),
            other => self.show_value_as(other, &serde_json::to_value(secret).unwrap_or_default())?,
        }
        Ok(Exit::Good)
    }

    /// Prints the answer to a write, or that it went well. Only the table says so: what reads JSON wants JSON or nothing.
    pub(crate) fn show_or_say(&mut self, secret: Option<Secret>, success: &str) -> Result<Exit, CliError> {
        match secret {
            Some(secret) => self.show(&secret),
            None => {
                self.success(success);
                Ok(Exit::Good)
            }
        }
    }

    /// Prints that it went well, in the table format.
    pub(crate) fn success(&mut self, text: &str) {
        if self.settings.format == Format::Table {
            self.out.line(text);
        }
    }

    /// Prints the one field that was asked for.
    pub(crate) fn show_field(
        &mut self,
        find: impl FnOnce(&str) -> Option<Value>,
        place: &'static str,
    ) -> Result<Exit, CliError> {
        let field = self.settings.field.clone().unwrap_or_default();
        let Some(value) = find(&field) else { return Err(CliError::FieldAbsent { field, place }) };
        let text = match self.settings.format {
            Format::Table | Format::Raw => format::go_text(&value),
            other => other.render(&value)?.unwrap_or_default(),
        };
        self.out.field(&text);
        Ok(Exit::Good)
    }

    /// Prints an object of the answer's data: a field of it, or all of it.
    pub(crate) fn show_object(&mut self, data: &Map<String, Value>) -> Result<Exit, CliError> {
        if self.settings.field.is_some() {
            return self.show_field(|field| data.get(field).cloned(), "data");
        }
        match self.settings.format {
            Format::Table => {
                if let Some(table) = format::key_values(format::rows_of(data)) {
                    self.out.line(&table);
                }
            }
            other => self.show_value_as(other, &Value::Object(data.clone()))?,
        }
        Ok(Exit::Good)
    }

    /// Prints an object that has a table of its own: a field of it, or all of it.
    pub(crate) fn show_answer(
        &mut self,
        data: &Map<String, Value>,
        table: impl FnOnce() -> String,
    ) -> Result<Exit, CliError> {
        match self.settings.field {
            Some(_) => self.show_object(data),
            None => self.show_value(&Value::Object(data.clone()), table),
        }
    }

    /// Prints a value that has a table of its own, which is made only when it is needed.
    pub(crate) fn show_value(&mut self, value: &Value, table: impl FnOnce() -> String) -> Result<Exit, CliError> {
        match self.settings.format {
            Format::Table => {
                let table = table();
                self.out.line(&table);
            }
            other => self.show_value_as(other, value)?,
        }
        Ok(Exit::Good)
    }

    fn show_value_as(&mut self, format: Format, value: &Value) -> Result<(), CliError> {
        if let Some(text) = format.render(value)? {
            self.out.line(&text);
        }
        Ok(())
    }

    /// Prints a listing.
    pub(crate) fn show_list(&mut self, secret: &Secret) -> Result<Exit, CliError> {
        let keys = secret.keys().unwrap_or_default();
        self.warn(secret);
        match (self.settings.format, format::keys_table(keys)) {
            (Format::Table, Some(table)) => self.out.line(&table),
            (Format::Table, None) => {}
            (other, _) => self.show_value_as(other, &Value::Array(keys.to_vec()))?,
        }
        Ok(Exit::Good)
    }

    /// The server's warnings, on standard error.
    pub(crate) fn warn(&mut self, secret: &Secret) {
        let Some(warnings) = &secret.warnings else { return };
        if self.settings.format == Format::Table {
            self.warn_of(warnings);
        }
    }

    /// Warnings that what is printed in no format carries.
    pub(crate) fn warn_of(&mut self, warnings: &[String]) {
        if !warnings.is_empty() {
            let list: String = warnings.iter().map(|warning| format!("\n  * {warning}\n")).collect();
            self.out.say(&format!("WARNING! The server has something to say about this:\n{list}"));
        }
    }

    /// Those of a native answer.
    pub(crate) fn warn_natively(&mut self, reply: &Reply) {
        let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        self.warn_of(&format::warnings(&body));
    }
}
