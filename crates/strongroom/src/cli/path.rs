//! Paths as people type them on the line, made ready for the server: without slashes at the ends, or with one for mounts.
//! What a path means, and whether it may be, is the server's to say.

/// Without slashes and blanks at the ends.
pub(crate) fn trimmed(path: &str) -> &str {
    path.trim().trim_matches('/')
}

/// A mount as Vault shows it: with a slash at the end.
pub(crate) fn mount(path: &str) -> String {
    format!("{}/", trimmed(path))
}

/// The parts that are not empty, joined.
pub(crate) fn join(parts: &[&str]) -> String {
    parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_are_set_where_the_server_wants_them() {
        assert_eq!(
            (trimmed("/secret/x/"), mount("/secret"), mount("a/b/")),
            ("secret/x", "secret/".to_owned(), "a/b/".to_owned())
        );
        assert_eq!(join(&["secret", "data", ""]), "secret/data");
    }
}
