use strongroom_model::SecretString;

/// What a system said, without the passwords that it may repeat, and not endlessly long.
pub(crate) fn scrub(message: &str, secrets: &[&SecretString]) -> String {
    let mut text = message.to_owned();
    for secret in secrets.iter().map(|secret| secret.expose()).filter(|secret| !secret.is_empty()) {
        // As it is, and as the quoting rules write it: a system repeats the text of a statement.
        let doubled = secret.replace('\'', "''");
        for form in [secret.replace('\\', "\\\\").replace('\'', "''"), doubled, secret.to_owned()] {
            text = text.replace(&form, "***");
        }
    }
    let flat: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(600).collect();
    flat.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_spelling_of_the_password_stays() {
        let secret = SecretString::new("pa'ss\\w".to_owned());
        let said = "near \"PASSWORD 'pa''ss\\w'\" or 'pa''ss\\\\w' or pa'ss\\w\n";
        assert_eq!(scrub(said, &[&secret]), "near \"PASSWORD '***'\" or '***' or ***");
    }
}
