//! The encryption context: non-secret pairs that a symmetric ciphertext is bound to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Pairs of strings; order does not matter, an empty map equals an absent one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EncryptionContext(BTreeMap<String, String>);

impl EncryptionContext {
    /// Takes the pairs over.
    pub fn new(pairs: BTreeMap<String, String>) -> Self {
        Self(pairs)
    }

    /// The pairs, sorted by the bytes of their keys.
    pub fn pairs(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The unambiguous encoding that is authenticated: the number of pairs, then each pair in the
    /// order of the keys' bytes; every number and length is 4 bytes, big-endian.
    ///
    /// Concatenation without lengths would take {"a":"bc"} and {"ab":"c"} for equal.
    pub fn canonical(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        out.extend_from_slice(&(self.0.len() as u32).to_be_bytes());
        for text in self.0.iter().flat_map(|(key, value)| [key, value]) {
            out.extend_from_slice(&(text.len() as u32).to_be_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        out
    }

    /// As compact JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("internal error: a map of strings is always JSON")
    }
}

impl<const N: usize> From<[(&str, &str); N]> for EncryptionContext {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::hex;

    #[test]
    fn contexts_that_concatenate_alike_encode_differently() {
        let left = EncryptionContext::from([("a", "bc")]).canonical();
        let right = EncryptionContext::from([("ab", "c")]).canonical();
        assert_ne!(left, right);
    }

    #[test]
    fn the_encoding_matches_its_golden_vectors() {
        let vectors = include_str!("../../tests/vectors/context.txt");
        let mut seen = 0;
        for line in vectors.lines().filter(|line| !line.starts_with('#')) {
            let (json, expected) = line.split_once('\t').expect("json TAB hex");
            let context: EncryptionContext = serde_json::from_str(json).expect("JSON map");
            assert_eq!(hex(&context.canonical()), expected, "{json}");
            seen += 1;
        }
        assert_eq!(seen, 5);
    }
}
