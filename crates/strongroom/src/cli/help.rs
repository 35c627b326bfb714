//! Help, written from the table of commands, in the shape Vault's users know: usage, what it does, flags with one dash.

use super::commands::{GROUPS, all};
use super::flags::GLOBAL;
use super::grammar::{Command, Flag};
use std::fmt::Write as _;

/// What is shown first on top.
const COMMON: &[&str] = &["read", "write", "delete", "list", "login", "server", "status", "unwrap"];
const WIDTH: usize = 78;

/// The list of all commands.
pub(crate) fn of_all() -> String {
    let mut text = "Usage: strongroom <command> [flags] [args]\n\nCommon commands:\n".to_owned();
    let about = |words: &str| all().find(|command| command.words == words).map_or("", |command| command.about);
    COMMON.iter().for_each(|words| line(&mut text, words, about(words)));
    text.push_str("\nOther commands:\n");
    let single = all().filter(|command| !command.words.contains(' ') && !COMMON.contains(&command.words));
    let mut others: Vec<(&str, &str)> = single.map(|command| (command.words, command.about)).collect();
    others.extend(GROUPS.iter().filter(|(words, _)| !words.contains(' ')));
    others.sort_unstable();
    others.iter().for_each(|(words, about)| line(&mut text, words, about));
    text.push_str("\n`strongroom <command> -h` tells more. Installed under the name `vault` it behaves the same.");
    text
}

/// The commands behind a word that only leads to others.
pub(crate) fn of_group(group: &str) -> String {
    let about = GROUPS.iter().find(|(words, _)| *words == group).map_or("", |(_, about)| about);
    let mut text = format!("Usage: strongroom {group} <subcommand> [flags] [args]\n\n  {about}.\n\nSubcommands:\n");
    for command in all() {
        if let Some(rest) = command.words.strip_prefix(group).and_then(|rest| rest.strip_prefix(' ')) {
            line(&mut text, rest, command.about);
        }
    }
    text.trim_end().to_owned()
}

/// One command with all its flags.
pub(crate) fn of_command(command: &Command) -> String {
    let mut text = format!("Usage: strongroom {}\n\n  {}.\n", command.full_usage(), command.about);
    for paragraph in command.details.lines() {
        let _ = writeln!(text, "{}{paragraph}", if paragraph.is_empty() { "" } else { "  " });
    }
    if !command.flags.is_empty() {
        text.push_str("\nFlags:\n\n");
        command.flags.iter().for_each(|flag| describe(&mut text, flag));
    }
    text.push_str("\nFlags of every command:\n\n");
    GLOBAL.iter().for_each(|flag| describe(&mut text, flag));
    text.push_str("\nEach VAULT_X in the environment is also read as STRONGROOM_X, which wins.");
    text
}

fn line(text: &mut String, words: &str, about: &str) {
    let _ = writeln!(text, "    {words:<18} {about}");
}

fn describe(text: &mut String, flag: &Flag) {
    let value = if flag.value.is_empty() { String::new() } else { format!("=<{}>", flag.value) };
    let alias = if flag.alias.is_empty() { String::new() } else { format!(", -{}", flag.alias) };
    let _ = writeln!(text, "  -{}{value}{alias}", flag.name);
    let mut row = String::new();
    for word in flag.about.split_whitespace() {
        if row.len() + word.len() + 7 > WIDTH {
            let _ = writeln!(text, "      {row}");
            row.clear();
        }
        let _ = write!(row, "{}{word}", if row.is_empty() { "" } else { " " });
    }
    let _ = writeln!(text, "      {row}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_shows_flags_with_one_dash_and_fits_a_terminal() {
        for command in all() {
            let text = of_command(command);
            assert!(text.starts_with("Usage: strongroom "), "{text}");
            assert!(text.contains("  -ca-cert=<file>\n"));
            for line in text.lines() {
                assert!(line.chars().count() <= 100, "{}: {line}", command.words);
            }
        }
        assert!(of_all().contains("    kv "));
        assert!(of_group("kv").contains("    metadata get "));
    }
}
