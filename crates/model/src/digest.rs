//! Content digests, `algorithm:hex` (OCI image specification, "Descriptor", section Digests).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256, Sha512};

/// The hash functions that Cale computes and verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256, 64 hex digits.
    Sha256,
    /// SHA-512, 128 hex digits.
    Sha512,
}

impl Algorithm {
    /// The name before the colon.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn hex_len(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

/// A digest of a registered algorithm with the right number of lower-case hex digits.
///
/// The hex part is safe as a single path component.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest {
    algorithm: Algorithm,
    hex: Box<str>,
}

/// Why a text is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// No colon, or nothing before it.
    #[error("invalid digest {0:?}: expected algorithm:hex")]
    Format(String),
    /// An algorithm other than sha256 and sha512.
    #[error("unsupported digest algorithm {0:?}")]
    Algorithm(String),
    /// Wrong number of digits, or not lower-case hex.
    #[error("invalid digest {0:?}: wrong length or not lower-case hex")]
    Hex(String),
}

impl Digest {
    /// The SHA-256 digest of `bytes`.
    pub fn sha256(bytes: &[u8]) -> Self {
        Self::from_sha256(Sha256::digest(bytes).into())
    }

    /// The SHA-512 digest of `bytes`.
    pub fn sha512(bytes: &[u8]) -> Self {
        Self { algorithm: Algorithm::Sha512, hex: hex(&Sha512::digest(bytes)) }
    }

    /// Wraps a finished SHA-256 value.
    pub fn from_sha256(value: [u8; 32]) -> Self {
        Self { algorithm: Algorithm::Sha256, hex: hex(&value) }
    }

    /// Wraps a finished SHA-512 value.
    pub fn from_sha512(value: [u8; 64]) -> Self {
        Self { algorithm: Algorithm::Sha512, hex: hex(&value) }
    }

    /// The hash function.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The hex digits, a safe path component.
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// The first twelve digits, as people are shown them.
    pub fn short(&self) -> &str {
        &self.hex[..12]
    }
}

fn hex(bytes: &[u8]) -> Box<str> {
    data_encoding::HEXLOWER.encode(bytes).into_boxed_str()
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (name, hex) =
            text.split_once(':').ok_or_else(|| DigestError::Format(text.to_owned()))?;
        let algorithm = match name {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            "" => return Err(DigestError::Format(text.to_owned())),
            other => return Err(DigestError::Algorithm(other.to_owned())),
        };
        let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if hex.len() != algorithm.hex_len() || !hex.bytes().all(lower_hex) {
            return Err(DigestError::Hex(text.to_owned()));
        }
        Ok(Self { algorithm, hex: hex.into() })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;
    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_value_round_trips() {
        let digest = Digest::sha256(b"");
        assert_eq!(
            digest.to_string(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(digest.to_string().parse(), Ok(digest));
    }

    #[test]
    fn traversal_and_wrong_lengths_are_refused() {
        for bad in ["", "sha256", "sha256:", "sha256:../../etc/passwd", "md5:00", ":abc"] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
        let upper = Digest::sha256(b"").to_string().to_uppercase();
        assert!(upper.parse::<Digest>().is_err());
    }
}
