use std::io;
use std::ops::{Deref, DerefMut};
use zeroize::{Zeroize, ZeroizeOnDrop, optimization_barrier};

/// A buffer for what must not stay in memory: all of it, room that is not in use too, is overwritten when it is dropped.
///
/// `Zeroizing<Vec<u8>>` promises the same and takes the bytes one by one; this takes them all at once, since most of what
/// a request handles goes through such a buffer. It grows without leaving a copy behind only by [`Wiped::append`] and
/// [`io::Write`]; by the ways of a vector it must not grow.
#[derive(Default)]
pub struct Wiped(Vec<u8>);

impl Wiped {
    /// Takes over the bytes; the buffer given is the one that will be wiped.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// An empty one with room for that many bytes.
    pub fn with_capacity(room: usize) -> Self {
        Self(Vec::with_capacity(room))
    }

    /// Appends; what it grows out of is wiped.
    #[inline]
    pub fn append(&mut self, data: &[u8]) {
        if self.0.capacity() - self.0.len() < data.len() {
            self.grow(data.len());
        }
        self.0.extend_from_slice(data);
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        let mut larger = Vec::with_capacity((self.0.len() + more).next_power_of_two());
        larger.extend_from_slice(&self.0);
        self.zeroize();
        self.0 = larger;
    }
}

impl Zeroize for Wiped {
    fn zeroize(&mut self) {
        overwrite(&mut self.0);
        self.0.clear();
    }
}

/// Makes zeroes of all its room. It moves nothing: there is room for as much.
fn overwrite(bytes: &mut Vec<u8>) {
    let room = bytes.capacity();
    bytes.clear();
    bytes.resize(room, 0);
    // They must be written although nobody reads them again.
    optimization_barrier(bytes.as_slice());
}

impl Drop for Wiped {
    fn drop(&mut self) {
        self.zeroize();
    }
}

impl ZeroizeOnDrop for Wiped {}

impl Clone for Wiped {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl Deref for Wiped {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Wiped {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl io::Write for Wiped {
    #[inline]
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.append(data);
        Ok(data.len())
    }

    // An answer comes in a hundred small pieces.
    #[inline]
    fn write_all(&mut self, data: &[u8]) -> io::Result<()> {
        self.append(data);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn wiping_overwrites_all_the_room() {
        for (length, room) in [(0, 0), (0, 64), (5, 5), (5, 64), (4_096, 5_000)] {
            let mut bytes = Vec::with_capacity(room);
            bytes.resize(length, 0xA5_u8);
            let (place, capacity) = (bytes.as_ptr(), bytes.capacity());
            overwrite(&mut bytes);
            // In the place where they were: a buffer that moved would leave them behind.
            assert_eq!((bytes.as_ptr(), bytes.len()), (place, capacity));
            assert!(bytes.iter().all(|byte| *byte == 0));
        }
        let mut wiped = Wiped::new(vec![0xA5; 9]);
        wiped.zeroize();
        assert!(wiped.is_empty());
    }

    #[test]
    fn it_grows_and_keeps_what_it_holds() {
        let mut wiped = Wiped::default();
        let mut plain = Vec::new();
        for piece in 0..100_u8 {
            let data = vec![piece; usize::from(piece)];
            wiped.write_all(&data).unwrap();
            plain.extend_from_slice(&data);
        }
        assert_eq!(*wiped, plain);
        assert_eq!(*wiped.clone(), plain);
        assert_eq!(wiped.len(), 4_950);
    }
}
