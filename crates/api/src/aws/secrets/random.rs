//! Random passwords.

use crate::aws::input::Input;
use crate::aws::operation::{Asked, Call, Place};
use crate::aws::refusal::Refusal;
use serde_json::json;
use strongroom_core::{Operation::Read, Reply};
use strongroom_model::{Entropy, SecretString};
use zeroize::{Zeroize, Zeroizing};

const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &str = "0123456789";
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

pub(super) fn asks(_: &Input<'_>) -> Result<Asked, Refusal> {
    Ok(Asked { operation: Read, place: Place::Path("sys/aws/random-password".to_owned()) })
}

/// `GetRandomPassword`. For anybody with a key: it tells nothing.
pub(super) async fn password(call: Call<'_>) -> Result<Reply, Refusal> {
    if call.tour.key.is_none() {
        return Err(Refusal::unsigned(call.tour.service));
    }
    let input = &call.input;
    let length = input.number("PasswordLength", 1, 4_096)?.unwrap_or(32) as usize;
    let excluded = input.bounded("ExcludeCharacters", 4_096)?.unwrap_or_default();
    let space = if input.flag("IncludeSpace")? { " " } else { "" };
    let mut sets = Vec::new();
    for (name, set) in [
        ("ExcludeLowercase", LOWER),
        ("ExcludeUppercase", UPPER),
        ("ExcludeNumbers", DIGITS),
        ("ExcludePunctuation", PUNCTUATION),
    ] {
        if !input.flag(name)? {
            sets.push(set.chars().filter(|c| !excluded.contains(*c)).collect::<Vec<char>>());
        }
    }
    let spaces: Vec<char> = space.chars().filter(|c| !excluded.contains(*c)).collect();
    let each = input.choice("RequireEachIncludedType")?.unwrap_or(true);
    if each && sets.iter().any(Vec::is_empty) {
        return Err(Refusal::parameter(
            "A required type has no characters left: exclude fewer, or do not require each type.",
        ));
    }
    if sets.iter().all(Vec::is_empty) && spaces.is_empty() {
        return Err(Refusal::parameter("All characters are excluded: exclude fewer."));
    }
    if each && length < sets.len() {
        return Err(Refusal::parameter("The password length is too short for one character of each required type."));
    }
    sets.push(spaces);
    let made = make(call.tour.strongroom.entropy(), length, &sets, each);
    Ok(Reply::data(json!({ "RandomPassword": made.expose() })))
}

/// Draws the required characters first and shuffles the whole, so that none has a place of its own.
fn make(entropy: &dyn Entropy, length: usize, sets: &[Vec<char>], each: bool) -> SecretString {
    let all: Vec<char> = sets.concat();
    let required = sets.iter().take(sets.len().saturating_sub(1)).filter(|_| each);
    let mut drawn = Zeroizing::new(Vec::with_capacity(length));
    drawn.extend(required.filter_map(|set| set.get(below(entropy, set.len()))).copied());
    while drawn.len() < length {
        drawn.extend(all.get(below(entropy, all.len())).copied());
    }
    for last in (1..drawn.len()).rev() {
        drawn.swap(last, below(entropy, last + 1));
    }
    // One character has at most one byte here: all sets are ASCII.
    let mut text = String::with_capacity(length);
    text.extend(drawn.iter());
    drawn.zeroize();
    SecretString::new(text)
}

/// A number below `bound`, each equally likely: draws beyond the last whole multiple are thrown away.
fn below(entropy: &dyn Entropy, bound: usize) -> usize {
    let bound = bound.max(1) as u64;
    let limit = u64::MAX - u64::MAX % bound;
    loop {
        let drawn = u64::from_be_bytes(entropy.array());
        if drawn < limit {
            return (drawn % bound) as usize;
        }
    }
}
