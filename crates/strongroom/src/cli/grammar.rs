//! The grammar of the command line: which commands there are, which flags each takes, and how an argument list is read.
//! One table feeds the parser, the help and the test that compares `docs/cli.md` with it. Written by hand because
//! Vault's flags are Go's (`-field=x`, `-field x`, `--field x`, `-force=false`), while a value such as `password=-x`,
//! or a lone `-` for standard input, is an argument and stays untouched.
//!
//! A flag may stand before or after the arguments; after them only when its name is known, and `--` ends the flags.
//! Does not know what a flag means.

use super::error::CliError;
use super::session::Session;
use std::collections::BTreeMap;
use strongroom_model::Ttl;

/// What a handler is: it prints its results and says how the process ends.
pub(crate) type Handler = fn(&mut Session) -> Result<Exit, CliError>;

/// How the process ends when nothing failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0.
    Good,
    /// 2 without an error message: sealed, not initialised, nothing there.
    Negative,
    /// 3: the question was answered, and there is nothing to show.
    Nothing,
}

/// One command, as `kv get`.
pub(crate) struct Command {
    /// The words it is called by.
    pub(crate) words: &'static str,
    /// The arguments after the flags, as help shows them.
    pub(crate) usage: &'static str,
    /// One line for the list of commands.
    pub(crate) about: &'static str,
    /// What more there is to say, with examples; may be empty.
    pub(crate) details: &'static str,
    /// Its own flags; the global ones come on top.
    pub(crate) flags: &'static [Flag],
    /// Fewest and most arguments.
    pub(crate) count: (usize, usize),
    /// What it does.
    pub(crate) run: Handler,
}

/// One flag.
pub(crate) struct Flag {
    /// The name, without dashes.
    pub(crate) name: &'static str,
    /// Another name for it, or empty.
    pub(crate) alias: &'static str,
    /// What stands after `=` in help; empty for a switch, which takes no value unless joined by `=`.
    pub(crate) value: &'static str,
    /// What it does.
    pub(crate) about: &'static str,
}

/// A switch: `-force`, or `-force=false`.
pub(crate) const fn switch(name: &'static str, about: &'static str) -> Flag {
    Flag { name, alias: "", value: "", about }
}

/// A flag with a value: `-field=x` or `-field x`.
pub(crate) const fn valued(name: &'static str, value: &'static str, about: &'static str) -> Flag {
    Flag { name, alias: "", value, about }
}

/// Any number of arguments.
pub(crate) const MANY: usize = usize::MAX;

/// A read argument list.
#[derive(Default)]
pub(crate) struct Parsed {
    flags: BTreeMap<&'static str, Vec<String>>,
    args: Vec<String>,
}

impl Parsed {
    /// Reads an argument list by a command's flags and the global ones.
    pub(crate) fn read(command: &Command, global: &'static [Flag], argv: &[String]) -> Result<Self, CliError> {
        let mut parsed = Self::default();
        let mut rest = argv.iter();
        while let Some(item) = rest.next() {
            if item == "--" {
                parsed.args.extend(rest.cloned());
                break;
            }
            match item.strip_prefix('-') {
                None | Some("") => parsed.args.push(item.clone()),
                Some(name) => {
                    let name = name.strip_prefix('-').unwrap_or(name);
                    parsed.take_flag(command, global, name, &mut rest)?;
                }
            }
        }
        parsed.check_count(command)?;
        Ok(parsed)
    }

