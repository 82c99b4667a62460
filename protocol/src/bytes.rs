//! Reading of length-checked, big-endian fields. Every message of the handshake is read with [`Reader`]; nothing is indexed.

/// The peer sent bytes that no version of this format can mean. Its fault; the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// The message ends inside a field.
    #[error("the message ends early")]
    Truncated,
    /// Bytes follow the last field.
    #[error("{count} bytes follow the last field")]
    TrailingBytes {
        /// How many.
        count: usize,
    },
    /// A field holds a value that this format never has.
    #[error("field {field} is out of range")]
    OutOfRange {
        /// Name of the field, as `docs/protocol.md` spells it.
        field: &'static str,
    },
}

/// Takes fields off the front of a message.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    pub(crate) fn slice(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (field, rest) = self.rest.split_at_checked(len).ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(field)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (field, rest) = self.rest.split_first_chunk().ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(*field)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    /// A field behind its one-byte length.
    pub(crate) fn lv8(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.u8()?;
        self.slice(usize::from(len))
    }

    /// A field behind its two-byte length, which is at most `len_max`.
    pub(crate) fn lv16(&mut self, field: &'static str, len_max: usize) -> Result<&'a [u8], Malformed> {
        let len = usize::from(self.u16()?);
        if len > len_max {
            return Err(Malformed::OutOfRange { field });
        }
        self.slice(len)
    }

    /// The message must end here.
    pub(crate) fn end(self) -> Result<(), Malformed> {
        match self.rest.len() {
            0 => Ok(()),
            count => Err(Malformed::TrailingBytes { count }),
        }
    }
}

/// Appends a field behind its two-byte length.
pub(crate) fn push_lv16(out: &mut alloc::vec::Vec<u8>, field: &[u8]) {
    let len = u16::try_from(field.len()).expect("every field of this crate is shorter than 64 KiB");
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(field);
}

/// Appends a field behind its one-byte length.
pub(crate) fn push_lv8(out: &mut alloc::vec::Vec<u8>, field: &[u8]) {
    let len = u8::try_from(field.len()).expect("the caller bounds this field to 255 bytes");
    out.push(len);
    out.extend_from_slice(field);
}
