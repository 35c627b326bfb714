//! Changes inputs by chance: bits, numbers, copies and cuts, words of the language, and parts of other inputs.
//!
//! Repeatable: the same seed gives the same inputs. Knows nothing of what the inputs mean but their words.

/// Repeatable chance (SplitMix64); nothing secret is made of it.
pub struct Chance(u64);

impl Chance {
    /// Chance that begins at a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 when there is none.
    pub fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.number() % end as u64) as usize }
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }
}

/// What programs trip over whatever the language.
const WORDS: [&str; 40] = [
    "\0",
    "\r\n",
    "\n",
    "\t",
    " ",
    "\u{7f}",
    "\u{85}",
    "\u{200b}",
    "\u{feff}",
    "\u{ff0e}\u{ff0e}",
    "%2e",
    "%2f",
    "%00",
    "%",
    "%zz",
    "%c0%ae",
    "..",
    "../",
    "//",
    "/",
    "\\",
    ";",
    "+",
    "*",
    "-1",
    "0",
    "18446744073709551616",
    "1e999",
    "\"",
    "'",
    "${",
    "{{",
    "}}",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "=",
];
/// Longer inputs are cut: what is wrong with long ones is wrong with these too, and takes less time.
const LONGEST: usize = 32 * 1024;

/// Makes inputs from others.
pub struct Mutator<'a> {
    words: &'a [&'a str],
}

impl<'a> Mutator<'a> {
    /// One that knows the words of a language.
    pub fn new(words: &'a [&'a str]) -> Self {
        Self { words }
    }

    /// A changed copy: one to eight changes on top of each other.
    pub fn mutate(&self, chance: &mut Chance, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut data = chance.pick(corpus).cloned().unwrap_or_default();
        for _ in 0..=chance.below(8) {
            self.step(chance, &mut data, corpus);
        }
        data.truncate(LONGEST);
        data
    }

    fn step(&self, chance: &mut Chance, data: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let at = chance.below(data.len() + 1);
        let (begin, end) = part(chance, data.len());
        match chance.below(12) {
            0 => flip(chance, data),
            1 => replace(data, at..at, &[chance.number() as u8]),
            2 => drop(data.drain(begin..end)),
            3 => repeat(chance, data, begin..end),
            4..=6 => replace(data, at..at, self.word(chance)),
            7 => replace(data, begin..end, self.word(chance)),
            8 => splice(chance, data, corpus),
            9 => data.truncate(at),
            10 => swap(chance, data),
            _ => change_case(data, begin..end),
        }
    }

    fn word(&self, chance: &mut Chance) -> &'a [u8] {
        let known = self.words.len();
        let number = chance.below(known * 2 + WORDS.len());
        let word = if number < known * 2 { self.words.get(number / 2) } else { WORDS.get(number - known * 2) };
        word.map_or(b"".as_slice(), |word| word.as_bytes())
    }
}

fn part(chance: &mut Chance, length: usize) -> (usize, usize) {
    let begin = chance.below(length + 1);
    let most = (length - begin).min(1 << chance.below(8));
    (begin, begin + chance.below(most + 1))
}

fn replace(data: &mut Vec<u8>, range: std::ops::Range<usize>, with: &[u8]) {
    data.splice(range, with.iter().copied());
}

fn flip(chance: &mut Chance, data: &mut [u8]) {
    let at = chance.below(data.len());
    if let Some(byte) = data.get_mut(at) {
        *byte ^= 1 << chance.below(8);
    }
}

fn repeat(chance: &mut Chance, data: &mut Vec<u8>, range: std::ops::Range<usize>) {
    let most = if chance.below(20) == 0 { 12 } else { 4 };
    let times = 1 << chance.below(most);
    let Some(part) = data.get(range.clone()) else { return };
    let copies = part.repeat(times.min(LONGEST / part.len().max(1)));
    replace(data, range.end..range.end, &copies);
}

fn splice(chance: &mut Chance, data: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    let Some(other) = chance.pick(corpus) else { return };
    let (begin, end) = part(chance, other.len());
    let at = chance.below(data.len() + 1);
    replace(data, at..at, other.get(begin..end).unwrap_or_default());
}

fn swap(chance: &mut Chance, data: &mut [u8]) {
    let (one, other) = (chance.below(data.len()), chance.below(data.len()));
    if !data.is_empty() {
        data.swap(one, other);
    }
}

fn change_case(data: &mut [u8], range: std::ops::Range<usize>) {
    for byte in data.get_mut(range).unwrap_or_default() {
        *byte = if byte.is_ascii_uppercase() { byte.to_ascii_lowercase() } else { byte.to_ascii_uppercase() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_inputs_and_another_gives_others() {
        let corpus = vec![b"path \"a\" {}".to_vec(), b"deny".to_vec()];
        let run = |seed| {
            let mut chance = Chance::new(seed);
            (0..200).map(|_| Mutator::new(&["path"]).mutate(&mut chance, &corpus)).collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        assert!(run(7).iter().all(|data| data.len() <= LONGEST));
    }

    #[test]
    fn nothing_at_all_can_be_changed_too() {
        let mut chance = Chance::new(1);
        for _ in 0..2_000 {
            Mutator::new(&[]).mutate(&mut chance, &[]);
        }
    }
}