    fn take_flag<'a>(
        &mut self,
        command: &Command,
        global: &'static [Flag],
        text: &str,
        rest: &mut impl Iterator<Item = &'a String>,
    ) -> Result<(), CliError> {
        let (name, joined) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        if matches!(name, "h" | "help") {
            return Err(CliError::Help);
        }
        let known = command.flags.iter().chain(global);
        let Some(flag) = known.into_iter().find(|flag| !name.is_empty() && (flag.name == name || flag.alias == name))
        else {
            return Err(unknown_flag(command, name));
        };
        let value = match (flag.value.is_empty(), joined) {
            (true, None) => "true".to_owned(),
            (true, Some(text)) => go_bool(flag.name, text)?.to_string(),
            (false, Some(text)) => text.to_owned(),
            (false, None) => rest
                .next()
                .cloned()
                .ok_or_else(|| CliError::usage(format!("flag -{name} needs a value: -{name}={}", flag.value)))?,
        };
        self.flags.entry(flag.name).or_default().push(value);
        Ok(())
    }

    fn check_count(&self, command: &Command) -> Result<(), CliError> {
        let (least, most) = command.count;
        let given = self.args.len();
        let wanted = match (least, most) {
            (a, b) if a == b => a.to_string(),
            (a, MANY) => format!("at least {a}"),
            (a, b) => format!("{a}-{b}"),
        };
        let verdict = match given {
            n if n < least => "Not enough arguments",
            n if n > most => "Too many arguments",
            _ => return Ok(()),
        };
        let usage = command.full_usage();
        Err(CliError::usage(format!("{verdict} (expected {wanted}, got {given})\nusage: strongroom {usage}")))
    }

    /// The arguments that are not flags.
    pub(crate) fn args(&self) -> &[String] {
        &self.args
    }

    /// The n-th argument; empty when there is none.
    pub(crate) fn arg(&self, n: usize) -> &str {
        self.args.get(n).map_or("", String::as_str)
    }

    /// The arguments from the n-th on.
    pub(crate) fn args_from(&self, n: usize) -> &[String] {
        self.args.get(n..).unwrap_or_default()
    }

    /// The last value given for a flag.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.flags.get(name)?.last().map(String::as_str)
    }

    /// Whether a switch is on.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.switch(name).unwrap_or(false)
    }

    /// A switch that may be on, off, or not given.
    pub(crate) fn switch(&self, name: &str) -> Option<bool> {
        self.text(name).map(|text| text == "true")
    }

    /// Every value of a flag that may be repeated; commas separate too, as Vault's lists have it.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        self.each(name)
            .iter()
            .flat_map(|value| value.split(','))
            .map(|item| item.trim().to_owned())
            .filter(|item| !item.is_empty())
            .collect()
    }

    /// Every value of a flag that may be repeated, as given.
    pub(crate) fn each(&self, name: &str) -> &[String] {
        self.flags.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// Every `key=value` of a flag that may be repeated.
    pub(crate) fn map(&self, name: &str) -> Result<BTreeMap<String, String>, CliError> {
        let pair = |text: &String| {
            let (key, value) = text
                .split_once('=')
                .ok_or_else(|| CliError::usage(format!("flag -{name} wants key=value: -{name}=owner=web")))?;
            Ok((key.to_owned(), value.to_owned()))
        };
        self.each(name).iter().map(pair).collect()
    }

    /// A whole number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, CliError> {
        let wrong = |_| CliError::usage(format!("flag -{name} wants a whole number"));
        self.text(name).map(|text| text.trim().parse().map_err(wrong)).transpose()
    }

    /// A whole number from `least` on.
    pub(crate) fn count(&self, name: &str, least: u64) -> Result<Option<u64>, CliError> {
        let wrong = || CliError::usage(format!("flag -{name} wants a whole number of at least {least}"));
        let number = self.text(name).map(|text| text.trim().parse::<u64>().map_err(|_| wrong())).transpose()?;
        if number.is_some_and(|number| number < least) { Err(wrong()) } else { Ok(number) }
    }

    /// A span of time, checked and then as the server takes it: plain digits get an `s`.
    pub(crate) fn span(&self, name: &str) -> Result<Option<String>, CliError> {
        self.text(name).map(|text| read_span(&format!("flag -{name}"), text)).transpose()
    }
}

impl Command {
    /// The words with the arguments, as the first line of help has them.
    pub(crate) fn full_usage(&self) -> String {
        format!("{} {}", self.words, self.usage).trim_end().to_owned()
    }
}

/// A span of time as the server takes it, or what is wrong with it and where it stands.
pub(crate) fn read_span(place: &str, text: &str) -> Result<String, CliError> {
    let text = text.trim();
    Ttl::parse(text).map_err(|wrong| CliError::usage(format!("{place}: {wrong}")))?;
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    Ok(if digits { format!("{text}s") } else { text.to_owned() })
}

/// Go's `strconv.ParseBool`, which is what every script for Vault was written against.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn go_bool(name: &str, text: &str) -> Result<bool, CliError> {
    parse_bool(text).ok_or_else(|| CliError::usage(format!("flag -{name} is a switch: -{name} or -{name}=false")))
}

