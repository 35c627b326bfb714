//! The form of a login's name, in the part of Go's template language that Vault's username templates use: text,
//! `{{ ... }}` with pipelines of functions, `.DisplayName` and `.RoleName`.
//!
//! What is not known is refused when the connection is written, not when somebody needs a login. Works on names only;
//! no secret passes through it.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::collections::HashSet;
use strongroom_core::CoreError;
use strongroom_model::{Entropy, RequestId, Timestamp};

/// A template that was read.
pub(crate) struct Template(Vec<Part>);

enum Part {
    Text(String),
    Pipeline(Pipeline),
}

/// Commands, each of which gets the result of the one before it as its last argument.
type Pipeline = Vec<Command>;

enum Command {
    /// A value as it is.
    Value(Term),
    /// A function with its arguments.
    Call(Function, Vec<Term>),
}

enum Term {
    Text(String),
    Number(i64),
    Field(Field),
    Group(Pipeline),
    /// A function without arguments, used as one.
    Bare(Function),
}

#[derive(Clone, Copy)]
enum Field {
    DisplayName,
    RoleName,
}

/// A function with the fewest and the most arguments that it takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Function {
    Random,
    Truncate,
    TruncateSha256,
    Uppercase,
    Lowercase,
    Replace,
    Sha256,
    Base64,
    UnixTime,
    UnixTimeMillis,
    Timestamp,
    Uuid,
    Printf,
}

const FUNCTIONS: [(&str, Function, usize, usize); 13] = [
    ("random", Function::Random, 1, 1),
    ("truncate", Function::Truncate, 2, 2),
    ("truncate_sha256", Function::TruncateSha256, 2, 2),
    ("uppercase", Function::Uppercase, 1, 1),
    ("lowercase", Function::Lowercase, 1, 1),
    ("replace", Function::Replace, 3, 3),
    ("sha256", Function::Sha256, 1, 1),
    ("base64", Function::Base64, 1, 1),
    ("unix_time", Function::UnixTime, 0, 0),
    ("unix_time_millis", Function::UnixTimeMillis, 0, 0),
    ("timestamp", Function::Timestamp, 1, 1),
    ("uuid", Function::Uuid, 0, 0),
    ("printf", Function::Printf, 1, 16),
];

/// What a name is made of.
pub(crate) struct Wording<'a> {
    pub(crate) display_name: &'a str,
    pub(crate) role: &'a str,
    pub(crate) now: Timestamp,
}

/// Longest name that any of our systems takes.
const LONGEST: usize = 255;

impl Template {
    /// Reads a template.
    pub(crate) fn parse(text: &str) -> Result<Self, CoreError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            parts.push(Part::Text(before.to_owned()));
            let mut reader = Reader { words: words(after)?, at: 0 };
            parts.push(Part::Pipeline(reader.pipeline(0)?));
            rest = reader.end()?;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self(parts))
    }

    /// The name.
    pub(crate) fn render(&self, wording: &Wording<'_>, entropy: &dyn Entropy) -> Result<String, CoreError> {
        let machine = Machine { wording, entropy };
        let mut name = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => name.push_str(text),
                Part::Pipeline(pipeline) => name.push_str(&machine.pipeline(pipeline)?),
            }
        }
        match name.trim() {
            "" => Err(refused("it makes an empty name")),
            trimmed if trimmed.len() > LONGEST => Err(refused("it makes a name of more than 255 bytes; use truncate")),
            trimmed => Ok(trimmed.to_owned()),
        }
    }

    /// Refuses a template that makes the same name twice: two callers would share a login, and ending one would end the
    /// other. The name may be long, so it is looked at as it comes out.
    pub(crate) fn check_unique(&self) -> Result<(), CoreError> {
        const NAMES: usize = 64;
        let wording = Wording {
            display_name: "approle-some-display-name-that-is-long",
            role: "some-role-name-that-is-long",
            now: Timestamp::from_secs(1_700_000_000),
        };
        let entropy = strongroom_barrier::SystemEntropy;
        let names = (0..NAMES).map(|_| self.render(&wording, &entropy)).collect::<Result<HashSet<_>, _>>()?;
        if names.len() == NAMES {
            return Ok(());
        }
        Err(refused(
            "it makes the same name for two callers at the same time; put (random 20) or (uuid) where truncate leaves it",
        ))
    }
}

