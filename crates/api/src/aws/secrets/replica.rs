//! Copies in other regions: there are none, because a server is one place.

/// What is told to who asks for one.
pub(super) const NONE: &str = "This server keeps no copies in other regions: every region that it serves reads the \
                               secrets of its own mount. Leave the regions out";
