//! Password policies: how a generated password must look, in Vault's language (a length, and character sets with
//! minimums), and the passwords made by them. The one source of passwords for people, rotation and database users.
//!
//! Invariants: every password satisfies every rule of its policy; each character is drawn without bias. Where the rules
//! leave room, all passwords that satisfy them are equally likely; where they leave so little that guessing fails, the
//! required characters are drawn first and the whole is shuffled.

use crate::records::{PutRecord, Records};
use crate::{CoreError, Grant};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use strongroom_barrier::{Shelf, Txn};
use strongroom_model::hcl::{self, Block, HclError, Item, Value};
use strongroom_model::{Entropy, NamespaceId, RoleName, SecretString};
use zeroize::{Zeroize, Zeroizing};

/// Shortest and longest password (Vault: `minPasswordLength`, `maxPasswordLength`).
const LENGTHS: std::ops::RangeInclusive<usize> = 4..=100;
/// Most different characters (Vault: `maxCharsetLen`).
const MOST_CHARACTERS: usize = 256;
/// Candidates drawn before the required characters are placed by hand.
const CANDIDATES: usize = 256;

/// A policy ready to make passwords.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordPolicy {
    length: usize,
    rules: Vec<CharsetRule>,
    /// Every character of every rule, each once, sorted.
    characters: Vec<char>,
}

/// At least so many characters out of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
struct CharsetRule {
    charset: Vec<char>,
    at_least: usize,
}

impl CharsetRule {
    fn is_met(&self, candidate: &[char]) -> bool {
        candidate.iter().filter(|c| self.charset.contains(c)).count() >= self.at_least
    }
}

impl PasswordPolicy {
    /// Reads a policy in HCL or JSON:
    ///
    /// ```hcl
    /// length = 20
    /// rule "charset" { charset = "abcdefghijklmnopqrstuvwxyz" min-chars = 1 }
    /// ```
    ///
    /// Fails when no password could satisfy it. Stricter than Vault, which skips keys it does not know: a misspelt
    /// `min_chars` would silently make weaker passwords.
    pub fn parse(source: &str) -> Result<Self, CoreError> {
        Self::read(source).map_err(|why| CoreError::Invalid(format!("invalid password policy: {why}")))
    }

    /// Twenty characters with a lower-case and an upper-case letter, a digit and a hyphen, as Vault makes passwords
    /// where no policy is named.
    pub fn standard() -> Self {
        let sets = ["abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789", "-"];
        let rules = sets.map(|set| CharsetRule { charset: sorted(set.chars()), at_least: 1 }).to_vec();
        let characters = sorted(sets.iter().flat_map(|set| set.chars()));
        Self { length: 20, rules, characters }
    }

    /// How many characters its passwords have.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Whether a text is a password that this policy could have made.
    pub fn is_met_by(&self, password: &str) -> bool {
        let candidate = Zeroizing::new(password.chars().collect::<Vec<_>>());
        candidate.len() == self.length
            && candidate.iter().all(|c| self.characters.contains(c))
            && self.rules.iter().all(|rule| rule.is_met(&candidate))
    }

    /// Makes a password.
    pub fn generate(&self, entropy: &dyn Entropy) -> SecretString {
        let mut dice = Dice::new(entropy);
        let mut candidate = Zeroizing::new(Vec::with_capacity(self.length));
        for _ in 0..CANDIDATES {
            candidate.zeroize();
            candidate.extend((0..self.length).filter_map(|_| dice.one_of(&self.characters)));
            if self.rules.iter().all(|rule| rule.is_met(&candidate)) {
                return text_of(&candidate);
            }
        }
        candidate.zeroize();
        for rule in &self.rules {
            candidate.extend((0..rule.at_least).filter_map(|_| dice.one_of(&rule.charset)));
        }
        let missing = self.length.saturating_sub(candidate.len());
        candidate.extend((0..missing).filter_map(|_| dice.one_of(&self.characters)));
        // Fisher and Yates: every order is equally likely.
        for last in (1..candidate.len()).rev() {
            candidate.swap(last, dice.below(last + 1));
        }
        text_of(&candidate)
    }

