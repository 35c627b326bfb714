//! Ways through many secrets, a page at a time. Names are kept in an order that means nothing, so who needs no order goes
//! on in the store's own, and each page costs what it shows wherever it begins; a sorted list is made once, and its
//! names are remembered for the pages that follow.

use super::place::{NameKind, names, subfolder};
use super::store::Secrets;
use crate::records::Listed;
use crate::{CoreError, Grant};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use strongroom_barrier::Address;
use strongroom_model::{FolderPath, MountId, SecretPath, Timestamp};

/// A part of a way through a folder.
pub struct Walk<'a> {
    /// The folder: the granted one, or one below.
    pub within: &'a FolderPath,
    /// Whether folders below are entered.
    pub deep: bool,
    /// Where the last part ended.
    pub after: Option<&'a SecretPath>,
    /// How many names are wanted.
    pub most: usize,
}

/// Secrets in the order in which they are listed, with what they are sorted by.
pub type Listing = Arc<[(Timestamp, SecretPath)]>;

/// Lists whose first page was shown, and whose next ones are likely to be asked for.
#[derive(Default)]
pub(super) struct Listings(Mutex<VecDeque<Begun>>);

struct Begun {
    id: u64,
    mount: MountId,
    reader: String,
    listing: Listing,
}

/// A folder on the way.
struct Room {
    folder: FolderPath,
    after: Option<Address>,
    read: VecDeque<Listed<NameKind>>,
    is_read: bool,
}

/// How many names are read at once.
const CHUNK: std::ops::RangeInclusive<usize> = 16..=64;
const MOST_LISTINGS: usize = 64;
const MOST_NAMES: usize = 200_000;

impl Secrets {
    /// Names of secrets in the order of the store; fewer than wanted only when there are no more. What is made or removed
    /// in between neither repeats nor hides others.
    pub async fn walk(&self, grant: &Grant, walk: &Walk<'_>) -> Result<Vec<SecretPath>, CoreError> {
        let (mount, granted) = grant.folder()?;
        if walk.within != granted && !is_below(walk.within.as_str(), granted) {
            return Err(CoreError::Internal("a grant was used for an act it was not given for"));
        }
        let (mut rooms, mut found) = (rooms(mount.id, walk)?, Vec::new());
        let chunk = walk.most.clamp(*CHUNK.start(), *CHUNK.end());
        while let Some(mut room) = rooms.pop() {
            if room.read.is_empty() && !room.is_read {
                self.read_on(mount.id, &mut room, chunk).await?;
            }
            let Some(listed) = room.read.pop_front() else { continue };
            let (text, folder) = (listed.text(), room.folder.clone());
            rooms.push(room);
            match listed.value {
                NameKind::Folder if walk.deep => rooms.push(Room::new(subfolder(&folder, &text)?, None)),
                NameKind::Folder => {}
                NameKind::Secret(_) => {
                    let whole = if folder.as_str().is_empty() { text } else { format!("{folder}/{text}") };
                    found.push(SecretPath::parse(&whole)?);
                    if found.len() >= walk.most {
                        return Ok(found);
                    }
                }
            }
        }
        Ok(found)
    }

    async fn read_on(&self, mount: MountId, room: &mut Room, chunk: usize) -> Result<(), CoreError> {
        let shelf = names(mount, &room.folder);
        let page = self.records.scan::<NameKind>(&shelf, room.after.as_ref(), chunk).await?;
        room.is_read = page.len() < chunk;
        room.after = page.last().map(|last| shelf.named(&last.name)).or(room.after.take());
        room.read = page.into();
        Ok(())
    }

    /// Remembers a list for the caller's next pages, for a while; gives the number under which it is remembered.
    pub fn keep_listing(&self, grant: &Grant, listing: &Listing) -> Result<u64, CoreError> {
        let (mount, _) = grant.folder()?;
        let id = u64::from_le_bytes(self.entropy.array());
        let begun = Begun { id, mount: mount.id, reader: reader(grant), listing: Arc::clone(listing) };
        let mut all = self.listings.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push_back(begun);
        while all.len() > MOST_LISTINGS || all.iter().map(|one| one.listing.len()).sum::<usize>() > MOST_NAMES {
            all.pop_front();
        }
        Ok(id)
    }

    /// The list that is remembered under a number for this caller; `None`: it must be made again.
    pub fn kept_listing(&self, grant: &Grant, id: u64) -> Result<Option<Listing>, CoreError> {
        let ((mount, _), reader) = (grant.folder()?, reader(grant));
        let all = self.listings.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = |one: &&Begun| one.id == id && one.mount == mount.id && one.reader == reader;
        Ok(all.iter().find(own).map(|one| Arc::clone(&one.listing)))
    }
}

impl Room {
    fn new(folder: FolderPath, after: Option<Address>) -> Self {
        Self { folder, after, read: VecDeque::new(), is_read: false }
    }
}

fn reader(grant: &Grant) -> String {
    grant.principal().map(|principal| principal.accessor.clone()).unwrap_or_default()
}

/// The folders in which the way goes on, innermost last.
fn rooms(mount: MountId, walk: &Walk<'_>) -> Result<Vec<Room>, CoreError> {
    let Some(after) = walk.after else { return Ok(vec![Room::new(walk.within.clone(), None)]) };
    if !is_below(after.as_str(), walk.within) {
        return Err(CoreError::Invalid("the place to go on from is of another list".to_owned()));
    }
    let steps = after.steps().into_iter();
    let steps = steps.filter(|(folder, _)| folder == walk.within || is_below(folder.as_str(), walk.within));
    Ok(steps.map(|(folder, name)| Room::new(folder.clone(), Some(names(mount, &folder).named(name)))).collect())
}

fn is_below(path: &str, folder: &FolderPath) -> bool {
    let rest = path.strip_prefix(folder.as_str());
    folder.as_str().is_empty() || rest.is_some_and(|rest| rest.starts_with('/'))
}