fn refused(why: &str) -> CoreError {
    CoreError::Invalid(format!("the username_template cannot be used: {why}"))
}

/// A word of a pipeline, with what follows it in the template when it is the end.
enum Word<'a> {
    Name(&'a str),
    Text(String),
    Number(i64),
    Pipe,
    Open,
    Close,
    End(&'a str),
}

/// The words up to the closing braces.
fn words(mut rest: &str) -> Result<Vec<Word<'_>>, CoreError> {
    let mut words = Vec::new();
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix("}}") {
            words.push(Word::End(after));
            return Ok(words);
        }
        let Some(first) = rest.chars().next() else { return Err(refused("a {{ has no }}")) };
        let length = match first {
            '|' | '(' | ')' => 1,
            '"' => quoted(rest)?,
            '`' => 1 + rest.get(1..).and_then(|inner| inner.find('`')).ok_or_else(|| refused("a ` has no end"))? + 1,
            _ => rest
                .find(|c: char| c.is_whitespace() || "|()}\"`".contains(c))
                .unwrap_or(rest.len())
                .max(first.len_utf8()),
        };
        let (word, after) = rest.split_at(length);
        words.push(match first {
            '|' => Word::Pipe,
            '(' => Word::Open,
            ')' => Word::Close,
            // Go's escapes that matter in a name are those of JSON.
            '"' => Word::Text(serde_json::from_str(word).map_err(|_| refused("a text in it cannot be read"))?),
            '`' => Word::Text(word.trim_matches('`').to_owned()),
            _ => word.parse().map_or(Word::Name(word), Word::Number),
        });
        rest = after;
    }
}

/// The length of the quoted text at the start, with its quotes.
fn quoted(text: &str) -> Result<usize, CoreError> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return Ok(at + 1),
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    Err(refused("a \" has no end"))
}

struct Reader<'a> {
    words: Vec<Word<'a>>,
    at: usize,
}

impl<'a> Reader<'a> {
    /// Deeper brackets are refused.
    const DEEPEST: usize = 16;

    fn pipeline(&mut self, depth: usize) -> Result<Pipeline, CoreError> {
        if depth > Self::DEEPEST {
            return Err(refused("its brackets are nested too deeply"));
        }
        let mut commands: Pipeline = Vec::new();
        loop {
            let command = self.command(depth, commands.is_empty())?;
            commands.push(command);
            match self.words.get(self.at) {
                Some(Word::Pipe) => self.at += 1,
                _ => return Ok(commands),
            }
        }
    }

    fn command(&mut self, depth: usize, is_first: bool) -> Result<Command, CoreError> {
        let mut terms = Vec::new();
        let mut function = None;
        while let Some(word) = self.words.get(self.at) {
            let term = match word {
                Word::Pipe | Word::Close | Word::End(_) => break,
                Word::Text(text) => Term::Text(text.clone()),
                Word::Number(number) => Term::Number(*number),
                Word::Name(".DisplayName") => Term::Field(Field::DisplayName),
                Word::Name(".RoleName") => Term::Field(Field::RoleName),
                Word::Name(name) => match (known(name)?, terms.is_empty() && function.is_none()) {
                    (called, true) => {
                        function = Some(called);
                        self.at += 1;
                        continue;
                    }
                    (bare, false) => Term::Bare(bare),
                },
                Word::Open => {
                    self.at += 1;
                    let inner = self.pipeline(depth + 1)?;
                    match self.words.get(self.at) {
                        Some(Word::Close) => Term::Group(inner),
                        _ => return Err(refused("a bracket is not closed")),
                    }
                }
            };
            self.at += 1;
            terms.push(term);
        }
        match (function, terms.pop()) {
            (Some(function), last) => {
                terms.extend(last);
                check_count(function, terms.len() + usize::from(!is_first))?;
                Ok(Command::Call(function, terms))
            }
            (None, Some(value)) if terms.is_empty() && is_first => Ok(Command::Value(value)),
            _ => Err(refused("between two | there must be a function with its arguments")),
        }
    }