    fn read(source: &str) -> Result<Self, HclError> {
        let (mut length, mut rules) = (None, Vec::new());
        for item in &hcl::parse(source)? {
            match item.name.as_str() {
                "length" => length = Some(number(item)?),
                "rule" => {
                    for block in item.blocks()? {
                        rules.push(read_rule(&block)?);
                    }
                }
                other => {
                    return Err(HclError::new(
                        item.line,
                        format!("`{other}` does not belong here: write `length` and `rule \"charset\" {{ ... }}`"),
                    ));
                }
            }
        }
        let fail = |what: String| Err(HclError::new(1, what));
        let length = match length {
            None | Some(0) => return fail("length must be > 0".to_owned()),
            Some(length) if LENGTHS.contains(&length) => length,
            Some(_) => {
                return fail(format!("passwords must be between {} and {} characters", LENGTHS.start(), LENGTHS.end()));
            }
        };
        let required = rules.iter().fold(0_usize, |sum, rule: &CharsetRule| sum.saturating_add(rule.at_least));
        if length < required {
            return fail(format!("specified rules require at least {required} characters but {length} is specified"));
        }
        let characters = sorted(rules.iter().flat_map(|rule| rule.charset.iter().copied()));
        if characters.is_empty() {
            return fail("no charset specified".to_owned());
        }
        if characters.len() > MOST_CHARACTERS {
            return fail(format!("charset is too long: limited to {MOST_CHARACTERS} characters"));
        }
        Ok(Self { length, rules, characters })
    }
}

fn read_rule(block: &Block<'_>) -> Result<CharsetRule, HclError> {
    if block.label != "charset" {
        return Err(HclError::new(block.line, "unrecognized rule type: the only one is \"charset\""));
    }
    let (mut charset, mut at_least) = (Vec::new(), 0);
    for item in block.body {
        match (item.name.as_str(), &item.value.value) {
            ("charset", Value::Text(text)) => charset = sorted(text.chars()),
            ("charset", other) => {
                return Err(HclError::new(item.line, format!("charset is {}: write a string", other.sort())));
            }
            ("min-chars", _) => at_least = number(item)?,
            (other, _) => {
                return Err(HclError::new(
                    item.line,
                    format!("`{other}` does not belong here: write `charset` and `min-chars`"),
                ));
            }
        }
    }
    let printable = |c: &char| *c == ' ' || !(c.is_control() || c.is_whitespace());
    if !charset.iter().all(printable) {
        return Err(HclError::new(block.line, "non-printable character in charset"));
    }
    if charset.is_empty() {
        return Err(HclError::new(block.line, "no charset specified"));
    }
    Ok(CharsetRule { charset, at_least })
}

fn number(item: &Item) -> Result<usize, HclError> {
    let read = match &item.value.value {
        Value::Number(number) => number.as_u64().and_then(|number| usize::try_from(number).ok()),
        _ => None,
    };
    read.ok_or_else(|| HclError::new(item.line, format!("`{}` must be a whole number, not negative", item.name)))
}

fn sorted(characters: impl Iterator<Item = char>) -> Vec<char> {
    let mut characters: Vec<char> = characters.collect();
    characters.sort_unstable();
    characters.dedup();
    characters
}

fn text_of(candidate: &[char]) -> SecretString {
    let mut text = String::with_capacity(candidate.iter().map(|c| c.len_utf8()).sum());
    text.extend(candidate);
    SecretString::new(text)
}

/// Fair numbers out of random bytes.
struct Dice<'a> {
    entropy: &'a dyn Entropy,
    block: Zeroizing<[u8; 256]>,
    used: usize,
}

impl<'a> Dice<'a> {
    fn new(entropy: &'a dyn Entropy) -> Self {
        Self { entropy, block: Zeroizing::new([0; 256]), used: 256 }
    }

