//! Locked, wiped memory for keys, and the hardening of the whole process. The one crate with unsafe code: the
//! memory-locking system calls take raw addresses.