    /// What follows the pipeline in the template.
    fn end(&self) -> Result<&'a str, CoreError> {
        match self.words.get(self.at) {
            Some(Word::End(rest)) => Ok(rest),
            _ => Err(refused("a bracket is closed that was not opened")),
        }
    }
}

fn known(name: &str) -> Result<Function, CoreError> {
    let known = FUNCTIONS.iter().find(|(known, ..)| *known == name);
    known.map(|(_, function, ..)| *function).ok_or_else(|| {
        let names: Vec<&str> = FUNCTIONS.iter().map(|(name, ..)| *name).collect();
        refused(&format!("`{name}` is not known; there are .DisplayName, .RoleName and {}", names.join(", ")))
    })
}

fn check_count(function: Function, count: usize) -> Result<(), CoreError> {
    match FUNCTIONS.iter().find(|(_, known, ..)| *known == function) {
        Some((name, _, fewest, most)) if count < *fewest || count > *most => {
            Err(refused(&format!("`{name}` has {count} arguments")))
        }
        _ => Ok(()),
    }
}

struct Machine<'a> {
    wording: &'a Wording<'a>,
    entropy: &'a dyn Entropy,
}

impl Machine<'_> {
    fn pipeline(&self, pipeline: &Pipeline) -> Result<String, CoreError> {
        let mut result: Option<String> = None;
        for command in pipeline {
            result = Some(match command {
                Command::Value(term) => self.term(term)?,
                Command::Call(function, terms) => {
                    let mut arguments = terms.iter().map(|term| self.term(term)).collect::<Result<Vec<_>, _>>()?;
                    arguments.extend(result.take());
                    self.call(*function, &arguments)?
                }
            });
        }
        Ok(result.unwrap_or_default())
    }

    fn term(&self, term: &Term) -> Result<String, CoreError> {
        match term {
            Term::Text(text) => Ok(text.clone()),
            Term::Number(number) => Ok(number.to_string()),
            Term::Field(Field::DisplayName) => Ok(self.wording.display_name.to_owned()),
            Term::Field(Field::RoleName) => Ok(self.wording.role.to_owned()),
            Term::Group(pipeline) => self.pipeline(pipeline),
            Term::Bare(function) => {
                check_count(*function, 0)?;
                self.call(*function, &[])
            }
        }
    }

    fn call(&self, function: Function, arguments: &[String]) -> Result<String, CoreError> {
        let argument = |at: usize| arguments.get(at).map(String::as_str).unwrap_or_default();
        Ok(match function {
            Function::Random => self.random(number(argument(0))?),
            Function::Truncate => argument(1).chars().take(number(argument(0))?).collect(),
            Function::TruncateSha256 => truncate_sha256(number(argument(0))?, argument(1))?,
            Function::Uppercase => argument(0).to_uppercase(),
            Function::Lowercase => argument(0).to_lowercase(),
            Function::Replace => argument(2).replace(argument(0), argument(1)),
            Function::Sha256 => sha256(argument(0)),
            Function::Base64 => STANDARD.encode(argument(0)),
            Function::UnixTime => self.wording.now.secs().to_string(),
            Function::UnixTimeMillis => (self.wording.now.nanos() / 1_000_000).to_string(),
            Function::Timestamp => self.timestamp(argument(0))?,
            Function::Uuid => RequestId::random(self.entropy).to_string(),
            Function::Printf => printf(argument(0), arguments.get(1..).unwrap_or_default())?,
        })
    }

    fn random(&self, length: usize) -> String {
        strongroom_model::base62::random(self.entropy, length.min(LONGEST))
    }

    /// Go's layouts are written by example; the forms that names use are known.
    fn timestamp(&self, layout: &str) -> Result<String, CoreError> {
        let format = match layout {
            "20060102150405" => "%Y%m%d%H%M%S",
            "20060102" => "%Y%m%d",
            "2006-01-02" => "%Y-%m-%d",
            "2006-01-02T15:04:05Z07:00" => "%Y-%m-%dT%H:%M:%SZ",
            _ => return Err(refused("its layout of a timestamp is not known; use 20060102150405 or unix_time")),
        };
        let secs = i64::try_from(self.wording.now.secs()).unwrap_or(i64::MAX);
        let moment = jiff::Timestamp::from_second(secs).map_err(|_| refused("the time is out of range"))?;
        Ok(moment.strftime(format).to_string())
    }
}