    fn word(&mut self) -> u32 {
        if self.used + 4 > self.block.len() {
            self.entropy.fill(&mut *self.block);
            self.used = 0;
        }
        let taken = self.block.get(self.used..self.used + 4).and_then(|four| four.try_into().ok());
        self.used += 4;
        u32::from_be_bytes(taken.unwrap_or_default())
    }

    /// A number below `bound`, each equally likely: words past the last whole multiple are thrown away, since taking
    /// them modulo the bound would favour small numbers.
    fn below(&mut self, bound: usize) -> usize {
        let bound = u32::try_from(bound).unwrap_or(u32::MAX).max(1);
        let fair = u32::MAX - u32::MAX % bound;
        loop {
            let word = self.word();
            if word < fair {
                return (word % bound) as usize;
            }
        }
    }

    fn one_of(&mut self, characters: &[char]) -> Option<char> {
        characters.get(self.below(characters.len())).copied()
    }
}

/// A policy as it is stored: its text.
#[derive(Serialize, Deserialize)]
struct StoredPolicy {
    source: String,
}

fn shelf() -> Shelf {
    Shelf::new("password-policy", NamespaceId::ROOT).counted()
}

/// Keeps password policies.
pub struct PasswordPolicies {
    records: Arc<Records>,
    entropy: Arc<dyn Entropy>,
}

impl PasswordPolicies {
    pub(crate) fn new(records: Arc<Records>, entropy: Arc<dyn Entropy>) -> Self {
        Self { records, entropy }
    }

    /// The text of a policy.
    pub async fn source(&self, name: &RoleName) -> Result<Option<String>, CoreError> {
        let stored = self.records.get::<StoredPolicy>(&shelf().named(name.as_str())).await?;
        Ok(stored.map(|stored| stored.value.source.clone()))
    }

    /// Writes a policy after reading it.
    pub async fn write(&self, _grant: &Grant, name: &RoleName, source: &str) -> Result<(), CoreError> {
        PasswordPolicy::parse(source)?;
        let stored = StoredPolicy { source: source.to_owned() };
        self.records.commit(Txn::new().put_record(shelf().named(name.as_str()), &stored)?).await.map(|_| ())
    }

    /// Removes a policy; what was made by it stays.
    pub async fn delete(&self, _grant: &Grant, name: &RoleName) -> Result<(), CoreError> {
        self.records.commit(Txn::new().delete(shelf().named(name.as_str()))).await.map(|_| ())
    }

    /// The names of all policies, sorted.
    pub async fn names(&self) -> Result<Vec<String>, CoreError> {
        let listed = self.records.scan_all::<StoredPolicy>(&shelf()).await?;
        let mut names: Vec<String> = listed.iter().map(|policy| policy.text()).collect();
        names.sort();
        Ok(names)
    }

