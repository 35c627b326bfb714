//! How random a text looks. What people write is made of words and numbers with signs between them; what machines make
//! has letters and digits, or cases, in no order.

/// Bits of surprise that a random value has at least, all characters together.
const LEAST_BITS: f64 = 52.0;

/// Whether a text of that length or more looks as if a machine had drawn it.
pub(crate) fn is_random(text: &str, least: usize) -> bool {
    let length = text.chars().count();
    let fits = text.bytes().all(|byte| byte.is_ascii_graphic());
    fits && (least..=4_096).contains(&length)
        && bits(text) >= LEAST_BITS
        && !is_words(text)
        && per_character(text) >= 2.9
}

/// Whether a text is made of words and numbers: `us-east-1-prod`, `v2.3.1`, `MyServiceName`, `team_blue/web01`.
pub(crate) fn is_words(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric()).all(is_word)
        && !text.chars().any(|c| "!#$%^&*?<>\\|~`\"'".contains(c))
}

/// A run of letters and digits that a person would write: letters in few changes of case, then a number, or the reverse.
fn is_word(run: &str) -> bool {
    let classes: Vec<u8> = run.bytes().map(class).collect();
    let changes = classes.windows(2).filter(|pair| pair.first() != pair.last()).count();
    let numbers = classes.windows(2).filter(|pair| (pair.first() == Some(&0)) != (pair.last() == Some(&0))).count();
    let length = run.len();
    // Twelve letters in a row without a vowel, or a hexadecimal number, is nobody's word.
    let is_hex = length >= 16 && run.bytes().all(|byte| byte.is_ascii_hexdigit()) && numbers > 0;
    let vowels = run.bytes().filter(|byte| b"aeiouyAEIOUY".contains(byte)).count();
    let is_mute = length >= 12 && classes.iter().all(|class| *class != 0) && vowels * 7 < length;
    numbers <= 2 && changes * 3 <= 6 + length && !is_hex && !is_mute && length <= 40
}

fn class(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => 0,
        b'A'..=b'Z' => 1,
        _ => 2,
    }
}

/// Shannon's entropy of a text, by how often its own characters stand in it, in bits per character.
fn per_character(text: &str) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text.bytes() {
        if let Some(count) = counts.get_mut(usize::from(byte)) {
            *count += 1;
        }
    }
    let length = text.len() as f64;
    let part = |count: &u32| {
        let share = f64::from(*count) / length;
        -share * share.log2()
    };
    counts.iter().filter(|count| **count > 0).map(part).sum()
}

fn bits(text: &str) -> f64 {
    per_character(text) * text.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_machine_draws_is_told_from_what_a_person_writes() {
        for text in [
            "9f86d081884c7d659a2feaa0c55ad015",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCY",
            "8f14e45f-ceea-467f-a0e6-1b2c3d4e5f60",
            "tqOz1xVbN8rYcKm4",
            "Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5",
        ] {
            assert!(is_random(text, 16), "{text} {}", bits(text));
        }
        for text in [
            "us-east-1-production-database",
            "my-service-token-v2",
            "AmazonEC2ContainerRegistryReadOnly",
            "com.example.Service2",
            "kubernetes.io/service-account-token",
            "aaaaaaaaaaaaaaaaaaaaaaaa",
            "registry.internal:5000/team/web",
        ] {
            assert!(!is_random(text, 16), "{text}");
        }
    }
}
