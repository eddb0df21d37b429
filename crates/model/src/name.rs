//! Names that people give to containers, volumes and networks.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what} name ({text}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")]
pub struct NameError {
    /// What was being named.
    pub what: &'static str,
    /// What was typed.
    pub text: String,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// The name; a safe path component.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                let bytes = text.as_bytes();
                let ok = bytes.len() >= 2
                    && bytes.len() <= 255
                    && bytes[0].is_ascii_alphanumeric()
                    && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(b));
                if ok {
                    Ok(Self(text.into()))
                } else {
                    Err(NameError { what: $what, text: text.to_owned() })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
    };
}

name! {
    /// A container's name, without the leading slash that the Engine API shows.
    ContainerName, "container"
}
name! {
    /// A volume's name.
    VolumeName, "volume"
}
name! {
    /// A network's name.
    NetworkName, "network"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_pass() {
        for good in ["ab", "a.b", "Web_1-x", "0a"] {
            assert!(good.parse::<ContainerName>().is_ok(), "{good}");
        }
        for bad in ["", "a", "-ab", ".ab", "a/b", "a b", "é1", "../x"] {
            assert!(bad.parse::<ContainerName>().is_err(), "{bad}");
        }
    }
}
