//! Freshness: what makes removal, insertion and rollback of single objects visible to who reads them.
//!
//! Every live object is listed, with the tag of its latest sealing, in one of 65,536 sealed pages. A page carries the
//! generation (the number of the commit) that wrote it; which generation each page must have is known in memory while
//! unsealed, and is kept in the store as 256 middles and one head. The head holds what changed since the middles
//! were written, so a commit writes its records, their pages, the head, and now and then a few middles, and opening
//! reads 257 objects however many records there are.
//!
//! Does not detect that the whole store was put back to an earlier state: that takes knowledge from outside
//! (the generation in the trail's checkpoints).

mod cache;
mod head;
mod page;

pub(crate) use cache::Freshness;
pub(crate) use head::{BUCKETS, Head, MIDS_COUNT, Mid};
pub(crate) use page::{Listed, Page, TALLY, Tally};
