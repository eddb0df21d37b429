//! Image references: `[domain/]path[:tag][@digest]` (distribution reference grammar), with
//! Docker's short names made whole: `debian` is `docker.io/library/debian:latest`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, DigestError};

const DEFAULT_DOMAIN: &str = "docker.io";
const LEGACY_DOMAIN: &str = "index.docker.io";
const OFFICIAL_PREFIX: &str = "library/";
const REPOSITORY_MAX: usize = 255;

/// Why a text is no reference. The texts are those that Docker's users know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// The grammar is broken.
    #[error("invalid reference format")]
    Format,
    /// Nothing was given.
    #[error("repository name must have at least one component")]
    Empty,
    /// Upper case in the repository path.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Uppercase(String),
    /// More than 255 bytes.
    #[error("repository name must not be more than {REPOSITORY_MAX} characters")]
    TooLong,
    /// 64 hex digits, which would be taken for an id.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    LooksLikeId(String),
    /// A bad digest after `@`.
    #[error("invalid reference format: bad digest")]
    Digest(#[source] DigestError),
}

/// A whole reference: the domain and path are always present, tag and digest may be.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    domain: Box<str>,
    path: Box<str>,
    tag: Option<Box<str>>,
    digest: Option<Digest>,
}

impl Reference {
    /// The registry's host and port, `docker.io` for the hub.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository's path within the registry, `library/debian`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag, if one was written (or set by [`Reference::or_latest`]).
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if one was written.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same reference with `latest` where neither tag nor digest was given.
    pub fn or_latest(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some("latest".into());
        }
        self
    }

    /// The repository alone: no tag, no digest.
    pub fn repository(&self) -> Self {
        Self { domain: self.domain.clone(), path: self.path.clone(), tag: None, digest: None }
    }

    /// This repository with another tag and no digest.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ReferenceError> {
        if !is_tag(tag) {
            return Err(ReferenceError::Format);
        }
        Ok(Self { tag: Some(tag.into()), ..self.repository() })
    }

    /// This repository pinned to `digest`, without tag.
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self.repository() }
    }

    /// What people see: the hub's domain and `library/` are left out.
    pub fn familiar(&self) -> String {
        let mut text = self.familiar_repository();
        self.push_suffix(&mut text);
        text
    }

    /// [`Reference::familiar`] without tag and digest.
    pub fn familiar_repository(&self) -> String {
        if &*self.domain == DEFAULT_DOMAIN {
            self.path.strip_prefix(OFFICIAL_PREFIX).unwrap_or(&self.path).to_owned()
        } else {
            format!("{}/{}", self.domain, self.path)
        }
    }

    fn push_suffix(&self, text: &mut String) {
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(&digest.to_string());
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if text.len() == 64
            && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        {
            return Err(ReferenceError::LooksLikeId(text.to_owned()));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse().map_err(ReferenceError::Digest)?)),
            None => (text, None),
        };
        let (name, tag) = match rest.rfind(':') {
            Some(colon) if !rest[colon..].contains('/') => {
                (&rest[..colon], Some(&rest[colon + 1..]))
            }
            _ => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(ReferenceError::Format);
        }
        let (domain, path) = split_domain(name);
        check_path(&path)?;
        if !is_domain(domain) {
            return Err(ReferenceError::Format);
        }
        if domain.len() + 1 + path.len() > REPOSITORY_MAX {
            return Err(ReferenceError::TooLong);
        }
        Ok(Self { domain: domain.into(), path: path.into(), tag: tag.map(Into::into), digest })
    }
}

/// The first component is a domain if it has a dot or port, is `localhost`, or has upper case.
fn split_domain(name: &str) -> (&str, String) {
    let (domain, rest) = match name.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (DEFAULT_DOMAIN, name),
    };
    let domain = if domain == LEGACY_DOMAIN { DEFAULT_DOMAIN } else { domain };
    if domain == DEFAULT_DOMAIN && !rest.contains('/') {
        (domain, format!("{OFFICIAL_PREFIX}{rest}"))
    } else {
        (domain, rest.to_owned())
    }
}

