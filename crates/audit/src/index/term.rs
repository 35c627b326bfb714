//! What entries can be found by: a field and a value, spelt as bytes so that all values of a field lie together, in
//! order.

/// The fields of the dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// The one name of what the entry is about.
    Object = 1,
    /// The canonical path.
    Path = 2,
    /// An entity, a token's accessor, or a display name.
    Principal = 3,
    /// The operation.
    Operation = 4,
    /// How it ended.
    Result = 5,
    /// From where.
    Address = 6,
    /// The foreign API.
    Dialect = 7,
    /// The namespace, unless it is the root.
    Namespace = 8,
    /// Intent, outcome or event.
    Kind = 9,
    /// What the caller typed, where it was not the canonical path.
    Typed = 10,
    /// The rule that let somebody through: policy and pattern, with a line feed between.
    Rule = 11,
}

/// Spells a term into a buffer that is used again and again.
pub(crate) fn spell<'b>(buffer: &'b mut Vec<u8>, field: Field, value: &str) -> &'b [u8] {
    buffer.clear();
    buffer.push(field as u8);
    buffer.extend_from_slice(value.as_bytes());
    buffer
}

/// The value of a term.
pub(crate) fn value(term: &[u8]) -> &str {
    std::str::from_utf8(term.get(1..).unwrap_or_default()).unwrap_or_default()
}
