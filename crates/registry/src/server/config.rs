//! The configuration file: TOML; a key that isn't known is an error, so that a slip of the pen can't
//! switch a protection off.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use super::{pattern::Pattern, retention::Rule, storage::gc};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The file isn't TOML, or says something unknown.
    #[error("cannot use {path}")]
    Parse {
        /// The file.
        path: String,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A value that makes no sense.
    #[error("{path}: {reason}")]
    Value {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
}

/// Everything that can be said.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Refuse pushes and deletes.
    pub read_only: bool,
    /// Allow deletes.
    pub delete: bool,
    /// Connections at a time; more wait.
    pub connections_max: usize,
    /// Longest manifest in bytes.
    pub manifest_max: u64,
    /// Longest blob in bytes; 0 is no limit.
    pub blob_max: u64,
    /// Earlier values that a tag remembers, and keeps the images of.
    pub tag_history: usize,
    /// A client that sends or takes nothing for so long is dropped.
    pub idle_timeout_s: u64,
    /// Serve HTTPS.
    pub tls: Option<Tls>,
    /// Who may do what; absent: everybody may do everything.
    pub auth: Option<Auth>,
    /// Removing what nothing needs.
    pub gc: Gc,
    /// How much a repository may hold; the first rule that fits.
    pub quota: Vec<Quota>,
    /// Which tags go; the first rule that fits.
    pub retention: Vec<Retention>,
    /// Who is told of changes.
    pub notify: Vec<Notify>,
    /// Registries whose content is fetched when it isn't here, in this order.
    pub upstream: Vec<Upstream>,
    /// Where Prometheus may ask.
    pub metrics: Option<Metrics>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            read_only: false,
            delete: true,
            connections_max: 1024,
            manifest_max: store::document::DOCUMENT_MAX,
            blob_max: 0,
            tag_history: 10,
            idle_timeout_s: 60,
            tls: None,
            auth: None,
            gc: Gc::default(),
            quota: Vec::new(),
            retention: Vec::new(),
            notify: Vec::new(),
            upstream: Vec::new(),
            metrics: None,
        }
    }
}

/// `[tls]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// PEM, the server's certificate first.
    pub certificate: PathBuf,
    /// PEM.
    pub key: PathBuf,
    /// PEM: clients must show a certificate by one of these.
    pub client_ca: Option<PathBuf>,
}

/// `[auth]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// Users and bcrypt hashes, as `htpasswd -B` writes them.
    pub htpasswd: PathBuf,
    /// How clients prove who they are.
    #[serde(default)]
    pub mode: AuthMode,
    /// Named in challenges.
    #[serde(default = "default_realm")]
    pub realm: String,
    /// Where the token service is seen from outside, `https://hub.example/token`; absent: on the host
    /// that the client asked.
    pub token_url: Option<String>,
    /// How long a token holds.
    #[serde(default = "default_token_term_s")]
    pub token_term_s: u64,
    /// Who may do what. Absent: every user may do everything, others nothing.
    #[serde(default)]
    pub access: Vec<Access>,
}

fn default_realm() -> String {
    "cale registry".to_owned()
}

fn default_token_term_s() -> u64 {
    300
}

/// `mode`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthMode {
    /// Name and password with every request.
    #[default]
    Basic,
    /// Name and password once, then a token.
    Token,
}

/// `[[auth.access]]`: a grant. There are no refusals; what no grant covers is refused.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// Names; `*` is everybody who proved a name, `anonymous` everybody.
    pub users: Vec<String>,
    /// Of which repositories. `{user}` stands for the user's name.
    pub repositories: Vec<String>,
    /// What they may do.
    pub actions: Vec<Action>,
}

/// What can be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Read.
    Pull,
    /// Add and retag.
    Push,
    /// Remove.
    Delete,
}

/// `[gc]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gc {
    /// Time between two collections; 0 switches them off.
    pub interval_s: u64,
    /// Nothing younger goes. At least as long as the longest push lasts.
    pub grace_s: u64,
    /// An upload without a byte for so long is given up.
    pub upload_expiry_s: u64,
    /// Manifests without tag go.
    pub delete_untagged: bool,
}