fn check_path(path: &str) -> Result<(), ReferenceError> {
    if path.bytes().any(|b| b.is_ascii_uppercase()) {
        // Docker shows the name with `library/` too.
        return Err(ReferenceError::Uppercase(path.to_owned()));
    }
    if path.split('/').all(is_path_component) { Ok(()) } else { Err(ReferenceError::Format) }
}

/// Whether `path` is a repository's path within a registry: components `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
/// with slashes between, at most 255 bytes (distribution specification, "Pulling manifests").
pub fn is_repository_path(path: &str) -> bool {
    path.len() <= REPOSITORY_MAX && path.split('/').all(is_path_component)
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_path_component(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else { return false };
    word(first)
        && word(last)
        && bytes.iter().all(|&b| word(b) || b"._-".contains(&b))
        && bytes
            .split(|&b| word(b))
            .all(|gap| matches!(gap, b"" | b"." | b"_" | b"__") || gap.iter().all(|&b| b == b'-'))
}

/// Whether `text` is a tag, `[\w][\w.-]{0,127}`: never `.` or `..`, so safe as a file name.
pub fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let bytes = text.as_bytes();
    (1..=128).contains(&bytes.len())
        && word(bytes[0])
        && bytes.iter().all(|&b| word(b) || b == b'.' || b == b'-')
}

/// Host name labels or a bracketed IPv6 address, with an optional port.
fn is_domain(text: &str) -> bool {
    let (host, port) = match text.rfind(':') {
        Some(colon) if !text[colon..].contains(']') => (&text[..colon], Some(&text[colon + 1..])),
        _ => (text, None),
    };
    let port_ok = port.is_none_or(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
    let host_ok = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(v6) => !v6.is_empty() && v6.bytes().all(|b| b.is_ascii_hexdigit() || b == b':'),
        None => host.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        }),
    };
    port_ok && host_ok
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = format!("{}/{}", self.domain, self.path);
        self.push_suffix(&mut text);
        f.write_str(&text)
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl TryFrom<String> for Reference {
    type Error = ReferenceError;
    fn try_from(text: String) -> Result<Self, ReferenceError> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> String {
        text.parse::<Reference>().map(|r| r.to_string()).unwrap_or_else(|e| format!("error: {e}"))
    }

    #[test]
    fn short_names_become_whole() {
        assert_eq!(whole("debian"), "docker.io/library/debian");
        assert_eq!(whole("me/app:v1"), "docker.io/me/app:v1");
        assert_eq!(whole("localhost:5000/app"), "localhost:5000/app");
        assert_eq!(whole("localhost/app:x"), "localhost/app:x");
        assert_eq!(whole("index.docker.io/debian"), "docker.io/library/debian");
        assert_eq!(whole("127.0.0.1:5000/a/b:t"), "127.0.0.1:5000/a/b:t");
        assert_eq!(whole("[::1]:5000/a"), "[::1]:5000/a");
    }

    #[test]
    fn familiar_leaves_out_the_hub() {
        let r: Reference = "docker.io/library/debian:12".parse().unwrap();
        assert_eq!(r.familiar(), "debian:12");
        let r: Reference = "quay.io/x/y".parse().unwrap();
        assert_eq!(r.or_latest().familiar(), "quay.io/x/y:latest");
    }

    #[test]
    fn wrong_references_are_refused() {
        for bad in
            ["", ":x", "a//b", "-a", "a:", "a:-x", "Aa", "a@sha256:12", "a b", "_a", "a___b", "a/"]
        {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
        assert!(whole("Uppercase").contains("must be lowercase"));
    }

    #[test]
    fn a_digest_may_follow_a_tag() {
        let d = Digest::sha256(b"x");
        let r: Reference = format!("a:b@{d}").parse().unwrap();
        assert_eq!(r.tag(), Some("b"));
        assert_eq!(r.digest(), Some(&d));
    }
}
