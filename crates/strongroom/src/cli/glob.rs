//! Patterns for paths: `*` and `?` stand for characters within one segment, `**` for any number of whole segments.
//! Pure, and never slower than length of pattern times length of text, whatever the pattern.

/// A pattern for a whole path.
pub(crate) struct Glob {
    segments: Vec<Vec<char>>,
}

const ANY_DEPTH: [char; 2] = ['*', '*'];

impl Glob {
    /// Every text is a pattern.
    pub(crate) fn new(text: &str) -> Self {
        let mut segments: Vec<Vec<char>> = text.split('/').map(|segment| segment.chars().collect()).collect();
        // At the end it is what lies below, and not the folder's own name.
        if segments.last().is_some_and(|last| *last == ANY_DEPTH) {
            segments.push(vec!['*']);
        }
        Self { segments }
    }

    /// Whether a text has anything that stands for something else.
    pub(crate) fn is_pattern(text: &str) -> bool {
        text.contains(['*', '?'])
    }

    /// Whether the whole path fits.
    pub(crate) fn fits(&self, path: &str) -> bool {
        let path: Vec<&str> = path.split('/').collect();
        wild(&self.segments, &path, |part| *part == ANY_DEPTH, |part, segment| fits_segment(part, segment))
    }

    /// Whether something below the folder could fit.
    pub(crate) fn reaches_below(&self, folder: &str) -> bool {
        let mut parts = self.segments.iter();
        for segment in folder.split('/').filter(|segment| !segment.is_empty()) {
            match parts.next() {
                Some(part) if *part == ANY_DEPTH => return true,
                Some(part) if fits_segment(part, segment) => {}
                _ => return false,
            }
        }
        parts.len() > 0
    }
}

/// Whether one segment fits.
pub(crate) fn fits_segment(part: &[char], segment: &str) -> bool {
    let segment: Vec<char> = segment.chars().collect();
    wild(part, &segment, |part| *part == '*', |part, c| *part == '?' || part == c)
}

/// The usual walk with one place to come back to: the last part that stands for many.
fn wild<P, T>(pattern: &[P], text: &[T], many: impl Fn(&P) -> bool, fits: impl Fn(&P, &T) -> bool) -> bool {
    let (mut at, mut from, mut back) = (0, 0, None);
    while let Some(item) = text.get(from) {
        match pattern.get(at) {
            Some(part) if many(part) => {
                back = Some((at + 1, from));
                at += 1;
            }
            Some(part) if fits(part, item) => (at, from) = (at + 1, from + 1),
            _ => match back {
                None => return false,
                Some((after, taken)) => {
                    (at, from) = (after, taken + 1);
                    back = Some((after, taken + 1));
                }
            },
        }
    }
    pattern.iter().skip(at).all(many)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_in_its_segment_and_two_do_not() {
        for (pattern, path, fits) in [
            ("secret/*/db", "secret/app/db", true),
            ("secret/*/db", "secret/app/x/db", false),
            ("secret/**/db", "secret/app/x/db", true),
            ("secret/**/db", "secret/db", true),
            ("**", "a/b/c", true),
            ("a/**", "a/b/c", true),
            ("a/**", "a", false),
            ("secret/a?c*", "secret/abcd", true),
            ("secret/a?c*", "secret/ac", false),
            ("**/b/**/d", "a/b/c/b/c/d", true),
            ("a/*", "a", false),
            ("*a*b*c", "xaybzc", true),
            ("é?", "éü", true),
        ] {
            assert_eq!(Glob::new(pattern).fits(path), fits, "{pattern} {path}");
        }
    }

    #[test]
    fn folders_that_hold_nothing_that_fits_are_not_entered() {
        let glob = Glob::new("secret/a*/db");
        for (folder, reached) in
            [("", true), ("secret", true), ("secret/app", true), ("secret/web", false), ("secret/app/db", false)]
        {
            assert_eq!(glob.reaches_below(folder), reached, "{folder}");
        }
        assert!(Glob::new("**/db").reaches_below("any/where"));
    }

    #[test]
    fn a_hostile_pattern_is_answered_at_once() {
        let pattern: String = "a*".repeat(200) + "b";
        assert!(!Glob::new(&pattern).fits(&"a".repeat(5_000)));
    }
}