    /// Makes a password by a policy; `None` when there is no such policy.
    pub async fn generate(&self, name: &RoleName) -> Result<Option<SecretString>, CoreError> {
        let Some(source) = self.source(name).await? else { return Ok(None) };
        let policy = PasswordPolicy::parse(&source).map_err(|_| CoreError::Unreadable { kind: "password policy" })?;
        Ok(Some(policy.generate(&*self.entropy)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// SplitMix64: fair enough to count with, and the same in every run.
    struct Seeded(AtomicU64);

    impl Entropy for Seeded {
        fn fill(&self, buffer: &mut [u8]) {
            for byte in buffer {
                let state = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
                let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
                *byte = (mixed ^ (mixed >> 31)) as u8;
            }
        }
    }

    fn seeded(seed: u64) -> Seeded {
        Seeded(AtomicU64::new(seed))
    }

    fn policy(length: usize, rules: &[(&str, usize)]) -> Result<PasswordPolicy, CoreError> {
        let rule = |(charset, at_least): &(&str, usize)| {
            let charset = serde_json::to_string(charset).unwrap();
            format!("rule \"charset\" {{\n charset = {charset}\n min-chars = {at_least}\n}}\n")
        };
        PasswordPolicy::parse(&format!("length = {length}\n{}", rules.iter().map(rule).collect::<String>()))
    }

    proptest! {
        #[test]
        fn every_password_satisfies_every_rule(
            length in 4_usize..=100,
            sets in proptest::collection::vec(("[a-zA-Z0-9!-/]{1,20}", 0_usize..40), 1..5),
            seed: u64,
        ) {
            let rules: Vec<(&str, usize)> = sets.iter().map(|(set, n)| (set.as_str(), *n)).collect();
            let required: usize = rules.iter().map(|(_, n)| n).sum();
            match policy(length, &rules) {
                Err(error) => prop_assert!(required > length, "{error}"),
                Ok(policy) => {
                    let password = policy.generate(&seeded(seed));
                    prop_assert!(policy.is_met_by(password.expose()), "{}", password.expose());
                }
            }
        }
    }

    /// Counts characters over many passwords; by chance alone no count is further than six deviations from its share.
    fn assert_fair(policy: &PasswordPolicy, among: &str) {
        let dice = seeded(7);
        let mut counts: BTreeMap<char, f64> = among.chars().map(|c| (c, 0.0)).collect();
        for _ in 0..500 {
            for c in policy.generate(&dice).expose().chars() {
                counts.entry(c).and_modify(|count| *count += 1.0);
            }
        }
        let share = counts.values().sum::<f64>() / counts.len() as f64;
        for (c, count) in &counts {
            assert!((count - share).abs() < 6.0 * share.sqrt(), "{c}: {count} where {share} is fair");
        }
    }

    #[test]
    fn every_character_is_equally_likely() {
        // 67 divides no power of two, so a modulo of single bytes would show. (Of the four that are drawn it would not: a
        // rejection is owed there too, and costs nothing.)
        let set: String = ('!'..='c').collect();
        assert_eq!(set.chars().count(), 67);
        assert_fair(&policy(20, &[(&set, 0)]).unwrap(), &set);
    }

    #[test]
    fn a_rule_that_guessing_cannot_meet_still_leaves_fair_characters() {
        let policy = policy(40, &[("0123456789", 38), ("abcdefghij", 0), ("+", 1)]).unwrap();
        assert!(policy.is_met_by(policy.generate(&seeded(1)).expose()));
        assert_fair(&policy, "0123456789");
        // Placed first, then shuffled: the plus stands everywhere, not only at one end.
        let dice = seeded(3);
        let places: std::collections::BTreeSet<_> =
            (0..600).map(|_| policy.generate(&dice).expose().find('+').unwrap()).collect();
        assert_eq!(places.len(), 40);
    }

    #[test]
    fn what_cannot_be_satisfied_is_refused_with_its_reason() {
        let text = |source: &str| PasswordPolicy::parse(source).unwrap_err().to_string();
        assert!(text("").contains("length must be > 0"));
        assert!(text("length = 20").contains("no charset specified"));
        assert!(text("length = 3 rule \"charset\" { charset = \"a\" }").contains("between 4 and 100"));
        assert!(text("length = 101 rule \"charset\" { charset = \"a\" }").contains("between 4 and 100"));
        let greedy = "length = 4 rule \"charset\" { charset = \"a\" min-chars = 5 }";
        assert!(text(greedy).contains("require at least 5 characters but 4"));
        assert!(text("length = 20 rule \"dictionary\" { }").contains("unrecognized rule type"));
        assert!(text("length = 20 rule \"charset\" { charset = \"a\\n\" }").contains("non-printable"));
        assert!(text("length = 20 rule \"charset\" { charset = \"a\" min_chars = 1 }").contains("min_chars"));
        assert!(text("length = 20 rule \"charset\" { charset = \"a\" min-chars = -1 }").contains("min-chars"));
    }

    #[test]
    fn json_and_hcl_say_the_same() {
        let json = r#"{"length": 20, "rule": [{"charset": {"charset": "abc", "min-chars": 2}}]}"#;
        assert_eq!(PasswordPolicy::parse(json).unwrap(), policy(20, &[("abc", 2)]).unwrap());
        assert!(PasswordPolicy::standard().is_met_by(PasswordPolicy::standard().generate(&seeded(9)).expose()));
    }
}
