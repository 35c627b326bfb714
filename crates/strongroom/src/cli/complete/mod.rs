//! Completion: what could stand next on a line. Commands and flags come from the table of commands; paths, mounts and
//! policies from the server, asked with the user's token and little patience. Whatever goes wrong, it offers less and
//! says nothing, because it runs while somebody is typing.
//!
//! `shell` has the scripts that ask, and puts them into the shells' start files.

mod shell;

pub(crate) use shell::install;

use super::commands::{GROUPS, all};
use super::env::Env;
use super::flags::{GLOBAL, Settings};
use super::format::go_text;
use super::grammar::{Command, Flag, MANY, Parsed};
use super::output::Output;
use super::path::join;
use super::pool::Pool;
use super::request::Request;
use super::secret::Secret;
use super::token_file::TokenFile;
use super::walk::{Engine, inside};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

/// What there is to see of it.
pub(crate) const COMMANDS: &[Command] = shell::COMMANDS;

/// Vault's own way: the shell runs the program itself with the line in the environment (`complete -C vault vault`).
fn of_line(env: &Env) -> Option<Vec<String>> {
    let line = env.var("COMP_LINE")?;
    let point = env.var("COMP_POINT").and_then(|point| point.parse().ok()).unwrap_or(line.len());
    let line = line.get(..point).unwrap_or(line);
    let mut words: Vec<String> = line.split_whitespace().skip(1).map(str::to_owned).collect();
    if line.ends_with(char::is_whitespace) {
        words.push(String::new());
    }
    Some(words)
}

/// How long an answer of the server may take before the user is left alone.
const PATIENCE: Duration = Duration::from_millis(700);

/// What could stand in the place of the last word.
fn candidates(env: &Env, words: &[String]) -> BTreeSet<String> {
    let Some((current, before)) = words.split_last() else { return BTreeSet::new() };
    let all: Vec<String> = match command_of(before) {
        Some((command, rest)) if current.starts_with('-') => match current.split_once('=') {
            Some((flag, value)) => {
                let offered = values(env, command, rest, flag, value);
                offered.into_iter().map(|value| format!("{flag}={value}")).collect()
            }
            None => flags(command, current),
        },
        Some((command, rest)) => match pending_flag(command, rest) {
            Some(flag) => values(env, command, rest, flag, current),
            None => arguments(env, command, rest, current),
        },
        None => next_words(before),
    };
    all.into_iter().filter(|candidate| candidate.starts_with(current.as_str())).collect()
}

/// The longest command that the words begin with, and what follows it.
fn command_of(words: &[String]) -> Option<(&'static Command, &[String])> {
    (1..=words.len().min(3)).rev().find_map(|count| {
        let (head, rest) = words.split_at_checked(count)?;
        let head = head.join(" ");
        Some((all().find(|command| command.words == head)?, rest))
    })
}

/// The words that can follow these on the way to a command.
fn next_words(before: &[String]) -> Vec<String> {
    let before = before.join(" ");
    let known = all().map(|command| command.words).chain(GROUPS.iter().map(|(words, _)| *words));
    let next = |words: &'static str| {
        let rest = if before.is_empty() { words } else { words.strip_prefix(&before)?.strip_prefix(' ')? };
        rest.split(' ').next().map(str::to_owned)
    };
    known.filter_map(next).collect()
}

fn flags(command: &Command, current: &str) -> Vec<String> {
    let dashes = if current.starts_with("--") { "--" } else { "-" };
    let shown = |flag: &Flag| format!("{dashes}{}{}", flag.name, if flag.value.is_empty() { "" } else { "=" });
    command.flags.iter().chain(GLOBAL).map(shown).chain([format!("{dashes}help")]).collect()
}

fn flag_named(command: &Command, text: &str) -> Option<&'static Flag> {
    let name = text.trim_start_matches('-');
    let own: &'static [Flag] = command.flags;
    own.iter().chain(GLOBAL).find(|flag| flag.name == name || flag.alias == name)
}

/// The flag whose value the current word is.
fn pending_flag<'a>(command: &Command, rest: &'a [String]) -> Option<&'a str> {
    let last = rest.last()?;
    let flag = last.strip_prefix('-').filter(|name| !name.is_empty() && !name.contains('='))?;
    flag_named(command, flag).filter(|flag| !flag.value.is_empty()).map(|_| last.as_str())
}

