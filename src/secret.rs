//! Secrets that cannot be printed or copied, and are wiped when they are dropped.
//!
//! The only way to the bytes is a method whose name contains `expose`: one search finds every
//! place where a secret leaves its type.

use zeroize::{Zeroize, ZeroizeOnDrop};

/// A secret of a fixed length, on the heap so that moving it leaves no copy behind.
#[derive(ZeroizeOnDrop)]
pub struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// Makes a secret that `fill` writes in place.
    pub fn fill(fill: impl FnOnce(&mut [u8; N])) -> Self {
        let mut secret = Self(Box::new([0; N]));
        fill(&mut secret.0);
        secret
    }

    /// Copies a secret out of `bytes`; `None` when the length is not `N`.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == N).then(|| Self::fill(|out| out.copy_from_slice(bytes)))
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }

    /// Another copy, wiped on its own.
    pub fn expose_clone(&self) -> Self {
        Self::fill(|out| out.copy_from_slice(self.expose()))
    }
}

impl<const N: usize> std::fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret<{N}>")
    }
}

/// A secret of any length.
#[derive(ZeroizeOnDrop)]
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Takes the bytes over; they are wiped with the secret.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Keeps the first `length` bytes and wipes the rest.
    pub fn truncate(&mut self, length: usize) {
        if let Some(rest) = self.0.get_mut(length..) {
            rest.zeroize();
        }
        self.0.truncate(length);
    }

    /// The length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretBytes")
    }
}

/// Wipes a buffer that held a secret for a moment.
pub fn wipe(bytes: &mut [u8]) {
    bytes.zeroize();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print() {
        let secret = Secret::<4>::from_slice(b"abcd").expect("four bytes");
        assert_eq!(format!("{secret:?}"), "Secret<4>");
        assert!(Secret::<4>::from_slice(b"abc").is_none());
    }
}
