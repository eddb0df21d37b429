//! API versions, and what older ones show or ignore.
//!
//! Handlers and domain speak 1.56 only. A [`Shape`] turns an answer into an older version's on the
//! way out ([`answers`]); [`requests`] undoes what an older client could not have meant on the way
//! in. These two files are the only places that compare versions; each rule names the version in
//! which the behaviour changed.

use std::{fmt, str::FromStr};

mod answers;
mod requests;

pub use requests::{CreateDefaults, create_request};

/// A version of the Engine API; the major number is always 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u16);

impl Version {
    /// The oldest that is served.
    pub const OLDEST: Self = Self(24);
    /// The newest, which unversioned paths get.
    pub const NEWEST: Self = Self(56);

    /// 1.`minor`, which must be one that is served.
    pub const fn new(minor: u16) -> Self {
        assert!(minor >= Self::OLDEST.0 && minor <= Self::NEWEST.0);
        Self(minor)
    }

    /// The number after the dot.
    pub fn minor(self) -> u16 {
        self.0
    }

    /// True for versions older than 1.`minor`.
    pub fn before(self, minor: u16) -> bool {
        self.0 < minor
    }

    /// The version both sides speak, given the newest the other one does.
    pub fn negotiate(self, other: Self) -> Self {
        self.min(other)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.0)
    }
}

/// Why a requested version can't be served; texts are dockerd's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// Newer than [`Version::NEWEST`].
    #[error("client version {0} is too new. Maximum supported API version is {max}", max = Version::NEWEST)]
    TooNew(String),
    /// Older than [`Version::OLDEST`].
    #[error(
        "client version {0} is too old. Minimum supported API version is {min}, please upgrade your client to a newer version",
        min = Version::OLDEST
    )]
    TooOld(String),
    /// Not `major.minor`.
    #[error("invalid API version {0:?}")]
    Syntax(String),
}

impl FromStr for Version {
    type Err = VersionError;

    /// Reads `1.41`.
    fn from_str(text: &str) -> Result<Self, VersionError> {
        let syntax = || VersionError::Syntax(text.to_owned());
        let (major, minor) = text.split_once('.').ok_or_else(syntax)?;
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !digits(major) || !digits(minor) {
            return Err(syntax());
        }
        // More digits than fit are simply too large.
        let major: u32 = major.parse().unwrap_or(u32::MAX);
        let minor: u32 = minor.parse().unwrap_or(u32::MAX);
        match (major, minor) {
            (0, _) => Err(VersionError::TooOld(text.to_owned())),
            (1, minor) if minor < u32::from(Self::OLDEST.0) => {
                Err(VersionError::TooOld(text.to_owned()))
            }
            (1, minor) if minor <= u32::from(Self::NEWEST.0) => Ok(Self(minor as u16)),
            _ => Err(VersionError::TooNew(text.to_owned())),
        }
    }
}

/// A document that looks different in older versions.
pub trait Shape {
    /// Turns the newest shape into that of `version`.
    fn shape(&mut self, version: Version);
}

impl<T: Shape> Shape for Vec<T> {
    fn shape(&mut self, version: Version) {
        for item in self {
            item.shape(version);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_parse_within_what_is_served() {
        assert_eq!("1.24".parse(), Ok(Version::OLDEST));
        assert_eq!("1.56".parse(), Ok(Version::NEWEST));
        assert!(matches!("1.57".parse::<Version>(), Err(VersionError::TooNew(_))));
        assert!(matches!("2.0".parse::<Version>(), Err(VersionError::TooNew(_))));
        assert!(matches!("1.99999999999".parse::<Version>(), Err(VersionError::TooNew(_))));
        assert!(matches!("1.23".parse::<Version>(), Err(VersionError::TooOld(_))));
        for bad in ["", "1", "1.", ".4", "a.b", "1.4.1", "1.-4"] {
            assert!(matches!(bad.parse::<Version>(), Err(VersionError::Syntax(_))), "{bad}");
        }
        assert_eq!(
            "1.60".parse::<Version>().unwrap_err().to_string(),
            "client version 1.60 is too new. Maximum supported API version is 1.56"
        );
    }

    #[test]
    fn the_lower_version_is_negotiated() {
        assert_eq!(Version::NEWEST.negotiate(Version::new(41)), Version::new(41));
    }
}