/// Values of a flag.
fn values(env: &Env, command: &Command, rest: &[String], flag: &str, current: &str) -> Vec<String> {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    match flag.trim_start_matches('-') {
        "format" => texts(&["table", "json", "yaml"]),
        "log-level" => texts(&["trace", "debug", "info", "warn", "error"]),
        "method" if command.words == "login" => texts(&["token", "userpass", "approle", "ldap", "jwt", "cert"]),
        "method" => texts(&["patch", "rw"]),
        "type" if command.words == "import" => texts(&["env", "json", "yaml"]),
        "type" => texts(&["service", "batch"]),
        "mount" => Asking::new(env, command, rest).map(|asking| asking.engines()).unwrap_or_default(),
        "to" => Asking::new(env, command, rest).map(|asking| asking.secrets(current)).unwrap_or_default(),
        "policy" => Asking::new(env, command, rest).map(|asking| asking.policies()).unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// Arguments. Only the first one names a place, and data after it is the user's.
fn arguments(env: &Env, command: &Command, rest: &[String], current: &str) -> Vec<String> {
    if command.words == "completion" {
        return shell::SHELLS.iter().map(|shell| (*shell).to_owned()).collect();
    }
    let given = rest.iter().filter(|word| !word.starts_with('-')).count();
    let kind = kind(command.words, given);
    let Some(asking) = kind.and_then(|_| Asking::new(env, command, rest)) else { return Vec::new() };
    match kind {
        Some(Kind::Secret) => asking.secrets(current),
        Some(Kind::Path) => asking.paths(current),
        Some(Kind::Mount) => asking.mounts("secret"),
        Some(Kind::Method) => asking.mounts("auth"),
        Some(Kind::Policy) => asking.policies(),
        None => Vec::new(),
    }
}

/// What an argument names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A secret as people write it.
    Secret,
    /// A path of the API.
    Path,
    /// A secrets engine.
    Mount,
    /// An auth method.
    Method,
    /// A policy.
    Policy,
}

/// What the argument after `given` others names.
fn kind(words: &str, given: usize) -> Option<Kind> {
    match (words, given) {
        ("can", 1 | 2) => Some(Kind::Secret),
        ("secrets move", 0 | 1) => Some(Kind::Mount),
        (_, 1..) => None,
        ("kv enable-versioning" | "secrets disable" | "secrets tune", _) => Some(Kind::Mount),
        ("auth disable" | "auth tune" | "auth move" | "auth help", _) => Some(Kind::Method),
        ("policy read" | "policy delete" | "policy write", _) => Some(Kind::Policy),
        ("read" | "write" | "patch" | "delete" | "list" | "path-help" | "token capabilities", _) => Some(Kind::Path),
        ("history" | "diff" | "rollback" | "find", _) => Some(Kind::Secret),
        (words, _) if words.starts_with("kv ") => Some(Kind::Secret),
        _ => None,
    }
}

/// A connection for asking what there is. Everything it cannot learn is nothing.
struct Asking {
    pool: Pool,
    /// Given with `-mount`.
    mount: Option<String>,
}

impl Asking {
    /// With the flags that stand on the line already.
    fn new(env: &Env, command: &Command, rest: &[String]) -> Option<Self> {
        let lenient = Command { count: (0, MANY), ..*command };
        let parsed = Parsed::read(&lenient, GLOBAL, rest).or_else(|_| Parsed::read(&lenient, GLOBAL, &[])).ok()?;
        let mut settings = Settings::resolve(&parsed, env).ok()?;
        (settings.timeout, settings.retries, settings.wrap_ttl) = (PATIENCE, 0, None);
        let token = match settings.token.take() {
            Some(token) => Some(token),
            None => TokenFile::of(env)?.read().ok()?,
        };
        Some(Self { pool: Pool::new(&settings, token).ok()?, mount: parsed.text("mount").map(str::to_owned) })
    }

    fn ask(&self, request: &Request) -> Option<Secret> {
        self.pool.look(request).ok().flatten()
    }

    fn mounts(&self, class: &str) -> Vec<String> {
        let mounts = self.ask(&Engine::request());
        let mounts = mounts.as_ref().and_then(|mounts| mounts.object(class));
        mounts.into_iter().flatten().map(|(path, _)| path.clone()).collect()
    }

    fn engines(&self) -> Vec<String> {
        let mounts = self.ask(&Engine::request());
        mounts.iter().flat_map(Engine::of_mounts).map(|engine| format!("{}/", engine.path)).collect()
    }

    fn policies(&self) -> Vec<String> {
        self.ask(&Request::list("sys/policies/acl")).as_ref().map(keys).unwrap_or_default()
    }

    /// Secrets and folders as people write them; with `-mount`, below it.
    fn secrets(&self, current: &str) -> Vec<String> {
        let engines = self.ask(&Engine::request()).as_ref().map(Engine::of_mounts).unwrap_or_default();
        let mount = self.mount.as_deref().map(|mount| mount.trim_matches('/'));
        let whole = join(&[mount.unwrap_or_default(), current]);
        let holds = |engine: &&Engine| whole.starts_with(&format!("{}/", engine.path)) || mount == Some(&engine.path);
        let Some(engine) = engines.iter().filter(holds).max_by_key(|engine| engine.path.len()) else {
            return engines.iter().map(|engine| format!("{}/", engine.path)).collect();
        };
        let below = inside(&whole, engine);
        let folder = below.rsplit_once('/').map_or("", |(folder, _)| folder);
        let listed = self.ask(&engine.list(folder)).as_ref().map(keys).unwrap_or_default();
        let shown = if mount.is_some() { folder.to_owned() } else { join(&[&engine.path, folder]) };
        listed.into_iter().map(|key| join(&[&shown, &key])).collect()
    }

    /// Paths of the API: mounts, the branches of versioned engines, and what a list gives.
    fn paths(&self, current: &str) -> Vec<String> {
        let mounts = self.ask(&Engine::request());
        let engines = mounts.as_ref().map(Engine::of_mounts).unwrap_or_default();
        let folder = current.rsplit_once('/').map_or("", |(folder, _)| folder);
        let versioned = engines.iter().filter(|engine| engine.versioned);
        for engine in versioned {
            if folder == engine.path {
                return BRANCHES.iter().map(|branch| format!("{folder}/{branch}")).collect();
            }
            // Only one branch can be listed; the others have the same names.
            let rest = inside(folder, engine);
            if let Some((branch, below)) = rest.split_once('/').or_else(|| (!rest.is_empty()).then_some((&rest, ""))) {
                let listed = self.ask(&engine.list(below)).as_ref().map(keys).unwrap_or_default();
                let at = join(&[&engine.path, branch, below]);
                return listed.into_iter().map(|key| format!("{at}/{key}")).collect();
            }
        }
        if matches!(folder, "" | "auth") {
            let auth = self.mounts("auth").into_iter().map(|path| format!("auth/{path}"));
            return self.mounts("secret").into_iter().chain(auth).collect();
        }
        let listed = self.ask(&Request::list(folder)).as_ref().map(keys).unwrap_or_default();
        listed.into_iter().map(|key| format!("{folder}/{key}")).collect()
    }
}

const BRANCHES: [&str; 7] = ["data/", "metadata/", "delete/", "undelete/", "destroy/", "subkeys/", "config"];

fn keys(secret: &Secret) -> Vec<String> {
    secret.keys().unwrap_or_default().iter().filter(|key| !matches!(key, Value::Null)).map(go_text).collect()
}

/// Answers a shell that asks, in our way (`__complete -- WORD...`, up to the cursor) or in Vault's; `false` when none does.
pub(crate) fn answer(argv: &[String], env: &Env, out: &mut Output) -> bool {
    let words = match argv.split_first() {
        Some((first, rest)) if first == "__complete" => {
            Some(rest.strip_prefix(&["--".to_owned()]).unwrap_or(rest).to_vec())
        }
        _ => of_line(env),
    };
    let Some(words) = words else { return false };
    candidates(env, &words).iter().for_each(|candidate| out.line(candidate));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without a server: what is local is offered, and nothing is said about the rest.
    fn offered(line: &str) -> Vec<String> {
        let env: Env = [("VAULT_ADDR".to_owned(), "http://127.0.0.1:1".to_owned())].into_iter().collect();
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        candidates(&env, &words).into_iter().collect()
    }

    #[test]
    fn commands_are_offered_word_by_word() {
        assert_eq!(offered("his"), ["history"]);
        assert_eq!(offered("kv met"), ["metadata"]);
        assert_eq!(offered("kv metadata "), ["delete", "get", "patch", "put"]);
        assert!(offered("").contains(&"kv".to_owned()) && !offered("").iter().any(|word| word.starts_with('_')));
        assert_eq!(offered("nonsense "), Vec::<String>::new());
    }

    #[test]
    fn flags_and_their_values_are_offered() {
        assert_eq!(offered("diff -v"), ["-v1=", "-v2="]);
        assert_eq!(offered("diff --show"), ["--show-values"]);
        assert_eq!(offered("kv get -format="), ["-format=json", "-format=table", "-format=yaml"]);
        assert_eq!(offered("kv get -format y"), ["yaml"]);
        assert_eq!(offered("completion "), ["bash", "fish", "zsh"]);
        assert_eq!(offered("kv get secret/"), Vec::<String>::new());
    }

    #[test]
    fn the_line_of_a_shell_is_cut_at_the_cursor() {
        let env = |line: &str, point: &str| {
            let pairs = [("COMP_LINE", line), ("COMP_POINT", point)];
            of_line(&pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
        };
        assert_eq!(env("vault kv ge secret", "11").unwrap(), ["kv", "ge"]);
        assert_eq!(env("vault kv ", "9").unwrap(), ["kv", ""]);
        assert_eq!(env("", ""), None);
    }
}
