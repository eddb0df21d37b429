//! Contexts: named engine addresses, kept where the `docker` command keeps them
//! (`contexts/meta/<sha256 of name>/meta.json`, TLS files beside it).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};

use crate::cli::error::CliError;

/// Name of the context that is not stored: whatever the environment says.
pub const DEFAULT: &str = "default";

/// A named engine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Context {
    /// Its name.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Address of the engine; empty means the default one.
    pub host: String,
    /// Whether the engine's certificate is taken unchecked.
    pub skip_tls_verify: bool,
    /// Everything else in `Metadata`.
    pub metadata: Map<String, Json>,
}

/// The contexts of one configuration directory.
#[derive(Clone, Debug)]
pub struct ContextStore {
    root: PathBuf,
}

/// Names of the TLS files of an endpoint.
pub const TLS_FILES: [&str; 3] = ["ca.pem", "cert.pem", "key.pem"];

impl ContextStore {
    /// The store below a configuration directory.
    pub fn new(config_dir: &Path) -> Self {
        ContextStore { root: config_dir.join("contexts") }
    }

    fn key(name: &str) -> String {
        HEXLOWER.encode(&Sha256::digest(name.as_bytes()))
    }

    /// Directory of a context's metadata.
    pub fn meta_dir(&self, name: &str) -> PathBuf {
        self.root.join("meta").join(Self::key(name))
    }

    /// Directory of a context's TLS files; the engine's are in `docker/`.
    pub fn tls_dir(&self, name: &str) -> PathBuf {
        self.root.join("tls").join(Self::key(name))
    }

    /// Reads a context.
    ///
    /// # Errors
    /// [`CliError::Invalid`] if there is none of this name.
    pub fn load(&self, name: &str) -> Result<Context, CliError> {
        let path = self.meta_dir(name).join("meta.json");
        let text = fs::read_to_string(&path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => CliError::invalid(format!(
                "context {name:?}: context not found: open {}: no such file or directory",
                path.display()
            )),
            _ => CliError::file(format!("read {}", path.display()), e),
        })?;
        let meta = serde_json::from_str(&text)
            .map_err(|e| CliError::invalid(format!("context {name:?}: invalid metadata: {e}")))?;
        Ok(Context::from_json(&meta))
    }

    /// All stored contexts, sorted by name.
    ///
    /// # Errors
    /// [`CliError::File`] if the directory can't be read.
    pub fn list(&self) -> Result<Vec<Context>, CliError> {
        let dir = self.root.join("meta");
        let failed = |e| CliError::file(format!("read {}", dir.display()), e);
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(failed(e)),
        };
        let mut contexts = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed)?.path().join("meta.json");
            let Ok(text) = fs::read_to_string(&path) else { continue };
            if let Ok(meta) = serde_json::from_str(&text) {
                contexts.push(Context::from_json(&meta));
            }
        }
        contexts.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(contexts)
    }

    /// Writes a context.
    ///
    /// # Errors
    /// [`CliError::File`].
    pub fn save(&self, context: &Context) -> Result<(), CliError> {
        let dir = self.meta_dir(&context.name);
        fs::create_dir_all(&dir)
            .map_err(|e| CliError::file(format!("create {}", dir.display()), e))?;
        let path = dir.join("meta.json");
        super::write_private(&path, context.json().to_string().as_bytes())
    }

    /// Copies TLS files (name and content) to a context's engine endpoint.
    ///
    /// # Errors
    /// [`CliError::File`].
    pub fn save_tls(&self, name: &str, files: &[(String, Vec<u8>)]) -> Result<(), CliError> {
        let dir = self.tls_dir(name).join("docker");
        if files.is_empty() {
            return Ok(());
        }
        fs::create_dir_all(&dir)
            .map_err(|e| CliError::file(format!("create {}", dir.display()), e))?;
        files.iter().try_for_each(|(name, content)| super::write_private(&dir.join(name), content))
    }

    /// The TLS files of a context that exist: name and content.
    pub fn load_tls(&self, name: &str) -> Vec<(String, Vec<u8>)> {
        let dir = self.tls_dir(name).join("docker");
        let read = |file: &&str| fs::read(dir.join(file)).ok().map(|c| ((*file).to_owned(), c));
        TLS_FILES.iter().filter_map(read).collect()
    }

    /// Removes a context and its TLS files.
    ///
    /// # Errors
    /// [`CliError::File`].
    pub fn remove(&self, name: &str) -> Result<(), CliError> {
        for dir in [self.meta_dir(name), self.tls_dir(name)] {
            match fs::remove_dir_all(&dir) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(CliError::file(format!("remove {}", dir.display()), e)),
            }
        }
        Ok(())
    }
}

impl Context {
    /// Reads the stored document.
    pub fn from_json(meta: &Json) -> Self {
        let text = |value: &Json| value.as_str().unwrap_or("").to_owned();
        let mut metadata = meta["Metadata"].as_object().cloned().unwrap_or_default();
        let description =
            metadata.shift_remove("Description").map(|d| text(&d)).unwrap_or_default();
        let endpoint = &meta["Endpoints"]["docker"];
        Context {
            name: text(&meta["Name"]),
            description,
            host: text(&endpoint["Host"]),
            skip_tls_verify: endpoint["SkipTLSVerify"].as_bool().unwrap_or(false),
            metadata,
        }
    }

    /// The stored document.
    pub fn json(&self) -> Json {
        let mut metadata = Map::new();
        if !self.description.is_empty() {
            metadata.insert("Description".to_owned(), Json::from(self.description.as_str()));
        }
        metadata.extend(self.metadata.clone());
        json!({
            "Name": self.name,
            "Metadata": metadata,
            "Endpoints": {
                "docker": {"Host": self.host, "SkipTLSVerify": self.skip_tls_verify}
            }
        })
    }
}

/// Whether a name may be given to a context.
///
/// # Errors
/// Docker's sentence about names.
pub fn check_name(name: &str) -> Result<(), CliError> {
    let mut chars = name.chars();
    let valid = chars.next().is_some_and(|c| c.is_ascii_alphanumeric())
        && name.len() > 1
        && chars.all(|c| c.is_ascii_alphanumeric() || "_.+-".contains(c));
    match name {
        "" => Err(CliError::invalid("context name cannot be empty")),
        DEFAULT => Err(CliError::invalid("\"default\" is a reserved context name")),
        _ if valid => Ok(()),
        _ => Err(CliError::invalid(format!(
            "context name {name:?} is invalid, names are validated against regexp \"^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$\""
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_and_listed() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let store = ContextStore::new(dir.path());
        assert_eq!(store.list().expect("empty"), []);
        let context = Context { name: "far".into(), host: "ssh://x".into(), ..Context::default() };
        store.save(&context).expect("saved");
        assert_eq!(store.load("far").expect("known"), context);
        assert_eq!(store.list().expect("one").len(), 1);
        store.remove("far").expect("removed");
        assert!(store.load("far").is_err());
    }

    #[test]
    fn names_are_checked() {
        assert!(check_name("a.b-c").is_ok());
        for wrong in ["", "default", "-a", "a b"] {
            assert!(check_name(wrong).is_err(), "{wrong:?}");
        }
    }
}