impl Default for Gc {
    fn default() -> Self {
        Self {
            interval_s: 3600,
            grace_s: 6 * 3600,
            upload_expiry_s: 24 * 3600,
            delete_untagged: false,
        }
    }
}

/// `[[quota]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Which.
    pub repositories: Pattern,
    /// How much each.
    pub bytes: u64,
}

/// `[[retention]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Whose tags.
    pub repositories: Pattern,
    /// Only these tags.
    #[serde(default = "every_tag")]
    pub tags: Pattern,
    /// Never these tags.
    #[serde(default)]
    pub protect: Vec<Pattern>,
    /// The newest so many stay.
    pub keep_last: usize,
    /// Younger ones stay, too.
    #[serde(default)]
    pub keep_days: u64,
}

fn every_tag() -> Pattern {
    Pattern::new("*")
}

/// `[[notify]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    /// Where events are posted to.
    pub url: String,
    /// Sent along, an `Authorization` for example.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Only of these repositories.
    #[serde(default = "every_repository")]
    pub repositories: Pattern,
}

fn every_repository() -> Pattern {
    Pattern::new("**")
}

/// `[[upstream]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// `docker.io`, `registry.example:5000`.
    pub registry: String,
    /// Speak plain HTTP with it.
    #[serde(default)]
    pub plain_http: bool,
    /// For which of our repositories.
    #[serde(default = "every_repository")]
    pub repositories: Pattern,
    /// Put before the repository's name, `library/`.
    #[serde(default)]
    pub prefix: String,
    /// Taken from the start of the repository's name first, `hub/`.
    #[serde(default)]
    pub strip: String,
    /// A file with `name:password`.
    pub credentials: Option<PathBuf>,
    /// After so long a tag is asked for again.
    #[serde(default = "default_tag_term_s")]
    pub tag_term_s: u64,
}

fn default_tag_term_s() -> u64 {
    300
}

/// `[metrics]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// `/metrics` is answered here, without proof of who asks.
    pub addr: SocketAddr,
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: shown.clone(), source })?;
        let config: Self = toml::from_str(&text).map_err(|source| ConfigError::Parse {
            path: shown.clone(),
            source: Box::new(source),
        })?;
        config.check().map_err(|reason| ConfigError::Value { path: shown, reason })?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        if self.gc.grace_s == 0 {
            return Err("gc.grace_s must be at least 1: pushes that go on need their blobs".into());
        }
        if self.manifest_max > store::document::DOCUMENT_MAX {
            return Err(format!("manifest_max is at most {}", store::document::DOCUMENT_MAX));
        }
        if self.connections_max == 0 || self.idle_timeout_s == 0 {
            return Err("connections_max and idle_timeout_s must be at least 1".into());
        }
        Ok(())
    }

    /// What the collector needs to know.
    pub fn gc_options(&self) -> gc::Options {
        gc::Options {
            grace: Duration::from_secs(self.gc.grace_s),
            upload_expiry: Duration::from_secs(self.gc.upload_expiry_s),
            delete_untagged: self.gc.delete_untagged,
            retention: self
                .retention
                .iter()
                .map(|rule| Rule {
                    repositories: rule.repositories.clone(),
                    tags: rule.tags.clone(),
                    protect: rule.protect.clone(),
                    keep_last: rule.keep_last,
                    keep_for: Duration::from_secs(rule.keep_days.saturating_mul(86_400)),
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_are_errors() {
        assert!(toml::from_str::<Config>("read_only = true").unwrap().read_only);
        assert!(toml::from_str::<Config>("readonly = true").is_err());
        assert!(toml::from_str::<Config>("[auth]\nhtpasswd = \"x\"\nrelm = \"y\"").is_err());
        assert!(toml::from_str::<Config>("[gc]\ngrace_s = 0").unwrap().check().is_err());
    }
}
