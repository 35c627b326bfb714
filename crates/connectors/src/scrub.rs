//! Words of outside systems for errors. A system may repeat the statement that it was sent, whole or in part, and the
//! password stands in it. Nothing is replaced in such words: a mask in the middle of another word (`***in` for `admin`) would
//! tell the password. They are passed on or left out as a whole.

use strongroom_model::SecretString;

/// What is said instead.
const LEFT_OUT: &str = "its words are left out here, because the password may stand in them";
/// So many characters in a row of a password are no chance. A shorter password stands in many words by chance, and to leave
/// out just those would tell it.
const SHORT: usize = 8;

/// What a system said, if no part of these secrets stands in it, and not endlessly long. Of short secrets that cannot be
/// told, so nothing is passed on.
pub(crate) fn scrub(message: &str, secrets: &[&SecretString]) -> String {
    let mut secrets = secrets.iter().map(|secret| secret.expose()).filter(|secret| !secret.is_empty());
    if secrets.any(|secret| may_hold(message, secret)) { LEFT_OUT.to_owned() } else { plain(message) }
}

/// What the driver or the machine said, who know of no statement.
pub(crate) fn plain(message: &str) -> String {
    let flat: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(600).collect();
    flat.trim().to_owned()
}

fn may_hold(message: &str, secret: &str) -> bool {
    // As it is, and as the quoting rules write it.
    let doubled = secret.replace('\'', "''");
    [secret.replace('\\', "\\\\").replace('\'', "''"), doubled, secret.to_owned()].iter().any(|form| {
        let starts: Vec<usize> = form.char_indices().map(|(at, _)| at).chain([form.len()]).collect();
        // Systems cut off what they repeat, so a part tells as much.
        let mut parts = starts.iter().zip(starts.iter().skip(SHORT)).filter_map(|(from, to)| form.get(*from..*to));
        starts.len() <= SHORT || parts.any(|part| message.contains(part))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(message: &str, secret: &str) -> String {
        scrub(message, &[&SecretString::new(secret.to_owned())])
    }

    #[test]
    fn words_with_any_spelling_or_part_of_the_password_are_left_out_as_a_whole() {
        for message in [
            "near \"PASSWORD 'pa''ss\\word'\"",
            "near 'pa''ss\\\\word'",
            "near pa'ss\\word",
            // Cut off where the system's patience ended.
            "near 'IDENTIFIED BY 'pa''ss\\w",
        ] {
            assert_eq!(said(message, "pa'ss\\word"), LEFT_OUT, "{message}");
        }
        let harmless = "relation \"missing\" does not exist\n";
        assert_eq!(said(harmless, "pa'ss\\word"), "relation \"missing\" does not exist");
        assert_eq!(said(harmless, ""), said(harmless, "pa'ss\\word"));
    }

    #[test]
    fn a_short_password_is_not_told_by_which_words_are_left_out() {
        for message in ["password authentication failed for user \"admin\"", "no such table"] {
            assert_eq!(said(message, "adm"), LEFT_OUT);
            assert_eq!(said(message, "pässwör"), LEFT_OUT);
        }
        assert_eq!(said("no such table", "12345678"), "no such table");
    }
}