/// The value is not repeated: it may be a secret that was meant as an argument.
fn unknown_flag(command: &Command, name: &str) -> CliError {
    let words = command.words;
    let mut text = format!("unknown flag -{name} for `{words}`; see `strongroom {words} -h`");
    if command.count.1 == MANY {
        text.push_str(". If it is data, write `--` before it");
    }
    CliError::usage(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GLOBAL: &[Flag] = &[
        valued("format", "table", ""),
        switch("tls-skip-verify", ""),
        Flag { name: "namespace", alias: "ns", value: "path", about: "" },
    ];
    const WRITE: Command = Command {
        words: "write",
        usage: "PATH K=V",
        about: "",
        details: "",
        flags: &[
            switch("force", ""),
            valued("field", "name", ""),
            valued("policy", "name", ""),
            valued("ttl", "t", ""),
        ],
        count: (1, MANY),
        run: |_| Ok(Exit::Good),
    };

    fn read(line: &[&str]) -> Result<Parsed, String> {
        let argv: Vec<String> = line.iter().map(|item| (*item).to_owned()).collect();
        Parsed::read(&WRITE, GLOBAL, &argv).map_err(|error| error.to_string())
    }

    #[test]
    fn a_value_is_joined_or_follows_with_one_dash_or_two() {
        for line in [&["-field=a", "p"][..], &["-field", "a", "p"], &["--field=a", "p"], &["--field", "a", "p"]] {
            let parsed = read(line).unwrap();
            assert_eq!(parsed.text("field"), Some("a"), "{line:?}");
            assert_eq!(parsed.args(), ["p"]);
        }
    }

    #[test]
    fn a_switch_takes_no_following_value_but_a_joined_one() {
        let parsed = read(&["-force", "secret/x"]).unwrap();
        assert!(parsed.is_on("force"));
        assert_eq!(parsed.args(), ["secret/x"]);
        assert!(!read(&["-tls-skip-verify=false", "p"]).unwrap().is_on("tls-skip-verify"));
        assert!(read(&["-tls-skip-verify=T", "p"]).unwrap().is_on("tls-skip-verify"));
        assert!(read(&["-force=maybe", "p"]).err().unwrap().contains("is a switch"));
    }

    #[test]
    fn data_that_begins_or_ends_with_a_dash_is_left_alone() {
        let parsed = read(&["secret/x", "password=-x", "other=-", "-", "@file"]).unwrap();
        assert_eq!(parsed.args(), ["secret/x", "password=-x", "other=-", "-", "@file"]);
        assert_eq!(read(&["p", "--", "-force", "--", "-x=1"]).unwrap().args(), ["p", "-force", "--", "-x=1"]);
    }

    #[test]
    fn a_value_may_look_like_a_flag_or_hold_an_equals_sign() {
        assert_eq!(read(&["-field", "-x", "p"]).unwrap().text("field"), Some("-x"));
        assert_eq!(read(&["-field=a=b", "p"]).unwrap().text("field"), Some("a=b"));
    }

    #[test]
    fn flags_may_follow_the_arguments() {
        let parsed = read(&["secret/x", "a=b", "-format=json", "-ns", "team"]).unwrap();
        assert_eq!((parsed.text("format"), parsed.text("namespace")), (Some("json"), Some("team")));
        assert_eq!(parsed.args(), ["secret/x", "a=b"]);
    }

    #[test]
    fn an_unknown_flag_is_refused_without_its_value() {
        let text = read(&["secret/x", "-pasword=hunter2"]).err().unwrap();
        assert!(text.contains("unknown flag -pasword") && text.contains("`--`"), "{text}");
        assert!(!text.contains("hunter2"));
        assert!(read(&["p", "-field"]).err().unwrap().contains("needs a value"));
    }

    #[test]
    fn repeated_flags_and_commas_both_make_a_list() {
        let parsed = read(&["-policy=a,b", "-policy", "c", "p"]).unwrap();
        assert_eq!(parsed.list("policy"), ["a", "b", "c"]);
    }

    #[test]
    fn spans_are_checked_and_digits_mean_seconds() {
        assert_eq!(read(&["-ttl=90", "p"]).unwrap().span("ttl").unwrap().as_deref(), Some("90s"));
        assert_eq!(read(&["-ttl=1h30m", "p"]).unwrap().span("ttl").unwrap().as_deref(), Some("1h30m"));
        assert!(read(&["-ttl=soon", "p"]).unwrap().span("ttl").is_err());
    }

    #[test]
    fn the_number_of_arguments_is_checked() {
        assert!(read(&[]).err().unwrap().starts_with("Not enough arguments (expected at least 1, got 0)"));
    }
}
