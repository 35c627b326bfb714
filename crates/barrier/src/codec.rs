//! Unambiguous bytes for what is sealed, authenticated or hashed: fixed-width integers and length-prefixed parts,
//! big-endian. Two different sequences of parts never give the same bytes.

use strongroom_model::NamespaceId;

/// Appends parts to a buffer.
pub(crate) trait Put {
    /// The bytes as they are; only for parts whose length the reader knows.
    fn raw(&mut self, bytes: &[u8]) -> &mut Self;

    fn u8(&mut self, number: u8) -> &mut Self {
        self.raw(&[number])
    }

    fn u16(&mut self, number: u16) -> &mut Self {
        self.raw(&number.to_be_bytes())
    }

    fn u32(&mut self, number: u32) -> &mut Self {
        self.raw(&number.to_be_bytes())
    }

    fn u64(&mut self, number: u64) -> &mut Self {
        self.raw(&number.to_be_bytes())
    }

    /// The length in four bytes, then the bytes.
    fn part(&mut self, bytes: &[u8]) -> &mut Self {
        self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX)).raw(bytes)
    }
}

impl Put for Vec<u8> {
    fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.extend_from_slice(bytes);
        self
    }
}

/// Takes parts from the front of bytes; `None` as soon as they do not suffice.
pub(crate) struct Take<'a>(pub(crate) &'a [u8]);

impl<'a> Take<'a> {
    pub(crate) fn raw(&mut self, length: usize) -> Option<&'a [u8]> {
        let (part, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(part)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.raw(N)?.try_into().ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn part(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()?;
        self.raw(usize::try_from(length).ok()?)
    }

    pub(crate) fn namespace(&mut self) -> Option<NamespaceId> {
        self.array().map(NamespaceId::from_bytes)
    }

    /// The answer, if nothing is left over.
    pub(crate) fn end<T>(self, answer: T) -> Option<T> {
        self.0.is_empty().then_some(answer)
    }
}
