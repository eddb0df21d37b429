//! Random identifiers: 64 lower-case hex digits, shown to people as the first twelve.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A text that is not 64 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid id {0:?}: expected 64 hex digits")]
pub struct IdError(pub String);

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// Makes an id of 32 random bytes (the caller owns the randomness).
            pub fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(data_encoding::HEXLOWER.encode(&bytes).into())
            }

            /// All 64 digits; a safe path component.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The first twelve digits.
            pub fn short(&self) -> &str {
                &self.0[..12]
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let ok = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
                if text.len() == 64 && text.bytes().all(ok) {
                    Ok(Self(text.into()))
                } else {
                    Err(IdError(text.to_owned()))
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }
    };
}

id! {
    /// Names one container for ever.
    ContainerId
}
id! {
    /// Names one network for ever.
    NetworkId
}
id! {
    /// Names one process started in a running container.
    ExecId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_sixty_four_digits() {
        let id = ContainerId::from_bytes([0xab; 32]);
        assert_eq!(id.short(), "abababababab");
        assert_eq!(id.as_str().parse(), Ok(id.clone()));
        assert!("abc".parse::<ContainerId>().is_err());
        assert!("../".repeat(22)[..64].parse::<ContainerId>().is_err());
    }
}