fn number(text: &str) -> Result<usize, CoreError> {
    let number = text.parse::<usize>().ok().filter(|number| *number > 0);
    number.ok_or_else(|| refused("a length in it is not a number above zero"))
}

fn sha256(text: &str) -> String {
    hex::encode(digest(&SHA256, text.as_bytes()))
}

/// The text, or its beginning and eight characters of its hash when it is too long.
fn truncate_sha256(length: usize, text: &str) -> Result<String, CoreError> {
    if text.chars().count() <= length {
        return Ok(text.to_owned());
    }
    let kept = length.checked_sub(8).filter(|kept| *kept > 0);
    let kept = kept.ok_or_else(|| refused("truncate_sha256 needs a length above 8"))?;
    let hash: String = sha256(text).chars().take(8).collect();
    Ok(text.chars().take(kept).collect::<String>() + &hash)
}

fn printf(format: &str, arguments: &[String]) -> Result<String, CoreError> {
    let mut arguments = arguments.iter();
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('%') => out.push('%'),
            Some('s' | 'd' | 'v') => {
                out.push_str(arguments.next().ok_or_else(|| refused("printf has too few arguments"))?)
            }
            _ => return Err(refused("printf knows %s, %d, %v and %% only")),
        }
    }
    match arguments.next() {
        None => Ok(out),
        Some(_) => Err(refused("printf has too many arguments")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strongroom_barrier::SystemEntropy;

    fn rendered(template: &str) -> Result<String, CoreError> {
        let wording =
            Wording { display_name: "token-alice", role: "app-role", now: Timestamp::from_secs(1_700_000_000) };
        Template::parse(template)?.render(&wording, &SystemEntropy)
    }

    #[test]
    fn what_vault_users_write_comes_out_as_there() {
        for (template, name) in [
            ("plain", "plain"),
            ("{{.RoleName}}_{{.DisplayName}}", "app-role_token-alice"),
            ("{{.DisplayName | truncate 5 | uppercase}}", "TOKEN"),
            ("{{ printf \"v-%s-%s\" (.RoleName | replace \"-\" \"_\") (unix_time) }}", "v-app_role-1700000000"),
            ("{{ timestamp \"20060102\" }}x{{ \"a\\\"b\" | lowercase }}", "20231114xa\"b"),
            ("{{ .RoleName | sha256 | truncate 8 }}", "ec0dfbee"),
            ("{{ truncate_sha256 12 .DisplayName }}{{`|}`}}", "token-alice|}"),
            ("{{ unix_time_millis }}", "1700000000000"),
        ] {
            let expected =
                if template.contains("sha256 |") { sha256("app-role")[..8].to_owned() } else { name.to_owned() };
            assert_eq!(rendered(template).unwrap(), expected, "{template}");
        }
        assert_eq!(rendered("{{ random 20 }}").unwrap().len(), 20);
        assert_eq!(rendered("{{ uuid }}").unwrap().len(), 36);
    }

    #[test]
    fn what_is_not_known_is_refused_and_said() {
        for (template, said) in [
            ("{{ .Password }}", ".Password"),
            ("{{ env \"HOME\" }}", "`env`"),
            ("{{ random }}", "arguments"),
            ("{{ random 0 }}", "above zero"),
            ("{{ random 5", "no }}"),
            ("{{ (random 5 }}", "not closed"),
            ("{{ printf \"%x\" 5 }}", "%s"),
            ("{{ }}", "function"),
            ("", "empty"),
        ] {
            let error = rendered(template).unwrap_err().to_string();
            assert!(error.contains(said), "{template}: {error}");
        }
    }

    #[test]
    fn a_template_that_gives_two_callers_one_name_is_refused() {
        for (template, unique) in [
            ("{{.RoleName}}", false),
            ("{{.RoleName}}-{{unix_time}}", false),
            ("{{.RoleName}}-{{random 20}}", true),
            ("{{ printf \"%s-%s\" .DisplayName (random 20) | truncate 10 }}", false),
            ("{{uuid}}", true),
        ] {
            assert_eq!(Template::parse(template).unwrap().check_unique().is_ok(), unique, "{template}");
        }
    }
}
