//! Which endpoint a path means. Pure: no I/O, no state.
//!
//! Names, tags, digests and session ids are validated here, once; what comes out of this file is safe
//! as a path component. Source: distribution specification 1.1, "Endpoints" (the `end-…` ids).

use model::{
    Digest,
    digest::DigestError,
    reference::{is_repository_path, is_tag},
};
use percent_encoding::percent_decode_str;

use super::refusal::{Code, Refusal};

/// A repository's validated path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<str>);

impl Name {
    /// Checks `text`.
    ///
    /// # Errors
    /// `NAME_INVALID`.
    pub fn new(text: &str) -> Result<Self, Refusal> {
        if is_repository_path(text) {
            Ok(Self(text.into()))
        } else {
            Err(Refusal::new(Code::NameInvalid, format!("invalid repository name {text:?}")))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A validated tag.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Box<str>);

impl Tag {
    /// Checks `text`.
    ///
    /// # Errors
    /// `TAG_INVALID`.
    pub fn new(text: &str) -> Result<Self, Refusal> {
        if is_tag(text) {
            Ok(Self(text.into()))
        } else {
            Err(Refusal::new(Code::TagInvalid, format!("invalid tag {text:?}")))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a manifest is asked for by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestReference {
    /// `latest`
    Tag(Tag),
    /// `latest@{2}`: what the tag stood for two changes ago (an extension of ours).
    Earlier(Tag, usize),
    /// `sha256:…`
    Digest(Digest),
}

impl std::fmt::Display for ManifestReference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag.as_str()),
            Self::Earlier(tag, back) => write!(f, "{}@{{{back}}}", tag.as_str()),
            Self::Digest(digest) => write!(f, "{digest}"),
        }
    }
}

/// An upload session's id: 32 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(Box<str>);

impl SessionId {
    /// Checks `text`; `None` if it can't be one of ours.
    pub fn new(text: &str) -> Option<Self> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (text.len() == 32 && text.bytes().all(hex)).then(|| Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// end-1.
    Base,
    /// Docker's `_catalog`.
    Catalog,
    /// Our token service.
    Token,
    /// end-2, end-10.
    Blob(Name, Digest),
    /// end-3, end-7, end-9.
    Manifest(Name, ManifestReference),
    /// end-4a, end-4b, end-11.
    Uploads(Name),
    /// end-5, end-6, end-13, end-14.
    Upload(Name, SessionId),
    /// end-8a, end-8b.
    Tags(Name),
    /// end-12a, end-12b.
    Referrers(Name, Digest),
    /// What a tag stood for (an extension of ours, below `_cale`).
    History(Name, Tag),
}

impl Route {
    /// Reads a request's path.
    ///
    /// # Errors
    /// `NAME_INVALID`, `TAG_INVALID`, `DIGEST_INVALID`, `BLOB_UPLOAD_UNKNOWN`, and a bare 404.
    pub fn parse(path: &str) -> Result<Self, Refusal> {
        let path = percent_decode_str(path)
            .decode_utf8()
            .map_err(|_| Refusal::new(Code::NameInvalid, "the path is not UTF-8"))?;
        match &*path {
            "/v2" | "/v2/" => return Ok(Self::Base),
            "/v2/_catalog" => return Ok(Self::Catalog),
            "/token" => return Ok(Self::Token),
            _ => {}
        }
        let rest = path.strip_prefix("/v2/").ok_or_else(no_such_page)?;
        if let Some(name) =
            rest.strip_suffix("/blobs/uploads/").or_else(|| rest.strip_suffix("/blobs/uploads"))
        {
            return Ok(Self::Uploads(Name::new(name)?));
        }
        if let Some(name) = rest.strip_suffix("/tags/list") {
            return Ok(Self::Tags(Name::new(name)?));
        }
        if let Some((name, tag)) =
            rest.strip_suffix("/history").and_then(|rest| rest.rsplit_once("/_cale/tags/"))
        {
            return Ok(Self::History(Name::new(name)?, Tag::new(tag)?));
        }
        let (rest, last) = rest.rsplit_once('/').ok_or_else(no_such_page)?;
        if let Some(name) = rest.strip_suffix("/blobs/uploads") {
            let id = SessionId::new(last).ok_or_else(|| unknown_session(last));
            return Ok(Self::Upload(Name::new(name)?, id?));
        }
        let (name, kind) = rest.rsplit_once('/').ok_or_else(no_such_page)?;
        match kind {
            "blobs" => Ok(Self::Blob(Name::new(name)?, digest(last)?)),
            "manifests" => Ok(Self::Manifest(Name::new(name)?, reference(last)?)),
            "referrers" => Ok(Self::Referrers(Name::new(name)?, digest(last)?)),
            _ => Err(no_such_page()),
        }
    }

    /// Methods that the endpoint has, for the `Allow` header.
    pub fn methods(&self) -> &'static [&'static str] {
        match self {
            Self::Base | Self::Catalog | Self::Tags(_) | Self::Referrers(..) => &["GET", "HEAD"],
            Self::History(..) => &["GET", "HEAD"],
            Self::Token => &["GET", "POST"],
            Self::Blob(..) => &["GET", "HEAD", "DELETE"],
            Self::Manifest(..) => &["GET", "HEAD", "PUT", "DELETE"],
            Self::Uploads(_) => &["POST"],
            Self::Upload(..) => &["GET", "HEAD", "PATCH", "PUT", "DELETE"],
        }
    }

