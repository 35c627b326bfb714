//! What the trail's folder knows of segments that were archived: their signed manifests, which stay when the lines go.

use crate::chain::Hash;
use crate::index::part::Part;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use strongroom_model::Timestamp;
use strongroom_proof::{Manifest, Stretch};

/// Where manifests are, in the trail's folder.
pub(crate) const FOLDER: &str = "manifests";

/// A segment that was archived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gone {
    /// As the manifest speaks of it.
    pub(crate) said: Stretch,
    /// The hash of the line before its first.
    pub(crate) before: Hash,
    /// The hash of its last line.
    pub(crate) head: Hash,
    /// The latest time in it.
    pub(crate) latest: Timestamp,
    earliest: Timestamp,
    /// Who signed.
    pub(crate) key: Hash,
}

/// A stretch of the trail about which nothing can be answered here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Absence {
    /// The number of its first line.
    pub first: u64,
    /// The number behind its last line.
    pub next: u64,
    /// Its earliest time, as far as that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Its latest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// Whether a signed manifest says that it was archived; else the lines are simply missing.
    pub archived: bool,
}

/// All manifests of a trail.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    gone: BTreeMap<u64, Gone>,
    /// Files that are no manifests to be believed, and why.
    pub(crate) bad: Vec<(String, String)>,
}

impl Ledger {
    /// Reads all that there are; those that are not signed by one of the keys (by any, when there are none) count as bad.
    pub(crate) fn load(trail: &Path, keys: &[Hash]) -> io::Result<Self> {
        let mut ledger = Self::default();
        let items = match fs::read_dir(trail.join(FOLDER)) {
            Ok(items) => items,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ledger),
            Err(error) => return Err(error),
        };
        for item in items {
            let path = item?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match Manifest::checked(&fs::read(&path)?, keys) {
                Ok(manifest) => ledger.add(&manifest),
                Err(error) => {
                    let name = path.file_name().unwrap_or_default().to_string_lossy();
                    ledger.bad.push((format!("{FOLDER}/{name}"), error.to_string()));
                }
            }
        }
        Ok(ledger)
    }

    /// Keeps a manifest for ever. Durable when it returns.
    pub(crate) fn save(trail: &Path, manifest: &Manifest) -> io::Result<()> {
        let folder = trail.join(FOLDER);
        DirBuilder::new().mode(0o700).recursive(true).create(&folder)?;
        let path = folder.join(format!("{:020}-{:020}.json", manifest.first(), manifest.next()));
        let draft = path.with_extension("draft");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(&serde_json::to_vec(manifest)?)?;
        file.sync_all()?;
        fs::rename(&draft, &path)?;
        File::open(&folder)?.sync_all()?;
        File::open(trail)?.sync_all()
    }

    pub(crate) fn add(&mut self, manifest: &Manifest) {
        for said in &manifest.segments {
            // All of it was checked when the manifest was.
            let times = Timestamp::parse(&said.earliest).zip(Timestamp::parse(&said.latest));
            let hashes = unhex(&said.before).zip(unhex(&said.head)).zip(unhex(&manifest.key));
            if let (Some((earliest, latest)), Some(((before, head), key))) = (times, hashes) {
                let gone = Gone { said: said.clone(), before, head, latest, earliest, key };
                self.gone.insert(said.first, gone);
            }
        }
    }

    /// The archived segment that begins with this line.
    pub(crate) fn at(&self, first: u64) -> Option<&Gone> {
        self.gone.get(&first)
    }

    /// The number of the first line that was ever archived.
    pub(crate) fn start(&self) -> Option<u64> {
        self.gone.keys().next().copied()
    }

    /// What lies between the parts of an index, and before them.
    pub(crate) fn absences<'p>(&self, parts: impl Iterator<Item = (u64, u64)> + 'p) -> Vec<Absence> {
        let (mut found, mut next) = (Vec::new(), 0);
        for (first, behind) in parts {
            while next < first {
                let gap = self.absence(next, first);
                next = gap.next;
                join(&mut found, gap);
            }
            next = next.max(behind);
        }
        found
    }

    fn absence(&self, first: u64, end: u64) -> Absence {
        if let Some(gone) = self.at(first) {
            let (from, to) = (Some(gone.earliest), Some(gone.latest));
            return Absence { first, next: gone.said.next, from, to, archived: true };
        }
        let known = self.gone.range(first..end).next().map_or(end, |(first, _)| *first);
        Absence { first, next: known, from: None, to: None, archived: false }
    }
}

/// The bounds of all parts that there are, for [`Ledger::absences`].
pub(crate) fn bounds(parts: &[Part], live: Option<(u64, u64)>) -> impl Iterator<Item = (u64, u64)> + '_ {
    parts.iter().map(|part| (part.first(), part.next())).chain(live)
}

fn join(found: &mut Vec<Absence>, gap: Absence) {
    match found.last_mut() {
        Some(last) if last.archived == gap.archived && last.next == gap.first => {
            last.next = gap.next;
            (last.from, last.to) = (last.from.min(gap.from), last.to.max(gap.to));
        }
        _ => found.push(gap),
    }
}

fn unhex(text: &str) -> Option<Hash> {
    let mut hash = Hash::default();
    hex::decode_to_slice(text, &mut hash).ok()?;
    Some(hash)
}
