//! What stands where a credential will be: masks, templates and examples. They are no findings.

/// Whether a value that has a credential's form only stands for one: of very few different characters, or an example.
pub(crate) fn is_placeholder(bytes: &[u8]) -> bool {
    let tail = bytes.get(bytes.len().saturating_sub(16)..).unwrap_or(bytes);
    let mut seen = [false; 256];
    for byte in tail {
        if let Some(seen) = seen.get_mut(usize::from(*byte)) {
            *seen = true;
        }
    }
    let distinct = seen.iter().filter(|seen| **seen).count();
    let lower = bytes.to_ascii_lowercase();
    let says = |word: &[u8]| lower.windows(word.len()).any(|window| window == word);
    distinct < 5 || says(b"example") || says(b"placeholder") || says(b"redacted")
}

/// Whether a password in a connection string is a reference to one, or a mask. Real ones may be as bad as `password`, so
/// no word is taken for a placeholder.
pub(crate) fn is_reference(text: &str) -> bool {
    let text = text.trim_matches(['"', '\'']);
    let enclosed = [("{", "}"), ("<", ">"), ("[", "]"), ("%", "%"), ("$(", ")"), ("(", ")")];
    text.is_empty()
        || enclosed.iter().any(|(open, close)| text.starts_with(open) && text.ends_with(close))
        || text.starts_with('$')
        || text.contains("${")
        || text.contains("{{")
        || text.starts_with("%s")
        || text.starts_with("%(")
        || text.chars().all(|c| matches!(c, '*' | '.' | 'x' | 'X' | '•' | '#' | '_' | '-'))
        || text.contains("...")
        || is_elsewhere(text)
}

/// Whether a value names the place where the credential is kept.
pub(crate) fn is_elsewhere(text: &str) -> bool {
    const PREFIXES: [&str; 14] = [
        "arn:",
        "vault:",
        "ssm:",
        "ssm://",
        "secretsmanager:",
        "op://",
        "file:",
        "env:",
        "ref:",
        "secretref:",
        "keyvault:",
        "gcp:",
        "resolve:",
        "projects/",
    ];
    let lower = text.to_ascii_lowercase();
    PREFIXES.iter().any(|prefix| lower.starts_with(prefix))
}