    /// A short name for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Catalog => "catalog",
            Self::Token => "token",
            Self::Blob(..) => "blob",
            Self::Manifest(..) => "manifest",
            Self::Uploads(_) | Self::Upload(..) => "upload",
            Self::Tags(_) => "tags",
            Self::Referrers(..) => "referrers",
            Self::History(..) => "history",
        }
    }

    /// The repository that is spoken of.
    pub fn name(&self) -> Option<&Name> {
        match self {
            Self::Base | Self::Catalog | Self::Token => None,
            Self::Blob(name, _)
            | Self::Manifest(name, _)
            | Self::Uploads(name)
            | Self::Upload(name, _)
            | Self::Tags(name)
            | Self::Referrers(name, _)
            | Self::History(name, _) => Some(name),
        }
    }
}

/// Reads a digest.
///
/// # Errors
/// `DIGEST_INVALID`, also for an algorithm that we don't compute: what can't be verified isn't kept.
pub fn digest(text: &str) -> Result<Digest, Refusal> {
    text.parse().map_err(|error: DigestError| Refusal::new(Code::DigestInvalid, error.to_string()))
}

fn reference(text: &str) -> Result<ManifestReference, Refusal> {
    if text.contains(':') {
        return digest(text).map(ManifestReference::Digest);
    }
    let Some((tag, back)) = text.split_once("@{") else {
        return Tag::new(text).map(ManifestReference::Tag);
    };
    let back = back.strip_suffix('}').and_then(|back| back.parse().ok());
    let back = back.ok_or_else(|| Refusal::new(Code::TagInvalid, format!("invalid tag {text:?}")));
    Ok(ManifestReference::Earlier(Tag::new(tag)?, back?))
}

fn no_such_page() -> Refusal {
    Refusal::new(Code::NotFound, "there is no such endpoint")
}

fn unknown_session(id: &str) -> Refusal {
    Refusal::new(Code::BlobUploadUnknown, format!("there is no upload {id:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn code(path: &str) -> Code {
        Route::parse(path).unwrap_err().code
    }

    #[test]
    fn paths_lead_to_endpoints() {
        let d = Digest::sha256(b"");
        let id = "0123456789abcdef0123456789abcdef";
        let tag = |text| ManifestReference::Tag(Tag::new(text).unwrap());
        for (path, route) in [
            ("/v2/".to_owned(), Route::Base),
            ("/v2/_catalog".to_owned(), Route::Catalog),
            ("/v2/a/b/tags/list".to_owned(), Route::Tags(name("a/b"))),
            (format!("/v2/a/blobs/{d}"), Route::Blob(name("a"), d.clone())),
            (format!("/v2/a/referrers/{d}"), Route::Referrers(name("a"), d.clone())),
            ("/v2/a/blobs/uploads/".to_owned(), Route::Uploads(name("a"))),
            (
                format!("/v2/a/blobs/uploads/{id}"),
                Route::Upload(name("a"), SessionId::new(id).unwrap()),
            ),
            ("/v2/a/manifests/1.0".to_owned(), Route::Manifest(name("a"), tag("1.0"))),
            (
                "/v2/a/manifests/1.0%40%7B2%7D".to_owned(),
                Route::Manifest(name("a"), ManifestReference::Earlier(Tag::new("1.0").unwrap(), 2)),
            ),
            // A repository may be called like an endpoint.
            ("/v2/tags/list/tags/list".to_owned(), Route::Tags(name("tags/list"))),
            (
                "/v2/blobs/uploads/manifests/x".to_owned(),
                Route::Manifest(name("blobs/uploads"), tag("x")),
            ),
            (
                "/v2/a/_cale/tags/x/history".to_owned(),
                Route::History(name("a"), Tag::new("x").unwrap()),
            ),
        ] {
            assert_eq!(Route::parse(&path).unwrap(), route, "{path}");
        }
    }

    #[test]
    fn what_could_escape_is_refused() {
        let d = Digest::sha256(b"");
        assert_eq!(code(&format!("/v2/../blobs/{d}")), Code::NameInvalid);
        assert_eq!(code(&format!("/v2/a%2f..%2fb/blobs/{d}")), Code::NameInvalid);
        assert_eq!(code(&format!("/v2/A/blobs/{d}")), Code::NameInvalid);
        assert_eq!(code(&format!("/v2/_uploads/blobs/{d}")), Code::NameInvalid);
        assert_eq!(code(&format!("/v2/{}/blobs/{d}", "a".repeat(256))), Code::NameInvalid);
        assert_eq!(code("/v2/a/blobs/sha256:.."), Code::DigestInvalid);
        assert_eq!(code("/v2/a/blobs/sha256:../../etc"), Code::NotFound);
        assert_eq!(code("/v2/a/blobs/md5:d41d8cd98f00b204e9800998ecf8427e"), Code::DigestInvalid);
        assert_eq!(code("/v2/a/manifests/.."), Code::TagInvalid);
        assert_eq!(code("/v2/a/manifests/-x"), Code::TagInvalid);
        assert_eq!(code("/v2/a/manifests/x%40%7B-1%7D"), Code::TagInvalid);
        assert_eq!(code("/v2/a/blobs/uploads/.."), Code::BlobUploadUnknown);
        assert_eq!(code("/etc/passwd"), Code::NotFound);
        assert_eq!(code("/v2/a"), Code::NotFound);
    }
}
