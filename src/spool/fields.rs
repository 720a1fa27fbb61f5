//! Numbers and counted strings in big-endian order, as the spool's files have them.

/// Reads fields from the front of a slice; `None` when it ends too early.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
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

    /// Bytes behind a count of one byte.
    pub(crate) fn short(&mut self) -> Option<&'a [u8]> {
        let count = self.u8()?;
        self.take(count.into())
    }

    /// Bytes behind a count of two bytes.
    pub(crate) fn medium(&mut self) -> Option<&'a [u8]> {
        let count = self.u16()?;
        self.take(count.into())
    }

    /// Bytes behind a count of four bytes.
    pub(crate) fn long(&mut self) -> Option<&'a [u8]> {
        let count = self.u32()?;
        self.take(usize::try_from(count).ok()?)
    }
}

/// Appends fields; the counts have been checked against their limits before.
pub(crate) trait Append {
    fn short(&mut self, bytes: &[u8]);
    fn medium(&mut self, bytes: &[u8]);
    fn long(&mut self, bytes: &[u8]);
}

impl Append for Vec<u8> {
    fn short(&mut self, bytes: &[u8]) {
        let count = u8::try_from(bytes.len()).expect("its limit is below 256 bytes");
        self.push(count);
        self.extend_from_slice(bytes);
    }

    fn medium(&mut self, bytes: &[u8]) {
        let count = u16::try_from(bytes.len()).expect("its limit is below 64 KiB");
        self.extend_from_slice(&count.to_be_bytes());
        self.extend_from_slice(bytes);
    }

    fn long(&mut self, bytes: &[u8]) {
        let count = u32::try_from(bytes.len()).expect("its limit is below 4 GiB");
        self.extend_from_slice(&count.to_be_bytes());
        self.extend_from_slice(bytes);
    }
}
