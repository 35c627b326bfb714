//! The table of all commands, put together from what each noun offers, and the search in it.

use super::grammar::Command;
use super::{
    Found, access_key, alert, audit, audit_archive, audit_index, audit_query, auth, can, complete, diff, doctor, find,
    help, history, import, kv, lease, logical, login, man, operator, operator_generate_root, operator_rekey,
    operator_rotate, operator_snapshot, operator_verify, path_help, policy, review, rotate, secrets, server, shipping,
    status, token, version, who_reads,
};
use super::{drill, incident, revoke, watch};

/// Every command.
pub(crate) fn all() -> impl Iterator<Item = &'static Command> {
    let nouns: &[&'static [Command]] = &[
        logical::COMMANDS,
        login::COMMANDS,
        status::COMMANDS,
        kv::READING,
        kv::WRITING,
        kv::METADATA,
        history::COMMANDS,
        diff::COMMANDS,
        find::COMMANDS,
        can::COMMANDS,
        import::COMMANDS,
        doctor::COMMANDS,
        complete::COMMANDS,
        man::COMMANDS,
        token::COMMANDS,
        policy::COMMANDS,
        access_key::COMMANDS,
        secrets::COMMANDS,
        auth::COMMANDS,
        audit::COMMANDS,
        audit_index::COMMANDS,
        audit_archive::COMMANDS,
        audit_query::COMMANDS,
        who_reads::COMMANDS,
        review::COMMANDS,
        alert::COMMANDS,
        watch::COMMANDS,
        revoke::COMMANDS,
        drill::COMMANDS,
        incident::COMMANDS,
        shipping::COMMANDS,
        operator::COMMANDS,
        operator_rotate::COMMANDS,
        operator_snapshot::COMMANDS,
        operator_verify::COMMANDS,
        operator_rekey::COMMANDS,
        operator_generate_root::COMMANDS,
        lease::COMMANDS,
        rotate::COMMANDS,
        path_help::COMMANDS,
        version::COMMANDS,
    ];
    nouns.iter().copied().flatten().chain([&server::COMMAND])
}

/// The words that only lead to others, with what is behind them.
pub(crate) const GROUPS: &[(&str, &str)] = &[
    ("access-key", "Keys that programs sign requests with"),
    ("alert", "Suspicions of misuse"),
    ("audit", "Audit devices, and the check of the trail"),
    ("auth", "Auth methods"),
    ("incident", "What was cut off from everyone"),
    ("kv", "Versioned and plain secrets"),
    ("kv metadata", "What is known about a secret beside its value"),
    ("lease", "Leases of dynamic secrets"),
    ("operator", "Initialise, unseal and seal the server"),
    ("operator raft", "Snapshots, under the words of Vault"),
    ("operator raft snapshot", "Snapshots of the whole store"),
    ("operator snapshot", "Snapshots of the whole store"),
    ("policy", "Policies"),
    ("print", "What the command line itself knows"),
    ("rotate", "Rotation of secrets"),
    ("secrets", "Secrets engines"),
    ("shipping", "Copies of the audit trail for collectors of logs"),
    ("token", "Tokens"),
    ("webhook", "Outside places that are told of alerts and rotations"),
];

/// The longest run of words that is a command.
const MOST_WORDS: usize = 4;

/// Finds what an argument list begins with.
pub(crate) fn find(argv: &[String]) -> Found<'_> {
    let asks_help = |item: Option<&String>| matches!(item.map(String::as_str), Some("-h" | "-help" | "--help"));
    match argv.first().map(String::as_str) {
        None => return Found::Nothing(help::of_all()),
        Some("-h" | "-help" | "--help" | "help") => return Found::Help(help::of_all()),
        Some("-v" | "-version" | "--version") => return Found::Version,
        Some("-autocomplete-install") => return Found::Installs(true),
        Some("-autocomplete-uninstall") => return Found::Installs(false),
        Some("version") if argv.len() == 1 => return Found::Version,
        Some(flag) if flag.starts_with('-') => {
            return Found::Nothing("flags go after the command: strongroom status -address=...".to_owned());
        }
        Some(_) => {}
    }
    for count in (1..=MOST_WORDS.min(argv.len())).rev() {
        let (words, rest) = argv.split_at(count);
        let words = words.join(" ");
        if let Some(command) = all().find(|command| command.words == words) {
            return Found::Command(command, rest);
        }
        if GROUPS.iter().any(|(group, _)| *group == words) {
            return match rest.first() {
                None => Found::Nothing(help::of_group(&words)),
                item if asks_help(item) => Found::Help(help::of_group(&words)),
                Some(_) => Found::Nothing(format!("no such command under `{words}`\n\n{}", help::of_group(&words))),
            };
        }
    }
    Found::Nothing("no such command; see `strongroom -h` for those there are".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::flags::GLOBAL;
    use std::collections::BTreeSet;

    fn found(line: &str) -> String {
        let argv: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        match find(&argv) {
            Found::Command(command, rest) => format!("{} | {}", command.words, rest.join(" ")),
            Found::Version => "version".to_owned(),
            Found::Installs(_) => "installs".to_owned(),
            Found::Help(_) => "help".to_owned(),
            Found::Nothing(_) => "nothing".to_owned(),
        }
    }

    #[test]
    fn the_longest_words_win() {
        assert_eq!(found("kv metadata get -mount=x y"), "kv metadata get | -mount=x y");
        assert_eq!(found("kv get kv"), "kv get | kv");
        assert_eq!(found("read secret/x"), "read | secret/x");
        for (line, what) in
            [("", "nothing"), ("kv", "nothing"), ("kv -h", "help"), ("kv metadata", "nothing"), ("-v", "version")]
        {
            assert_eq!(found(line), what, "{line}");
        }
        assert_eq!(
            (found("nonsense"), found("-address=x status"), found("kv nonsense")),
            ("nothing".into(), "nothing".into(), "nothing".into())
        );
    }

    #[test]
    fn every_command_is_described_and_named_once() {
        let mut seen = BTreeSet::new();
        for command in all() {
            assert!(seen.insert(command.words), "{} twice", command.words);
            assert!(!command.about.is_empty() && command.count.0 <= command.count.1, "{}", command.words);
            let mut names = BTreeSet::new();
            for flag in command.flags {
                assert!(!flag.about.is_empty() && names.insert(flag.name), "{} -{}", command.words, flag.name);
                let shadows = GLOBAL.iter().find(|global| global.name == flag.name || global.alias == flag.name);
                assert!(
                    shadows.is_none_or(|global| global.value.is_empty() == flag.value.is_empty()),
                    "-{}",
                    flag.name
                );
            }
        }
    }

    #[test]
    fn the_manual_names_every_command() {
        let manual = include_str!("../../../../docs/cli.md");
        for command in all() {
            assert!(manual.contains(&format!("| `{}", command.words)), "docs/cli.md lacks `{}`", command.words);
        }
    }
}
