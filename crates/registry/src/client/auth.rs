//! Proving who we are: challenges, basic credentials, bearer tokens.
//!
//! A credential is sent only to the endpoint that it was given for, and to the token service that this
//! endpoint named over the same protection (never from HTTPS down to HTTP). Redirects get none.

use std::{
    collections::BTreeMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use base64::Engine as _;
use serde::Deserialize;

/// What a user gave for one registry.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing.
    #[default]
    Anonymous,
    /// Name and password (or access token).
    Basic {
        /// User name.
        username: String,
        /// Password.
        password: String,
    },
    /// An OAuth2 refresh token.
    IdentityToken(String),
    /// A bearer token to use as it is.
    RegistryToken(String),
}

impl std::fmt::Debug for Credentials {
    /// Never prints a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Basic { .. } => "Basic",
            Self::IdentityToken(_) => "IdentityToken",
            Self::RegistryToken(_) => "RegistryToken",
        })
    }
}

/// A parsed `WWW-Authenticate` header (RFC 9110, section 11.6.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

impl Challenge {
    /// The first challenge that we can answer, bearer before basic.
    pub(crate) fn parse<'a>(headers: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut basic = None;
        for header in headers {
            let (scheme, rest) = header.split_once(' ').unwrap_or((header, ""));
            if scheme.eq_ignore_ascii_case("basic") {
                basic = Some(Self::Basic);
            } else if scheme.eq_ignore_ascii_case("bearer") {
                let mut parameters = parameters(rest);
                if let Some(realm) = parameters.remove("realm") {
                    let service = parameters.remove("service");
                    let scope = parameters.remove("scope");
                    return Some(Self::Bearer { realm, service, scope });
                }
            }
        }
        basic
    }
}

/// Reads `a="b, c",d=e`.
fn parameters(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = text.trim();
    while let Some((name, after)) = rest.split_once('=') {
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted_string(quoted),
            None => {
                let (value, after) = after.split_once(',').unwrap_or((after, ""));
                (value.trim().to_owned(), after)
            }
        };
        found.insert(name.trim().to_ascii_lowercase(), value);
        rest = after.trim_start_matches([',', ' ']);
    }
    found
}

fn quoted_string(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

/// The answer of a token service (Docker's token specification).
#[derive(Deserialize)]
pub(crate) struct TokenAnswer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    expires_in: Option<u64>,
}

impl TokenAnswer {
    /// The token, and how long it may be used. Without a term it is 60 s (the specification's).
    pub(crate) fn usable(self) -> (String, Duration) {
        let token = if self.token.is_empty() { self.access_token } else { self.token };
        let seconds = self.expires_in.unwrap_or(60).max(60);
        // Leave before the end, so that a token doesn't run out on the way.
        (token, Duration::from_secs(seconds - seconds / 10))
    }
}

/// Authorisation headers kept by (endpoint, scope).
#[derive(Debug, Default)]
pub(crate) struct Kept {
    headers: Mutex<BTreeMap<(String, String), (String, Instant)>>,
}

impl Kept {
    pub(crate) fn header(&self, endpoint: &str, scope: &str) -> Option<String> {
        let kept = self.headers.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let (header, until) = kept.get(&(endpoint.to_owned(), scope.to_owned()))?;
        (*until > Instant::now()).then(|| header.clone())
    }

    pub(crate) fn keep(&self, endpoint: &str, scope: &str, header: String, term: Duration) {
        let mut kept = self.headers.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        kept.retain(|_, (_, until)| *until > Instant::now());
        kept.insert((endpoint.to_owned(), scope.to_owned()), (header, Instant::now() + term));
    }

    pub(crate) fn forget(&self, endpoint: &str, scope: &str) {
        let mut kept = self.headers.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        kept.remove(&(endpoint.to_owned(), scope.to_owned()));
    }
}

/// `Basic …`
pub(crate) fn basic_header(username: &str, password: &str) -> String {
    let text = format!("{username}:{password}");
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let header =
            r#"Bearer realm="https://auth/token",service="reg",scope="repository:a/b:pull,push""#;
        assert_eq!(
            Challenge::parse(["Basic realm=\"x\"", header]),
            Some(Challenge::Bearer {
                realm: "https://auth/token".into(),
                service: Some("reg".into()),
                scope: Some("repository:a/b:pull,push".into()),
            })
        );
        assert_eq!(Challenge::parse(["basic realm=x"]), Some(Challenge::Basic));
        assert_eq!(Challenge::parse(["Digest x=y"]), None);
    }

    #[test]
    fn secrets_are_not_printed() {
        let secret = Credentials::Basic { username: "u".into(), password: "hunter2".into() };
        assert!(!format!("{secret:?}").contains("hunter2"));
    }

    #[test]
    fn kept_headers_run_out() {
        let kept = Kept::default();
        kept.keep("a", "s", "Bearer x".into(), Duration::from_secs(9));
        assert_eq!(kept.header("a", "s").as_deref(), Some("Bearer x"));
        assert_eq!(kept.header("b", "s"), None);
        kept.keep("a", "s", "Bearer y".into(), Duration::ZERO);
        assert_eq!(kept.header("a", "s"), None);
    }
}
