//! `~/.docker/config.json`, read and written without losing what we don't know.

pub mod contexts;
pub mod credentials;

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json};

use super::env_vars;
use super::error::CliError;

/// The client's configuration file.
#[derive(Debug, Default)]
pub struct ConfigFile {
    dir: PathBuf,
    content: Map<String, Json>,
}

/// Directory of the configuration: `--config`, `$DOCKER_CONFIG`, `~/.docker`.
pub fn directory(flag: &str) -> PathBuf {
    if !flag.is_empty() {
        return PathBuf::from(flag);
    }
    env_vars::value(env_vars::DOCKER_CONFIG).map(PathBuf::from).unwrap_or_else(|| {
        PathBuf::from(env_vars::value(env_vars::HOME).unwrap_or_else(|| "/".to_owned()))
            .join(".docker")
    })
}

impl ConfigFile {
    /// Reads `config.json` of `dir`; a missing file is an empty configuration.
    ///
    /// # Errors
    /// [`CliError::File`] or [`CliError::Invalid`] if it exists but can't be used.
    pub fn load(dir: &Path) -> Result<Self, CliError> {
        let path = dir.join("config.json");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(CliError::file(format!("read {}", path.display()), e)),
        };
        let content = if text.trim().is_empty() {
            Map::new()
        } else {
            serde_json::from_str(&text).map_err(|e| {
                CliError::invalid(format!("invalid config file {}: {e}", path.display()))
            })?
        };
        Ok(ConfigFile { dir: dir.to_owned(), content })
    }

    /// Directory that it was read from.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Text of a top-level key; empty if absent.
    pub fn text(&self, key: &str) -> &str {
        self.content.get(key).and_then(Json::as_str).unwrap_or("")
    }

    /// Any value of a top-level key.
    pub fn list(&self, key: &str) -> Option<&Json> {
        self.content.get(key)
    }

    /// Object of a top-level key.
    pub fn object(&self, key: &str) -> Option<&Map<String, Json>> {
        self.content.get(key).and_then(Json::as_object)
    }

    /// Object of a top-level key, made if absent.
    pub fn object_mut(&mut self, key: &str) -> &mut Map<String, Json> {
        let slot = self.content.entry(key).or_insert_with(|| Json::Object(Map::new()));
        if !slot.is_object() {
            *slot = Json::Object(Map::new());
        }
        slot.as_object_mut().expect("was just made an object")
    }

    /// Sets or removes a top-level text.
    pub fn set_text(&mut self, key: &str, value: &str) {
        if value.is_empty() {
            self.content.shift_remove(key);
        } else {
            self.content.insert(key.to_owned(), Json::from(value));
        }
    }

    /// `HttpHeaders`, which go with every request. Wrong ones are left out.
    pub fn http_headers(&self) -> http::HeaderMap {
        let pairs = self.object("HttpHeaders").into_iter().flatten();
        pairs
            .filter_map(|(name, value)| {
                let name = http::HeaderName::try_from(name.as_str()).ok()?;
                let value = http::HeaderValue::try_from(value.as_str()?).ok()?;
                Some((name, value))
            })
            .collect()
    }

    /// `proxies` for the given host as environment variables of containers.
    pub fn proxies(&self, host: &str) -> Vec<(String, String)> {
        let Some(all) = self.object("proxies") else { return Vec::new() };
        let Some(entry) = all.get(host).or_else(|| all.get("default")).and_then(Json::as_object)
        else {
            return Vec::new();
        };
        let names = [
            ("httpProxy", "HTTP_PROXY"),
            ("httpsProxy", "HTTPS_PROXY"),
            ("ftpProxy", "FTP_PROXY"),
            ("noProxy", "NO_PROXY"),
            ("allProxy", "ALL_PROXY"),
        ];
        let typed = names.iter().filter_map(|(key, name)| {
            entry.get(*key).and_then(Json::as_str).map(|value| (*name, value))
        });
        typed
            .flat_map(|(name, value)| {
                [(name.to_owned(), value.to_owned()), (name.to_lowercase(), value.to_owned())]
            })
            .collect()
    }

    /// Writes the file: to a temporary name first, readable by the user only.
    ///
    /// # Errors
    /// [`CliError::File`].
    pub fn save(&self) -> Result<(), CliError> {
        fs::create_dir_all(&self.dir)
            .map_err(|e| CliError::file(format!("create {}", self.dir.display()), e))?;
        let path = self.dir.join("config.json");
        let mut text = tabbed(&self.content);
        text.push('\n');
        write_private(&path, text.trim_end().as_bytes())
    }
}

fn tabbed(content: &Map<String, Json>) -> String {
    let text = Json::Object(content.clone()).to_string();
    super::format::json_text::indent(&text, "", "\t")
}

/// Replaces a file in one step; the new one has mode 0600.
pub fn write_private(path: &Path, content: &[u8]) -> Result<(), CliError> {
    // A link is followed, so that a configuration kept elsewhere stays there.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let temporary = target.with_extension(format!("tmp{}", std::process::id()));
    let write = || {
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, &target)
    };
    write().map_err(|e| {
        // The temporary may not exist; what matters is the first error.
        drop(fs::remove_file(&temporary));
        CliError::file(format!("write {}", target.display()), e)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_survive() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("config.json");
        fs::write(&path, r#"{"strange":{"x":[1]},"auths":{}}"#).expect("written");
        let mut config = ConfigFile::load(dir.path()).expect("valid");
        config.set_text("currentContext", "far");
        config.save().expect("saved");
        let again = ConfigFile::load(dir.path()).expect("valid");
        assert_eq!(again.text("currentContext"), "far");
        assert!(again.object("strange").is_some());
    }

    #[test]
    fn proxies_come_in_both_cases() {
        let content = r#"{"proxies":{"default":{"httpProxy":"http://p:1"}}}"#;
        let config = ConfigFile {
            content: serde_json::from_str(content).expect("test data"),
            ..ConfigFile::default()
        };
        let proxies = config.proxies("unix:///x");
        assert_eq!(proxies[0], ("HTTP_PROXY".to_owned(), "http://p:1".to_owned()));
        assert_eq!(proxies[1].0, "http_proxy");
    }
}
