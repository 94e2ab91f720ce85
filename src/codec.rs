//! Bounded reading of stored and sent bytes.
//!
//! Every parser of this crate takes its bytes through [`Reader`], which cannot run past its end
//! and whose [`Reader::finish`] refuses what is left over. Lengths from outside are never added
//! or multiplied before they have been compared with what is there.

/// The bytes end before the field does, or go on after the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {problem} at byte {at}")]
pub struct Malformed {
    /// The field that was being read.
    pub what: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
    /// Offset in the input.
    pub at: usize,
}

/// A cursor over untrusted bytes.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The offset of the next byte.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Makes the error that says `problem` about `what` here.
    pub fn malformed(&self, what: &'static str, problem: &'static str) -> Malformed {
        Malformed {
            what,
            problem,
            at: self.at,
        }
    }

    /// Takes the next `count` bytes.
    ///
    /// # Errors
    /// [`Malformed`] when fewer are left.
    pub fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
        let rest = &self.bytes[self.at..];
        if rest.len() < count {
            return Err(self.malformed(what, "cut short"));
        }
        self.at += count;
        Ok(&rest[..count])
    }

    /// Takes the next `N` bytes as an array.
    ///
    /// # Errors
    /// [`Malformed`] when fewer are left.
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Malformed> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N, what)?);
        Ok(out)
    }

    /// Takes one byte.
    ///
    /// # Errors
    /// [`Malformed`] when none is left.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, Malformed> {
        Ok(self.array::<1>(what)?[0])
    }

    /// Takes a little-endian `u16`.
    ///
    /// # Errors
    /// [`Malformed`] when fewer than 2 bytes are left.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array(what)?))
    }

    /// Takes a little-endian `u32`.
    ///
    /// # Errors
    /// [`Malformed`] when fewer than 4 bytes are left.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    /// Takes a little-endian `u64`.
    ///
    /// # Errors
    /// [`Malformed`] when fewer than 8 bytes are left.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// Takes `count` bytes that must be zero.
    ///
    /// # Errors
    /// [`Malformed`] when one is not, or fewer are left.
    pub fn zeros(&mut self, count: usize, what: &'static str) -> Result<(), Malformed> {
        if self.take(count, what)?.iter().any(|byte| *byte != 0) {
            return Err(self.malformed(what, "not zero"));
        }
        Ok(())
    }

    /// Takes the fixed bytes of a magic number.
    ///
    /// # Errors
    /// [`Malformed`] when they differ.
    pub fn magic(&mut self, expected: &[u8], what: &'static str) -> Result<(), Malformed> {
        if self.take(expected.len(), what)? != expected {
            return Err(self.malformed(what, "wrong magic number"));
        }
        Ok(())
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`Malformed`] when bytes are left.
    pub fn finish(self, what: &'static str) -> Result<(), Malformed> {
        if self.at != self.bytes.len() {
            return Err(self.malformed(what, "bytes left over"));
        }
        Ok(())
    }
}

/// Tells whether every byte is zero.
pub fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out
}

/// Reads hexadecimal of exactly `N` bytes.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut out = [0; N];
    for (index, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_refuses_what_is_not_there_and_what_is_left_over() {
        let mut reader = Reader::new(&[1, 2, 3]);
        assert_eq!(reader.u16("pair"), Ok(0x0201));
        assert!(reader.clone().finish("end").is_err());
        assert!(reader.clone().u16("pair").is_err());
        assert!(reader.take(usize::MAX, "all").is_err());
        assert_eq!(reader.u8("last"), Ok(3));
        assert!(reader.finish("end").is_ok());
    }

    #[test]
    fn hex_reads_back() {
        assert_eq!(unhex::<3>(&hex(&[0, 255, 16])), Some([0, 255, 16]));
        assert_eq!(unhex::<3>("00ff1"), None);
        assert_eq!(unhex::<1>("+1"), None);
    }
}
